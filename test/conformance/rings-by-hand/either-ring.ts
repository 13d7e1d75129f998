/** One bench for both ring formats: what a driver and a device do in the usual order is the same promise on each. */
import { describe } from 'vitest';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';
import { judged } from './bench.js';
import type { History, RingOptions } from './bench.js';
import { PackedRing } from './packed-ring.js';
import { SplitRing, r } from './split-ring.js';

/** Chains are named by the descriptor at which they begin, so that a name is a head as well as a buffer id. */
export type EitherRing = SplitRing | PackedRing;

export const formats = [
  ['split', (options: RingOptions): EitherRing => new SplitRing(options)],
  ['packed', (options: RingOptions): EitherRing => new PackedRing(options)],
] as const;

/** The table of one observation, on rings of both formats. */
export function onEither(key: ObservationKey, ...histories: readonly History<EitherRing>[]): void {
  describe.each(formats)('a %s ring', (_format, open) => {
    judged(key, open, ...histories);
  });
}

/** Chains of one readable part each that the device has taken. */
export function taken(ring: EitherRing, ...names: readonly number[]): void {
  for (const name of names) ring.post(name, r(8));
  ring.take(names.length);
}
