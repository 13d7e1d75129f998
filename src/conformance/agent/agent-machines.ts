/** Machines of an agent: the agent is started and greeted, opened anew for each program, and started again when it broke. */
import type { AgentArenaFile } from '../../transports/agent/index.js';
import { Scheduler } from '../../fabric/index.js';
import { choicesOf } from '../choices.js';
import type { Limits } from '../limits.js';
import { LawBroken, laws } from '../laws.js';
import type { Expected, Outside } from '../outside.js';
import { initialArena } from '../patterns.js';
import type { Program } from '../program.js';
import type { RemoteMachines } from '../remote-machines.js';
import { ARENA_BASE } from '../simulated-guest.js';
import type { VerbsMachine, VerbsWorld } from '../verbs-world.js';
import { BadAnswer, shown } from './broken-line.js';
import { missingFor, without } from './offers.js';
import { AGENT_PROTOCOL, AGENT_PROTOCOL_VERSION, agentHelloSchema, agentOpenSchema } from './protocol.js';
import type { AgentHello, AgentOpen, Lackable } from './protocol.js';
import { CalledBytes, RemoteArena } from './remote-arena.js';
import type { ArenaBytes } from './remote-arena.js';
import { RemoteVerbs } from './remote-verbs.js';
import { AgentSession, answerOf, lawOfLine } from './session.js';
import type { AgentLine } from './session.js';

/** What the edge gives: agents by one command, and files. */
export interface AgentHost {
  /** Starts a fresh agent and stops the one before. */
  start(): AgentLine;
  /** Milliseconds that one answer may take from here on. */
  setLimit(limitMs: number): void;
  arenaFile(bytes: number): AgentArenaFile;
  close(): void;
}

export interface AgentMachinesOptions {
  readonly host: AgentHost;
  /** Milliseconds that one answer may take. */
  readonly limitMs: number;
  readonly kitVersion: string;
}

/** Of the limit, while programs are tried by the hundred: one that hangs costs it whole. */
const HASTY_SHARE = 10;
const HASTY_MS_MIN = 1000;
/** What an agent has at least until it has greeted: an interpreter has to start. */
const START_MS_MIN = 10_000;

export class AgentMachines implements RemoteMachines {
  readonly name: string;
  readonly restsByExpected: boolean;
  readonly #options: AgentMachinesOptions;
  readonly #hello: AgentHello;
  readonly #lacks: ReadonlySet<Lackable>;
  #line: AgentLine | undefined;
  #nextId = 1;
  #world: AgentWorld | undefined;

  private constructor(options: AgentMachinesOptions, line: AgentLine, hello: AgentHello) {
    this.#options = options;
    this.#line = line;
    this.#hello = hello;
    this.name = hello.name;
    this.restsByExpected = hello.rest === 'expected';
    this.#lacks = new Set(hello.lacks);
  }

  /** Starts the agent. @throws AgentLineError, BadAnswer when it cannot be started or does not speak the protocol */
  static start(options: AgentMachinesOptions): AgentMachines {
    options.host.setLimit(Math.max(options.limitMs, START_MS_MIN));
    const line = options.host.start();
    return new AgentMachines(options, line, greet(line, options.kitVersion));
  }

  /** The agent is a driver, for a device that it is given. */
  get drives(): boolean {
    return this.#hello.device !== undefined;
  }

  missingFor(program: Program): string | undefined {
    return missingFor(program, this.#lacks);
  }

  without(program: Program): Program {
    return without(program, this.#lacks);
  }

  open(program: Program, limits: Limits, hasty: boolean): VerbsWorld {
    const { host, limitMs } = this.#options;
    const before = this.#world;
    this.#world = undefined;
    if (before !== undefined) {
      before.release();
      this.#nextId = before.session.nextId;
      if (before.session.broken) this.#line = undefined;
    }
    const line = this.#line ?? this.#restart();
    this.#line = line;
    host.setLimit(hasty ? Math.min(limitMs, Math.max(HASTY_MS_MIN, limitMs / HASTY_SHARE)) : limitMs);
    try {
      this.#world = new AgentWorld(program, limits, line, this.#nextId, this.#hello, host);
    } catch (error) {
      this.#line = undefined;
      throw lawOfLine(error);
    }
    return this.#world;
  }

  close(): void {
    this.#world?.release();
    this.#options.host.close();
  }

  #restart(): AgentLine {
    this.#nextId = 1;
    const { host, limitMs, kitVersion } = this.#options;
    host.setLimit(Math.max(limitMs, START_MS_MIN));
    try {
      const line = host.start();
      greet(line, kitVersion);
      return line;
    } catch (error) {
      const { message } = lawOfLine(error);
      throw new LawBroken(laws.starts, `it was started again after it broke, in vain: ${message}`);
    }
  }
}

/** Says hello, which is request 0. */
export function greet(line: AgentLine, kit: string): AgentHello {
  const hello = { protocol: AGENT_PROTOCOL, version: AGENT_PROTOCOL_VERSION, kit };
  const answer = answerOf(line.exchange(JSON.stringify({ id: 0, hello })), 0);
  const found = answer['hello'];
  if (typeof found === 'object' && found !== null && 'version' in found) {
    const { version } = found;
    if (version !== AGENT_PROTOCOL_VERSION)
      throw new BadAnswer(
        `it speaks version ${shown(version)} of the protocol; this kit speaks version ${AGENT_PROTOCOL_VERSION}`,
      );
  }
  const parsed = agentHelloSchema.safeParse(found);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = ['hello', ...issue.path].map(String).join('.');
  throw new BadAnswer(`its greeting does not fit: ${where}: ${issue.message}`);
}

class AgentWorld implements VerbsWorld {
  readonly machines: readonly VerbsMachine[];
  readonly scheduler: Scheduler;
  readonly outside: Outside;
  readonly session: AgentSession;
  readonly #files: AgentArenaFile[] = [];
  #failure: Error | undefined;

  constructor(
    program: Program,
    limits: Limits,
    line: AgentLine,
    firstId: number,
    hello: AgentHello,
    host: AgentHost,
  ) {
    this.scheduler = new Scheduler(choicesOf(program));
    if (hello.arena === 'file')
      for (let vm = 0; vm < program.hosts.length; vm++) this.#files.push(host.arenaFile(program.arenaBytes));
    const verbs: RemoteVerbs[] = [];
    const how = { settled: program.mode === 'settled', byExpected: hello.rest === 'expected' };
    const places = openMachines(line, firstId, program, limits, this.#files);
    const session = new AgentSession(line, firstId + 1, how, (vm, cq) => eventOf(verbs, vm, cq));
    this.session = session;
    this.machines = places.map(({ base = ARENA_BASE, dma = base }, vm): VerbsMachine => {
      const own = new RemoteVerbs(session, vm);
      verbs.push(own);
      const file = this.#files[vm];
      const bytes =
        file === undefined ? new CalledBytes(session, vm, program.arenaBytes) : new FileBytes(session, file);
      const guest = new RemoteArena(program.arenaBytes, base, bytes);
      guest.writeArena(0, initialArena(vm, program.arenaBytes));
      return { vm, verbs: own, guest, lists: own, dmaAddress: at => dma + at };
    });
    this.outside = {
      poll: () => this.#law(() => session.poll()),
      rest: (expected: Expected | undefined) => this.#law(() => session.rest(expected)),
    };
  }

  runUntilQuiet(): void {
    this.check();
  }

  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
  }

  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  release(): void {
    for (const file of this.#files.splice(0)) file.close();
  }

  #law<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      if (error instanceof BadAnswer) throw lawOfLine(error);
      throw error;
    }
  }
}

function openMachines(
  line: AgentLine,
  id: number,
  { hosts, arenaBytes }: Program,
  { attributes, port }: Limits,
  files: readonly AgentArenaFile[],
): readonly { readonly base?: number | undefined; readonly dma?: number | undefined }[] {
  const open: AgentOpen = {
    machines: hosts.map((host, vm) => ({
      vm,
      host,
      arena: {
        bytes: arenaBytes,
        base: ARENA_BASE,
        ...(files[vm] === undefined ? {} : { file: files[vm].path }),
      },
    })),
    limits: { attributes, port },
  };
  const answer = answerOf(line.exchange(JSON.stringify({ id, open })), id);
  // The agent has them open now.
  for (const file of files) file.unlink();
  const parsed = agentOpenSchema.safeParse(answer['open']);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new BadAnswer(`its answer to open does not fit: ${issue.path.join('.')}: ${issue.message}`);
  }
  const { machines } = parsed.data;
  if (machines.length !== hosts.length)
    throw new BadAnswer(`it opened ${machines.length} machines; expected ${hosts.length}`);
  return machines;
}

function eventOf(verbs: readonly RemoteVerbs[], vm: number, cq: number): void {
  const machine = verbs[vm];
  if (machine === undefined) throw new BadAnswer(`an event names machine ${vm}, which is not open`);
  machine.event(cq);
}

/** The bytes of a file; calls that wait to be sent go first. */
class FileBytes implements ArenaBytes {
  readonly #session: AgentSession;
  readonly #file: AgentArenaFile;

  constructor(session: AgentSession, file: AgentArenaFile) {
    this.#session = session;
    this.#file = file;
  }

  read(at: number, length: number): Uint8Array {
    this.#session.flush();
    const bytes = new Uint8Array(length);
    this.#file.read(at, bytes);
    return bytes;
  }

  write(at: number, bytes: Uint8Array): void {
    this.#session.flush();
    this.#file.write(at, bytes);
  }
}
