/**
 * Driver half of a split virtqueue. It keeps its own record of every chain and believes nothing that it finds in the used
 * ring: a device that breaks the rules makes the queue `broken`, and nothing else happens.
 */
import { clearedWindow } from './area.js';
import { DriverHalf } from './driver-half.js';
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
import type { IndirectArea } from './indirect-area.js';
import type { RingObserver } from './observer.js';
import type { DriverQueue, QueueConfig, RingFeatures, UsedElement } from './queue.js';
import {
  Avail,
  Descriptor,
  DescriptorFlag,
  Used,
  availEventOffset,
  availRingBytes,
  descriptorTableBytes,
  needsEvent,
  splitQueueFault,
  usedEventOffset,
  usedRingBytes,
} from './split-layout.js';

/** The driver half's state as plain data, for tests and for people. Indices are 16-bit and free-running. */
export interface SplitDriverQueueState {
  readonly size: number;
  /** Available index as last published. */
  readonly availIdx: number;
  /** Chains committed and not yet published. */
  readonly pending: number;
  /** Used index up to which elements have been taken. */
  readonly lastUsed: number;
  readonly outstanding: number;
  readonly freeDescriptors: number;
  readonly broken: string | undefined;
}

/** No descriptor: the end of the free list. */
const NONE = -1;

export class SplitDriverQueue extends DriverHalf implements DriverQueue {
  readonly #mask: number;
  readonly #descriptors: MemoryWindow;
  readonly #avail: MemoryWindow;
  readonly #used: MemoryWindow;

  /** Made with the first chain: most queues of a device are set up and never used. */
  #records: ChainRecords | undefined;
  #freeHead = 0;

  #availIdx: number;
  #lastUsed: number;

  /**
   * Clears the three areas in `memory`, and sets both indices to those of `config.start`. Throws RangeError when they are
   * not well placed there, or when something would be outstanding at the start.
   */
  constructor(
    memory: GuestMemory,
    config: QueueConfig,
    features: RingFeatures,
    observer?: RingObserver,
    indirectArea?: IndirectArea,
  ) {
    super(splitQueueFault(memory, config), memory, config, features, observer, indirectArea);
    const { size, start } = config;
    this.#mask = size - 1;
    this.#descriptors = clearedWindow(memory, config.descriptors, descriptorTableBytes(size));
    this.#avail = clearedWindow(memory, config.driver, availRingBytes(size));
    this.#used = clearedWindow(memory, config.device, usedRingBytes(size));
    this.#availIdx = start?.avail ?? 0;
    this.#lastUsed = this.#availIdx;
    if (start !== undefined) {
      this.#avail.store16(Avail.IDX, this.#availIdx);
      this.#used.store16(Used.IDX, this.#lastUsed);
    }
  }

  get nextAvailable(): number {
    return this.#availIdx;
  }

  protected lay(token: number, descriptors: number, table: IndirectArea | undefined): number {
    const head = this.#freeHead;
    if (table === undefined) this.#writeChain(head);
    else this.#writeTable(head, table);
    const chains = this.#chains();
    chains.descriptors[head] = descriptors;
    chains.token[head] = token;
    chains.writable[head] = this.writableBytes;
    chains.published[head] = 0;
    const slot = (this.#availIdx + this.pending) & this.#mask;
    this.#avail.set16(Avail.RING + Avail.ENTRY * slot, head);
    chains.order[slot] = head;
    chains.slot[head] = slot;
    return head;
  }

  /** Writes the parts into free descriptors from `head` on and takes them off the free list. */
  #writeChain(head: number): void {
    const last = this.parts - 1;
    const links = this.#chains().next;
    let at = head;
    for (let part = 0; ; part++) {
      const next = links[at];
      this.#writeDescriptor(
        this.#descriptors,
        Descriptor.SIZE * at,
        part,
        part === last ? 0 : next,
        part !== last,
      );
      if (part === last) {
        this.#freeHead = next;
        return;
      }
      at = next;
    }
  }

  /** Writes the parts into the head's own table, and the descriptor that refers to it. */
  #writeTable(head: number, area: IndirectArea): void {
    const tables = this.tables;
    if (tables === undefined) return;
    const count = this.parts;
    const offset = head * area.entriesPerTable * Descriptor.SIZE;
    for (let part = 0; part < count; part++) {
      const more = part !== count - 1;
      this.#writeDescriptor(tables, offset + Descriptor.SIZE * part, part, more ? part + 1 : 0, more);
    }
    const at = Descriptor.SIZE * head;
    this.#descriptors.set64(at + Descriptor.ADDR, area.address + offset);
    this.#descriptors.set32(at + Descriptor.LEN, count * Descriptor.SIZE);
    this.#descriptors.set16(at + Descriptor.FLAGS, DescriptorFlag.INDIRECT);
    this.#descriptors.set16(at + Descriptor.NEXT, 0);
    this.#freeHead = this.#chains().next[head];
  }

  #writeDescriptor(window: MemoryWindow, at: number, part: number, next: number, more: boolean): void {
    const writable = this.isWritable(part) ? DescriptorFlag.WRITE : 0;
    window.set64(at + Descriptor.ADDR, this.partAddress(part));
    window.set32(at + Descriptor.LEN, this.partLength(part));
    window.set16(at + Descriptor.FLAGS, writable | (more ? DescriptorFlag.NEXT : 0));
    window.set16(at + Descriptor.NEXT, next);
  }

  publish(): boolean {
    if (this.pending === 0 || this.fault !== undefined) return false;
    const old = this.#availIdx;
    const now = (old + this.pending) & 0xffff;
    const { published, order } = this.#chains();
    for (let i = 0; i < this.pending; i++) published[order[(old + i) & this.#mask]] = 1;
    this.#availIdx = now;
    this.pending = 0;
    // The store publishes what was written before it (B1) and is seen before the load below is done (B2).
    this.#avail.store16(Avail.IDX, now);
    const notify = this.eventIdx
      ? needsEvent(this.#used.load16(availEventOffset(this.size)), now, old)
      : (this.#used.load16(Used.FLAGS) & Used.NO_NOTIFY) === 0;
    this.observer?.published(this.index, now, notify);
    return notify;
  }

  takeUsed(element: UsedElement): boolean {
    if (this.batch > 0) {
      if (this.fault !== undefined) return false;
      return this.#handOn(this.#chains().order[this.#lastUsed & this.#mask], element);
    }
    // The load comes before the reads of the element and of the data (B6).
    const waiting = this.#waiting();
    if (waiting === 0) return false;
    const at = Used.RING + Used.ENTRY * (this.#lastUsed & this.#mask);
    const id = this.#used.get32(at + Used.ID);
    const written = this.#used.get32(at + Used.LEN);
    const { writable, order, slot } = this.#chains();
    if (!this.#isOutstanding(id)) return this.fail(`used id ${id} is not outstanding`);
    if (written > writable[id]) {
      return this.fail(`used length ${written} of chain ${id}, which has ${writable[id]} writable bytes`);
    }
    this.batch = 1;
    this.batchWritten = written;
    if (!this.inOrder) return this.#handOn(id, element);
    this.batch = ((slot[id] - this.#lastUsed) & this.#mask) + 1;
    if (this.batch > waiting)
      return this.fail(`used id ${id} ends a batch of ${this.batch}, and the index went on by ${waiting}`);
    return this.#handOn(order[this.#lastUsed & this.#mask], element);
  }

  /** Gives a chain back; those before the last of a batch were wholly written. */
  #handOn(head: number, element: UsedElement): true {
    const { token, writable } = this.#chains();
    const written = --this.batch === 0 ? this.batchWritten : writable[head];
    this.#lastUsed = (this.#lastUsed + 1) & 0xffff;
    this.#release(head);
    this.chainsOut--;
    element.token = token[head];
    element.written = written;
    this.observer?.consumed(this.index, head, written);
    return true;
  }

  hasUsed(): boolean {
    return this.#waiting() > 0;
  }

  disableInterrupts(): void {
    if (!this.interruptsEnabled) return;
    this.interruptsEnabled = false;
    // With EVENT_IDX an entry that has passed is named, so that the next interrupt is 65536 elements away.
    if (this.eventIdx) this.#avail.store16(usedEventOffset(this.size), (this.#lastUsed - 1) & 0xffff);
    else this.#avail.store16(Avail.FLAGS, Avail.NO_INTERRUPT);
  }

  enableInterrupts(): boolean {
    this.interruptsEnabled = true;
    if (this.eventIdx) this.#avail.store16(usedEventOffset(this.size), this.#lastUsed);
    else this.#avail.store16(Avail.FLAGS, 0);
    // The store is seen before the index is read again (B7): either the device sees it, or its element is seen here.
    const waiting = this.#waiting() > 0;
    if (!waiting) this.observer?.asleep(this.index, 'driver');
    return waiting;
  }

  state(): SplitDriverQueueState {
    return {
      size: this.size,
      availIdx: this.#availIdx,
      pending: this.pending,
      lastUsed: this.#lastUsed,
      outstanding: this.chainsOut,
      freeDescriptors: this.free,
      broken: this.fault,
    };
  }

  /** Used elements not yet taken; 0 when broken. Reads the device's index. */
  #waiting(): number {
    if (this.fault !== undefined) return 0;
    const usedIdx = this.#used.load16(Used.IDX);
    const waiting = (usedIdx - this.#lastUsed) & 0xffff;
    const published = this.chainsOut - this.pending;
    if (waiting > published) {
      this.fail(`used index went from ${this.#lastUsed} to ${usedIdx} with ${published} chains outstanding`);
      return 0;
    }
    return waiting;
  }

  /** True for the head of a chain that was published and has not come back. */
  #isOutstanding(head: number): boolean {
    const { descriptors, published } = this.#chains();
    return head < this.size && descriptors[head] !== 0 && published[head] === 1;
  }

  #release(head: number): void {
    const { descriptors, next } = this.#chains();
    const count = descriptors[head];
    this.free += count;
    descriptors[head] = 0;
    // In order the links lead round the table, and what comes free lies behind what is free.
    if (this.inOrder) return;
    let last = head;
    for (let left = count; left > 1; left--) last = next[last];
    next[last] = this.#freeHead;
    this.#freeHead = head;
  }

  #chains(): ChainRecords {
    return (this.#records ??= new ChainRecords(this.size, this.inOrder ? 0 : NONE));
  }
}

/** Two numbers of 8 bytes for each descriptor, one of 4, three of 2 and one of 1. */
const RECORD_BYTES = 27;

/** What the driver half keeps of its chains, out of the device's reach; most by the head of the chain. */
class ChainRecords {
  /** Links between descriptors: the free ones, and those of each chain. */
  readonly next: Int32Array;
  /** Descriptors of an outstanding chain; 0 for any other. */
  readonly descriptors: Uint16Array;
  readonly token: Float64Array;
  readonly writable: Float64Array;
  readonly published: Uint8Array;
  /** What the available ring should hold: heads by slot. And the slot of each head. */
  readonly order: Uint16Array;
  readonly slot: Uint16Array;

  /**
   * All of it lies in one buffer: making seven costs more than a queue of a short program is used for. `behindLast`: where
   * the last descriptor's link leads.
   */
  constructor(size: number, behindLast: number) {
    const buffer = new ArrayBuffer(size * RECORD_BYTES);
    this.token = new Float64Array(buffer, 0, size);
    this.writable = new Float64Array(buffer, 8 * size, size);
    this.next = new Int32Array(buffer, 16 * size, size);
    this.descriptors = new Uint16Array(buffer, 20 * size, size);
    this.order = new Uint16Array(buffer, 22 * size, size);
    this.slot = new Uint16Array(buffer, 24 * size, size);
    this.published = new Uint8Array(buffer, 26 * size, size);
    for (let i = 0; i < size - 1; i++) this.next[i] = i + 1;
    this.next[size - 1] = behindLast;
  }
}
