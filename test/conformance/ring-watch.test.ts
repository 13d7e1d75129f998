/** The kit sees rings by itself: nothing is wrong with the bundled pair, and each planted fault shows where it should. */
import { describe, expect, it } from 'vitest';
import { writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import type { Implementation } from '../../src/conformance/index.js';
import { runObservations } from '../../src/conformance/ring-watch/index.js';
import { observationKeys, observations } from '../../src/conformance/ring-watch/observations.js';
import type { ObservationKey } from '../../src/conformance/ring-watch/observations.js';
import { Tally } from '../../src/conformance/ring-watch/tally.js';
import { watchProgram } from '../../src/conformance/ring-watch/watch-program.js';
import { bundledDriver } from '../../src/conformance/bundled.js';
import { Descriptor, DescriptorFlag } from '../../src/virtio/index.js';
import { overlay } from './faults/fault.js';
import { plantedFaults } from './ring-watch-planted.js';

/** Programs until an observation is seen broken; 0 when it is not within `most`. */
async function programsUntil(
  key: ObservationKey,
  implementation: Implementation,
  most: number,
): Promise<number> {
  const tally = new Tally();
  for (let i = 0; i < most; i++) {
    const mode = i % 2 === 0 ? 'settled' : 'racing';
    await watchProgram(writeProgram(100 + i, { mode, actionsMax: 60 }), {
      profile: 'roce',
      implementation,
      tally,
    });
    if (tally.breaches.has(key)) return i + 1;
  }
  return 0;
}

describe('watched rings', () => {
  it.each(['roce', 'rdma'] as const)(
    'finds nothing wrong with the bundled pair, profile %s, and looks at everything',
    async profile => {
      const report = await runObservations(
        { profile, seed: 1, implementation: {} },
        { programs: 40, seed: 42 },
      );
      expect(report.cutShort).toBe(0);
      for (const { observation, looks, breaches, first } of report.outcomes) {
        expect([observation.id, observation.slug, breaches, first?.message]).toEqual([
          observation.id,
          observation.slug,
          0,
          undefined,
        ]);
        expect([observation.slug, looks > 0]).toEqual([observation.slug, true]);
      }
    },
  );

  // That a queue has no object is shown by hand, in `ring-watch-double-fetch.test.ts`.
  const planted = observationKeys.filter(key => key !== 'noObject');
  it.each(planted.map(key => [observations[key].id, observations[key].slug, key] as const))(
    '%s %s shows a planted fault',
    async (_id, _slug, key) => {
      const fault = plantedFaults[key];
      expect(fault === undefined ? 0 : await programsUntil(key, fault, 30)).toBeGreaterThan(0);
    },
  );

  it('does not hold against the device what it reads of a chain that the driver has broken', async () => {
    const tally = new Tally();
    for (let i = 0; i < 4; i++) {
      const program = { ...writeProgram(100 + i, { mode: 'settled', actionsMax: 60 }), indirect: true };
      await watchProgram(program, { profile: 'roce', implementation: answersBeforeRequests, tally });
    }
    const accused = [...tally.breaches.keys()].map(each => observations[each].judges);
    expect(accused).toContain('driver');
    expect(accused).not.toContain('device');
  });
});

/** A driver that takes the readable parts of a chain for writable ones, and the other way round. */
const answersBeforeRequests: Implementation = {
  driver: context =>
    bundledDriver({
      ...context,
      memory: overlay(context.memory, {
        window(address, length) {
          const window = context.memory.window(address, length);
          if (window === undefined) return undefined;
          return overlay(window, {
            set16(offset, value) {
              const swaps =
                offset % Descriptor.SIZE === Descriptor.FLAGS &&
                (value & (DescriptorFlag.NEXT | DescriptorFlag.WRITE)) !== 0 &&
                (value & DescriptorFlag.INDIRECT) === 0;
              window.set16(offset, swaps ? value ^ DescriptorFlag.WRITE : value);
            },
          });
        },
      }),
    }),
};
