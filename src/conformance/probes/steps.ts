/**
 * What went on in an exchange, as a failure shows it. What only sets the scene is one step when it went well, so that a person
 * reads what the case is about and not how its objects came to be. How long an exchange is, is told in actions of the peer, as
 * the length of a program is told in actions of the program: what the judged does in return is none.
 */
import { CaseBroken } from '../cases/case.js';
import type { ChartEvent } from '../chart-event.js';

/** Steps that a failure shows; of a longer exchange the last ones. */
const STEPS_MAX = 40;

/**
 * Whose step it is: something that the kit's peer does; its notification, which belongs to what it has just done and is an
 * action of its own only where there is nothing such; or what the judged does in return.
 */
export type StepKind = 'action' | 'notification' | 'answer';

export class Steps {
  #shown: ChartEvent[] = [];
  #actions = 0;
  #last: StepKind = 'answer';

  get shown(): readonly ChartEvent[] {
    return this.#shown;
  }

  /** What the peer has done so far; a scene that was set is one action. */
  get actions(): number {
    return this.#actions;
  }

  add(step: ChartEvent, kind: StepKind): void {
    if (this.#shown.length === STEPS_MAX) this.#shown.shift();
    this.#shown.push(step);
    if (kind === 'action' || (kind === 'notification' && this.#last !== 'action')) this.#actions++;
    this.#last = kind;
  }

  /** The exchange so far as that of a broken promise, with the failure as its last step. */
  broken(requirements: readonly string[], failure: ChartEvent): CaseBroken {
    return new CaseBroken(requirements, failure.text, [...this.#shown, failure], this.#actions);
  }

  /** Does `work`, and puts `summary` in place of its steps unless it throws. */
  fold<T>(summary: () => ChartEvent, work: () => T): T {
    const before = this.#mark();
    const result = work();
    this.#foldSince(before, summary());
    return result;
  }

  /** The same for work that is awaited. */
  async foldAsync<T>(summary: () => ChartEvent, work: () => Promise<T>): Promise<T> {
    const before = this.#mark();
    const result = await work();
    this.#foldSince(before, summary());
    return result;
  }

  #mark(): Mark {
    return { shown: [...this.#shown], actions: this.#actions };
  }

  #foldSince({ shown, actions }: Mark, summary: ChartEvent): void {
    this.#shown = shown;
    this.#actions = actions;
    this.add(summary, 'action');
  }
}

interface Mark {
  readonly shown: ChartEvent[];
  readonly actions: number;
}
