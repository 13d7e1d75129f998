/** What was seen of each observation: how often it could be looked at, what was counted, and the first breach. */
import type { ObservationKey } from './observations.js';
import { observationKeys } from './observations.js';

export interface Breach {
  readonly key: ObservationKey;
  /** One line: what was seen, and what was expected. */
  readonly message: string;
  /** A readable dump of the ring at that moment, a line each. */
  readonly rings: readonly string[];
}

export class Tally {
  readonly looks = new Map<ObservationKey, number>(observationKeys.map(key => [key, 0]));
  /** Breaches of each. */
  readonly counts = new Map<ObservationKey, number>(observationKeys.map(key => [key, 0]));
  /** The first of each, in the order in which they were seen. */
  readonly breaches = new Map<ObservationKey, Breach>();

  /** Told of each breach as it is seen. */
  onBreach: ((key: ObservationKey, message: string) => void) | undefined;

  looked(key: ObservationKey, times = 1): void {
    this.looks.set(key, (this.looks.get(key) ?? 0) + times);
  }

  breach(key: ObservationKey, message: string, rings: () => readonly string[]): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    if (!this.breaches.has(key)) this.breaches.set(key, { key, message, rings: rings() });
    this.onBreach?.(key, message);
  }
}
