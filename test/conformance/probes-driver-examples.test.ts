/** The driver cases on drivers that were written from the specification alone: what fails there is a fault of theirs, and is known. */
import { expect, it } from 'vitest';
import { CaseBroken, CaseUnsupported } from '../../src/conformance/cases/case.js';
import type { DriverFactory } from '../../src/conformance/index.js';
import { hostileDeviceCases } from '../../src/conformance/hostile/device/index.js';
import { driverCases } from '../../src/conformance/probes/driver/index.js';

/** Cases that fail on an example, and why. */
const known: Readonly<Record<string, readonly string[]>> = {
  'tiny-driver': [],
  // It cuts commands and requests into many descriptors on purpose, which it SHOULD NOT.
  'minimal-driver': ['PERF/descriptors/commands', 'PERF/descriptors/requests'],
};

async function driverOf(name: string): Promise<DriverFactory> {
  const path = new URL(`../../examples/${name}/${name}.js`, import.meta.url).href;
  const module = (await import(/* @vite-ignore */ path)) as { readonly createDriver: DriverFactory };
  return module.createDriver;
}

it.each(Object.entries(known))('[OVR-11] no case raises a false alarm on %s', async (name, expected) => {
  const driver = await driverOf(name);
  const failed: string[] = [];
  for (const { id, needs, how } of [...driverCases, ...hostileDeviceCases]) {
    if (needs.profile === 'roce' || (how.kind !== 'probe' && how.kind !== 'hostile')) continue;
    try {
      await how.run({ profile: 'rdma', implementation: { driver }, seed: 1 });
    } catch (error) {
      if (error instanceof CaseUnsupported) continue;
      if (!(error instanceof CaseBroken)) throw error;
      failed.push(id);
    }
  }
  expect(failed.toSorted()).toEqual(expected.toSorted());
});
