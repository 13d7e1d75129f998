/**
 * The watch over a device whose driver runs in another process, as long as nothing is wrong: its rings are followed in brief,
 * access by access and without an object a frame. The first access that is not plainly right, and all that come after it until
 * the device is reset, are looked at in detail by the watched machine, which is given the rings as they stand.
 */
import { GuestMemory, MemoryWindow } from '../../../virtio/index.js';
import type { QueueConfig, RingFeatures } from '../../../virtio/index.js';
import type { RingHost, RingState } from '../../ring-watch/ring-state.js';
import type { Tally } from '../../ring-watch/tally.js';
import type { AccessListener } from '../../ring-watch/watched-memory.js';
import type { RingsInBrief } from '../../ring-watch/watched-machine.js';
import { BriefPackedRing } from './brief-packed.js';
import { Area, Look } from './brief-ring.js';
import type { BriefRing } from './brief-ring.js';
import { BriefSplitRing } from './brief-split.js';

/** What goes on in detail. */
export interface Detail {
  readonly host: RingHost;
  /** Told of each access of the device. */
  readonly device: AccessListener;
  /** Takes a ring over. */
  adopt(ring: RingState): void;
}

const counted = Object.entries(Look) as readonly (readonly [keyof typeof Look, number])[];

interface AreaPlace {
  readonly ring: BriefRing;
  readonly area: number;
  readonly start: number;
  readonly end: number;
}

export class BriefWatch implements RingsInBrief {
  /** What the device has in place of the guest's memory. */
  readonly memory: GuestMemory;
  readonly #guest: GuestMemory;
  readonly #looks = new Float64Array(Object.keys(Look).length);
  readonly #rings = new Map<number, BriefRing>();
  #list: readonly BriefRing[] = [];
  /** Where bytes of a chain were found last. */
  #lastRead: BriefRing | undefined;
  #lastWritten: BriefRing | undefined;
  #areas: readonly AreaPlace[] = [];
  /** All areas lie within these. */
  #from = Infinity;
  #to = 0;
  #detail: Detail | undefined;
  #inBrief = true;

  /** @param guest the guest's memory, unwatched. */
  constructor(guest: GuestMemory) {
    this.#guest = guest;
    this.memory = new BriefMemory(this);
  }

  /** Where what is not plainly right is looked at. */
  useDetail(detail: Detail): void {
    this.#detail = detail;
  }

  /** Adds what was counted since the last time to a tally. */
  countInto(tally: Tally): void {
    for (const [key, place] of counted) if (this.#looks[place] !== 0) tally.looked(key, this.#looks[place]);
    this.#looks.fill(0);
  }

  // ---------------------------------------------------------------- the transport

  open(config: QueueConfig, features: RingFeatures): boolean {
    if (!this.#inBrief || this.#rings.has(config.index)) return false;
    const { start } = config;
    // Batches are told by their places, which must be the same on both sides.
    if (features.inOrder === true && start !== undefined && start.avail !== start.used) return false;
    const Ring = features.packed === true ? BriefPackedRing : BriefSplitRing;
    const ring = Ring.open({
      memory: this.#guest,
      config,
      features,
      looks: this.#looks,
      inRings: (address, length) => this.#inRings(address, length),
    });
    if (ring === undefined) return false;
    this.#rings.set(config.index, ring);
    this.#layOut();
    if (!ring.sync()) this.giveUp();
    return true;
  }

  close(index: number): boolean {
    const ring = this.#rings.get(index);
    if (ring === undefined) return false;
    ring.closed = true;
    this.#rings.delete(index);
    this.#layOut();
    return true;
  }

  has(index: number): boolean {
    return this.#rings.has(index);
  }

  notified(index: number, next: number | undefined): boolean {
    const ring = this.#rings.get(index);
    if (ring === undefined) return false;
    const carries = ring.features.notificationData === true;
    if (ring.sync() && next === (carries ? ring.nextAvailable : undefined)) {
      this.#looks[Look.notificationData]++;
      return true;
    }
    // Who looks at the notification in detail begins with what was published.
    this.#handOver();
    return false;
  }

  reset(): void {
    for (const index of this.#rings.keys()) this.close(index);
    this.#inBrief = true;
  }

  /** From here on everything is looked at in detail, and first what a driver published that was not plainly right. */
  giveUp(): void {
    for (const ring of this.#handOver()) ring.driver.sync();
  }

  /** Hands all rings over. Returns those of which not all was taken up. */
  #handOver(): readonly RingState[] {
    if (!this.#inBrief) return [];
    this.#inBrief = false;
    const detail = this.#detail;
    if (detail === undefined) throw new TypeError('nobody looks at things in detail');
    const rings = [...this.#rings.values()];
    this.#rings.clear();
    this.#layOut();
    return rings.flatMap(ring => {
      const inDetail = ring.inDetail(detail.host);
      detail.adopt(inDetail);
      return ring.behind ? [inDetail] : [];
    });
  }

  #layOut(): void {
    this.#list = [...this.#rings.values()];
    this.#lastRead = undefined;
    this.#lastWritten = undefined;
    this.#areas = this.#list.flatMap(ring => areasOf(ring));
    this.#from = Math.min(...this.#areas.map(({ start }) => start));
    this.#to = Math.max(0, ...this.#areas.map(({ end }) => end));
  }

  /** The area that begins at an address. */
  areaAt(address: number): AreaPlace | undefined {
    return this.#areas.find(({ start }) => start === address);
  }

  #inRings(address: number, length: number): boolean {
    if (address >= this.#to || address + length <= this.#from) return false;
    for (const { start, end } of this.#areas) if (address < end && start < address + length) return true;
    return false;
  }

  // ---------------------------------------------------------------- the device's accesses

  read(address: number, length: number): void {
    let right = this.#lastRead?.readData(address, length);
    for (let i = 0; right === undefined && i < this.#list.length; i++) {
      this.#lastRead = this.#list[i];
      right = this.#lastRead.readData(address, length);
    }
    if (right !== true) this.readInDetail(address, length);
  }

  wrote(address: number, length: number): void {
    let right = this.#lastWritten?.wroteData(address, length);
    for (let i = 0; right === undefined && i < this.#list.length; i++) {
      this.#lastWritten = this.#list[i];
      right = this.#lastWritten.wroteData(address, length);
    }
    if (right !== true) this.wroteInDetail(address, length);
  }

  readInDetail(address: number, length: number): void {
    this.giveUp();
    this.#detail?.device.read(address, length);
  }
  wroteInDetail(address: number, length: number): void {
    this.giveUp();
    this.#detail?.device.written(address, length);
  }
  storingInDetail(address: number, value: number): void {
    this.giveUp();
    this.#detail?.device.storing?.(address, value);
  }
}

function areasOf(ring: BriefRing): AreaPlace[] {
  const { descriptors, driver, device, size } = ring.config;
  const packed = ring.features.packed === true;
  const lengths = packed ? [16 * size, 4, 4] : [16 * size, 6 + 2 * size, 6 + 8 * size];
  const areas = [Area.DESCRIPTORS, Area.DRIVER, Area.DEVICE];
  return [descriptors, driver, device].map((start, i) => ({
    ring,
    area: areas[i],
    start,
    end: start + lengths[i],
  }));
}

class BriefMemory extends GuestMemory {
  readonly #watch: BriefWatch;

  constructor(watch: BriefWatch) {
    super();
    this.#watch = watch;
  }

  override read(address: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    const done = super.read(address, target, targetOffset, length);
    if (done && length > 0) this.#watch.read(address, length);
    return done;
  }
  override write(address: number, source: Uint8Array, sourceOffset: number, length: number): boolean {
    const done = super.write(address, source, sourceOffset, length);
    if (done && length > 0) this.#watch.wrote(address, length);
    return done;
  }
  override move(from: number, to: number, length: number): boolean {
    const done = super.move(from, to, length);
    if (done && length > 0) {
      this.#watch.read(from, length);
      this.#watch.wrote(to, length);
    }
    return done;
  }
  override newWindow(): MemoryWindow {
    return new BriefWindow(this.#watch);
  }
}

/** A window that knows which area of a ring it shows, if it shows one: a queue's half has one on each and keeps it. */
class BriefWindow extends MemoryWindow {
  readonly #watch: BriefWatch;
  #ring: BriefRing | undefined;
  #area = 0;

  constructor(watch: BriefWatch) {
    super();
    this.#watch = watch;
  }

  override point(...place: Parameters<MemoryWindow['point']>): void {
    super.point(...place);
    const area = this.#watch.areaAt(this.address);
    this.#ring = area?.ring;
    this.#area = area?.area ?? 0;
  }

  #read(offset: number, length: number): void {
    const ring = this.#ring;
    if (ring === undefined) this.#watch.read(this.address + offset, length);
    else if (!ring.read(this.#area, offset, offset + length))
      this.#watch.readInDetail(this.address + offset, length);
  }
  #wrote(offset: number, length: number): void {
    const ring = this.#ring;
    if (ring === undefined) this.#watch.wrote(this.address + offset, length);
    else if (!ring.wrote(this.#area, offset, offset + length))
      this.#watch.wroteInDetail(this.address + offset, length);
  }

  override load16(offset: number): number {
    const value = super.load16(offset);
    this.#read(offset, 2);
    return value;
  }
  override get16(offset: number): number {
    const value = super.get16(offset);
    this.#read(offset, 2);
    return value;
  }
  override get32(offset: number): number {
    const value = super.get32(offset);
    this.#read(offset, 4);
    return value;
  }
  override get64(offset: number): number {
    const value = super.get64(offset);
    this.#read(offset, 8);
    return value;
  }
  override get128(offset: number, into: Uint32Array): void {
    super.get128(offset, into);
    this.#read(offset, 16);
  }
  override store16(offset: number, value: number): void {
    if (this.#ring?.storing(this.#area, offset, value) === false || this.#ring === undefined)
      this.#watch.storingInDetail(this.address + offset, value);
    super.store16(offset, value);
    this.#wrote(offset, 2);
  }
  override set16(offset: number, value: number): void {
    super.set16(offset, value);
    this.#wrote(offset, 2);
  }
  override set32(offset: number, value: number): void {
    super.set32(offset, value);
    this.#wrote(offset, 4);
  }
  override set32x2(offset: number, first: number, second: number): void {
    super.set32x2(offset, first, second);
    this.#wrote(offset, 8);
  }
  override set64(offset: number, value: number): void {
    super.set64(offset, value);
    this.#wrote(offset, 8);
  }
  override zero(offset: number, length: number): void {
    super.zero(offset, length);
    if (length > 0) this.#wrote(offset, length);
  }
}
