/**
 * Law: whatever a device does, a driver throws nothing but errors of verbs, comes to rest, hands out no completion of a request
 * that was not posted or twice, and in the end either every verb is EIO or every verb that waits is answered.
 */
import { describe, expect, it } from 'vitest';
import { CaseBroken } from '../../src/conformance/cases/case.js';
import type { CaseContext } from '../../src/conformance/cases/case.js';
import { attackOnce, attackSchema, hostileDeviceCases } from '../../src/conformance/hostile/device/index.js';

const context = (seed: number, profile: 'roce' | 'rdma' = 'rdma'): CaseContext => ({
  profile,
  implementation: {},
  seed,
});

describe.each(['roce', 'rdma'] as const)('the bundled driver under attack, profile %s', profile => {
  for (const each of hostileDeviceCases) {
    it(`${each.id} [${each.requirements.join('] [')}]`, async () => {
      if (each.how.kind !== 'hostile') throw new Error('not a hostile case');
      try {
        expect((await each.how.run(context(1, profile))).actions).toBeGreaterThan(100);
      } catch (error) {
        if (!(error instanceof CaseBroken)) throw error;
        const steps = error.steps.map(({ from, to, text }) => `  ${from} -> ${to}: ${text}`).join('\n');
        throw new Error(`[${error.requirements.join(', ')}] ${error.message}\n${steps}`, { cause: error });
      }
    });
  }
});

it('[HOST-33] [HOST-34] [HOST-35] keeps the law under attacks of every family mixed, each of them plain data', async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const { attack, broken } = await attackOnce(context(seed));
    expect(broken?.message).toBeUndefined();
    expect(attackSchema.parse(JSON.parse(JSON.stringify(attack)))).toEqual(attack);
  }
});
