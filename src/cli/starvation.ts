/**
 * How long this process had to wait for a processor: a thread that could not run is not one that hangs. Linux says it of each
 * thread; elsewhere nothing is known, and time is what the clock says.
 */
import { readFileSync, readdirSync } from 'node:fs';

const TASKS = '/proc/self/task';
/** Of a time that passed, at least this share counts, or a hang on a machine that is always starved would never be seen. */
const SHARE_MIN = 0.1;

/** Milliseconds that each thread of this process has waited for a processor since it began, by the thread's number. */
export type Waits = () => ReadonlyMap<string, number>;

export class Starvation {
  readonly #waits: Waits;
  #waited: ReadonlyMap<string, number>;

  constructor(waits: Waits = linuxWaits) {
    this.#waits = waits;
    this.#waited = waits();
  }

  /** Of `passedMs` since the last call, those in which no thread of this process wanted to run and could not. */
  turnOf(passedMs: number): number {
    const before = this.#waited;
    this.#waited = this.#waits();
    let longest = 0;
    for (const [thread, ms] of this.#waited) longest = Math.max(longest, ms - (before.get(thread) ?? ms));
    return Math.max(passedMs - longest, passedMs * SHARE_MIN);
  }
}

function linuxWaits(): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  try {
    for (const thread of readdirSync(TASKS)) {
      const waitedMs = Number(readFileSync(`${TASKS}/${thread}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
      if (Number.isFinite(waitedMs)) found.set(thread, waitedMs);
    }
  } catch {
    // There is no such thing here, or a thread ended meanwhile: what was read counts.
  }
  return found;
}
