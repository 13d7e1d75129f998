/**
 * The central theorem: a settled verbs program run through driver, virtqueues and device is observed exactly as on the HCA
 * alone; and a racing one breaks no law whoever steps next.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { programArbitrary } from '../../src/conformance/generate/program-arbitrary.js';
import { judge } from '../../src/conformance/judge.js';
import { smallLimits } from '../../src/conformance/limits.js';
import { emptyProgram } from '../../src/conformance/suites/leaks.js';
import { settle } from '../../src/conformance/suites/pump.js';
import { paravirtualWorld } from '../../src/conformance/world.js';

const RUNS = 100;

describe.each(['roce', 'rdma'] as const)('profile %s', profile => {
  it.each(['settled', 'racing'] as const)(
    '[OVR-10, OVR-11] para-virtualisation is invisible: %s programs',
    async mode => {
      await fc.assert(
        fc.asyncProperty(programArbitrary({ mode, actionsMax: 120 }), async program => {
          const { broken } = await judge(program, { profile });
          expect(broken).toBeUndefined();
        }),
        { numRuns: RUNS, seed: 20260 },
      );
    },
  );

  it('[CONF-13] the driver knows the active MTU of the port', async () => {
    const world = await paravirtualWorld(emptyProgram, { profile });
    const port = await settle(world, world.machines[0].verbs.queryPort());
    expect(port.activeMtu).toBe(smallLimits.port.activeMtu);
  });
});
