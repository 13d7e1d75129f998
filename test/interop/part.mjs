/**
 * One part of the interop tests: its log folder, its processes, its checks and its time limit. Whatever it started is
 * stopped when it ends, by its own process id.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Thrown where something cannot be had on this machine. The message is the one line that says so. */
export class Skipped extends Error {}

export const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** A step that has not happened by then is hung: emulated guests on a busy machine are slow, and a slow one is no failure. */
export const WATCHDOG_S = 240;
/** A part that is not done by then is hung. */
const PART_SECONDS_MAX = 1800;
/** Between two looks at something that is waited for. */
const LOOK_MS = 50;
/** Until a process that was asked to end is ended. */
const GRACE_MS = 5000;

export class Part {
  #definition;
  #total;
  #processes = [];
  #ended = false;
  #sockets;
  folder;

  constructor(definition, folder, total) {
    this.#definition = definition;
    this.#total = total;
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    // A socket's path is at most 107 bytes long; the log folder may be deep.
    this.#sockets = path.join(os.tmpdir(), `vrdma-${process.pid}-${definition.name}`.slice(0, 60));
    mkdirSync(this.#sockets, { recursive: true });
  }

  async run() {
    const { name, run } = this.#definition;
    let timer;
    const limit = new Promise((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`not done after ${PART_SECONDS_MAX} s`)),
        PART_SECONDS_MAX * 1000,
      );
    });
    const started = Date.now();
    try {
      await Promise.race([run(this), limit]);
    } catch (error) {
      this.#outcome(error instanceof Skipped ? 'skipped' : 'failed', name, error);
    }
    clearTimeout(timer);
    this.#ended = true;
    await Promise.all(this.#processes.map(process_ => process_.stop()));
    rmSync(this.#sockets, { recursive: true, force: true });
    console.log(`   ${((Date.now() - started) / 1000).toFixed(1)} s`);
  }

  /** One thing that must hold. It fails when `judge` throws, and is skipped when that throws Skipped. */
  async check(title, judge) {
    if (this.#ended) return;
    try {
      const note = await judge();
      if (this.#ended) return;
      this.#total.passed++;
      console.log(`passed  ${title}${typeof note === 'string' ? `: ${note}` : ''}`);
    } catch (error) {
      if (!this.#ended) this.#outcome(error instanceof Skipped ? 'skipped' : 'failed', title, error);
    }
  }

  #outcome(kind, title, error) {
    this.#total[kind]++;
    console.log(
      `${kind === 'failed' ? 'FAILED ' : 'SKIPPED'} ${title}: ${error instanceof Error ? error.message : error}`,
    );
  }

  note(text) {
    console.log(`        ${text}`);
  }

  /** A place for a socket. */
  socket(name) {
    const place = path.join(this.#sockets, name);
    rmSync(place, { force: true });
    return place;
  }

  /** Starts a program; what it prints goes to `<name>.log` in the part's folder. */
  start(name, command, arguments_, options = {}) {
    if (this.#ended) throw new Error('the part has ended');
    const started = new Running(name, path.join(this.folder, `${name}.log`), command, arguments_, options);
    this.#processes.push(started);
    return started;
  }

  /** Takes over what something else has started: its `stop()` is called at the end. */
  adopt(running) {
    if (this.#ended) throw new Error('the part has ended');
    this.#processes.push(running);
  }

  /** Starts the kit's command line. */
  vrdma(name, arguments_, options) {
    return this.start(name, process.execPath, [cli, ...arguments_], options);
  }

  /** Waits until `condition` gives something; throws with `what` after `seconds`. */
  async until(what, condition, seconds = WATCHDOG_S) {
    for (const end = Date.now() + seconds * 1000; ;) {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
      if (this.#ended) throw new Error(`${what}: the part has ended`);
      if (Date.now() > end) throw new Error(`${what}: not after ${seconds} s`);
      await sleep(LOOK_MS);
    }
  }

  /** Waits until a server has made its socket. */
  async listening(socket, server, seconds = WATCHDOG_S) {
    await this.until(
      `${server.name} listening on ${path.basename(socket)}`,
      () => {
        if (server.exit !== undefined) throw new Error(`${server.name} ended: ${server.lastLines(3)}`);
        return existsSync(socket);
      },
      seconds,
    );
  }
}

export function sleep(ms) {
  return new Promise(resolve => setTimeout(resolve, ms));
}

/** A program that was started. */
class Running {
  name;
  log;
  /** Exit code or signal, once it has ended. */
  exit;
  #child;
  #done;

  constructor(name, log, command, arguments_, { env, input = 'ignore' }) {
    this.name = name;
    this.log = log;
    writeFileSync(log, `$ ${command} ${arguments_.join(' ')}\n`);
    const output = openSync(log, 'a');
    this.#child = spawn(command, arguments_, {
      stdio: [input, output, output],
      env: { ...process.env, ...env },
    });
    closeSync(output);
    this.#done = new Promise(resolve => {
      this.#child.on('error', error => resolve((this.exit = error.message)));
      this.#child.on('exit', (code, signal) => resolve((this.exit = code ?? signal)));
    });
  }

  get pid() {
    return this.#child.pid;
  }

  /** Writes a line to its standard input; it must have been started with `input: 'pipe'`. */
  say(line) {
    this.#child.stdin.write(`${line}\n`);
  }

  text() {
    return readFileSync(this.log, 'utf8');
  }

  lastLines(count) {
    return this.text().trimEnd().split('\n').slice(-count).join(' | ');
  }

  signal(name) {
    if (this.exit === undefined) this.#child.kill(name);
  }

  /** Waits for it to end by itself. Its exit code; throws after `seconds`. */
  async ended(seconds = WATCHDOG_S) {
    const late = sleep(seconds * 1000).then(() => 'late');
    const first = await Promise.race([this.#done, late]);
    if (this.exit === undefined) throw new Error(`${this.name} has not ended after ${seconds} s (${first})`);
    return this.exit;
  }

  async stop(signal = 'SIGTERM') {
    if (this.exit !== undefined) return this.exit;
    this.signal(signal);
    const timer = setTimeout(() => this.signal('SIGKILL'), GRACE_MS);
    await this.#done;
    clearTimeout(timer);
    return this.exit;
  }
}
