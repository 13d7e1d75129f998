/** Which ring a window of guest memory shows, so that a fault can be laid over one area of one kind of queue. */
import type { QueueMap } from '../../../abi/index.js';
import {
  EventMode,
  PackedDescriptor,
  PackedEvent,
  Avail,
  Used,
  usedRingBytes,
} from '../../../virtio/index.js';
import type { MemoryWindow, QueueAddresses, RingFeatures } from '../../../virtio/index.js';

export type RingKind = 'control' | 'cq' | 'send' | 'recv' | 'other';
/** Of a packed ring `available` is the driver's event structure and `used` the device's. */
export type RingArea = 'descriptors' | 'available' | 'used';

/** A fault is laid over the rings of one format; those of the other are sound. */
export type RingFormat = 'split' | 'packed';

export interface Ring {
  readonly queue: number;
  readonly features: RingFeatures;
  readonly size: number;
  readonly kind: RingKind;
  readonly addresses: QueueAddresses;
}

/** Replaces accesses of one party to one area of one ring. Called once for each area. */
export type RingChange = (window: MemoryWindow, area: RingArea, ring: Ring) => Partial<MemoryWindow>;

/** A change of the descriptors alone. */
export function inDescriptors(
  change: (window: MemoryWindow, ring: Ring) => Partial<MemoryWindow>,
): RingChange {
  return (window, area, ring) => (area === 'descriptors' ? change(window, ring) : {});
}

export function ringKind(map: QueueMap, maxCqs: number, queue: number): RingKind {
  if (queue === map.control) return 'control';
  if (queue < map.control) return 'other';
  if (queue < map.cq(maxCqs)) return 'cq';
  return (queue - map.sq(0)) % 2 === 0 ? 'send' : 'recv';
}

/** The areas of enabled queues by their addresses. */
export class RingAreas {
  readonly #areas = new Map<number, { area: RingArea; ring: Ring }>();
  readonly #format: RingFormat;

  constructor(format: RingFormat) {
    this.#format = format;
  }

  add(ring: Ring): void {
    const { descriptors, driver, device } = ring.addresses;
    this.#areas.set(descriptors, { area: 'descriptors', ring });
    this.#areas.set(driver, { area: 'available', ring });
    this.#areas.set(device, { area: 'used', ring });
  }

  /** What the change says of a window; undefined while nothing is known of its place. */
  changes(window: MemoryWindow, change: RingChange): Partial<MemoryWindow> | undefined {
    const found = this.#areas.get(window.address);
    if (found === undefined) return undefined;
    const format = found.ring.features.packed === true ? 'packed' : 'split';
    return format === this.#format ? change(window, found.area, found.ring) : {};
  }
}

/** True for the offset of a field of a used element: `Used.ID` or `Used.LEN`. */
export function isElement(offset: number, field: number, size: number): boolean {
  return (
    offset >= Used.RING && offset < usedRingBytes(size) - 2 && (offset - Used.RING) % Used.ENTRY === field
  );
}

/** True for the offset of a slot of the available ring. */
export function isSlot(offset: number, size: number): boolean {
  return offset >= Avail.RING && offset < Avail.RING + Avail.ENTRY * size;
}

/** True for the offset of a field of a descriptor of a packed ring, such as `PackedDescriptor.ID`. */
export function isField(offset: number, field: number): boolean {
  return offset % PackedDescriptor.SIZE === field;
}

/** Of the area in which a side of a packed ring says when it wants to be told: the mode DESC goes first and the position behind it. */
export function modeBeforePosition(window: MemoryWindow): Partial<MemoryWindow> {
  let position: number | undefined;
  return {
    store16(offset, value) {
      if (offset === PackedEvent.POSITION) {
        position = value;
        return;
      }
      window.store16(offset, value);
      if (value === EventMode.DESC && position !== undefined) window.store16(PackedEvent.POSITION, position);
    },
  };
}
