/** How the faults of a start are laid over registers. */
import { DeviceStatus } from '../../../virtio/index.js';
import type { VirtioDevice, VirtioTransport } from '../../../virtio/index.js';
import type { DeviceContext, DriverContext } from '../../implementation.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { registers } from '../seams/device.js';
import { transport } from '../seams/driver.js';

export type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

export const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET, FAILED } = DeviceStatus;

export function device(
  name: string,
  facts: Facts,
  doc: string,
  change: (inner: VirtioDevice, context: DeviceContext) => Partial<VirtioDevice>,
): Mutant {
  return mutant('device', name, { chapter: 'start and features', ...facts }, doc, registers(change));
}

export function driver(
  name: string,
  facts: Facts,
  doc: string,
  change: (inner: VirtioTransport, context: DriverContext) => Partial<VirtioTransport>,
): Mutant {
  return mutant('driver', name, { chapter: 'start and features', ...facts }, doc, transport(change));
}

/** A status register with a memory of its own. */
export function status(
  write: (inner: VirtioDevice, written: number, shown: number) => number | undefined,
): (inner: VirtioDevice) => Partial<VirtioDevice> {
  return inner => ({
    writeStatus(written) {
      const instead = write(inner, written, inner.readStatus());
      if (instead !== undefined) inner.writeStatus(instead);
    },
  });
}
