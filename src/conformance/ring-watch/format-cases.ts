/**
 * Directed looks at the rings of each format: a fixed program and a few generated ones run with the format and the features
 * set, every ring of theirs watched. What the campaign finds in passing is found here at once.
 */
import { CaseBroken, CaseUnsupported } from '../cases/case.js';
import type { CaseContext, CaseEffort, ConformanceCase } from '../cases/case.js';
import { writeProgram } from '../generate/program-arbitrary.js';
import type { Program } from '../program.js';
import { ringFormatScenarios } from '../scenarios/ring-formats.js';
import type { Scenario } from '../scenarios/scenario.js';
import { observations } from './observations.js';
import type { ObservationKey } from './observations.js';
import { Tally } from './tally.js';
import { watchProgram } from './watch-program.js';

/** Generated programs besides the fixed one, and the most actions of each. */
const PROGRAMS = 6;
const ACTIONS_MAX = 60;

/** Obligations of packed rings and of use in order that show in what a ring is seen to hold. */
const packedOnly = [
  'VQ-84',
  'VQ-85',
  'VQ-86',
  'VQ-88',
  'VQ-89',
  'VQ-92',
  'VQ-93',
  'VQ-94',
  'VQ-104',
  'VQ-105',
  'VQ-101',
  'VQ-103',
  'VQ-114',
  'VQ-115',
];
const inOrderOnly = ['VQ-108', 'VQ-109', 'VQ-110', 'VQ-112'];

/** What is only counted elsewhere is a SHOULD NOT of packed rings. */
const shouldNot: readonly (readonly [ObservationKey, string])[] = [
  ['kickNeedless', 'VQ-101'],
  ['interruptNeedless', 'VQ-103'],
];

export const ringFormatCases: readonly ConformanceCase[] = ringFormatScenarios.map(scenario => ({
  id: `${scenario.id}-watched`,
  doc: `${scenario.doc} Every ring is watched.`,
  source: 'derived',
  requirements: [
    ...new Set([
      ...scenario.requirements,
      ...(scenario.program.packed === true ? packedOnly : ['VQ-111']),
      ...(scenario.program.inOrder === true ? inOrderOnly : []),
    ]),
  ],
  judges: 'both',
  needs: {},
  long: true,
  how: { kind: 'probe', run: context => lookAt(scenario, context) },
}));

async function lookAt(scenario: Scenario, context: CaseContext): Promise<CaseEffort> {
  const effort = { runs: 0, actions: 0 };
  for (const program of programsOf(scenario, context.seed)) {
    const tally = new Tally();
    const { profile, implementation } = context;
    const { calls, failure } = await watchProgram(program, { profile, implementation, tally });
    effort.runs++;
    effort.actions += calls;
    for (const [key, { message }] of tally.breaches)
      if (observations[key].verdict === 'fail') throw new CaseBroken(observations[key].requirements, message);
    for (const [key, requirement] of shouldNot) {
      const breach = program.packed === true ? tally.breaches.get(key) : undefined;
      if (breach !== undefined) throw new CaseBroken([requirement], breach.message);
    }
    if (failure !== undefined)
      throw new CaseBroken(scenario.requirements, `the program did not come to its end: ${failure.message}`);
    for (const key of needed(program)) {
      if ((tally.looks.get(key) ?? 0) === 0 && calls > 0)
        throw new CaseUnsupported(
          `driver and device do not use such rings: ${observations[key].slug} was never looked at`,
        );
    }
  }
  return effort;
}

function needed({ packed, inOrder }: Program): readonly ObservationKey[] {
  return [
    ...(packed === true ? (['chainShown'] as const) : []),
    ...(inOrder === true ? (['inOrder'] as const) : []),
  ];
}

function programsOf({ program }: Scenario, seed: number): readonly Program[] {
  const { indirect, eventIdx, packed, inOrder } = program;
  const generated = Array.from({ length: PROGRAMS }, (_, i) => {
    const mode = i % 2 === 0 ? 'settled' : 'racing';
    const each = writeProgram((seed * PROGRAMS + i) >>> 0, { mode, actionsMax: ACTIONS_MAX });
    return { ...each, indirect, eventIdx, packed, inOrder };
  });
  return [program, ...generated];
}
