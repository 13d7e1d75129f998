/**
 * Layout of the packed virtqueue: one ring of descriptors that both sides write, two event structures, and the arithmetic of
 * positions. A position is a slot with the wrap counter that holds there, as a 16-bit word: bits 0 to 14 the slot, bit 15 the
 * counter. That is the form in event structures, in notification data and in the ring bases of vhost-user.
 */
import { areaFault } from './area.js';
import type { GuestMemory } from './guest-memory.js';
import type { QueueAddresses, QueueConfig } from './queue.js';

export const PACKED_QUEUE_SIZE_MAX = 32768;

/** A descriptor: le64 addr, le32 len, le16 id, le16 flags. */
export const PackedDescriptor = { SIZE: 16, ADDR: 0, LEN: 8, ID: 12, FLAGS: 14 } as const;
export const PackedFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4, AVAIL: 1 << 7, USED: 1 << 15 } as const;

/** An event structure: le16 position, le16 mode. */
export const PackedEvent = { SIZE: 4, POSITION: 0, MODE: 2 } as const;
/** Modes of an event structure, in bits 0 and 1; 3 is reserved, DESC needs EVENT_IDX. */
export const EventMode = { ENABLE: 0, DISABLE: 1, DESC: 2, MASK: 3 } as const;

/** Where both sides of a packed ring start: slot 0, wrap counter 1. */
export const PACKED_START = 0x8000;

const SLOT = 0x7fff;
const WRAP = 0x8000;
const MARK = PackedFlag.AVAIL | PackedFlag.USED;

export function slotOf(position: number): number {
  return position & SLOT;
}

/** The position `count` descriptors on, at most `size` of them. Going by the last slot changes the wrap counter. */
export function advance(position: number, count: number, size: number): number {
  const slot = (position & SLOT) + count;
  const wrap = position & WRAP;
  return slot >= size ? (slot - size) | (wrap ^ WRAP) : slot | wrap;
}

/** AVAIL and USED of a descriptor that is made available at a position: AVAIL as the counter, USED its inverse. */
export function availableMark(position: number): number {
  return (position & WRAP) !== 0 ? PackedFlag.AVAIL : PackedFlag.USED;
}
/** AVAIL and USED of a descriptor that is used at a position: both as the counter. */
export function usedMark(position: number): number {
  return (position & WRAP) !== 0 ? MARK : 0;
}
export function isAvailable(flags: number, position: number): boolean {
  return (flags & MARK) === availableMark(position);
}
export function isUsed(flags: number, position: number): boolean {
  return (flags & MARK) === usedMark(position);
}

export function isPosition(position: number, size: number): boolean {
  return Number.isInteger(position) && position >= 0 && position <= 0xffff && slotOf(position) < size;
}

/**
 * Whether the other side is due a notification when a side went `moved` descriptors ahead and now stands at `now`: the
 * descriptor it waits for, `event`, is one of those passed. An event outside the ring counts as passed, since a wake-up too
 * many does no harm.
 */
export function positionPassed(event: number, now: number, moved: number, size: number): boolean {
  if (slotOf(event) >= size) return moved > 0;
  const lap = 2 * size;
  const behind = (lapPlace(now, size) - 1 - lapPlace(event, size) + lap) % lap;
  return behind < moved;
}

/** Place in a round of two laps, after which slot and counter are the same again. */
function lapPlace(position: number, size: number): number {
  return (position & WRAP) !== 0 ? position & SLOT : (position & SLOT) + size;
}

export function packedRingBytes(size: number): number {
  return PackedDescriptor.SIZE * size + 2 * PackedEvent.SIZE;
}

/** Lays ring, driver's and device's event structure out one after the other from `base`, a multiple of 16. */
export function layOutPackedRing(base: number, size: number): QueueAddresses {
  if (!(base % 16 === 0)) throw new RangeError(`ring at ${base}: the base must be a multiple of 16`);
  const driver = base + PackedDescriptor.SIZE * size;
  return { descriptors: base, driver, device: driver + PackedEvent.SIZE };
}

export function isPackedQueueSize(size: number): boolean {
  return Number.isInteger(size) && size >= 1 && size <= PACKED_QUEUE_SIZE_MAX;
}

/** Why a packed queue cannot be set up like this; undefined when it can. Each area must lie in one region of memory. */
export function packedQueueFault(memory: GuestMemory, config: QueueConfig): string | undefined {
  const { size, start } = config;
  if (!isPackedQueueSize(size)) return `size ${size} is not in 1..${PACKED_QUEUE_SIZE_MAX}`;
  if (start !== undefined && !(isPosition(start.avail, size) && isPosition(start.used, size)))
    return `start ${start.avail}, ${start.used} is not two positions of a ring of ${size}`;
  return (
    areaFault(memory, 'descriptor ring', config.descriptors, PackedDescriptor.SIZE * size, 16) ??
    areaFault(memory, 'driver event structure', config.driver, PackedEvent.SIZE, 4) ??
    areaFault(memory, 'device event structure', config.device, PackedEvent.SIZE, 4)
  );
}
