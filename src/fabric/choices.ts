/**
 * The one source of nondeterminism. Whoever may act in more than one way asks it; a run is a pure function of
 * (configuration, program, choices), so a failing run is replayed and shrunk through its choices.
 */
export interface Choices {
  /** A number in 0 .. count-1. `count` is 1 or more. */
  pick(count: number): number;
}

/** Always the first option: parties take turns in the order in which they became ready. */
export const firstChoice: Choices = { pick: () => 0 };

/** Pseudo-random choices from a 32-bit seed (xorshift32). */
export class SeededChoices implements Choices {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) | 0 || 1;
  }

  pick(count: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % count;
  }
}

/** Follows a recorded list, then always takes the first option; what was picked can be read back. */
export class RecordedChoices implements Choices {
  readonly #list: readonly number[];
  #next = 0;

  constructor(list: readonly number[]) {
    this.#list = list;
  }

  pick(count: number): number {
    const wanted = this.#next < this.#list.length ? this.#list[this.#next] : 0;
    this.#next++;
    return wanted % count;
  }
}

/** Keeps a copy of every choice another source makes. */
export class RecordingChoices implements Choices {
  readonly picks: number[] = [];
  readonly #inner: Choices;

  constructor(inner: Choices) {
    this.#inner = inner;
  }

  pick(count: number): number {
    const picked = this.#inner.pick(count);
    this.picks.push(picked);
    return picked;
  }
}
