/**
 * Device half of a packed virtqueue. Everything that it reads was written by a driver that may be hostile and may change it
 * at any moment: each field is read once, checked, and kept; work for one chain is bounded by the size of the queue.
 */
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
import { InFlightOrder } from './in-flight.js';
import type { RingObserver } from './observer.js';
import { PackedDescriptorChain } from './packed-chain.js';
import {
  EventMode,
  PACKED_START,
  PackedDescriptor,
  PackedEvent,
  PackedFlag,
  advance,
  isAvailable,
  packedQueueFault,
  positionPassed,
  slotOf,
  usedMark,
} from './packed-layout.js';
import type {
  DescriptorChain,
  DeviceQueue,
  QueueConfig,
  QueuePosition,
  RingFeatures,
  TakeResult,
} from './queue.js';
import { UsedReports } from './used-reports.js';

/** The device half's state as plain data, for tests and for people. Positions are slots with the wrap counter in bit 15. */
export interface PackedDeviceQueueState {
  readonly size: number;
  /** Position at which the next chain will appear. */
  readonly nextAvail: number;
  /** Position at which the next used element goes. */
  readonly nextUsed: number;
  readonly inFlight: number;
  /** Descriptors of the chains in flight. */
  readonly descriptorsInFlight: number;
  /** Descriptors passed by used elements since the last decision about an interrupt. */
  readonly unsignalled: number;
  readonly broken: string | undefined;
}

/** Buffer ids are 16 bits, and nothing binds a driver to those below the queue's size. */
const IDS = 0x1_0000;

export class PackedDeviceQueue implements DeviceQueue {
  readonly index: number;
  readonly size: number;
  readonly #eventIdx: boolean;
  readonly #indirect: boolean;
  readonly #observer: RingObserver | undefined;
  readonly #reports: UsedReports | undefined;
  readonly #memory: GuestMemory;
  readonly #ring: MemoryWindow;
  readonly #driverEvent: MemoryWindow;
  readonly #deviceEvent: MemoryWindow;

  /** By buffer id: the descriptors of its chain while the device has it, else 0. Longer once an id beyond the size came. */
  #taken: Uint16Array;
  readonly #order: InFlightOrder | undefined;
  #nextAvail: number;
  #nextUsed: number;
  #inFlight = 0;
  #descriptorsInFlight = 0;
  /** Chains and descriptors from `nextAvail` on that the last look found available, and whether it ended within a chain. */
  #seen = 0;
  #looked = 0;
  #within = false;
  #notificationsEnabled = true;
  /** Descriptors passed since the last decision about an interrupt, or since the start; and chains returned, 16 bits. */
  #unsignalled = 0;
  /** Descriptors passed by elements that do not show yet: where the first of them stands, and the flags that will show it. */
  #staged = 0;
  #stagedAt = 0;
  #stagedFlags = 0;
  #returned = 0;
  #broken: string | undefined;

  /** Throws RangeError when `packedQueueFault` finds fault with `config`; ask it first. */
  constructor(memory: GuestMemory, config: QueueConfig, features: RingFeatures, observer?: RingObserver) {
    const { index, size, start } = config;
    this.index = index;
    this.size = size;
    this.#eventIdx = features.eventIdx;
    this.#indirect = features.indirect;
    this.#observer = observer;
    this.#reports = observer && new UsedReports(observer, index, size);
    this.#memory = memory;
    const ring = memory.window(config.descriptors, PackedDescriptor.SIZE * size);
    const driverEvent = memory.window(config.driver, PackedEvent.SIZE);
    const deviceEvent = memory.window(config.device, PackedEvent.SIZE);
    const fault = packedQueueFault(memory, config);
    if (fault !== undefined || ring === undefined || driverEvent === undefined || deviceEvent === undefined) {
      throw new RangeError(`queue ${index}: ${fault ?? 'not in guest memory'}`);
    }
    this.#ring = ring;
    this.#driverEvent = driverEvent;
    this.#deviceEvent = deviceEvent;
    this.#taken = new Uint16Array(size);
    this.#order = features.inOrder === true ? new InFlightOrder(size) : undefined;
    this.#nextAvail = start?.avail ?? PACKED_START;
    this.#nextUsed = start?.used ?? PACKED_START;
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
    return { avail: this.#nextAvail, used: this.#nextUsed };
  }

  /**
   * Goes on over flags from where the last look ended; `take` reads them again. A chain that runs on into what is not
   * available, or into what is in flight, counts: it is for `take` to find fault with.
   */
  available(): number {
    if (this.#broken !== undefined) return 0;
    if (this.#seen === 0) this.#forgetSeen();
    let position = advance(this.#nextAvail, this.#looked, this.size);
    for (let left = this.size - this.#descriptorsInFlight - this.#looked; left > 0; left--) {
      const flags = this.#flagsAt(position);
      if (!isAvailable(flags, position)) break;
      if (!this.#within) this.#seen++;
      this.#within = (flags & PackedFlag.NEXT) !== 0;
      this.#looked++;
      position = advance(position, 1, this.size);
    }
    return this.#seen;
  }

  #forgetSeen(): void {
    this.#seen = 0;
    this.#looked = 0;
    this.#within = false;
  }

  newChain(): PackedDescriptorChain {
    return new PackedDescriptorChain(this.#memory);
  }

  take(chain: DescriptorChain): TakeResult {
    if (!(chain instanceof PackedDescriptorChain))
      throw new TypeError('take: the chain is not from newChain()');
    if (this.#broken !== undefined) return 'broken';
    // The load comes before the reads of the descriptors (B3).
    const flags = this.#flagsAt(this.#nextAvail);
    if (!isAvailable(flags, this.#nextAvail)) {
      this.#forgetSeen();
      return 'empty';
    }
    const room = this.size - this.#descriptorsInFlight;
    const fault =
      chain.fill(this.#ring, this.#nextAvail, flags, this.size, room, this.#indirect) ??
      this.#idFault(chain.head);
    if (fault !== undefined) {
      this.#broken = fault;
      return 'broken';
    }
    this.#nextAvail = advance(this.#nextAvail, chain.descriptors, this.size);
    this.#taken[chain.head] = chain.descriptors;
    this.#order?.push(chain.head, chain.writableBytes);
    this.#inFlight++;
    this.#descriptorsInFlight += chain.descriptors;
    // A driver that changed what was seen here is looked at anew.
    if (this.#seen > 0 && this.#looked > chain.descriptors) {
      this.#seen--;
      this.#looked -= chain.descriptors;
    } else this.#forgetSeen();
    this.#observer?.taken(this.index, chain.head);
    return 'chain';
  }

  #idFault(id: number): string | undefined {
    if (id >= this.#taken.length) {
      const taken = new Uint16Array(IDS);
      taken.set(this.#taken);
      this.#taken = taken;
    }
    return this.#taken[id] === 0 ? undefined : `id ${id} was made available while its chain is in flight`;
  }

  #flagsAt(position: number): number {
    return this.#ring.load16(PackedDescriptor.SIZE * slotOf(position) + PackedDescriptor.FLAGS);
  }

  /**
   * Nothing happens on a broken queue. Throws RangeError for an id that is not in flight, with IN_ORDER also for one that is
   * not the oldest: the device's own fault.
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
    this.#writeUsed(head, written, this.#release(head));
    this.#returned = (this.#returned + 1) & 0xffff;
    this.#reports?.add(head, written);
  }

  /** As `putUsed`. Throws RangeError too when IN_ORDER is not negotiated. */
  putUsedUpTo(head: number, written: number): void {
    if (this.#broken !== undefined) return;
    this.#checkTaken(head);
    const order = this.#order;
    if (order === undefined) throw new RangeError(`queue ${this.index}: its use is not in order`);
    const count = order.upTo(head);
    let passed = 0;
    for (let i = 0; i < count; i++) passed += this.#release(order.head(i));
    this.#writeUsed(head, written, passed);
    this.#returned = (this.#returned + count) & 0xffff;
    for (let i = 0; i < count; i++) {
      const bytes = i === count - 1 ? written : order.writableBytes(i);
      this.#reports?.add(order.head(i), bytes);
    }
    order.drop(count);
    this.publishUsed();
  }

  #checkTaken(head: number): void {
    const descriptors = head < this.#taken.length ? this.#taken[head] : 0;
    if (descriptors === 0) throw new RangeError(`queue ${this.index}: chain ${head} is not in flight`);
  }

  /** Takes a chain out of flight. Returns its descriptors. */
  #release(head: number): number {
    const descriptors = this.#taken[head];
    this.#taken[head] = 0;
    this.#inFlight--;
    this.#descriptorsInFlight -= descriptors;
    return descriptors;
  }

  /**
   * Writes one used element and goes on by all descriptors that it stands for. The driver looks at one slot after the other,
   * so that what is behind an element that does not show yet cannot be seen either.
   */
  #writeUsed(head: number, written: number, passed: number): void {
    const at = PackedDescriptor.SIZE * slotOf(this.#nextUsed);
    this.#ring.set16(at + PackedDescriptor.ID, head);
    this.#ring.set32(at + PackedDescriptor.LEN, written);
    const flags = usedMark(this.#nextUsed) | (written > 0 ? PackedFlag.WRITE : 0);
    this.#nextUsed = advance(this.#nextUsed, passed, this.size);
    if (this.#staged === 0) {
      this.#stagedAt = at;
      this.#stagedFlags = flags;
    } else this.#ring.set16(at + PackedDescriptor.FLAGS, flags);
    this.#staged += passed;
  }

  publishUsed(): void {
    if (this.#staged === 0 || this.#broken !== undefined) return;
    this.#unsignalled += this.#staged;
    this.#staged = 0;
    // Publishes the data and the elements written before it (B4).
    this.#ring.store16(this.#stagedAt + PackedDescriptor.FLAGS, this.#stagedFlags);
    this.#reports?.tell();
  }

  interruptWanted(): boolean {
    this.publishUsed();
    if (this.#unsignalled === 0 || this.#broken !== undefined) return false;
    // The store of the flags is seen before this look at the driver's wish (B5).
    const wanted = this.#driverWants();
    this.#unsignalled = 0;
    this.#observer?.interrupt(this.index, this.#returned, wanted);
    return wanted;
  }

  /** The mode is read first: when it says DESC, the position that goes with it was written before. */
  #driverWants(): boolean {
    const mode = this.#driverEvent.load16(PackedEvent.MODE) & EventMode.MASK;
    if (mode !== EventMode.DESC || !this.#eventIdx) return mode !== EventMode.DISABLE;
    const event = this.#driverEvent.load16(PackedEvent.POSITION);
    return positionPassed(event, this.#nextUsed, this.#unsignalled, this.size);
  }

  disableNotifications(): void {
    if (this.#broken !== undefined || !this.#notificationsEnabled) return;
    this.#notificationsEnabled = false;
    this.#deviceEvent.store16(PackedEvent.MODE, EventMode.DISABLE);
  }

  enableNotifications(): boolean {
    if (this.#broken !== undefined) return false;
    this.#notificationsEnabled = true;
    if (this.#eventIdx) {
      this.#deviceEvent.store16(PackedEvent.POSITION, this.#nextAvail);
      this.#deviceEvent.store16(PackedEvent.MODE, EventMode.DESC);
    } else this.#deviceEvent.store16(PackedEvent.MODE, EventMode.ENABLE);
    // The store is seen before the flags are read again (B8): either the driver sees it, or its chain is seen here.
    const waiting = isAvailable(this.#flagsAt(this.#nextAvail), this.#nextAvail);
    if (!waiting) this.#observer?.asleep(this.index, 'device');
    return waiting;
  }

  stop(why: string): void {
    this.#broken ??= why;
  }

  state(): PackedDeviceQueueState {
    return {
      size: this.size,
      nextAvail: this.#nextAvail,
      nextUsed: this.#nextUsed,
      inFlight: this.#inFlight,
      descriptorsInFlight: this.#descriptorsInFlight,
      unsignalled: this.#unsignalled,
      broken: this.#broken,
    };
  }
}
