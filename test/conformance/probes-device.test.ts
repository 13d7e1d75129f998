/** The device cases: each passes on the bundled device in both profiles. */
import { describe, expect, it } from 'vitest';
import { profiles } from '../../src/abi/index.js';
import type { ProfileName } from '../../src/abi/index.js';
import { deviceCases } from '../../src/conformance/probes/device/index.js';

const names: readonly ProfileName[] = ['roce', 'rdma'];

describe.each(names)('the bundled device in the profile %s', profile => {
  it.each(deviceCases.map(each => [each.id, each] as const))('keeps %s', async (_, { how }) => {
    expect(profiles[profile].name).toBe(profile);
    if (how.kind !== 'probe' && how.kind !== 'hostile') throw new Error(`cannot be run: ${how.kind}`);
    const effort = await how.run({ profile, implementation: {}, seed: 1 });
    expect(effort.runs).toBeGreaterThan(0);
  });
});
