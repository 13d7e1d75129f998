/** How verbs are changed. */
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { verbs } from '../seams/driver.js';

export type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

export function driver(name: string, facts: Facts, doc: string, change: Parameters<typeof verbs>[0]): Mutant {
  return mutant('driver', name, { chapter: 'data path', ...facts }, doc, verbs(change));
}
