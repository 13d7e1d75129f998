/**
 * Device half of a split virtqueue. Everything that it reads was written by a driver that may be hostile and may change it
 * at any moment: each field is read once, checked, and kept; work for one chain is bounded by the size of the queue.
 */
import { DeviceHalf } from './device-half.js';
import { SplitDescriptorChain } from './split-chain.js';
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
import type { RingObserver } from './observer.js';
import type { DescriptorChain, DeviceQueue, QueueConfig, RingFeatures, TakeResult } from './queue.js';
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

export class SplitDeviceQueue extends DeviceHalf implements DeviceQueue {
  readonly #mask: number;
  readonly #descriptors: MemoryWindow;
  readonly #avail: MemoryWindow;
  readonly #used: MemoryWindow;

  /** By head: 1 while its chain is with the device. */
  readonly #taken: Uint8Array;
  /** Chains that were available at the last look and have not been taken since: no look is needed for them. */
  #seen = 0;

  /** Throws RangeError when `splitQueueFault` finds fault with `config`; ask it first. */
  constructor(memory: GuestMemory, config: QueueConfig, features: RingFeatures, observer?: RingObserver) {
    super(splitQueueFault(memory, config), memory, config, features, observer, 0);
    const { size } = config;
    this.#mask = size - 1;
    this.#descriptors = this.area(config.descriptors, descriptorTableBytes(size));
    this.#avail = this.area(config.driver, availRingBytes(size));
    this.#used = this.area(config.device, usedRingBytes(size));
    this.#taken = new Uint8Array(size);
  }

  available(): number {
    if (this.fault !== undefined) return 0;
    // The load comes before the reads of ring slots and descriptors (B3).
    const availIdx = this.#avail.load16(Avail.IDX);
    const available = (availIdx - this.nextAvail) & 0xffff;
    if (available + this.chainsInFlight > this.size) {
      this.fault = `available index went from ${this.nextAvail} to ${availIdx} with ${this.chainsInFlight} chains in flight; size ${this.size}`;
      return 0;
    }
    this.#seen = available;
    return available;
  }

  newChain(): SplitDescriptorChain {
    return new SplitDescriptorChain(this.memory);
  }

  take(chain: DescriptorChain): TakeResult {
    if (!(chain instanceof SplitDescriptorChain))
      throw new TypeError('take: the chain is not from newChain()');
    if (this.#seen === 0 && this.available() === 0) return this.fault === undefined ? 'empty' : 'broken';
    if (this.fault !== undefined) return 'broken';
    const head = this.#avail.get16(Avail.RING + Avail.ENTRY * (this.nextAvail & this.#mask));
    const fault = this.#headFault(head) ?? chain.fill(head, this.#descriptors, this.size, this.indirect);
    if (fault !== undefined) {
      this.fault = fault;
      return 'broken';
    }
    this.nextAvail = (this.nextAvail + 1) & 0xffff;
    this.#seen--;
    this.#taken[head] = 1;
    this.order?.push(head, chain.writableBytes);
    this.chainsInFlight++;
    this.observer?.taken(this.index, head);
    return 'chain';
  }

  #headFault(head: number): string | undefined {
    if (head >= this.size) return `head ${head} is out of range; size ${this.size}`;
    if (this.#taken[head] === 1) return `head ${head} was made available while its chain is in flight`;
    return undefined;
  }

  protected isTaken(head: number): boolean {
    return this.#taken[head] === 1;
  }

  /** A chain counts for one step of the used index, however many descriptors it has. */
  protected release(head: number): number {
    this.#taken[head] = 0;
    return 1;
  }

  /** The slots between keep what they had. */
  protected writeUsed(head: number, written: number, steps: number): void {
    const at = Used.RING + Used.ENTRY * (this.nextUsed & this.#mask);
    this.#used.set32x2(at, head, written);
    this.nextUsed = (this.nextUsed + steps) & 0xffff;
    this.staged += steps;
  }

  publishUsed(): void {
    if (this.staged === 0 || this.fault !== undefined) return;
    // Publishes the data and the elements written before it (B4).
    this.#used.store16(Used.IDX, this.nextUsed);
    this.unsignalled += this.staged;
    this.staged = 0;
    this.reports?.tell();
  }

  interruptWanted(): boolean {
    this.publishUsed();
    if (this.unsignalled === 0 || this.fault !== undefined) return false;
    // The store of the used index is seen before this look at the driver's wish (B5).
    const wanted = this.eventIdx ? this.#usedEventPassed() : !this.#interruptsDisabled();
    this.unsignalled = 0;
    this.observer?.interrupt(this.index, this.nextUsed, wanted);
    return wanted;
  }

  #usedEventPassed(): boolean {
    const event = this.#avail.load16(usedEventOffset(this.size));
    if (this.unsignalled > 0xffff) return true;
    return needsEvent(event, this.nextUsed, (this.nextUsed - this.unsignalled) & 0xffff);
  }

  #interruptsDisabled(): boolean {
    return (this.#avail.load16(Avail.FLAGS) & Avail.NO_INTERRUPT) !== 0;
  }

  disableNotifications(): void {
    if (this.fault !== undefined || !this.notificationsEnabled) return;
    this.notificationsEnabled = false;
    // With EVENT_IDX an entry that has passed is named, so that the next notification is 65536 chains away.
    if (this.eventIdx) this.#used.store16(availEventOffset(this.size), (this.nextAvail - 1) & 0xffff);
    else this.#used.store16(Used.FLAGS, Used.NO_NOTIFY);
  }

  enableNotifications(): boolean {
    if (this.fault !== undefined) return false;
    this.notificationsEnabled = true;
    if (this.eventIdx) this.#used.store16(availEventOffset(this.size), this.nextAvail);
    else this.#used.store16(Used.FLAGS, 0);
    // The store is seen before the index is read again (B8): either the driver sees it, or its chain is seen here.
    const waiting = this.available() > 0;
    if (!waiting) this.observer?.asleep(this.index, 'device');
    return waiting;
  }

  state(): SplitDeviceQueueState {
    return {
      size: this.size,
      nextAvail: this.nextAvail,
      usedIdx: this.nextUsed,
      inFlight: this.chainsInFlight,
      signalledUsed: (this.nextUsed - this.staged - this.unsignalled) & 0xffff,
      broken: this.fault,
    };
  }
}
