/** How a fault is laid over one area of the rings. */
import type { MemoryWindow } from '../../../virtio/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { deviceRings } from '../seams/device.js';
import type { Ring } from '../seams/rings.js';

export type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

export type Change = (window: MemoryWindow, ring: Ring) => Partial<MemoryWindow>;

export function area(which: 'descriptors' | 'available' | 'used', defaultChapter: MutantFacts['chapter']) {
  return (name: string, facts: Facts, doc: string, change: Change): Mutant =>
    mutant(
      'ring',
      name,
      { chapter: defaultChapter, ...facts },
      doc,
      deviceRings((window, found, ring) => (found === which ? change(window, ring) : {})),
    );
}

export const available = area('available', 'rings');
