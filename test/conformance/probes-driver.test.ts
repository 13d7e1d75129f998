/** The driver cases on the bundled driver, in both profiles: each is an `it`, and none may fail. */
import { describe, expect, it } from 'vitest';
import { CaseBroken } from '../../src/conformance/cases/case.js';
import { driverCases } from '../../src/conformance/probes/driver/index.js';

describe.each(['roce', 'rdma'] as const)('the bundled driver, profile %s', profile => {
  for (const each of driverCases) {
    if (each.needs.profile !== undefined && each.needs.profile !== profile) continue;
    it(`${each.id} [${each.requirements.join('] [')}]`, async () => {
      if (each.how.kind !== 'probe' && each.how.kind !== 'hostile') return;
      try {
        const effort = await each.how.run({ profile, implementation: {}, seed: 1 });
        expect(effort.runs).toBeGreaterThan(0);
      } catch (error) {
        if (!(error instanceof CaseBroken)) throw error;
        const steps = error.steps.map(({ from, to, text }) => `  ${from} -> ${to}: ${text}`).join('\n');
        throw new Error(`[${error.requirements.join(', ')}] ${error.message}\n${steps}`, { cause: error });
      }
    });
  }
});
