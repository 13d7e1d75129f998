/**
 * What can be seen of one ring when its device works in another process: memory, whenever somebody looks. A chain counts as
 * taken from the moment that it is published, since the device may have it from then on.
 */
import {
  Avail,
  EventMode,
  PackedDescriptor,
  PackedEvent,
  Used,
  availEventOffset,
  isAvailable,
  isUsed,
  needsEvent,
  positionPassed,
  slotOf,
  usedEventOffset,
} from '../../../virtio/index.js';
import { PackedState } from '../packed-state.js';
import { U16 } from '../ring-state.js';
import type { Place, PlaceKind, RingState } from '../ring-state.js';
import { SplitState } from '../split-state.js';

/** Bytes of guest memory. */
export interface Extent {
  readonly address: number;
  readonly length: number;
}

export interface RingSight {
  readonly ring: RingState;
  /** Entries that the device has returned so far, 16-bit and free-running. */
  readonly usedCount: number;
  /** The driver is about to store a word. True: it publishes chains, which are known now, and may be overwritten at once. */
  publishing(address: number, value: number): boolean;
  /** Takes what was published on the device's behalf. */
  take(): void;
  /** Takes up what the device has returned, and the flags that it has set. */
  look(): void;
  /** Nothing moves any more: what stands where it was not looked for shows now. */
  rest(): void;
  /** By what the driver asks for now: whether it wants to be told that the count went from `from` to `to`. */
  wants(from: number, to: number): boolean;
  /** Whether the driver's write to these bytes of one of the ring's areas changes that. */
  isWish(place: Place, start: number, end: number): boolean;
  /** Whether the device may write this byte of an area that is its own, or that both write. */
  mayWrite(place: Place, address: number): boolean;
  /** Where the elements are that the device has returned since the last call. */
  returned(): readonly Extent[];
}

/** Undefined for a ring of no known format. */
export function sightOf(ring: RingState): RingSight | undefined {
  if (ring instanceof SplitState) return new SplitSight(ring);
  return ring instanceof PackedState ? new PackedSight(ring) : undefined;
}

function area(ring: RingState, kind: PlaceKind, start: number, length: number): Place {
  return { kind, start, end: start + length, ring, chain: undefined, offset: 0 };
}

class SplitSight implements RingSight {
  readonly ring: SplitState;
  readonly #avail: Place;
  readonly #used: Place;
  #flags: number;
  #event: number;
  #settledIdx: number;

  constructor(ring: SplitState) {
    this.ring = ring;
    const { config, size } = ring;
    this.#avail = area(ring, 'available', config.driver, usedEventOffset(size) + 2);
    this.#used = area(ring, 'used', config.device, availEventOffset(size) + 2);
    this.#flags = ring.used.get16(Used.FLAGS);
    this.#event = ring.used.get16(availEventOffset(size));
    this.#settledIdx = ring.usedIdx;
  }

  get usedCount(): number {
    return this.ring.usedIdx;
  }

  publishing(): boolean {
    return false;
  }

  take(): void {
    const { ring } = this;
    if (ring.lost || ring.takenIdx === ring.availIdx) return;
    const { start } = this.#avail;
    ring.device.read(this.#avail, start + Avail.IDX, start + Avail.IDX + 2);
    while (!ring.lost && ring.takenIdx !== ring.availIdx) {
      const at = start + Avail.RING + Avail.ENTRY * (ring.takenIdx & ring.mask);
      ring.device.read(this.#avail, at, at + Avail.ENTRY);
    }
  }

  look(): void {
    const { ring } = this;
    if (ring.lost) return;
    const { start } = this.#used;
    const idx = ring.used.load16(Used.IDX);
    if (idx !== ring.usedIdx) ring.device.publishing(this.#used, Used.IDX, idx);
    const flags = ring.used.load16(Used.FLAGS);
    if (flags !== this.#flags) ring.device.wrote(this.#used, start + Used.FLAGS, start + Used.FLAGS + 2);
    this.#flags = flags;
    // With EVENT_IDX the word is the device's to write whenever it likes.
    if (ring.features.eventIdx) return;
    const at = availEventOffset(ring.size);
    const event = ring.used.load16(at);
    if (event !== this.#event) ring.device.wrote(this.#used, start + at, start + at + 2);
    this.#event = event;
  }

  rest(): void {
    // What a split ring shows, it shows at its index.
  }

  wants(from: number, to: number): boolean {
    const { avail, features, size } = this.ring;
    if (features.eventIdx) return needsEvent(avail.load16(usedEventOffset(size)), to, from);
    return (avail.load16(Avail.FLAGS) & Avail.NO_INTERRUPT) === 0;
  }

  isWish({ kind, start: base }: Place, start: number, end: number): boolean {
    if (kind !== 'available') return false;
    const at = base + (this.ring.features.eventIdx ? usedEventOffset(this.ring.size) : Avail.FLAGS);
    return start < at + 2 && end > at;
  }

  mayWrite({ start }: Place, address: number): boolean {
    const { mask, outstanding, size, usedIdx } = this.ring;
    const at = address - start;
    if (at < Used.RING || at >= availEventOffset(size)) return true;
    const slot = (at - Used.RING) >> 3;
    return ((slot - usedIdx) & mask) < outstanding;
  }

  returned(): readonly Extent[] {
    const { mask, usedIdx } = this.ring;
    const found: Extent[] = [];
    for (; this.#settledIdx !== usedIdx; this.#settledIdx = (this.#settledIdx + 1) & U16)
      found.push({
        address: this.#used.start + Used.RING + Used.ENTRY * (this.#settledIdx & mask),
        length: Used.ENTRY,
      });
    return found;
  }
}

const { SIZE, FLAGS } = PackedDescriptor;

class PackedSight implements RingSight {
  readonly ring: PackedState;
  readonly #place: Place;
  readonly #event: Place;
  #mode: number;
  #position: number;
  #returned: Extent[] = [];

  constructor(ring: PackedState) {
    this.ring = ring;
    const { config, size } = ring;
    this.#place = area(ring, 'ring', config.descriptors, SIZE * size);
    this.#event = area(ring, 'used', config.device, PackedEvent.SIZE);
    this.#mode = ring.deviceEvent.get16(PackedEvent.MODE);
    this.#position = ring.deviceEvent.get16(PackedEvent.POSITION);
  }

  get usedCount(): number {
    return this.ring.used.count;
  }

  publishing(address: number, value: number): boolean {
    const { ring } = this;
    const { position } = ring.published;
    const slot = slotOf(position);
    if (address !== this.#place.start + SIZE * slot + FLAGS || !isAvailable(value, position)) return false;
    ring.shown = { slot, flags: value };
    try {
      ring.driver.sync();
    } finally {
      ring.shown = undefined;
    }
    return true;
  }

  take(): void {
    const { ring } = this;
    for (let left = ring.coming.length; left > 0 && !ring.lost; left = ring.coming.length) {
      const at = this.#place.start + SIZE * slotOf(ring.taken.position);
      ring.device.read(this.#place, at, at + SIZE);
      if (ring.coming.length === left) return;
    }
  }

  look(): void {
    const { ring } = this;
    while (!ring.lost) {
      const { position } = ring.used;
      const slot = slotOf(position);
      const flags = ring.ring.load16(SIZE * slot + FLAGS);
      if (!isUsed(flags, position)) break;
      if (ring.outstanding === 0) {
        ring.lose('usedId', `descriptor ${slot} shows as used, and no chain is out`);
        return;
      }
      ring.deviceWrote = true;
      const known = ring.elements.length;
      ring.device.publishing(this.#place, SIZE * slot + FLAGS, flags);
      for (const element of ring.elements.slice(known))
        this.#returned.push({ address: this.#place.start + SIZE * element.slot, length: SIZE });
      if (ring.used.position === position) break;
    }
    this.#lookAtEvent();
  }

  #lookAtEvent(): void {
    const { ring } = this;
    const { start, end } = this.#event;
    const mode = ring.deviceEvent.load16(PackedEvent.MODE);
    const position = ring.deviceEvent.load16(PackedEvent.POSITION);
    if (!ring.lost && (mode !== this.#mode || position !== this.#position))
      ring.device.wrote(this.#event, start, end);
    this.#mode = mode;
    this.#position = position;
  }

  rest(): void {
    if (this.ring.outstanding > 0) this.ring.deviceWrote = true;
  }

  wants(from: number, to: number): boolean {
    const { driverEvent, size, used } = this.ring;
    const mode = driverEvent.load16(PackedEvent.MODE) & EventMode.MASK;
    if (mode !== EventMode.DESC) return mode !== EventMode.DISABLE;
    return positionPassed(driverEvent.load16(PackedEvent.POSITION), used.position, (to - from) & U16, size);
  }

  isWish({ kind }: Place): boolean {
    return kind === 'available';
  }

  mayWrite({ kind, start }: Place, address: number): boolean {
    const { ring } = this;
    if (kind === 'used') return true;
    const slot = Math.floor((address - start) / SIZE);
    return ring.ahead(ring.used, slot) < ring.between(ring.used, ring.published);
  }

  returned(): readonly Extent[] {
    const found = this.#returned;
    this.#returned = [];
    return found;
  }
}
