/**
 * Driver half of a packed virtqueue. It keeps its own record of every chain, by buffer id, and believes nothing that the
 * device writes into the ring: a device that breaks the rules makes the queue `broken`, and nothing else happens.
 */
import { clearedWindow } from './area.js';
import { DriverHalf } from './driver-half.js';
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
import type { IndirectArea } from './indirect-area.js';
import type { RingObserver } from './observer.js';
import {
  EventMode,
  PACKED_START,
  PackedDescriptor,
  PackedEvent,
  PackedFlag,
  advance,
  availableMark,
  isUsed,
  packedQueueFault,
  positionPassed,
  slotOf,
  usedMark,
} from './packed-layout.js';
import type { DriverQueue, QueueConfig, RingFeatures, UsedElement } from './queue.js';

/** The driver half's state as plain data, for tests and for people. Positions are slots with the wrap counter in bit 15. */
export interface PackedDriverQueueState {
  readonly size: number;
  /** Position up to which chains have been published. */
  readonly published: number;
  /** Position of the next chain. */
  readonly nextAvail: number;
  /** Position at which the next used element will appear. */
  readonly nextUsed: number;
  /** Chains committed and not yet published. */
  readonly pending: number;
  readonly outstanding: number;
  readonly freeDescriptors: number;
  readonly broken: string | undefined;
}

/** Of a buffer id: no chain has it, its chain is not published yet, its chain is with the device. */
const FREE = 0;
const COMMITTED = 1;
const PUBLISHED = 2;

export class PackedDriverQueue extends DriverHalf implements DriverQueue {
  readonly #ring: MemoryWindow;
  readonly #driverEvent: MemoryWindow;
  readonly #deviceEvent: MemoryWindow;

  /** Made with the first chain. */
  #records: BufferRecords | undefined;
  #published: number;
  #nextAvail: number;
  #nextUsed: number;
  /** Descriptors of the chains committed and not yet published, and the flags that will show the first of them. */
  #unpublished = 0;
  #firstFlags = 0;
  #usedId = 0;
  #publications = 0;

  /**
   * Clears the three areas in `memory`, or makes them what they are at `config.start`. Throws RangeError when they are not
   * well placed there, or when something would be outstanding at the start.
   */
  constructor(
    memory: GuestMemory,
    config: QueueConfig,
    features: RingFeatures,
    observer?: RingObserver,
    indirectArea?: IndirectArea,
  ) {
    super(packedQueueFault(memory, config), memory, config, features, observer, indirectArea);
    const { size, start } = config;
    this.#ring = clearedWindow(memory, config.descriptors, PackedDescriptor.SIZE * size);
    this.#driverEvent = clearedWindow(memory, config.driver, PackedEvent.SIZE);
    this.#deviceEvent = clearedWindow(memory, config.device, PackedEvent.SIZE);
    const position = start?.avail ?? PACKED_START;
    this.#published = position;
    this.#nextAvail = position;
    this.#nextUsed = position;
    if (start !== undefined) this.#markAllUsed(position);
  }

  /** Slots from the start on were used in the lap before, those behind it in this one. */
  #markAllUsed(position: number): void {
    for (let i = 0; i < this.size; i++) {
      const before = advance(position, i, this.size) ^ PACKED_START;
      this.#ring.set16(PackedDescriptor.SIZE * slotOf(before) + PackedDescriptor.FLAGS, usedMark(before));
    }
  }

  get nextAvailable(): number {
    return this.#published;
  }

  protected lay(token: number, descriptors: number, table: IndirectArea | undefined): number {
    const records = this.#buffers();
    const id = records.takeId();
    if (table === undefined) this.#writeChain(id);
    else this.#writeTable(id, table);
    records.state[id] = COMMITTED;
    records.descriptors[id] = descriptors;
    records.token[id] = token;
    records.writable[id] = this.writableBytes;
    records.append(id, this.chainsOut);
    this.#unpublished += descriptors;
    this.#nextAvail = advance(this.#nextAvail, descriptors, this.size);
    return id;
  }

  /** The chain's descriptors one after the other in the ring, the first one's flags last. */
  #writeChain(id: number): void {
    const last = this.parts - 1;
    for (let part = last; part >= 0; part--) {
      const position = advance(this.#nextAvail, part, this.size);
      const at = PackedDescriptor.SIZE * slotOf(position);
      this.#writePart(this.#ring, at, part, id);
      const flags =
        availableMark(position) |
        (this.isWritable(part) ? PackedFlag.WRITE : 0) |
        (part === last ? 0 : PackedFlag.NEXT);
      this.#writeFlags(at, flags, part === 0);
    }
  }

  #writeTable(id: number, area: IndirectArea): void {
    const tables = this.tables;
    if (tables === undefined) return;
    const offset = id * area.entriesPerTable * PackedDescriptor.SIZE;
    for (let part = 0; part < this.parts; part++) {
      const at = offset + PackedDescriptor.SIZE * part;
      this.#writePart(tables, at, part, 0);
      tables.set16(at + PackedDescriptor.FLAGS, this.isWritable(part) ? PackedFlag.WRITE : 0);
    }
    const at = PackedDescriptor.SIZE * slotOf(this.#nextAvail);
    this.#ring.set64(at + PackedDescriptor.ADDR, area.address + offset);
    this.#ring.set32(at + PackedDescriptor.LEN, this.parts * PackedDescriptor.SIZE);
    this.#ring.set16(at + PackedDescriptor.ID, id);
    this.#writeFlags(at, availableMark(this.#nextAvail) | PackedFlag.INDIRECT, true);
  }

  #writePart(window: MemoryWindow, at: number, part: number, id: number): void {
    window.set64(at + PackedDescriptor.ADDR, this.partAddress(part));
    window.set32(at + PackedDescriptor.LEN, this.partLength(part));
    window.set16(at + PackedDescriptor.ID, id);
  }

  /**
   * The flags of the first descriptor of all that is unpublished are kept back: the device goes slot by slot, so nothing
   * behind that one is seen before `publish` writes them.
   */
  #writeFlags(at: number, flags: number, first: boolean): void {
    if (first && this.#unpublished === 0) this.#firstFlags = flags;
    else this.#ring.set16(at + PackedDescriptor.FLAGS, flags);
  }

  publish(): boolean {
    if (this.pending === 0 || this.fault !== undefined) return false;
    this.#buffers().publish(this.chainsOut - this.pending, this.pending);
    const moved = this.#unpublished;
    const first = PackedDescriptor.SIZE * slotOf(this.#published);
    this.#published = this.#nextAvail;
    this.#publications = (this.#publications + this.pending) & 0xffff;
    this.pending = 0;
    this.#unpublished = 0;
    // The store publishes what was written before it (B1) and is seen before the load below is done (B2).
    this.#ring.store16(first + PackedDescriptor.FLAGS, this.#firstFlags);
    const notify = this.#notificationWanted(moved);
    this.observer?.published(this.index, this.#publications, notify);
    return notify;
  }

  /** The mode is read first: when it says DESC, the position that goes with it was written before. */
  #notificationWanted(moved: number): boolean {
    const mode = this.#deviceEvent.load16(PackedEvent.MODE) & EventMode.MASK;
    if (mode !== EventMode.DESC || !this.eventIdx) return mode !== EventMode.DISABLE;
    const event = this.#deviceEvent.load16(PackedEvent.POSITION);
    return positionPassed(event, this.#published, moved, this.size);
  }

  takeUsed(element: UsedElement): boolean {
    if (this.fault !== undefined) return false;
    if (this.batch === 0 && !this.#readUsed()) return false;
    const records = this.#buffers();
    const id = this.inOrder ? records.oldest() : this.#usedId;
    this.batch--;
    const written = this.batch === 0 ? this.batchWritten : records.writable[id];
    const skipped = records.descriptors[id];
    this.#nextUsed = advance(this.#nextUsed, skipped, this.size);
    this.free += skipped;
    this.chainsOut--;
    element.token = records.token[id];
    element.written = written;
    records.release(id);
    this.observer?.consumed(this.index, id, written);
    return true;
  }

  /** Reads the used element that stands next, once, and checks it. */
  #readUsed(): boolean {
    const at = PackedDescriptor.SIZE * slotOf(this.#nextUsed);
    // The load comes before the reads of the element and of the data (B6).
    const flags = this.#ring.load16(at + PackedDescriptor.FLAGS);
    if (!isUsed(flags, this.#nextUsed)) return false;
    const id = this.#ring.get16(at + PackedDescriptor.ID);
    const length = this.#ring.get32(at + PackedDescriptor.LEN);
    const written = (flags & PackedFlag.WRITE) === 0 ? 0 : length;
    const records = this.#buffers();
    if (id >= this.size || records.state[id] !== PUBLISHED)
      return this.fail(`used id ${id} is not outstanding`);
    const writable = records.writable[id];
    if (written > writable) {
      return this.fail(`used length ${written} of chain ${id}, which has ${writable} writable bytes`);
    }
    this.#usedId = id;
    this.batch = this.inOrder ? records.upTo(id) : 1;
    this.batchWritten = written;
    return true;
  }

  hasUsed(): boolean {
    if (this.fault !== undefined) return false;
    if (this.batch > 0) return true;
    const at = PackedDescriptor.SIZE * slotOf(this.#nextUsed);
    return isUsed(this.#ring.load16(at + PackedDescriptor.FLAGS), this.#nextUsed);
  }

  disableInterrupts(): void {
    if (!this.interruptsEnabled) return;
    this.interruptsEnabled = false;
    this.#driverEvent.store16(PackedEvent.MODE, EventMode.DISABLE);
  }

  enableInterrupts(): boolean {
    this.interruptsEnabled = true;
    if (this.eventIdx) {
      this.#driverEvent.store16(PackedEvent.POSITION, this.#nextUsed);
      this.#driverEvent.store16(PackedEvent.MODE, EventMode.DESC);
    } else this.#driverEvent.store16(PackedEvent.MODE, EventMode.ENABLE);
    // The store is seen before the flags are read again (B7): either the device sees it, or its element is seen here.
    const waiting = this.hasUsed();
    if (!waiting) this.observer?.asleep(this.index, 'driver');
    return waiting;
  }

  state(): PackedDriverQueueState {
    return {
      size: this.size,
      published: this.#published,
      nextAvail: this.#nextAvail,
      nextUsed: this.#nextUsed,
      pending: this.pending,
      outstanding: this.chainsOut,
      freeDescriptors: this.free,
      broken: this.fault,
    };
  }

  #buffers(): BufferRecords {
    return (this.#records ??= new BufferRecords(this.size));
  }
}

/** Two numbers of 8 bytes for each buffer id, four of 2 and one of 1. */
const RECORD_BYTES = 25;

/** What the driver half keeps of its chains, out of the device's reach, by buffer id; and the chains in their order. */
class BufferRecords {
  readonly token: Float64Array;
  readonly writable: Float64Array;
  readonly descriptors: Uint16Array;
  readonly state: Uint8Array;
  /** Free ids, a stack. */
  readonly #free: Uint16Array;
  #freeCount: number;
  /** Ids in the order in which their chains were committed, a ring from the oldest on, and where in it each stands. */
  readonly #order: Uint16Array;
  readonly #place: Uint16Array;
  #oldest = 0;
  readonly #size: number;

  constructor(size: number) {
    const buffer = new ArrayBuffer(size * RECORD_BYTES);
    this.token = new Float64Array(buffer, 0, size);
    this.writable = new Float64Array(buffer, 8 * size, size);
    this.descriptors = new Uint16Array(buffer, 16 * size, size);
    this.#free = new Uint16Array(buffer, 18 * size, size);
    this.#order = new Uint16Array(buffer, 20 * size, size);
    this.#place = new Uint16Array(buffer, 22 * size, size);
    this.state = new Uint8Array(buffer, 24 * size, size);
    this.#size = size;
    this.#freeCount = size;
    for (let i = 0; i < size; i++) this.#free[i] = size - 1 - i;
  }

  /** An id that no chain has; there is one whenever a descriptor is free. */
  takeId(): number {
    return this.#free[--this.#freeCount];
  }

  /** Puts the id behind `count` others. */
  append(id: number, count: number): void {
    const place = this.#wrapped(this.#oldest + count);
    this.#order[place] = id;
    this.#place[id] = place;
  }

  /** `count` chains behind the oldest `from` are with the device from now on. */
  publish(from: number, count: number): void {
    for (let i = from; i < from + count; i++)
      this.state[this.#order[this.#wrapped(this.#oldest + i)]] = PUBLISHED;
  }

  oldest(): number {
    return this.#order[this.#oldest];
  }

  /** Chains from the oldest one to this, both counted. */
  upTo(id: number): number {
    return this.#wrapped(this.#place[id] + this.#size - this.#oldest) + 1;
  }

  /** The chain is back: its id is free. What stood before it in the order stays there. */
  release(id: number): void {
    this.state[id] = FREE;
    this.#free[this.#freeCount++] = id;
    const place = this.#place[id];
    if (place === this.#oldest) this.#oldest = this.#wrapped(this.#oldest + 1);
    else this.#close(place);
  }

  /** Closes the gap that a chain leaves which came back out of order: the oldest one moves up into it. */
  #close(place: number): void {
    const oldest = this.#order[this.#oldest];
    this.#order[place] = oldest;
    this.#place[oldest] = place;
    this.#oldest = this.#wrapped(this.#oldest + 1);
  }

  #wrapped(place: number): number {
    return place >= this.#size ? place - this.#size : place;
  }
}
