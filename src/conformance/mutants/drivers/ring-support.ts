/** How a fault is laid over the rings and the line of a driver. */
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { driverRings } from '../seams/driver.js';
import type { RingArea, RingChange } from '../seams/rings.js';

export type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

export function ring(
  name: string,
  area: RingArea,
  facts: Facts,
  doc: string,
  change: (...parts: [Parameters<RingChange>[0], Parameters<RingChange>[2]]) => ReturnType<RingChange>,
): Mutant {
  return mutant(
    'driver',
    name,
    { chapter: 'rings', ...facts },
    doc,
    driverRings((window, found, ring_) => (found === area ? change(window, ring_) : {})),
  );
}
