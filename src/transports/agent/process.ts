/**
 * An agent: a program of anybody's that answers lines with lines on its standard input and output. The line is two named pipes,
 * so that a thread may write a line and read the answer at once, as data verbs need it; no native code is used.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ownFolder } from '../own-folder.js';
import { AgentWatchdog } from './watchdog.js';

/** Longest line that an agent may send, the newline included. */
export const AGENT_LINE_BYTES_MAX = 16 * 1024 * 1024;

const READ_BYTES = 64 * 1024;
const NEWLINE = 10;
/** What of the agent's standard error goes into a message. */
const TAIL_BYTES = 2000;
const TAIL_LINES = 8;
/** How long an agent that has closed its output may take to end, and how often one looks. */
const END_MS = 1000;
const LOOK_MS = 5;

export interface AgentCommand {
  /** For `/bin/sh -c`. */
  readonly command: string;
  /** Milliseconds that one answer may take. */
  readonly limitMs: number;
  /** File to which the agent's standard error is added. */
  readonly log?: string | undefined;
  /** File to which every line is written, `> ` before what was sent and `< ` before what came. */
  readonly trace?: string | undefined;
  /** Told the process group of an agent that has started, and 0 when it is gone. */
  onProcess?(pid: number): void;
}

/**
 * - `start`: the line or the process could not be made.
 * - `ended`: the agent closed the line.
 * - `silent`: it gave no answer in time and was stopped.
 * - `line`: what it sent is no line, or one too many.
 */
export type AgentTrouble = 'start' | 'ended' | 'silent' | 'line';

/** The line to the agent is no use any more; the agent is stopped. */
export class AgentLineError extends Error {
  readonly trouble: AgentTrouble;

  constructor(trouble: AgentTrouble, message: string) {
    super(message);
    this.name = 'AgentLineError';
    this.trouble = trouble;
  }
}

/** Starts agents by one command, one after the other. */
export class AgentLauncher {
  readonly #command: AgentCommand;
  readonly #watchdog: AgentWatchdog;
  readonly #trace: number | undefined;
  #current: AgentProcess | undefined;

  /** @throws AgentLineError (`start`) when the trace cannot be written */
  constructor(command: AgentCommand) {
    this.#command = command;
    this.#watchdog = new AgentWatchdog(command.limitMs);
    this.#trace = command.trace === undefined ? undefined : openFile(command.trace, 'w');
  }

  /** Milliseconds that one answer may take from here on. */
  set limitMs(limitMs: number) {
    this.#watchdog.limitMs = limitMs;
  }

  /** Starts a fresh agent; the one before is stopped. @throws AgentLineError (`start`) */
  start(): AgentProcess {
    this.#current?.stop();
    this.#current = new AgentProcess(this.#command, this.#watchdog, this.#trace);
    return this.#current;
  }

  /** Stops the agent and gives everything back. */
  close(): void {
    this.#current?.stop();
    this.#current = undefined;
    this.#watchdog.close();
    if (this.#trace !== undefined) closeSync(this.#trace);
  }
}

export class AgentProcess {
  readonly #command: AgentCommand;
  readonly #watchdog: AgentWatchdog;
  readonly #trace: number | undefined;
  readonly #pid: number;
  readonly #toAgent: number;
  readonly #fromAgent: number;
  /** Standard error, read back for messages; from `#errorsAt` on it is this agent's. */
  readonly #errors: number;
  readonly #errorsAt: number;
  /** The shell writes here how the agent ended. */
  readonly #status: number;
  readonly #chunk = Buffer.allocUnsafe(READ_BYTES);
  /** What was read and belongs to no answer. */
  #rest = Buffer.alloc(0);
  #open = true;

  constructor(command: AgentCommand, watchdog: AgentWatchdog, trace: number | undefined) {
    this.#command = command;
    this.#watchdog = watchdog;
    this.#trace = trace;
    const line = openLine(command.log);
    this.#toAgent = line.toAgent;
    this.#fromAgent = line.fromAgent;
    this.#errors = line.errors;
    this.#errorsAt = fstatSync(line.errors).size;
    this.#status = line.status;
    try {
      this.#pid = launch(command.command, line);
    } catch (error) {
      this.#closeLine();
      throw trouble('start', `/bin/sh could not be started: ${String(error)}`);
    } finally {
      for (const end of line.agentEnds) closeSync(end);
    }
    command.onProcess?.(this.#pid);
    watchdog.watch(this.#pid);
  }

  /**
   * Sends a line, waits for the next one and returns it without its newline.
   * @param meanwhile waits until the descriptor can be read, and does something else as long as it cannot
   * @throws AgentLineError the agent is stopped then
   */
  exchange(line: string, meanwhile?: (answer: number) => void): string {
    if (!this.#open) throw trouble('ended', 'the agent is not running any more');
    if (this.#rest.length > 0)
      throw this.#end('line', `it sent more than one line for a request: ${excerpt(this.#rest)}`);
    this.#note('> ', line);
    this.#watchdog.waiting();
    try {
      this.#write(`${line}\n`);
      meanwhile?.(this.#fromAgent);
      const answer = this.#read();
      this.#note('< ', answer);
      return answer;
    } finally {
      this.#watchdog.waiting();
    }
  }

  /** Ends the agent: its input ends, and its process group is stopped. */
  stop(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watchdog.unwatch();
    closeSync(this.#toAgent);
    this.#waitForEnd();
    killGroup(this.#pid);
    this.#command.onProcess?.(0);
    for (const end of [this.#fromAgent, this.#errors, this.#status]) closeSync(end);
  }

  #write(line: string): void {
    const bytes = Buffer.from(line);
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(this.#toAgent, bytes, at);
    } catch (error) {
      const status = this.#waitForEnd();
      const unread =
        status === undefined ? `it does not read its input any more (${codeOf(error)})` : undefined;
      throw this.#end('ended', unread ?? statusText(status));
    }
  }

  #read(): string {
    const parts: Buffer[] = [];
    let length = 0;
    for (;;) {
      const count = this.#readSome();
      if (count === 0) throw this.#ended(length);
      const chunk = this.#chunk.subarray(0, count);
      const at = chunk.indexOf(NEWLINE);
      length += at < 0 ? count : at;
      if (length >= AGENT_LINE_BYTES_MAX)
        throw this.#end('line', `its line is longer than ${AGENT_LINE_BYTES_MAX} bytes`);
      if (at >= 0) {
        if (at + 1 < count) this.#rest = Buffer.from(chunk.subarray(at + 1));
        if (parts.length === 0) return chunk.toString('utf8', 0, at);
        parts.push(chunk.subarray(0, at));
        return Buffer.concat(parts).toString('utf8');
      }
      parts.push(Buffer.from(chunk));
    }
  }

  #readSome(): number {
    try {
      return readSync(this.#fromAgent, this.#chunk);
    } catch (error) {
      throw this.#end('ended', `its output cannot be read (${codeOf(error)})`);
    }
  }

  /** The agent closed its output, by itself or because it was stopped. */
  #ended(bytes: number): AgentLineError {
    if (this.#watchdog.stopped) return this.#end('silent', '');
    const status = this.#waitForEnd();
    const half = bytes > 0 ? ` in the middle of a line, after ${bytes} bytes of it` : '';
    return this.#end('ended', `${statusText(status)}${half}`);
  }

  /** Stops the agent and says what was wrong, with the last that it said on standard error. */
  #end(kind: AgentTrouble, what: string): AgentLineError {
    const silent = this.#watchdog.stopped;
    const message = silent ? `it gave no answer for ${this.#watchdog.limitMs} ms and was stopped` : what;
    const tail = this.#tail();
    this.stop();
    return trouble(silent ? 'silent' : kind, tail === '' ? message : `${message}; its last words: ${tail}`);
  }

  /** How the agent ended, as a shell tells it; undefined when it has not, or nobody knows. */
  #waitForEnd(): number | undefined {
    if (this.#watchdog.stopped) return undefined;
    for (let ms = 0; ms < END_MS; ms += LOOK_MS) {
      const length = readSync(this.#status, this.#chunk, 0, 16, 0);
      const text = this.#chunk.toString('latin1', 0, length);
      if (text.endsWith('\n')) return Number(text);
      if (!isAlive(this.#pid)) return undefined;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS);
    }
    return undefined;
  }

  #tail(): string {
    const { size } = fstatSync(this.#errors);
    const from = Math.max(this.#errorsAt, size - TAIL_BYTES);
    const bytes = Buffer.alloc(size - from);
    const length = bytes.length === 0 ? 0 : readSync(this.#errors, bytes, 0, bytes.length, from);
    const lines = bytes.toString('utf8', 0, length).trimEnd().split('\n');
    return lines.slice(-TAIL_LINES).join('\n');
  }

  #note(direction: string, line: string): void {
    if (this.#trace !== undefined) writeSync(this.#trace, `${direction}${line}\n`);
  }

  #closeLine(): void {
    this.#open = false;
    for (const end of [this.#toAgent, this.#fromAgent, this.#errors, this.#status]) closeSync(end);
  }
}

interface Line {
  readonly toAgent: number;
  readonly fromAgent: number;
  readonly errors: number;
  readonly status: number;
  /** Standard input and output of the agent. */
  readonly agentEnds: readonly [stdin: number, stdout: number];
}

/** Makes the pipes. Nothing is left of them in the file system: whoever has them open keeps them. */
function openLine(log: string | undefined): Line {
  const directory = makeDirectory();
  try {
    const [down, up] = ['down', 'up'].map(name => join(directory, name));
    const made = spawnSync('mkfifo', ['-m', '600', down, up], { encoding: 'utf8' });
    if (made.status !== 0)
      throw trouble(
        'start',
        `mkfifo failed: ${made.error?.message ?? made.stderr.trim()}; an agent needs named pipes, as Linux, BSD and macOS have`,
      );
    const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;
    // A pipe opens at once where its other end is open; one that must not block stands in until it is.
    const ends = (path: string): [reader: number, writer: number] => {
      const standIn = openSync(path, O_RDONLY | O_NONBLOCK);
      const writer = openSync(path, O_WRONLY);
      const reader = openSync(path, O_RDONLY);
      closeSync(standIn);
      return [reader, writer];
    };
    const [stdin, toAgent] = ends(down);
    const [fromAgent, stdout] = ends(up);
    const errors = log === undefined ? openSync(join(directory, 'log'), 'a+') : openFile(log, 'a+');
    const status = openSync(join(directory, 'status'), 'w+');
    return { toAgent, fromAgent, errors, status, agentEnds: [stdin, stdout] };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function makeDirectory(): string {
  try {
    return ownFolder('agent');
  } catch (error) {
    throw trouble('start', `no temporary directory can be made in ${tmpdir()} (${codeOf(error)})`);
  }
}

function openFile(path: string, flags: string): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    throw trouble('start', `${path} cannot be written (${codeOf(error)})`);
  }
}

/** Starts the command in a process group of its own; returns the group. */
function launch(command: string, { agentEnds: [stdin, stdout], errors, status }: Line): number {
  const script = `(\n${command}\n)\nstatus=$?; echo $status >&3; exit $status`;
  const child = spawn('/bin/sh', ['-c', script], {
    stdio: [stdin, stdout, errors, status],
    detached: true,
  });
  child.on('error', () => {});
  child.unref();
  if (child.pid === undefined) throw new Error('no process');
  return child.pid;
}

function statusText(status: number | undefined): string {
  if (status === undefined) return 'it closed its output';
  if (status === 127) return 'it ended at once: there is no such command (exit status 127)';
  if (status > 128) return `it was ended by signal ${status - 128} (exit status ${status})`;
  return `it ended with exit status ${status}`;
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

/** A process that has ended and was not waited for yet counts as gone. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return true;
  }
}

function trouble(kind: AgentTrouble, message: string): AgentLineError {
  return new AgentLineError(kind, message);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

const EXCERPT = 80;

/** The beginning of what an agent sent, fit for a message. */
export function excerpt(sent: string | Uint8Array): string {
  const text = typeof sent === 'string' ? sent : Buffer.from(sent.subarray(0, 4 * EXCERPT)).toString('utf8');
  return JSON.stringify(text.length > EXCERPT ? `${text.slice(0, EXCERPT)}...` : text);
}
