/** The device cases and the hostile driver on a device that was written from the specification alone: none fails. */
import { expect, it } from 'vitest';
import { CaseBroken, CaseUnsupported } from '../../src/conformance/cases/case.js';
import { hostileDriverCases } from '../../src/conformance/hostile/driver/index.js';
import type { DeviceFactory } from '../../src/conformance/index.js';
import { deviceCases } from '../../src/conformance/probes/device/index.js';

it('[OVR-10] no case raises a false alarm on a device that offers no ring feature, and the attacks are made on it all the same', async () => {
  const path = new URL('../../examples/minimal-device/minimal-device.js', import.meta.url).href;
  const { createDevice } = (await import(/* @vite-ignore */ path)) as {
    readonly createDevice: DeviceFactory;
  };
  const failed: string[] = [];
  let attacked = 0;
  for (const { id, needs, how } of [...deviceCases, ...hostileDriverCases]) {
    if (needs.profile === 'rdma' || (how.kind !== 'probe' && how.kind !== 'hostile')) continue;
    try {
      await how.run({ profile: 'roce', implementation: { device: createDevice }, seed: 1 });
      if (how.kind === 'hostile') attacked++;
    } catch (error) {
      if (error instanceof CaseUnsupported) continue;
      if (!(error instanceof CaseBroken)) throw error;
      failed.push(id);
    }
  }
  expect(failed).toEqual([]);
  expect(attacked).toBe(hostileDriverCases.length);
});
