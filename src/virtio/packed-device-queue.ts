/**
 * Device half of a packed virtqueue. Everything that it reads was written by a driver that may be hostile and may change it
 * at any moment: each field is read once, checked, and kept; work for one chain is bounded by the size of the queue.
 */
import { DeviceHalf } from './device-half.js';
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
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
import type { DescriptorChain, DeviceQueue, QueueConfig, RingFeatures, TakeResult } from './queue.js';

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

export class PackedDeviceQueue extends DeviceHalf implements DeviceQueue {
  readonly #ring: MemoryWindow;
  readonly #driverEvent: MemoryWindow;
  readonly #deviceEvent: MemoryWindow;

  /** By buffer id: the descriptors of its chain while the device has it, else 0. Longer once an id beyond the size came. */
  #taken: Uint16Array;
  #descriptorsInFlight = 0;
  /** Chains and descriptors from `nextAvail` on that the last look found available, and whether it ended within a chain. */
  #seen = 0;
  #looked = 0;
  #within = false;
  /** Where the first element that does not show yet stands, and the flags that will show it. */
  #stagedAt = 0;
  #stagedFlags = 0;
  /** Chains returned, 16 bits. */
  #returned = 0;

  /** Throws RangeError when `packedQueueFault` finds fault with `config`; ask it first. */
  constructor(memory: GuestMemory, config: QueueConfig, features: RingFeatures, observer?: RingObserver) {
    super(packedQueueFault(memory, config), memory, config, features, observer, PACKED_START);
    this.#ring = this.area(config.descriptors, PackedDescriptor.SIZE * this.size);
    this.#driverEvent = this.area(config.driver, PackedEvent.SIZE);
    this.#deviceEvent = this.area(config.device, PackedEvent.SIZE);
    this.#taken = new Uint16Array(this.size);
  }

  /**
   * Goes on over flags from where the last look ended; `take` reads them again. A chain that runs on into what is not
   * available, or into what is in flight, counts: it is for `take` to find fault with.
   */
  available(): number {
    if (this.fault !== undefined) return 0;
    if (this.#seen === 0) this.#forgetSeen();
    let position = advance(this.nextAvail, this.#looked, this.size);
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
    return new PackedDescriptorChain(this.memory);
  }

  take(chain: DescriptorChain): TakeResult {
    if (!(chain instanceof PackedDescriptorChain))
      throw new TypeError('take: the chain is not from newChain()');
    if (this.fault !== undefined) return 'broken';
    // The load comes before the reads of the descriptors (B3).
    const flags = this.#flagsAt(this.nextAvail);
    if (!isAvailable(flags, this.nextAvail)) {
      this.#forgetSeen();
      return 'empty';
    }
    const room = this.size - this.#descriptorsInFlight;
    const rule = chain.fill(this.#ring, this.nextAvail, flags, this.size, room, this.indirect);
    const fault =
      rule === undefined ? this.#idFault(chain.head) : `chain at slot ${slotOf(this.nextAvail)}: ${rule}`;
    if (fault !== undefined) {
      this.fault = fault;
      return 'broken';
    }
    this.nextAvail = advance(this.nextAvail, chain.descriptors, this.size);
    this.#taken[chain.head] = chain.descriptors;
    this.order?.push(chain.head, chain.writableBytes);
    this.chainsInFlight++;
    this.#descriptorsInFlight += chain.descriptors;
    // A driver that changed what was seen here is looked at anew.
    if (this.#seen > 0 && this.#looked > chain.descriptors) {
      this.#seen--;
      this.#looked -= chain.descriptors;
    } else this.#forgetSeen();
    this.observer?.taken(this.index, chain.head);
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

  protected isTaken(head: number): boolean {
    return head < this.#taken.length && this.#taken[head] !== 0;
  }

  /** A chain counts for each of its descriptors. */
  protected release(head: number): number {
    const descriptors = this.#taken[head];
    this.#taken[head] = 0;
    this.#descriptorsInFlight -= descriptors;
    return descriptors;
  }

  /**
   * Writes one used element and goes on by all descriptors that it stands for. The driver looks at one slot after the other,
   * so that what is behind an element that does not show yet cannot be seen either.
   */
  protected writeUsed(head: number, written: number, steps: number, chains: number): void {
    const at = PackedDescriptor.SIZE * slotOf(this.nextUsed);
    const flags = usedMark(this.nextUsed) | (written > 0 ? PackedFlag.WRITE : 0);
    this.nextUsed = advance(this.nextUsed, steps, this.size);
    if (this.staged === 0) {
      this.#ring.set32(at + PackedDescriptor.LEN, written);
      this.#ring.set16(at + PackedDescriptor.ID, head);
      this.#stagedAt = at;
      this.#stagedFlags = flags;
    } else this.#ring.set32x2(at + PackedDescriptor.LEN, written, head | (flags << 16));
    this.staged += steps;
    this.#returned = (this.#returned + chains) & 0xffff;
  }

  publishUsed(): void {
    if (this.staged === 0 || this.fault !== undefined) return;
    this.unsignalled += this.staged;
    this.staged = 0;
    // Publishes the data and the elements written before it (B4).
    this.#ring.store16(this.#stagedAt + PackedDescriptor.FLAGS, this.#stagedFlags);
    this.reports?.tell();
  }

  interruptWanted(): boolean {
    this.publishUsed();
    if (this.unsignalled === 0 || this.fault !== undefined) return false;
    // The store of the flags is seen before this look at the driver's wish (B5).
    const wanted = this.#driverWants();
    this.unsignalled = 0;
    this.observer?.interrupt(this.index, this.#returned, wanted);
    return wanted;
  }

  /** The mode is read first: when it says DESC, the position that goes with it was written before. */
  #driverWants(): boolean {
    const mode = this.#driverEvent.load16(PackedEvent.MODE) & EventMode.MASK;
    if (mode !== EventMode.DESC || !this.eventIdx) return mode !== EventMode.DISABLE;
    const event = this.#driverEvent.load16(PackedEvent.POSITION);
    return positionPassed(event, this.nextUsed, this.unsignalled, this.size);
  }

  disableNotifications(): void {
    if (this.fault !== undefined || !this.notificationsEnabled) return;
    this.notificationsEnabled = false;
    this.#deviceEvent.store16(PackedEvent.MODE, EventMode.DISABLE);
  }

  enableNotifications(): boolean {
    if (this.fault !== undefined) return false;
    this.notificationsEnabled = true;
    if (this.eventIdx) {
      this.#deviceEvent.store16(PackedEvent.POSITION, this.nextAvail);
      this.#deviceEvent.store16(PackedEvent.MODE, EventMode.DESC);
    } else this.#deviceEvent.store16(PackedEvent.MODE, EventMode.ENABLE);
    // The store is seen before the flags are read again (B8): either the driver sees it, or its chain is seen here.
    const waiting = isAvailable(this.#flagsAt(this.nextAvail), this.nextAvail);
    if (!waiting) this.observer?.asleep(this.index, 'device');
    return waiting;
  }

  state(): PackedDeviceQueueState {
    return {
      size: this.size,
      nextAvail: this.nextAvail,
      nextUsed: this.nextUsed,
      inFlight: this.chainsInFlight,
      descriptorsInFlight: this.#descriptorsInFlight,
      unsignalled: this.unsignalled,
      broken: this.fault,
    };
  }
}
