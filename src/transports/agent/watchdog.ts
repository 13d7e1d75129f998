/**
 * Ends an agent that does not answer. The thread that talks to an agent blocks while it waits, so a second thread watches the
 * clock: it stops the agent's process group when one wait lasts longer than the limit, and the wait ends with the line.
 */
import { Worker } from 'node:worker_threads';

/** Places in the shared array. */
const Place = {
  /** Odd while an answer is awaited; another number for every wait. */
  wait: 0,
  limitMs: 1,
  /** Process group of the agent; 0 while there is none. */
  pid: 2,
  /** 1 once the group was stopped for its silence. */
  stopped: 3,
  /** 1 ends the watchdog. */
  over: 4,
} as const;
const PLACES = 5;

/** Runs in a thread of its own, from its source: it has to work however the kit was loaded. */
const SOURCE = `
const { workerData } = require('node:worker_threads');
const state = new Int32Array(workerData);
let last = 0, silentMs = 0, before = performance.now();
for (;;) {
  const limitMs = Atomics.load(state, ${Place.limitMs});
  const tickMs = Math.max(5, Math.min(100, limitMs / 10));
  if (Atomics.wait(state, ${Place.over}, 0, tickMs) !== 'timed-out') break;
  const now = performance.now();
  // A machine that slept does not count.
  const passedMs = Math.min(now - before, 5 * tickMs);
  before = now;
  const wait = Atomics.load(state, ${Place.wait});
  silentMs = wait % 2 !== 0 && wait === last ? silentMs + passedMs : 0;
  last = wait;
  const pid = Atomics.load(state, ${Place.pid});
  if (silentMs < limitMs || pid === 0) continue;
  Atomics.store(state, ${Place.stopped}, 1);
  silentMs = 0;
  try { process.kill(-pid, 'SIGKILL'); } catch {}
}
`;

export class AgentWatchdog {
  readonly #state = new Int32Array(new SharedArrayBuffer(4 * PLACES));
  #thread: Worker | undefined;

  /** @param limitMs milliseconds that one answer may take */
  constructor(limitMs: number) {
    this.limitMs = limitMs;
  }

  get limitMs(): number {
    return this.#state[Place.limitMs];
  }

  set limitMs(limitMs: number) {
    Atomics.store(this.#state, Place.limitMs, Math.max(1, Math.round(limitMs)));
  }

  /** Watches a process group from here on. */
  watch(pid: number): void {
    if (this.#thread === undefined) {
      this.#thread = new Worker(SOURCE, { eval: true, workerData: this.#state.buffer });
      this.#thread.unref();
    }
    Atomics.store(this.#state, Place.stopped, 0);
    Atomics.store(this.#state, Place.pid, pid);
  }

  /** Watches nobody; call before the group's number may belong to another. */
  unwatch(): void {
    Atomics.store(this.#state, Place.pid, 0);
  }

  /** A wait begins, or ends. */
  waiting(): void {
    Atomics.add(this.#state, Place.wait, 1);
  }

  /** The agent was stopped because it was silent. */
  get stopped(): boolean {
    return Atomics.load(this.#state, Place.stopped) === 1;
  }

  /** Ends the thread. */
  close(): void {
    this.unwatch();
    Atomics.store(this.#state, Place.over, 1);
    Atomics.notify(this.#state, Place.over);
    this.#thread = undefined;
  }
}
