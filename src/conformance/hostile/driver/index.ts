/** A hostile driver against a device: attacks as data, at random and again; what is promised whatever they are. */
import fc from 'fast-check';
import { CaseBroken } from '../../cases/case.js';
import type { CaseContext, CaseEffort, ConformanceCase } from '../../cases/case.js';
import { attackArbitrary, attackFamilies } from './arbitrary.js';
import type { AttackFamily } from './arbitrary.js';
import type { Attack } from './attack.js';
import { runAttack } from './run-attack.js';

export { attackArbitrary, attackFamilies } from './arbitrary.js';
export { attackSchema } from './attack.js';
export type { Attack } from './attack.js';
export { AttackGround, attackOf, attackOnce } from './run-attack.js';

/** Attacks that a case tries. */
const ATTACKS = 30;

const docs: Readonly<Record<AttackFamily, string>> = {
  rings: 'Bad indices, heads, loops, lengths and buffers over rings',
  indirect: 'Indirect tables of every wrong kind',
  lists: 'Lists longer than what is free, under names that are out, with marks and ids of their own',
  commands: 'Commands with integers at the edges, cut short or too long',
  requests: 'Sends and receives with garbage, and states out of order',
  registers: 'Status, features and queues written out of order while the device is live',
  notifications: 'Storms of notifications of queues that exist and of others',
  'self-modifying': 'Messages and rings that change at the moment of reading',
  'reset-in-flight': 'Resets of the device and of queues in the middle of work',
  everything: 'Attacks of all kinds together',
};

/** Tries attacks of a family; throws CaseBroken with the smallest one that breaks a promise. */
function tryAttacks(family: AttackFamily, context: CaseContext): CaseEffort {
  let actions = 0;
  const result = fc.check(
    fc.property(attackArbitrary(family), attack => {
      actions += runAttack(attack, context).inputs;
    }),
    { seed: context.seed, numRuns: ATTACKS, endOnFailure: false },
  );
  if (!result.failed) return { runs: result.numRuns, actions };
  const attack: Attack | undefined = result.counterexample?.[0];
  const error: unknown = result.errorInstance;
  if (!(error instanceof CaseBroken)) throw error;
  throw new CaseBroken(
    error.requirements,
    `${error.message}; the attack: ${JSON.stringify(attack)}`,
    error.steps,
    error.actions,
  );
}

/** Cases of a hostile driver, one a family of attacks. */
export const hostileDriverCases: readonly ConformanceCase[] = attackFamilies.map(family => ({
  id: `HOST/driver/${family}`,
  doc: `${docs[family]}: the device comes to rest, writes nowhere else, no neighbour notices, and a reset helps.`,
  source: 'derived',
  requirements: ['HOST-01', 'ISO-14', 'ISO-06', 'ISO-08', 'VQ-57', 'VQ-58', 'FEAT-31', 'RST-36', 'ERR-23'],
  judges: 'device',
  needs: {},
  long: true,
  how: { kind: 'hostile', run: context => Promise.resolve().then(() => tryAttacks(family, context)) },
}));
