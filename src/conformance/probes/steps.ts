/**
 * What went on in an exchange, as a failure shows it. What only sets the scene is one step when it went well, so that a person
 * reads what the case is about and not how its objects came to be.
 */
import type { ChartEvent } from '../chart-event.js';

/** Steps that a failure shows; of a longer exchange the last ones. */
const STEPS_MAX = 40;

export class Steps {
  readonly #shown: ChartEvent[] = [];
  /** Steps so far, those that are shown no more among them. */
  #count = 0;

  get shown(): readonly ChartEvent[] {
    return this.#shown;
  }

  add(step: ChartEvent): void {
    if (this.#shown.length === STEPS_MAX) this.#shown.shift();
    this.#shown.push(step);
    this.#count++;
  }

  /** Does `work`, and puts `summary` in place of its steps unless it throws. */
  fold<T>(summary: () => ChartEvent, work: () => T): T {
    const before = this.#count;
    const result = work();
    this.#foldSince(before, summary());
    return result;
  }

  /** The same for work that is awaited. */
  async foldAsync<T>(summary: () => ChartEvent, work: () => Promise<T>): Promise<T> {
    const before = this.#count;
    const result = await work();
    this.#foldSince(before, summary());
    return result;
  }

  #foldSince(before: number, summary: ChartEvent): void {
    this.#shown.splice(Math.max(0, this.#shown.length - (this.#count - before)));
    this.#count = before;
    this.add(summary);
  }
}
