/**
 * Who may be writing where in one machine's memory: for each byte, how many requests may write it now, and when that number
 * changed last. Neighbours are mostly alike, so the record is one of stretches, and what is asked about a message costs a
 * few looks however long it is.
 */
export class Writers {
  readonly #bytes: number;
  /** First byte of each stretch, ascending from 0, and what holds for all of its bytes. */
  readonly #first: number[] = [0];
  readonly #count: number[] = [0];
  readonly #changed: number[] = [0];

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** `by` more requests may write these bytes from `time` on; bytes outside the memory do not matter. */
  change(at: number, length: number, by: number, time: number): void {
    const from = Math.max(0, at);
    const to = Math.min(this.#bytes, at + length);
    if (from >= to) return;
    const start = this.#cut(from);
    const end = to === this.#bytes ? this.#first.length : this.#cut(to);
    for (let i = start; i < end; i++) {
      this.#count[i] += by;
      this.#changed[i] = time;
    }
  }

  /** Only what was posted at `time` can have written this byte since. */
  one(at: number, time: number): boolean {
    if (!this.#holds(at)) return false;
    const i = this.#stretch(at);
    return this.#count[i] === 1 && this.#changed[i] === time;
  }

  /** Nobody can have written this byte since `time`. */
  none(at: number, time: number): boolean {
    if (!this.#holds(at)) return false;
    const i = this.#stretch(at);
    return this.#count[i] === 0 && this.#changed[i] <= time;
  }

  /** Bytes from `at` on, 1 or more, of which all that is said here holds alike. */
  alike(at: number): number {
    if (at < 0) return -at;
    if (at >= this.#bytes) return Number.POSITIVE_INFINITY;
    const next = this.#stretch(at) + 1;
    return (next === this.#first.length ? this.#bytes : this.#first[next]) - at;
  }

  #holds(at: number): boolean {
    return at >= 0 && at < this.#bytes;
  }

  /** The stretch of a byte of the memory. */
  #stretch(at: number): number {
    const first = this.#first;
    let low = 0;
    let high = first.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (first[middle] <= at) low = middle;
      else high = middle;
    }
    return low;
  }

  /** The stretch that begins at a byte, made where none does. */
  #cut(at: number): number {
    const i = this.#stretch(at);
    if (this.#first[i] === at) return i;
    this.#first.splice(i + 1, 0, at);
    this.#count.splice(i + 1, 0, this.#count[i]);
    this.#changed.splice(i + 1, 0, this.#changed[i]);
    return i + 1;
  }
}
