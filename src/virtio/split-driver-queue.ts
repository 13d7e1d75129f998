/**
 * Driver half of a split virtqueue. It keeps its own record of every chain and believes nothing that it finds in the used
 * ring: a device that breaks the rules makes the queue `broken`, and nothing else happens.
 */
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
import type { RingObserver } from './observer.js';
import type { DriverQueue, QueueConfig, RingFeatures, UsedElement } from './queue.js';
import {
  Avail,
  CHAIN_BYTES_MAX,
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

/**
 * Memory for indirect tables: one table of `entriesPerTable` descriptors for each entry of the queue, from `address` (a
 * multiple of 16) on. A chain with more parts than a table holds goes into the ring directly.
 */
export interface IndirectArea {
  readonly address: number;
  readonly entriesPerTable: number;
}

/** Bytes of the indirect tables of a queue of `size` entries. */
export function indirectAreaBytes(size: number, entriesPerTable: number): number {
  return size * entriesPerTable * Descriptor.SIZE;
}

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

export class SplitDriverQueue implements DriverQueue {
  readonly index: number;
  readonly size: number;
  readonly #mask: number;
  readonly #eventIdx: boolean;
  readonly #indirect: IndirectArea | undefined;
  readonly #observer: RingObserver | undefined;
  readonly #descriptors: MemoryWindow;
  readonly #avail: MemoryWindow;
  readonly #used: MemoryWindow;
  readonly #tables: MemoryWindow | undefined;

  /** Made with the first chain: most queues of a device are set up and never used. */
  #records: ChainRecords | undefined;
  #freeHead = 0;
  #freeCount: number;

  /** Of the chain being built. */
  #parts = 0;
  #readableParts = 0;
  #readableBytes = 0;
  #writableBytes = 0;

  #availIdx = 0;
  #pending = 0;
  #lastUsed = 0;
  #outstanding = 0;
  #interruptsEnabled = true;
  #broken: string | undefined;

  /** Clears the three areas in `memory` and starts at index 0. Throws RangeError when they are not well placed there. */
  constructor(
    memory: GuestMemory,
    config: QueueConfig,
    features: RingFeatures,
    observer?: RingObserver,
    indirectArea?: IndirectArea,
  ) {
    const { index, size } = config;
    this.index = index;
    this.size = size;
    this.#mask = size - 1;
    this.#eventIdx = features.eventIdx;
    this.#observer = observer;
    const fault = splitQueueFault(memory, config);
    if (fault !== undefined) throw new RangeError(`queue ${index}: ${fault}`);
    this.#descriptors = clearedWindow(memory, config.descriptors, descriptorTableBytes(size));
    this.#avail = clearedWindow(memory, config.driver, availRingBytes(size));
    this.#used = clearedWindow(memory, config.device, usedRingBytes(size));
    if (features.indirect && indirectArea !== undefined) {
      this.#indirect = indirectArea;
      const bytes = indirectAreaBytes(size, indirectArea.entriesPerTable);
      this.#tables = clearedWindow(memory, indirectArea.address, bytes);
    }
    this.#freeCount = size;
  }

  get outstanding(): number {
    return this.#outstanding;
  }
  get freeDescriptors(): number {
    return this.#freeCount;
  }
  get broken(): string | undefined {
    return this.#broken;
  }

  begin(): void {
    this.#parts = 0;
    this.#readableParts = 0;
    this.#readableBytes = 0;
    this.#writableBytes = 0;
  }

  /** A part of no bytes is left out. Throws Error after a writable part: readable ones come first. */
  addReadable(address: number, length: number): void {
    if (this.#parts !== this.#readableParts) throw new Error('chain: a readable part after a writable one');
    if (length === 0) return;
    this.#addPart(address, length);
    this.#readableParts++;
    this.#readableBytes += length;
  }

  addWritable(address: number, length: number): void {
    if (length === 0) return;
    this.#addPart(address, length);
    this.#writableBytes += length;
  }

  #addPart(address: number, length: number): void {
    const at = this.#parts++;
    // A chain with more parts than the queue has entries finds no room in `commit`; only the count matters then.
    if (at >= this.size) return;
    const { partAddress, partLength } = this.#chains();
    partAddress[at] = address;
    partLength[at] = length;
  }

  /** Throws Error when the chain has no part at all; no device could answer it. */
  commit(token: number, indirect = false): boolean {
    const parts = this.#parts;
    if (parts === 0) throw new Error('chain: no part with a length of 1 or more');
    const table = indirect && this.#indirect !== undefined && parts <= this.#indirect.entriesPerTable;
    const needed = table ? 1 : parts;
    const bytes = this.#readableBytes + this.#writableBytes;
    if (
      parts > this.size ||
      needed > this.#freeCount ||
      bytes > CHAIN_BYTES_MAX ||
      this.#broken !== undefined
    ) {
      this.begin();
      return false;
    }
    const head = this.#freeHead;
    if (table) this.#writeTable(head, this.#indirect);
    else this.#writeChain(head);
    this.#freeCount -= needed;
    const chains = this.#chains();
    chains.descriptors[head] = needed;
    chains.token[head] = token;
    chains.writable[head] = this.#writableBytes;
    chains.published[head] = 0;
    const slot = (this.#availIdx + this.#pending) & this.#mask;
    this.#avail.set16(Avail.RING + Avail.ENTRY * slot, head);
    chains.pending[this.#pending++] = head;
    this.#outstanding++;
    this.#observer?.available(this.index, head, this.#readableBytes, this.#writableBytes);
    this.begin();
    return true;
  }

  /** Writes the parts into free descriptors from `head` on and takes them off the free list. */
  #writeChain(head: number): void {
    const last = this.#parts - 1;
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
    const tables = this.#tables;
    if (tables === undefined) return;
    const count = this.#parts;
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
    const writable = part >= this.#readableParts ? DescriptorFlag.WRITE : 0;
    const { partAddress, partLength } = this.#chains();
    window.set64(at + Descriptor.ADDR, partAddress[part]);
    window.set32(at + Descriptor.LEN, partLength[part]);
    window.set16(at + Descriptor.FLAGS, writable | (more ? DescriptorFlag.NEXT : 0));
    window.set16(at + Descriptor.NEXT, next);
  }

  publish(): boolean {
    if (this.#pending === 0 || this.#broken !== undefined) return false;
    const old = this.#availIdx;
    const now = (old + this.#pending) & 0xffff;
    const { published, pending } = this.#chains();
    for (let i = 0; i < this.#pending; i++) published[pending[i]] = 1;
    this.#availIdx = now;
    this.#pending = 0;
    // The store publishes what was written before it (B1) and is seen before the load below is done (B2).
    this.#avail.store16(Avail.IDX, now);
    const notify = this.#eventIdx
      ? needsEvent(this.#used.load16(availEventOffset(this.size)), now, old)
      : (this.#used.load16(Used.FLAGS) & Used.NO_NOTIFY) === 0;
    this.#observer?.published(this.index, now, notify);
    return notify;
  }

  takeUsed(element: UsedElement): boolean {
    // The load comes before the reads of the element and of the data (B6).
    if (this.#waiting() === 0) return false;
    const at = Used.RING + Used.ENTRY * (this.#lastUsed & this.#mask);
    const head = this.#used.get32(at + Used.ID);
    const written = this.#used.get32(at + Used.LEN);
    const { token, writable } = this.#chains();
    if (!this.#isOutstanding(head)) return this.#fail(`used id ${head} is not outstanding`);
    if (written > writable[head]) {
      return this.#fail(
        `used length ${written} of chain ${head}, which has ${writable[head]} writable bytes`,
      );
    }
    this.#lastUsed = (this.#lastUsed + 1) & 0xffff;
    this.#free(head);
    this.#outstanding--;
    element.token = token[head];
    element.written = written;
    this.#observer?.consumed(this.index, head, written);
    return true;
  }

  hasUsed(): boolean {
    return this.#waiting() > 0;
  }

  disableInterrupts(): void {
    if (!this.#interruptsEnabled) return;
    this.#interruptsEnabled = false;
    // With EVENT_IDX an entry that has passed is named, so that the next interrupt is 65536 elements away.
    if (this.#eventIdx) this.#avail.store16(usedEventOffset(this.size), (this.#lastUsed - 1) & 0xffff);
    else this.#avail.store16(Avail.FLAGS, Avail.NO_INTERRUPT);
  }

  enableInterrupts(): boolean {
    this.#interruptsEnabled = true;
    if (this.#eventIdx) this.#avail.store16(usedEventOffset(this.size), this.#lastUsed);
    else this.#avail.store16(Avail.FLAGS, 0);
    // The store is seen before the index is read again (B7): either the device sees it, or its element is seen here.
    const waiting = this.#waiting() > 0;
    if (!waiting) this.#observer?.asleep(this.index, 'driver');
    return waiting;
  }

  state(): SplitDriverQueueState {
    return {
      size: this.size,
      availIdx: this.#availIdx,
      pending: this.#pending,
      lastUsed: this.#lastUsed,
      outstanding: this.#outstanding,
      freeDescriptors: this.#freeCount,
      broken: this.#broken,
    };
  }

  /** Used elements not yet taken; 0 when broken. Reads the device's index. */
  #waiting(): number {
    if (this.#broken !== undefined) return 0;
    const usedIdx = this.#used.load16(Used.IDX);
    const waiting = (usedIdx - this.#lastUsed) & 0xffff;
    const published = this.#outstanding - this.#pending;
    if (waiting > published) {
      this.#fail(`used index went from ${this.#lastUsed} to ${usedIdx} with ${published} chains outstanding`);
      return 0;
    }
    return waiting;
  }

  /** True for the head of a chain that was published and has not come back. */
  #isOutstanding(head: number): boolean {
    const { descriptors, published } = this.#chains();
    return head < this.size && descriptors[head] !== 0 && published[head] === 1;
  }

  #free(head: number): void {
    const { descriptors, next } = this.#chains();
    let last = head;
    for (let left = descriptors[head]; left > 1; left--) last = next[last];
    next[last] = this.#freeHead;
    this.#freeHead = head;
    this.#freeCount += descriptors[head];
    descriptors[head] = 0;
  }

  #chains(): ChainRecords {
    return (this.#records ??= new ChainRecords(this.size));
  }

  #fail(why: string): false {
    this.#broken = why;
    return false;
  }
}

/** Four numbers of 8 bytes for each descriptor, one of 4, two of 2 and one of 1. */
const RECORD_BYTES = 41;

/** What the driver half keeps of its chains, out of the device's reach; most by the head of the chain. */
class ChainRecords {
  /** Links between descriptors: the free ones, and those of each chain. */
  readonly next: Int32Array;
  /** Descriptors of an outstanding chain; 0 for any other. */
  readonly descriptors: Uint16Array;
  readonly token: Float64Array;
  readonly writable: Float64Array;
  readonly published: Uint8Array;
  /** Heads of the chains committed and not yet published. */
  readonly pending: Uint16Array;
  /** Parts of the chain being built. */
  readonly partAddress: Float64Array;
  readonly partLength: Float64Array;

  /** All of it lies in one buffer: making eight costs more than a queue of a short program is used for. */
  constructor(size: number) {
    const buffer = new ArrayBuffer(size * RECORD_BYTES);
    this.token = new Float64Array(buffer, 0, size);
    this.writable = new Float64Array(buffer, 8 * size, size);
    this.partAddress = new Float64Array(buffer, 16 * size, size);
    this.partLength = new Float64Array(buffer, 24 * size, size);
    this.next = new Int32Array(buffer, 32 * size, size);
    this.descriptors = new Uint16Array(buffer, 36 * size, size);
    this.pending = new Uint16Array(buffer, 38 * size, size);
    this.published = new Uint8Array(buffer, 40 * size, size);
    for (let i = 0; i < size - 1; i++) this.next[i] = i + 1;
    this.next[size - 1] = NONE;
  }
}

function clearedWindow(memory: GuestMemory, address: number, length: number): MemoryWindow {
  const window = memory.window(address, length);
  if (window === undefined)
    throw new RangeError(`${length} bytes at ${address} are not in one region of guest memory`);
  window.zero(0, length);
  return window;
}
