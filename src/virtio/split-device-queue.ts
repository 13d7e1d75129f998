/**
 * Device half of a split virtqueue. Everything that it reads was written by a driver that may be hostile and may change it
 * at any moment: each field is read once, checked, and kept; work for one chain is bounded by the size of the queue.
 */
import { SplitDescriptorChain } from './split-chain.js';
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
import { InFlightOrder } from './in-flight.js';
import type { RingObserver } from './observer.js';
import type {
  DescriptorChain,
  DeviceQueue,
  QueueConfig,
  QueuePosition,
  RingFeatures,
  TakeResult,
} from './queue.js';
import {
  Avail,
  Used,
  availEventOffset,
  availRingBytes,
  descriptorTableBytes,
  needsEvent,
  splitQueueFault,
  usedEventOffset,
  usedRingBytes,
} from './split-layout.js';
import { UsedReports } from './used-reports.js';

/** The device half's state as plain data, for tests and for people. Indices are 16-bit and free-running. */
export interface SplitDeviceQueueState {
  readonly size: number;
  /** Available index up to which chains have been taken. */
  readonly nextAvail: number;
  /** Used index, what is staged included. */
  readonly usedIdx: number;
  readonly inFlight: number;
  /** Used index at the last decision about an interrupt; before the first, where the queue started. */
  readonly signalledUsed: number;
  readonly broken: string | undefined;
}

export class SplitDeviceQueue implements DeviceQueue {
  readonly index: number;
  readonly size: number;
  readonly #mask: number;
  readonly #eventIdx: boolean;
  readonly #indirect: boolean;
  readonly #observer: RingObserver | undefined;
  readonly #reports: UsedReports | undefined;
  readonly #memory: GuestMemory;
  readonly #descriptors: MemoryWindow;
  readonly #avail: MemoryWindow;
  readonly #used: MemoryWindow;

  /** By head: 1 while its chain is with the device. */
  readonly #taken: Uint8Array;
  readonly #order: InFlightOrder | undefined;
  #nextAvail: number;
  #usedIdx: number;
  #inFlight = 0;
  /** Chains that were available at the last look and have not been taken since: no look is needed for them. */
  #seen = 0;
  #notificationsEnabled = true;
  /** Elements written to the ring and not yet published. */
  #staged = 0;
  /** Elements returned since the last decision about an interrupt, or since the start. */
  #unsignalled = 0;
  #broken: string | undefined;

  /** Throws RangeError when `splitQueueFault` finds fault with `config`; ask it first. */
  constructor(memory: GuestMemory, config: QueueConfig, features: RingFeatures, observer?: RingObserver) {
    const { index, size, start } = config;
    this.index = index;
    this.size = size;
    this.#mask = size - 1;
    this.#eventIdx = features.eventIdx;
    this.#indirect = features.indirect;
    this.#observer = observer;
    this.#reports = observer && new UsedReports(observer, index, size);
    this.#memory = memory;
    const descriptors = memory.window(config.descriptors, descriptorTableBytes(size));
    const avail = memory.window(config.driver, availRingBytes(size));
    const used = memory.window(config.device, usedRingBytes(size));
    const fault = splitQueueFault(memory, config);
    if (fault !== undefined || descriptors === undefined || avail === undefined || used === undefined) {
      throw new RangeError(`queue ${index}: ${fault ?? 'not in guest memory'}`);
    }
    this.#descriptors = descriptors;
    this.#avail = avail;
    this.#used = used;
    this.#taken = new Uint8Array(size);
    this.#order = features.inOrder === true ? new InFlightOrder(size) : undefined;
    this.#nextAvail = start?.avail ?? 0;
    this.#usedIdx = start?.used ?? 0;
  }

  get broken(): string | undefined {
    return this.#broken;
  }
  get inFlight(): number {
    return this.#inFlight;
  }
  get inOrder(): boolean {
    return this.#order !== undefined;
  }
  get position(): QueuePosition {
    return { avail: this.#nextAvail, used: this.#usedIdx };
  }

  available(): number {
    if (this.#broken !== undefined) return 0;
    // The load comes before the reads of ring slots and descriptors (B3).
    const availIdx = this.#avail.load16(Avail.IDX);
    const available = (availIdx - this.#nextAvail) & 0xffff;
    if (available + this.#inFlight > this.size) {
      this.#broken = `available index went from ${this.#nextAvail} to ${availIdx} with ${this.#inFlight} chains in flight; size ${this.size}`;
      return 0;
    }
    this.#seen = available;
    return available;
  }

  newChain(): SplitDescriptorChain {
    return new SplitDescriptorChain(this.#memory);
  }

  take(chain: DescriptorChain): TakeResult {
    if (!(chain instanceof SplitDescriptorChain))
      throw new TypeError('take: the chain is not from newChain()');
    if (this.#seen === 0 && this.available() === 0) return this.#broken === undefined ? 'empty' : 'broken';
    if (this.#broken !== undefined) return 'broken';
    const head = this.#avail.get16(Avail.RING + Avail.ENTRY * (this.#nextAvail & this.#mask));
    const fault = this.#headFault(head) ?? chain.fill(head, this.#descriptors, this.size, this.#indirect);
    if (fault !== undefined) {
      this.#broken = fault;
      return 'broken';
    }
    this.#nextAvail = (this.#nextAvail + 1) & 0xffff;
    this.#seen--;
    this.#taken[head] = 1;
    this.#order?.push(head, chain.writableBytes);
    this.#inFlight++;
    this.#observer?.taken(this.index, head);
    return 'chain';
  }

  #headFault(head: number): string | undefined {
    if (head >= this.size) return `head ${head} is out of range; size ${this.size}`;
    if (this.#taken[head] === 1) return `head ${head} was made available while its chain is in flight`;
    return undefined;
  }

  /**
   * Nothing happens on a broken queue. Throws RangeError for a head that is not in flight, with IN_ORDER also for one that
   * is not the oldest: the device's own fault.
   */
  putUsed(head: number, written: number): void {
    this.stageUsed(head, written);
    this.publishUsed();
  }

  /** As `putUsed`. */
  stageUsed(head: number, written: number): void {
    if (this.#broken !== undefined) return;
    this.#checkTaken(head);
    if (this.#order !== undefined) {
      if (this.#order.head(0) !== head)
        throw new RangeError(`queue ${this.index}: chain ${head} is not the oldest, and its use is in order`);
      this.#order.drop(1);
    }
    this.#taken[head] = 0;
    this.#writeUsed(head, written, 1);
    this.#reports?.add(head, written);
  }

  /** As `putUsed`. Throws RangeError too when IN_ORDER is not negotiated. */
  putUsedUpTo(head: number, written: number): void {
    if (this.#broken !== undefined) return;
    this.#checkTaken(head);
    const order = this.#order;
    if (order === undefined) throw new RangeError(`queue ${this.index}: its use is not in order`);
    const count = order.upTo(head);
    for (let i = 0; i < count; i++) this.#taken[order.head(i)] = 0;
    this.#writeUsed(head, written, count);
    for (let i = 0; i < count; i++) {
      const bytes = i === count - 1 ? written : order.writableBytes(i);
      this.#reports?.add(order.head(i), bytes);
    }
    order.drop(count);
    this.publishUsed();
  }

  #checkTaken(head: number): void {
    if (this.#taken[head] !== 1) throw new RangeError(`queue ${this.index}: chain ${head} is not in flight`);
  }

  /** Writes one element, unpublished, that stands for `count` chains; the slots between keep what they had. */
  #writeUsed(head: number, written: number, count: number): void {
    const at = Used.RING + Used.ENTRY * (this.#usedIdx & this.#mask);
    this.#used.set32(at + Used.ID, head);
    this.#used.set32(at + Used.LEN, written);
    this.#inFlight -= count;
    this.#usedIdx = (this.#usedIdx + count) & 0xffff;
    this.#staged += count;
  }

  publishUsed(): void {
    if (this.#staged === 0 || this.#broken !== undefined) return;
    // Publishes the data and the elements written before it (B4).
    this.#used.store16(Used.IDX, this.#usedIdx);
    this.#unsignalled += this.#staged;
    this.#staged = 0;
    this.#reports?.tell();
  }

  interruptWanted(): boolean {
    this.publishUsed();
    if (this.#unsignalled === 0 || this.#broken !== undefined) return false;
    // The store of the used index is seen before this look at the driver's wish (B5).
    const wanted = this.#eventIdx ? this.#usedEventPassed() : !this.#interruptsDisabled();
    this.#unsignalled = 0;
    this.#observer?.interrupt(this.index, this.#usedIdx, wanted);
    return wanted;
  }

  #usedEventPassed(): boolean {
    const event = this.#avail.load16(usedEventOffset(this.size));
    if (this.#unsignalled > 0xffff) return true;
    return needsEvent(event, this.#usedIdx, (this.#usedIdx - this.#unsignalled) & 0xffff);
  }

  #interruptsDisabled(): boolean {
    return (this.#avail.load16(Avail.FLAGS) & Avail.NO_INTERRUPT) !== 0;
  }

  disableNotifications(): void {
    if (this.#broken !== undefined || !this.#notificationsEnabled) return;
    this.#notificationsEnabled = false;
    // With EVENT_IDX an entry that has passed is named, so that the next notification is 65536 chains away.
    if (this.#eventIdx) this.#used.store16(availEventOffset(this.size), (this.#nextAvail - 1) & 0xffff);
    else this.#used.store16(Used.FLAGS, Used.NO_NOTIFY);
  }

  enableNotifications(): boolean {
    if (this.#broken !== undefined) return false;
    this.#notificationsEnabled = true;
    if (this.#eventIdx) this.#used.store16(availEventOffset(this.size), this.#nextAvail);
    else this.#used.store16(Used.FLAGS, 0);
    // The store is seen before the index is read again (B8): either the driver sees it, or its chain is seen here.
    const waiting = this.available() > 0;
    if (!waiting) this.#observer?.asleep(this.index, 'device');
    return waiting;
  }

  stop(why: string): void {
    this.#broken ??= why;
  }

  state(): SplitDeviceQueueState {
    return {
      size: this.size,
      nextAvail: this.#nextAvail,
      usedIdx: this.#usedIdx,
      inFlight: this.#inFlight,
      signalledUsed: (this.#usedIdx - this.#staged - this.#unsignalled) & 0xffff,
      broken: this.#broken,
    };
  }
}
