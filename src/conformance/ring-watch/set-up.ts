/** What a queue's areas must hold when it is enabled: nothing, but for what the driver has already put into its own. */
import {
  Avail,
  PACKED_START,
  PackedDescriptor,
  PackedEvent,
  availRingBytes,
  advance,
  descriptorTableBytes,
  isAvailable,
  usedEventOffset,
  usedRingBytes,
} from '../../virtio/index.js';
import type { GuestMemory, QueueConfig, RingFeatures } from '../../virtio/index.js';

/**
 * Names a byte that should be zero and is not. The driver may have set its flags or its event word before it enables the
 * queue, and may have put chains into it; then only the used ring is looked at.
 */
export function nonZeroByte(
  memory: GuestMemory,
  config: QueueConfig,
  { packed }: RingFeatures,
): string | undefined {
  return packed === true ? nonZeroPacked(memory, config) : nonZeroSplit(memory, config);
}

/** Of a packed ring the descriptors behind what is available already, and the device's event structure. */
function nonZeroPacked(memory: GuestMemory, config: QueueConfig): string | undefined {
  const event = firstNonZero(memory, config.device, PackedEvent.SIZE);
  if (event >= 0) return `byte ${event} of the device's event structure`;
  const bytes = new Uint8Array(PackedDescriptor.SIZE * config.size);
  memory.read(config.descriptors, bytes, 0, bytes.length);
  let from = 0;
  for (let position = PACKED_START; from < bytes.length; from += PackedDescriptor.SIZE) {
    const at = from + PackedDescriptor.FLAGS;
    if (!isAvailable(bytes[at] | (bytes[at + 1] << 8), position)) break;
    position = advance(position, 1, config.size);
  }
  const byte = bytes.findIndex((value, at) => at >= from && value !== 0);
  return byte < 0 ? undefined : `byte ${byte} of the descriptor ring`;
}

function nonZeroSplit(memory: GuestMemory, config: QueueConfig): string | undefined {
  const used = firstNonZero(memory, config.device, usedRingBytes(config.size));
  if (used >= 0) return `byte ${used} of the used ring`;
  const table = firstNonZero(memory, config.descriptors, descriptorTableBytes(config.size));
  const avail = firstNonZero(memory, config.driver, availRingBytes(config.size), Avail.IDX);
  if (avail === Avail.IDX || avail === Avail.IDX + 1) return undefined;
  if (avail >= 0 && avail < usedEventOffset(config.size)) return `byte ${avail} of the available ring`;
  return table < 0 ? undefined : `byte ${table} of the descriptor table`;
}

let scratch = new Uint8Array(0);

/** Offset of the first byte from `from` on that is not zero; -1 when there is none. */
function firstNonZero(memory: GuestMemory, address: number, length: number, from = 0): number {
  if (scratch.length < length) scratch = new Uint8Array(length);
  memory.read(address, scratch, 0, length);
  for (let at = from; at < length; at++) if (scratch[at] !== 0) return at;
  return -1;
}
