/** A small pseudo-random source for the generator: fast-check gives the seed, a program follows from it. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) | 0 || 1;
  }

  /** A number in 0 .. count-1; `count` is 1 or more. */
  below(count: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % count;
  }

  /** A number in min .. max. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  /** True once in `oneIn` times. */
  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }

  /** One of the list, which must not be empty. */
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  /** 32 bits. */
  bits(): number {
    return (this.below(0x10000) * 0x10000 + this.below(0x10000)) >>> 0;
  }
}
