/** Programs of other rooms once more over other rings: nothing above the queues may be different. */
import type { Program } from '../program.js';
import { perftestScenarios } from './perftest.js';
import { queueStateScenarios } from './queue-states.js';
import type { Scenario } from './scenario.js';

const MANY_PAIRS = 'DATA/perftest/send-bw-many-qps';
const ERRORS = 'QP/error/from-every-state';

type Rings = Pick<Program, 'indirect' | 'eventIdx' | 'packed' | 'inOrder'>;

interface Draft {
  readonly id: string;
  readonly doc: string;
  readonly base: string;
  readonly rings: Rings;
  readonly requirements: readonly string[];
}

/** Enough commands and messages for every ring to be gone round more than once. */
const drafts: readonly Draft[] = [
  {
    id: 'VQ/packed/many-queue-pairs',
    doc: 'Many queue pairs send over packed rings with event positions and indirect tables.',
    base: MANY_PAIRS,
    rings: { indirect: true, eventIdx: true, packed: true },
    requirements: [
      'VQ-79',
      'VQ-80',
      'VQ-84',
      'VQ-92',
      'VQ-90',
      'VQ-93',
      'VQ-94',
      'VQ-100',
      'VQ-102',
      'VQ-91',
      'VQ-29',
      'VQ-33',
      'VQ-39',
      'VQ-73',
      'VQ-74',
      'VQ-81',
      'VQ-82',
      'VQ-83',
      'VQ-113',
    ],
  },
  {
    id: 'VQ/packed/chains-in-the-ring',
    doc: 'Chains of several descriptors stand in packed rings and go on from the last slot to the first.',
    base: ERRORS,
    rings: { indirect: false, eventIdx: true, packed: true },
    requirements: ['VQ-84', 'VQ-85', 'VQ-86', 'VQ-87', 'VQ-92', 'VQ-80'],
  },
  {
    id: 'VQ/packed/without-event-idx',
    doc: 'Packed rings without event positions: modes alone rule who is told.',
    base: MANY_PAIRS,
    rings: { indirect: false, eventIdx: false, packed: true },
    requirements: ['VQ-100', 'VQ-102', 'VQ-104', 'VQ-105', 'VQ-88'],
  },
  {
    id: 'VQ/packed/in-order',
    doc: 'Packed rings with use in order and data in notifications; what is dropped comes back as one element.',
    base: ERRORS,
    rings: { indirect: true, eventIdx: true, packed: true, inOrder: true },
    requirements: ['VQ-108', 'VQ-109', 'VQ-110', 'VQ-112', 'VQ-92'],
  },
  {
    id: 'VQ/split/in-order',
    doc: 'Split rings with use in order and data in notifications; what is dropped comes back as one element.',
    base: ERRORS,
    rings: { indirect: false, eventIdx: true, inOrder: true },
    requirements: ['VQ-108', 'VQ-109', 'VQ-110', 'VQ-111', 'VQ-112'],
  },
];

export const ringFormatScenarios: readonly Scenario[] = drafts.map(
  ({ id, doc, base, rings, requirements }) => {
    const found = [...perftestScenarios, ...queueStateScenarios].find(each => each.id === base);
    if (found === undefined) throw new Error(`there is no scenario ${base}`);
    const program: Program = { ...found.program, name: id, doc, ...rings };
    return { id, doc, source: 'derived', requirements, program };
  },
);
