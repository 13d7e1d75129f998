/** A device that means harm, opposite a driver: attacks drawn from a seed, judged, shrunk, saved and replayed. */
import fc from 'fast-check';
import { CaseBroken } from '../../cases/case.js';
import type { CaseContext, CaseEffort, CaseRun, ConformanceCase } from '../../cases/case.js';
import { attackArbitrary, attackFamilies } from './attack-arbitrary.js';
import type { AttackFamily } from './attack-arbitrary.js';
import type { Attack } from './attack.js';
import { runAttack } from './run-attack.js';

export { attackArbitrary, attackFamilies } from './attack-arbitrary.js';
export type { AttackFamily } from './attack-arbitrary.js';
export { attackSchema } from './attack.js';
export type { Attack } from './attack.js';
export { runAttack } from './run-attack.js';

/** Attacks of one case. */
const ATTACKS = 40;

const requirementsOf: Readonly<Record<AttackFamily, readonly string[]>> = {
  answers: ['HOST-35', 'HOST-29', 'ERR-25', 'ERR-26'],
  'used-elements': ['VQ-42', 'VQ-44', 'VQ-96', 'HOST-35', 'HOST-33'],
  completions: ['HOST-23', 'HOST-29', 'HOST-35', 'CQ-05'],
  memory: ['HOST-35', 'HOST-33', 'HOST-32'],
  registers: ['ERR-25', 'ERR-26', 'HOST-34'],
  notifications: ['HOST-33', 'HOST-34', 'VQ-60', 'CQ-46'],
  restarts: ['HOST-31', 'FEAT-21'],
  everything: ['HOST-33', 'HOST-34', 'HOST-35'],
};

/** What came of one attack. */
export interface AttackOutcome {
  readonly attack: Attack;
  readonly hostileActs: number;
  /** What the driver broke; undefined when it kept its promises. */
  readonly broken: CaseBroken | undefined;
}

/** Draws one attack from the seed of the context and runs it: the step of a loop that goes on for hours. */
export async function attackOnce(
  context: CaseContext,
  family: AttackFamily = 'everything',
): Promise<AttackOutcome> {
  const [attack] = fc.sample(attackArbitrary(family, 48), { seed: context.seed | 0, numRuns: 1 });
  try {
    const { actions } = await runAttack(attack, context);
    return { attack, hostileActs: actions, broken: undefined };
  } catch (error) {
    return { attack, hostileActs: 0, broken: brokenOf(error) };
  }
}

function familyCase(family: AttackFamily): ConformanceCase {
  return {
    id: `HOST/device/${family}`,
    doc: `A device attacks with ${attackFamilies[family]}: the driver throws nothing but errors of verbs, comes to rest, hands out nothing that was not posted, and gives up or goes on.`,
    source: 'derived',
    requirements: requirementsOf[family],
    judges: 'driver',
    needs: {},
    long: true,
    how: { kind: 'hostile', run: runFamily(family) },
  };
}

function runFamily(family: AttackFamily): CaseRun {
  return async context => {
    const effort = { runs: 0, actions: 0 };
    const property = fc.asyncProperty(attackArbitrary(family), async attack => {
      const { runs, actions } = await runAttack(attack, context);
      effort.runs += runs;
      effort.actions += actions;
    });
    const result = await fc.check(property, {
      seed: context.seed | 0,
      numRuns: ATTACKS,
      endOnFailure: false,
    });
    if (!result.failed) return effort satisfies CaseEffort;
    const error = brokenOf(result.errorInstance);
    const attack = JSON.stringify(result.counterexample?.[0]);
    throw new CaseBroken(
      error.requirements,
      `${error.message}; attack ${attack}`,
      error.steps,
      error.actions,
    );
  };
}

/** What is not a broken promise is a crash of the implementation, and goes up as it is. */
function brokenOf(error: unknown): CaseBroken {
  if (error instanceof CaseBroken) return error;
  throw error;
}

/** One case for each family of attacks. */
export const hostileDeviceCases: readonly ConformanceCase[] = [
  familyCase('answers'),
  familyCase('used-elements'),
  familyCase('completions'),
  familyCase('memory'),
  familyCase('registers'),
  familyCase('notifications'),
  familyCase('restarts'),
  familyCase('everything'),
];
