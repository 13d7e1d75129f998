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
