/**
 * The chains that a device half has, in the order in which it took them, for IN_ORDER: only then may it return several as
 * one element, and only a run from the oldest one on.
 */

export class InFlightOrder {
  readonly #heads: Uint16Array;
  readonly #writable: Float64Array;
  #oldest = 0;
  #count = 0;

  constructor(size: number) {
    this.#heads = new Uint16Array(size);
    this.#writable = new Float64Array(size);
  }

  /** There is room: a ring of `size` entries holds no more chains. */
  push(head: number, writableBytes: number): void {
    const place = this.#place(this.#count++);
    this.#heads[place] = head;
    this.#writable[place] = writableBytes;
  }

  /** The chain behind `after` others, counted from the oldest. */
  head(after: number): number {
    return this.#heads[this.#place(after)];
  }
  writableBytes(after: number): number {
    return this.#writable[this.#place(after)];
  }

  /** Chains from the oldest one to this, both counted; 0 when it is not in flight. */
  upTo(head: number): number {
    for (let i = 0; i < this.#count; i++) if (this.head(i) === head) return i + 1;
    return 0;
  }

  /** Forgets the `count` oldest. */
  drop(count: number): void {
    this.#oldest = this.#place(count);
    this.#count -= count;
  }

  #place(after: number): number {
    const place = this.#oldest + after;
    return place >= this.#heads.length ? place - this.#heads.length : place;
  }
}
