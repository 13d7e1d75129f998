/**
 * The watch over one machine: driver and device each get a view of guest memory of their own, and the transport is watched
 * at the device's end. From that its rings are put together and judged; nobody has to report anything.
 */
import type { QueueMap } from '../../abi/index.js';
import type { GuestOs } from '../../driver/index.js';
import { DeviceStatus, queueFault, ringFeatures } from '../../virtio/index.js';
import type {
  FeatureSet,
  GuestMemory,
  QueueAddresses,
  QueueConfig,
  QueuePosition,
  ResumableDevice,
  RingFeatures,
  VirtioDevice,
} from '../../virtio/index.js';
import { AccessWatch } from './access-watch.js';
import type { AccessHook, AccessHost } from './access-watch.js';
import { ObjectsWatch } from './objects-watch.js';
import type { ControlSinks } from './objects-watch.js';
import type { ObservationKey } from './observations.js';
import { Places } from './places.js';
import type { PostedChain } from './posted-chain.js';
import { Regions } from './regions.js';
import { OutsideWatch } from './outside/outside-watch.js';
import { OutsideTally, chainsOnly } from './outside/unseen.js';
import { nonZeroByte } from './set-up.js';
import type { Tally } from './tally.js';
import { WatchedMemory, WatchedOs } from './watched-memory.js';
import type { AccessListener } from './watched-memory.js';
import { WatchedDevice, WatchedResumable } from './watched-device.js';
import type { RegisterListener } from './watched-device.js';
import { WatchedPackedRing } from './watched-packed-ring.js';
import { WatchedSplitRing } from './watched-split-ring.js';
import type { Place, QueueKind, RingHost, RingSink, RingState } from './ring-state.js';

export interface WatchedMachineInit {
  readonly vm: number;
  readonly queues: QueueMap;
  readonly maxQps: number;
  readonly maxCqs: number;
  readonly tally: Tally;
  /** Told of all that the rings show, in its order. */
  readonly sink: RingSink;
  /** The same for the commands. */
  readonly control: ControlSinks;
  /**
   * The driver runs in another process, at the same time, and is seen through memory only, at the device's accesses. What
   * the device publishes is then judged before the driver can have seen it.
   */
  readonly concurrent?: boolean;
  /**
   * The device runs in another process, and what it does is seen in memory. `driverSeen`: each write of the driver to DMA
   * memory goes through its view, so that any other is the device's.
   */
  readonly outside?: { readonly driverSeen: boolean } | undefined;
  /** A queue is no longer enabled. */
  closed?(queue: number): void;
  /** Who follows the rings of a device without RDMA as long as nothing is wrong with them. */
  readonly brief?: RingsInBrief | undefined;
}

/** Rings that are followed elsewhere, and handed over by `adopt` when something is not plainly right. */
export interface RingsInBrief {
  /** False: the ring is to be followed here. */
  open(config: QueueConfig, features: RingFeatures): boolean;
  has(index: number): boolean;
  /** These return false for a ring that is followed here, or is from now on. */
  close(index: number): boolean;
  notified(index: number, next: number | undefined): boolean;
  giveUp(): void;
  /** The device is reset, and all rings are gone. */
  reset(): void;
}

/** The memory of a machine that is to be watched. */
export interface WatchedGuest extends GuestOs {
  readonly memory: GuestMemory;
  /** Puts the guest's memory into another address space too. */
  shareWith(memory: GuestMemory): void;
}

export class WatchedMachine implements RingHost, RegisterListener, AccessHost {
  readonly vm: number;
  readonly memory: GuestMemory;
  readonly driverMemory: GuestMemory;
  readonly deviceMemory: GuestMemory;
  /** Told of each access of the device. */
  readonly deviceListener: AccessListener;
  readonly os: GuestOs;
  readonly places = new Places<Place>();
  readonly regions = new Regions();
  readonly tally: Tally;
  readonly sink: RingSink;
  readonly rings = new Map<number, RingState>();
  resetting = false;
  hook: AccessHook | undefined;
  /** Called when a chain is made available, and when one comes back: before its reader can have seen it. */
  onPublished: ((ring: RingState, chain: PostedChain) => void) | undefined;
  onUsed: ((ring: RingState, chain: PostedChain) => void) | undefined;
  readonly #init: WatchedMachineInit;
  readonly #objects: ObjectsWatch;
  readonly outside: OutsideWatch | undefined;
  #device: VirtioDevice | undefined;
  #features: FeatureSet = 0n;
  #status = 0;

  constructor(init: WatchedMachineInit, guest: WatchedGuest) {
    this.#init = init;
    this.vm = init.vm;
    this.memory = guest.memory;
    const { outside } = init;
    const tally = outside === undefined ? init.tally : new OutsideTally(init.tally, outside.driverSeen);
    this.tally = tally;
    this.sink = outside === undefined ? init.sink : chainsOnly(init.sink);
    if (outside !== undefined && tally instanceof OutsideTally)
      this.outside = new OutsideWatch(this, tally, outside.driverSeen);
    const accesses = new AccessWatch(this);
    this.driverMemory = new WatchedMemory(accesses.driver);
    this.deviceListener = {
      read: (address, length) => accesses.deviceRead(address, length),
      written: (address, length) => accesses.deviceWrote(address, length),
      ...(init.concurrent === true
        ? { storing: (address: number, value: number) => accesses.deviceStoring(address, value) }
        : {}),
    };
    this.deviceMemory = new WatchedMemory(this.deviceListener);
    guest.shareWith(this.driverMemory);
    guest.shareWith(this.deviceMemory);
    this.os = new WatchedOs(this.outside?.osOf(guest) ?? guest, accesses.driver);
    this.#objects = new ObjectsWatch(this, init.queues, init.control);
  }

  /** The device works in another process. */
  get deviceOutside(): boolean {
    return this.outside !== undefined;
  }

  get live(): boolean {
    const { DRIVER_OK, FAILED, DEVICE_NEEDS_RESET } = DeviceStatus;
    if ((this.#status & (DRIVER_OK | FAILED)) !== DRIVER_OK) return false;
    return ((this.#device?.readStatus() ?? 0) & DEVICE_NEEDS_RESET) === 0;
  }

  /** The same for a device whose queues come and go. */
  watchResumable(device: ResumableDevice): ResumableDevice {
    this.#device = device;
    return new WatchedResumable(device, this);
  }

  /** What the transport drives in place of the device. */
  watch(device: VirtioDevice): VirtioDevice {
    this.#device = device;
    return new WatchedDevice(device, this);
  }

  /** A driver that reads where nobody sees it has looked at all that came back. */
  looked(): void {
    for (const ring of this.rings.values()) ring.driver.looked();
  }

  /** Nothing moves any more. */
  atRest(): void {
    this.outside?.atRest();
    this.#objects.atRest();
    for (const ring of this.rings.values()) ring.atRest();
  }

  /** The rings that something is in, for a person. */
  dump(): string[] {
    return [...this.rings.values()].filter(ring => ring.outstanding > 0).flatMap(ring => ring.dump());
  }

  breach(key: ObservationKey, message: string): void {
    this.tally.breach(key, `machine ${this.vm}: ${message}`, () => this.dump());
  }

  // ---------------------------------------------------------------- the transport

  featuresWritten(features: FeatureSet): void {
    if ((this.#status & DeviceStatus.FEATURES_OK) === 0) this.#features = features;
  }

  statusWriting(value: number): void {
    if (value === 0) {
      this.#init.brief?.giveUp();
      this.resetting = true;
      for (const [index, ring] of this.rings) {
        ring.close();
        this.#init.closed?.(index);
      }
      this.rings.clear();
      this.places.clear();
      this.#objects.clear();
      return;
    }
    const goesLive = (value & ~this.#status & DeviceStatus.DRIVER_OK) !== 0;
    if (goesLive) for (const ring of this.rings.values()) ring.toDevice.forgive();
    this.#status |= value;
  }

  statusWritten(value: number): void {
    if (value !== 0) return;
    this.#init.brief?.reset();
    this.resetting = false;
    if (this.#status !== 0) this.tally.looked('afterReset');
    this.#status = 0;
    this.#features = 0n;
    this.regions.clear();
    this.outside?.forget();
  }

  enabling(index: number, size: number, addresses: QueueAddresses, start?: QueuePosition): void {
    const config: QueueConfig = { index, size, ...addresses, start };
    const features = ringFeatures(this.#features);
    this.tally.looked('setUp');
    const fault = queueFault(this.memory, config, features);
    if (this.#init.brief?.has(index) === true) this.#init.brief.giveUp();
    if (fault !== undefined || this.rings.has(index)) {
      this.breach('setUp', `queue ${index}: ${fault ?? 'it is enabled already'}`);
      return;
    }
    const dirty = start === undefined ? nonZeroByte(this.memory, config, features) : undefined;
    if (dirty !== undefined) this.breach('setUp', `queue ${index}: ${dirty} is not zero`);
    if (this.#init.brief?.open(config, features) === true) return;
    const Ring = features.packed === true ? WatchedPackedRing : WatchedSplitRing;
    this.rings.set(index, new Ring(this, config, features, this.#kindOf(index)));
  }

  #kindOf(index: number): QueueKind {
    const { queues, maxCqs, maxQps } = this.#init;
    if (index === queues.control) return 'control';
    if (index >= queues.cq(0) && index < queues.cq(0) + maxCqs) return 'completion';
    const first = queues.sq(0);
    if (index < first || index >= first + 2 * maxQps) return 'other';
    return (index - first) % 2 === 0 ? 'send' : 'receive';
  }

  /** Goes on with a ring that was followed elsewhere. */
  adopt(ring: RingState): void {
    this.rings.set(ring.index, ring);
  }

  queueReset(index: number): void {
    this.#init.brief?.close(index);
    this.rings.get(index)?.close();
    this.rings.delete(index);
    this.outside?.forget();
    this.#init.closed?.(index);
  }

  notifying(index: number, next: number | undefined): void {
    if (this.#init.brief?.notified(index, next) === true) return this.sink.notified(index);
    const ring = this.rings.get(index);
    if (ring !== undefined && !ring.lost) {
      ring.driver.sync();
      ring.toDevice.notified();
      ring.looked('notificationData');
      const due = ring.features.notificationData === true ? ring.nextAvailable : undefined;
      if (next !== due)
        ring.breach('notificationData', `a notification says ${next ?? 'nothing'}, not ${due ?? 'nothing'}`);
    }
    this.sink.notified(index);
  }

  interrupting(index: number): void {
    if (this.#init.brief?.has(index) === true) return;
    this.outside?.lookAtAll();
    const ring = this.rings.get(index);
    if (ring === undefined || ring.lost) {
      this.tally.looked('afterReset');
      if (ring === undefined)
        this.breach('afterReset', `an interrupt of queue ${index}, which is not enabled`);
      return;
    }
    if (ring.kind === 'completion') {
      if (this.outside?.isUnused(ring) !== true) this.#objects.completionInterrupt(ring);
    } else if (this.outside !== undefined) this.outside.called(ring);
    else ring.toDriver.notified();
  }

  // ---------------------------------------------------------------- chains

  published(ring: RingState, chain: PostedChain): void {
    this.outside?.published(chain);
    this.#objects.published(ring, chain);
    this.onPublished?.(ring, chain);
  }
  taken(ring: RingState, chain: PostedChain): void {
    this.outside?.taken(chain);
    this.#objects.taken(ring, chain);
  }
  used(ring: RingState, chain: PostedChain): void {
    this.outside?.returned(ring, chain);
    this.#objects.used(ring, chain);
    this.onUsed?.(ring, chain);
  }
  consumed(ring: RingState, chain: PostedChain): void {
    // A driver that runs at the same time may have put something else where the answer was.
    if (this.#init.concurrent !== true) this.#objects.consumed(ring, chain);
  }
}
