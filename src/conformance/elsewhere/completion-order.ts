/**
 * The completions of one queue of a queue pair, as a program polls them: each request once, in posting order, silent ones
 * passed over only if they may be silent, and nothing succeeds behind a failure until the queue pair is moved on.
 */
import { LawBroken, laws } from '../laws.js';
import type { CompletionEvent, Handle } from './format.js';

/** Requests behind the front that are dropped from the list at once, so that neither they nor the copying pile up. */
const COMPACT = 1024;
/** Requests that were thrown away and are remembered. */
const DISCARDED_MAX = 65_536;

interface Request {
  readonly wr: Handle;
  readonly signaled: boolean;
  /** Between which moves of the queue pair it was posted; undefined while one was under way. */
  readonly epoch: number | undefined;
}

export class CompletionOrder {
  readonly #qp: Handle;
  readonly #queue: 'send' | 'recv';
  readonly #requests: Request[] = [];
  #front = 0;
  /** Requests that a reset or destroy threw away: their completions may have been in the queue already. */
  readonly #discarded = new Map<Handle, number>();
  #epoch = 0;
  #moving = false;
  #failedEpoch = -1;

  constructor(qp: Handle, queue: 'send' | 'recv') {
    this.#qp = qp;
    this.#queue = queue;
  }

  posted(wr: Handle, signaled: boolean): void {
    this.#requests.push({ wr, signaled, epoch: this.#moving ? undefined : this.#epoch });
  }

  /** @throws LawBroken */
  completed({ wr, status }: CompletionEvent): void {
    if (this.#wasDiscarded(wr)) return;
    const at = this.#indexOf(request => request.wr === wr);
    if (at < 0) {
      throw new LawBroken(
        laws.completesOnce,
        `${this.#name(wr)} completed and is not outstanding: ${this.#oldest()}`,
      );
    }
    const request = this.#requests[at];
    const passedOver = this.#indexOf(each => each.signaled);
    const skipped = passedOver >= 0 && passedOver < at ? this.#requests[passedOver] : undefined;
    this.#advance(at + 1);
    if (skipped !== undefined) {
      throw new LawBroken(
        laws.completesInOrder,
        `${this.#name(wr)} completed before ${this.#name(skipped.wr)}`,
      );
    }
    if (status !== 'SUCCESS') {
      this.#failedEpoch = request.epoch ?? this.#failedEpoch;
      return;
    }
    if (!request.signaled) {
      throw new LawBroken(
        laws.completesOnce,
        `${this.#name(wr)} succeeded with a completion and was not signaled`,
      );
    }
    if (request.epoch === this.#failedEpoch)
      throw new LawBroken(laws.flushesTheRest, `${this.#name(wr)} succeeded behind one that failed`);
  }

  /** A modify to a state in which requests succeed again is under way, or over. */
  moves(under: 'way' | 'over'): void {
    this.#moving = under === 'way';
    this.#epoch++;
  }

  /** The queue pair was reset or is gone: nothing more has to come, and what comes was there before. */
  discard(): void {
    for (let at = this.#front; at < this.#requests.length; at++) {
      const { wr } = this.#requests[at];
      this.#discarded.set(wr, (this.#discarded.get(wr) ?? 0) + 1);
    }
    for (const wr of this.#discarded.keys()) {
      if (this.#discarded.size <= DISCARDED_MAX) break;
      this.#discarded.delete(wr);
    }
    this.#requests.length = 0;
    this.#front = 0;
  }

  #wasDiscarded(wr: Handle): boolean {
    const count = this.#discarded.get(wr);
    if (count === undefined) return false;
    if (count === 1) this.#discarded.delete(wr);
    else this.#discarded.set(wr, count - 1);
    return true;
  }

  #indexOf(wanted: (request: Request) => boolean): number {
    for (let at = this.#front; at < this.#requests.length; at++) if (wanted(this.#requests[at])) return at;
    return -1;
  }

  #advance(front: number): void {
    this.#front = front;
    if (front < COMPACT) return;
    this.#requests.splice(0, front);
    this.#front = 0;
  }

  #name(wr: Handle): string {
    return `${this.#queue === 'send' ? 'send' : 'receive'} ${wr} of queue pair ${this.#qp}`;
  }

  #oldest(): string {
    const next = this.#requests.at(this.#front);
    return next === undefined ? 'nothing is' : `the oldest that is is ${next.wr}`;
  }
}
