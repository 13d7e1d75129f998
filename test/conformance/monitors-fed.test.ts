/** Each monitor is fed: generated programs take transitions of every machine. */
import { describe, expect, it } from 'vitest';
import { check } from '../../src/conformance/index.js';
import { machines } from '../../src/statemachines/index.js';

describe('the machines are fed', () => {
  it('[OVR-11] fifty programs take transitions of every machine', async () => {
    const report = await check({
      profile: 'roce',
      seed: 11,
      suites: ['settled', 'racing'],
      runs: 50,
      nowMs: () => 0,
      onProgress: () => undefined,
      shouldStop: () => false,
    });
    expect(report.findings).toEqual([]);
    const counts = report.coverage.find(table => table.name === 'machine transitions')?.counts ?? {};
    const fed = new Set(
      Object.entries(counts)
        .filter(([, count]) => count > 0)
        .map(([name]) => name.slice(0, name.indexOf(':'))),
    );
    expect(machines.map(machine => machine.name).filter(name => !fed.has(name))).toEqual([]);
  });
});
