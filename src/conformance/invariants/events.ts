/** Law: a completion queue raises no more events than the program has armed it. */
import { LawBroken, laws } from '../laws.js';
import { RunObserver } from '../observer.js';
import type { Action } from '../program.js';
import type { CqRecord } from '../records.js';

export class EventsAreArmed extends RunObserver {
  /** Armings called for, by machine and name; a queue raises its event before or after the answer. */
  readonly #armings = new Map<string, number>();
  readonly #events = new Map<CqRecord, number>();

  override actionStarted(_index: number, action: Action): void {
    if (action.op !== 'reqNotifyCq' && action.op !== 'waitCq') return;
    const key = `${action.vm}.${action.cq}`;
    this.#armings.set(key, (this.#armings.get(key) ?? 0) + 1);
  }

  override event(cq: CqRecord): void {
    const events = (this.#events.get(cq) ?? 0) + 1;
    this.#events.set(cq, events);
    const armings = this.#armings.get(`${cq.vm}.${cq.name}`) ?? 0;
    if (events <= armings) return;
    throw new LawBroken(
      laws.eventsAreArmed,
      `${cq.name} of machine ${cq.vm} raised ${events} event(s) and was armed ${armings} time(s)`,
    );
  }
}
