/**
 * The completions of one queue of a queue pair, as a program polls them: each request once, in posting order, silent ones
 * passed over only if they may be silent, and nothing succeeds behind a failure until the queue pair is moved on.
 */
import { WcStatus, wcStatuses } from '../../abi/index.js';
import { LawBroken, laws } from '../laws.js';
import type { CompletionEvent, Handle } from './format.js';

/** Requests behind the front that are dropped from the list at once, so that neither they nor the copying pile up. */
const COMPACT = 1024;
/** Requests that were thrown away and are remembered. */
const DISCARDED_MAX = 65_536;
/** More requests than a queue can hold: silent ones are taken for done beyond it, others are too many. */
export const OUTSTANDING_MAX = 1 << 17;

interface Request {
  readonly wr: Handle;
  readonly signaled: boolean;
  /** Between which moves of the queue pair it was posted; -1 while one was under way. */
  readonly epoch: number;
}

export class CompletionOrder {
  readonly #queue: 'send' | 'recv';
  readonly #requests: Request[] = [];
  #front = 0;
  /** Index of the oldest request that is signaled, or of the end. */
  #due = 0;
  /** Requests that a reset or destroy threw away: their completions may have been in the queue already. */
  readonly #discarded = new Map<Handle, number>();
  #epoch = 0;
  #moving = false;
  #failedEpoch = -2;

  constructor(queue: 'send' | 'recv') {
    this.#queue = queue;
  }

  /** Requests that were thrown away and may still complete. */
  get leftovers(): number {
    return this.#discarded.size;
  }

  /** Returns false when more is outstanding than any queue holds. */
  posted(wr: Handle, signaled: boolean): boolean {
    if (this.#requests.length - this.#front >= OUTSTANDING_MAX) {
      if (this.#requests[this.#front].signaled) return false;
      // As many sends cannot be in a queue: the oldest has succeeded in silence.
      this.#advance(this.#front + 1);
    }
    this.#requests.push({ wr, signaled, epoch: this.#moving ? -1 : this.#epoch });
    this.#skipSilent();
    return true;
  }

  /** @throws LawBroken */
  completed({ qp, wr, status }: CompletionEvent): void {
    const code = typeof status === 'number' ? status : wcStatuses.values[status];
    const ok = code === WcStatus.SUCCESS;
    // A number may be used again, so the one that is next is meant before any other.
    const next = this.#requests.at(this.#due);
    const at = ok && next?.wr === wr ? this.#due : this.#indexOf(wr);
    // One that was thrown away may have the same number: then nothing is certain.
    const left = this.#discarded.get(wr);
    const wrong = at < 0 || at > this.#due || (ok && at < this.#due);
    if (left !== undefined && wrong) return this.#forget(wr, left);
    if (at < 0)
      throw new LawBroken(
        laws.completesOnce,
        `${this.#name(qp, wr)} completed and is not outstanding: ${this.#oldest()}`,
      );
    const { epoch } = this.#requests[at];
    const due = this.#due;
    this.#advance(at + 1, left !== undefined);
    if (at > due)
      throw new LawBroken(
        laws.completesInOrder,
        `${this.#name(qp, wr)} completed before ${next?.wr}, which was posted earlier`,
      );
    if (ok && at < due)
      throw new LawBroken(
        laws.completesOnce,
        `${this.#name(qp, wr)} succeeded with a completion and was not signaled`,
      );
    if (left !== undefined || epoch < 0) return;
    const behind = epoch === this.#failedEpoch;
    if (!ok) this.#failedEpoch = epoch;
    if (!behind || code === WcStatus.WR_FLUSH_ERR) return;
    throw new LawBroken(
      laws.flushesTheRest,
      `${this.#name(qp, wr)} came with ${status} behind one that failed; expected WR_FLUSH_ERR`,
    );
  }

  /** A modify to a state in which requests succeed again is under way, or over. */
  moves(under: 'way' | 'over'): void {
    this.#moving = under === 'way';
    this.#epoch++;
  }

  /** The queue pair was reset or is gone: nothing more has to come, and what comes was there before. */
  discard(): void {
    for (let at = this.#front; at < this.#requests.length; at++) this.#remember(this.#requests[at].wr);
    this.#requests.length = 0;
    this.#front = 0;
    this.#due = 0;
    this.#epoch++;
  }

  #remember(wr: Handle): void {
    this.#discarded.set(wr, (this.#discarded.get(wr) ?? 0) + 1);
    if (this.#discarded.size <= DISCARDED_MAX) return;
    for (const oldest of this.#discarded.keys()) {
      this.#discarded.delete(oldest);
      return;
    }
  }

  #forget(wr: Handle, left: number): void {
    if (left === 1) this.#discarded.delete(wr);
    else this.#discarded.set(wr, left - 1);
  }

  #indexOf(wr: Handle): number {
    for (let at = this.#front; at < this.#requests.length; at++) if (this.#requests[at].wr === wr) return at;
    return -1;
  }

  /** Requests before `front` are done. `doubtful`: it may have been another one that completed, and those before it are not. */
  #advance(front: number, doubtful = false): void {
    if (doubtful) for (let at = this.#front; at < front - 1; at++) this.#remember(this.#requests[at].wr);
    this.#front = front;
    this.#due = Math.max(this.#due, front);
    if (front >= COMPACT) {
      this.#requests.splice(0, front);
      this.#front = 0;
      this.#due -= front;
    }
    this.#skipSilent();
  }

  #skipSilent(): void {
    while (this.#due < this.#requests.length && !this.#requests[this.#due].signaled) this.#due++;
  }

  #name(qp: Handle, wr: Handle): string {
    return `${this.#queue === 'send' ? 'send' : 'receive'} ${wr} of queue pair ${qp}`;
  }

  #oldest(): string {
    const next = this.#requests.at(this.#front);
    return next === undefined ? 'nothing is' : `the oldest that is is ${next.wr}`;
  }
}
