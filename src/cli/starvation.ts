/**
 * How long this process had to wait for a processor: a thread that could not run is not one that hangs. Linux says it of each
 * thread; elsewhere nothing is known, and time is what the clock says.
 */
import { readFileSync, readdirSync } from 'node:fs';

const TASKS = '/proc/self/task';
/** Of a time that passed, at least this share counts, or a hang on a machine that is always starved would never be seen. */
const SHARE_MIN = 0.1;

export class Starvation {
  /** Milliseconds that each thread has waited, by its number. */
  #waited = waits();

  /** Of `passedMs` since the last call, those in which no thread of this process wanted to run and could not. */
  turnOf(passedMs: number): number {
    const before = this.#waited;
    this.#waited = waits();
    let longest = 0;
    for (const [thread, ms] of this.#waited) longest = Math.max(longest, ms - (before.get(thread) ?? ms));
    return Math.max(passedMs - longest, passedMs * SHARE_MIN);
  }
}

function waits(): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  try {
    for (const thread of readdirSync(TASKS)) {
      const [, waitedNs] = readFileSync(`${TASKS}/${thread}/schedstat`, 'utf8').split(' ');
      found.set(thread, Number(waitedNs) / 1e6);
    }
  } catch {
    // There is no such thing here, or a thread ended meanwhile: what was read counts.
  }
  return found;
}
