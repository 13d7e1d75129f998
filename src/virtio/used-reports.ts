/**
 * What an observer is to be told of chains that came back: it is told when they show to the driver, and not while they are
 * staged. Somebody who watches may act as the driver at once, as a driver on another processor can.
 */
import type { RingObserver } from './observer.js';

export class UsedReports {
  readonly #observer: RingObserver;
  readonly #index: number;
  readonly #heads: Uint16Array;
  readonly #written: Float64Array;
  #count = 0;

  /** `size`: entries of the queue, which no more chains than that can come back of at a time. */
  constructor(observer: RingObserver, index: number, size: number) {
    this.#observer = observer;
    this.#index = index;
    this.#heads = new Uint16Array(size);
    this.#written = new Float64Array(size);
  }

  add(head: number, written: number): void {
    this.#heads[this.#count] = head;
    this.#written[this.#count++] = written;
  }

  tell(): void {
    const count = this.#count;
    this.#count = 0;
    for (let i = 0; i < count; i++) this.#observer.used(this.#index, this.#heads[i], this.#written[i]);
  }
}
