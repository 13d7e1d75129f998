/** The right kind of ring for the features in force: its place in memory, what is wrong with a set-up, and either half. */
import type { GuestMemory } from './guest-memory.js';
import type { IndirectArea } from './indirect-area.js';
import type { RingObserver } from './observer.js';
import { PackedDeviceQueue } from './packed-device-queue.js';
import { PackedDriverQueue } from './packed-driver-queue.js';
import { PACKED_START, layOutPackedRing, packedQueueFault, packedRingBytes } from './packed-layout.js';
import type {
  DeviceQueue,
  DriverQueue,
  QueueAddresses,
  QueueConfig,
  QueuePosition,
  RingFeatures,
} from './queue.js';
import { SplitDeviceQueue } from './split-device-queue.js';
import { SplitDriverQueue } from './split-driver-queue.js';
import { layOutSplitRing, splitQueueFault, splitRingBytes } from './split-layout.js';

/** Bytes that `layOutRing` uses for a queue of `size` entries. */
export function ringBytes(size: number, { packed }: RingFeatures): number {
  return packed === true ? packedRingBytes(size) : splitRingBytes(size);
}

/** Lays the areas of a ring out one after the other from `base`, a multiple of 16. */
export function layOutRing(base: number, size: number, { packed }: RingFeatures): QueueAddresses {
  return packed === true ? layOutPackedRing(base, size) : layOutSplitRing(base, size);
}

/** Where a ring stands that nobody has used yet. */
export function newRingPosition({ packed }: RingFeatures): QueuePosition {
  const start = packed === true ? PACKED_START : 0;
  return { avail: start, used: start };
}

/** Whether nobody has worked on a ring that stands there. */
export function isRingStart({ avail, used }: QueuePosition, features: RingFeatures): boolean {
  const start = newRingPosition(features);
  return avail === start.avail && used === start.used;
}

/** Why a queue cannot be set up like this; undefined when it can. */
export function queueFault(
  memory: GuestMemory,
  config: QueueConfig,
  { packed }: RingFeatures,
): string | undefined {
  return packed === true ? packedQueueFault(memory, config) : splitQueueFault(memory, config);
}

/** Throws RangeError when `queueFault` finds fault. */
export function newDriverQueue(
  memory: GuestMemory,
  config: QueueConfig,
  features: RingFeatures,
  observer?: RingObserver,
  indirectArea?: IndirectArea,
): DriverQueue {
  const Half = features.packed === true ? PackedDriverQueue : SplitDriverQueue;
  return new Half(memory, config, features, observer, indirectArea);
}

/** Throws RangeError when `queueFault` finds fault. */
export function newDeviceQueue(
  memory: GuestMemory,
  config: QueueConfig,
  features: RingFeatures,
  observer?: RingObserver,
): DeviceQueue {
  const Half = features.packed === true ? PackedDeviceQueue : SplitDeviceQueue;
  return new Half(memory, config, features, observer);
}
