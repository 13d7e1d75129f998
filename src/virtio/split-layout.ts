/** Layout of the split virtqueue: sizes, alignments and offsets of its three areas, and the test of a notification threshold. */
import { areaFault } from './area.js';
import type { GuestMemory } from './guest-memory.js';
import type { QueueAddresses, QueueConfig } from './queue.js';

export const SPLIT_QUEUE_SIZE_MAX = 32768;

/** A descriptor: le64 addr, le32 len, le16 flags, le16 next. */
export const Descriptor = { SIZE: 16, ADDR: 0, LEN: 8, FLAGS: 12, NEXT: 14 } as const;
export const DescriptorFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

/** Available ring: le16 flags, le16 idx, le16 ring[size], le16 used_event. */
export const Avail = { FLAGS: 0, IDX: 2, RING: 4, ENTRY: 2, NO_INTERRUPT: 1 } as const;
/** Used ring: le16 flags, le16 idx, { le32 id, le32 len } ring[size], le16 avail_event. */
export const Used = { FLAGS: 0, IDX: 2, RING: 4, ENTRY: 8, ID: 0, LEN: 4, NO_NOTIFY: 1 } as const;

/** A chain holds at most this many bytes, readable and writable together. */
export const CHAIN_BYTES_MAX = 0x1_0000_0000;

/** Bytes of each area for a queue of `size` entries; the event words count whether or not EVENT_IDX is negotiated. */
export function descriptorTableBytes(size: number): number {
  return Descriptor.SIZE * size;
}
export function availRingBytes(size: number): number {
  return Avail.RING + Avail.ENTRY * size + 2;
}
export function usedRingBytes(size: number): number {
  return Used.RING + Used.ENTRY * size + 2;
}
/** Offset of `used_event` in the available ring. */
export function usedEventOffset(size: number): number {
  return Avail.RING + Avail.ENTRY * size;
}
/** Offset of `avail_event` in the used ring. */
export function availEventOffset(size: number): number {
  return Used.RING + Used.ENTRY * size;
}

/** Bytes that `layOutSplitRing` uses for a queue of `size` entries. */
export function splitRingBytes(size: number): number {
  return usedRingOffset(size) + usedRingBytes(size);
}

/** Lays the three areas out one after the other from `base`, a multiple of 16. */
export function layOutSplitRing(base: number, size: number): QueueAddresses {
  if (!(base % 16 === 0)) throw new RangeError(`ring at ${base}: the base must be a multiple of 16`);
  return {
    descriptors: base,
    driver: base + descriptorTableBytes(size),
    device: base + usedRingOffset(size),
  };
}

function usedRingOffset(size: number): number {
  const end = descriptorTableBytes(size) + availRingBytes(size);
  return end + (-end & 3);
}

export function isSplitQueueSize(size: number): boolean {
  return Number.isInteger(size) && size >= 1 && size <= SPLIT_QUEUE_SIZE_MAX && (size & (size - 1)) === 0;
}

/** Why a split queue cannot be set up like this; undefined when it can. Each area must lie in one region of memory. */
export function splitQueueFault(memory: GuestMemory, config: QueueConfig): string | undefined {
  const { size, start } = config;
  if (!isSplitQueueSize(size)) return `size ${size} is not a power of two in 1..${SPLIT_QUEUE_SIZE_MAX}`;
  if (start !== undefined && !(isIndex(start.avail) && isIndex(start.used)))
    return `start ${start.avail}, ${start.used} is not two indices in 0..65535`;
  return (
    areaFault(memory, 'descriptor table', config.descriptors, descriptorTableBytes(size), 16) ??
    areaFault(memory, 'available ring', config.driver, availRingBytes(size), 2) ??
    areaFault(memory, 'used ring', config.device, usedRingBytes(size), 4)
  );
}

/**
 * Whether the other side is due a notification when an index went from `oldIdx` to `newIdx`: the entry it waits for, `event`,
 * is one of those passed, that is, it lies in the cyclic range [oldIdx, newIdx). All are 16-bit and free-running.
 */
export function needsEvent(event: number, newIdx: number, oldIdx: number): boolean {
  return ((newIdx - event - 1) & 0xffff) < ((newIdx - oldIdx) & 0xffff);
}

function isIndex(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff;
}
