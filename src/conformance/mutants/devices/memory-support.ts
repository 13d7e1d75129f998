/** How regions are registered as something else. */
import { AccessFlag } from '../../../abi/index.js';
import type { HcaMrInit } from '../../../reference/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { useOfAdapter } from '../seams/device.js';

export const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;

export const PAGE_BYTES = 4096;

export type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

/** Regions are registered as something else. `make` is called for each device. */
export function regions(
  name: string,
  facts: Facts,
  doc: string,
  make: () => (init: HcaMrInit) => Partial<HcaMrInit>,
): Mutant {
  return mutant(
    'device',
    name,
    { chapter: 'keys and bounds', ...facts },
    doc,
    useOfAdapter(hca => {
      const change = make();
      return { registerMr: (pd, init) => hca.registerMr(pd, { ...init, ...change(init) }) };
    }),
  );
}
