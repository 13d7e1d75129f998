/** Numbers that name nothing, and how a machine gets to its limits. */
import { CaseUnsupported } from '../../cases/case.js';
import type { ProbeMachine } from './machine.js';
import type { ObjectKind } from './answers.js';
import { createPd, destroyPd } from './messages.js';
import type { Pair, Side } from './site.js';

/** A number that no object of the kind has. */
export function unknownNumber({ living }: ProbeMachine, kind: ObjectKind): number {
  let number = 0x0fff_fff7;
  while (living[kind].has(number)) number--;
  return number;
}

/** A number that an object of the neighbour has and none of one's own: `make` adds objects to the neighbour until there is one. */
export function numberOfNeighbour({ a, b, bench }: Pair, kind: ObjectKind, make: () => unknown): number {
  for (let tries = 0; tries <= a.machine.living[kind].size + 1; tries++) {
    for (const number of b.machine.living[kind]) if (!a.machine.living[kind].has(number)) return number;
    make();
  }
  return bench.accuse(['CTRL-20'], `two machines with unequal numbers of objects have equal sets of numbers`);
}

/** Makes objects until `limit` of the kind exist. */
export function fill(machine: ProbeMachine, kind: ObjectKind, limit: number, make: () => unknown): void {
  if (limit > 256) throw new CaseUnsupported(`${limit} objects of a kind are too many to make`);
  while (machine.living[kind].size < limit) make();
}

/** A protection domain that is gone. */
export function destroyedPd({ machine }: Side): number {
  const { pdn } = machine.must(createPd);
  machine.must(destroyPd, { pdn });
  return pdn;
}

/** A protection domain of the neighbour. */
export function foreignPd(scene: Pair): number {
  return numberOfNeighbour(scene, 'pd', () => scene.b.machine.must(createPd));
}
