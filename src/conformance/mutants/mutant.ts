/** What a mutant is: a sound driver, device, ring, adapter or network with one deliberate fault, laid over it by a seam. */
import type { Implementation } from '../implementation.js';

/** The part that is wrong; the first half of a mutant's id. */
export type MutantPlace = 'driver' | 'transport' | 'device' | 'ring' | 'adapter' | 'network';

/** What the fault is about, in the order of the table. */
export const mutantChapters = [
  'start and features',
  'configuration',
  'control',
  'queue pair states and masks',
  'data path',
  'completions',
  'flush order',
  'keys and bounds',
  'isolation',
  'rings',
  'notification races',
  'lengths',
  'reserved fields',
  'leaks',
  'stale state',
  'wraps',
  'ordering',
  'limits',
  'errors and statuses',
  'broken peers',
  'time and cost',
] as const;
export type MutantChapter = (typeof mutantChapters)[number];

/** `race`: shows only when two things meet; `history`: only after many of them. */
export type MutantNeeds = 'race' | 'history';

export interface Mutant {
  /** `device/access-flags-ignored`: the part, and the fault in a few words; stable. */
  readonly id: string;
  readonly where: MutantPlace;
  readonly chapter: MutantChapter;
  /** What is wrong, in a sentence. */
  readonly doc: string;
  /** The obligations that it breaks; never empty. */
  readonly requirements: readonly string[];
  readonly needs?: MutantNeeds | undefined;
  readonly implementation: Implementation;
}

/** Everything of a mutant but its id and its implementation. */
export interface MutantFacts {
  readonly chapter: MutantChapter;
  /** Ids of requirements, separated by blanks. */
  readonly breaks: string;
  readonly needs?: MutantNeeds;
}

export function mutant(
  where: MutantPlace,
  name: string,
  { chapter, breaks, needs }: MutantFacts,
  doc: string,
  implementation: Implementation,
): Mutant {
  return {
    id: `${where}/${name}`,
    where,
    chapter,
    doc,
    requirements: breaks.split(' '),
    needs,
    implementation,
  };
}
