/**
 * Law: whatever a driver does to its own rings, memory and registers, its device does not throw, comes to rest after bounded
 * work, writes nowhere that it may not, and works again after a reset; two neighbours see exactly what they see without it.
 */
import { describe, expect, it } from 'vitest';
import type { ProfileName } from '../../src/abi/index.js';
import {
  attackOf,
  attackOnce,
  attackSchema,
  hostileDriverCases,
} from '../../src/conformance/hostile/driver/index.js';
import { AttackGround } from '../../src/conformance/hostile/driver/index.js';
import type { Attack } from '../../src/conformance/hostile/driver/index.js';
import { overlay } from '../../src/conformance/mutants/seams/overlay.js';
import { RdmaDevice } from '../../src/device/index.js';

/** Index of the control queue in the profile `rdma`. */
const CONTROL = 0;

const names: readonly ProfileName[] = ['roce', 'rdma'];

describe.each(names)('a hostile driver in the profile %s', profile => {
  it.each(hostileDriverCases.map(each => [each.id, each] as const))(
    '[HOST-01] [ISO-14] [ISO-06] [VQ-57] [VQ-58] harms nobody: %s',
    async (_, { how }) => {
      if (how.kind !== 'hostile') throw new Error(`cannot be run: ${how.kind}`);
      const effort = await how.run({ profile, implementation: {}, seed: 5 });
      expect(effort.actions).toBeGreaterThan(100);
    },
  );
});

/** Why a device asked for a reset under an attack on the control queue of packed rings; undefined when it did not. */
function brokenBy(...acts: Attack['acts']): string | undefined {
  let reason: string | undefined;
  const ground = new AttackGround({
    profile: 'rdma',
    seed: 1,
    implementation: {
      device: context => {
        const inner = new RdmaDevice(context);
        return overlay(inner, {
          writeStatus: value => {
            reason ??= inner.needsResetReason;
            inner.writeStatus(value);
          },
        });
      },
    },
  });
  ground.attack({ indirect: true, eventIdx: false, packed: true, acts });
  return reason;
}

describe('an attack on packed rings', () => {
  const part = { place: 'readable', length: 0, writable: false } as const;
  const publication = { jump: 1 };
  const chain = { act: 'chain', queue: CONTROL, publication } as const;
  const receive = { act: 'receive' as const, qp: 0, memory: 7, mutations: [], short: 0 };

  it.each<[string, RegExp | undefined, Attack['acts']]>([
    ['a list of as many descriptors as there are', undefined, [{ ...chain, parts: [part], times: 32 }]],
    ['a list of one more', /longer than the 32 descriptors/, [{ ...chain, parts: [part], times: 33 }]],
    [
      'marks of the other lap within a list',
      /descriptor 2 of it is not available/,
      [{ ...chain, parts: [part, { ...part, turned: 0x8080 }] }],
    ],
    [
      'marks of no lap on the first descriptor',
      undefined,
      [{ ...chain, parts: [{ ...part, turned: 0x80 }] }],
    ],
    [
      'ids in descriptors that are not the last',
      undefined,
      [{ ...chain, parts: [{ ...part, next: 9 }, part] }],
    ],
    [
      'an id that is out already',
      /id 16384 was made available while its chain is in flight/,
      [
        { ...receive, publication },
        { ...receive, publication: { jump: 1, again: 1 } },
      ],
    ],
    [
      'marks within an indirect table',
      undefined,
      [{ ...chain, parts: [{ ...part, turned: 0x8080 }], table: { length: 16, flags: 4 } }],
    ],
    [
      'a table of more entries than there are descriptors',
      /an indirect table of 33 entries/,
      [{ ...chain, parts: [part], times: 33, table: { length: 16 * 33, flags: 4 } }],
    ],
  ])('reaches %s', (_what, reason, acts) => {
    const seen = brokenBy(...acts);
    if (reason === undefined) expect(seen).toBeUndefined();
    else expect(seen).toMatch(reason);
  });
});

describe('attacks', () => {
  it('are plain data: what is saved and read again does the same', async () => {
    const context = { profile: 'rdma', implementation: {}, seed: 1 } as const;
    const ground = new AttackGround(context);
    for (let seed = 0; seed < 30; seed++) {
      const attack = attackOf(seed);
      const again = attackSchema.parse(JSON.parse(JSON.stringify(attack)));
      expect(again).toEqual(attack);
      await attackOnce(again, context, ground);
    }
  });
});
