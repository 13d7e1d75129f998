/** What a queue's areas must hold when it is enabled: nothing, but for what the driver has already put into its own. */
import {
  Avail,
  availRingBytes,
  descriptorTableBytes,
  usedEventOffset,
  usedRingBytes,
} from '../../virtio/index.js';
import type { GuestMemory, QueueConfig } from '../../virtio/index.js';

/**
 * Names a byte that should be zero and is not. The driver may have set its flags or its event word before it enables the
 * queue, and may have put chains into it; then only the used ring is looked at.
 */
export function nonZeroByte(memory: GuestMemory, config: QueueConfig): string | undefined {
  const used = copy(memory, config.device, usedRingBytes(config.size)).findIndex(byte => byte !== 0);
  if (used >= 0) return `byte ${used} of the used ring`;
  const avail = copy(memory, config.driver, availRingBytes(config.size));
  if (avail[Avail.IDX] !== 0 || avail[Avail.IDX + 1] !== 0) return undefined;
  const slot = avail
    .subarray(0, usedEventOffset(config.size))
    .findIndex((byte, at) => byte !== 0 && (at > Avail.FLAGS || byte > Avail.NO_INTERRUPT));
  if (slot >= 0) return `byte ${slot} of the available ring`;
  const table = copy(memory, config.descriptors, descriptorTableBytes(config.size));
  const descriptor = table.findIndex(byte => byte !== 0);
  return descriptor < 0 ? undefined : `byte ${descriptor} of the descriptor table`;
}

function copy(memory: GuestMemory, address: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  memory.read(address, bytes, 0, length);
  return bytes;
}
