/**
 * The watch over one machine: driver and device each get a view of guest memory of their own, and the transport is watched
 * at the device's end. From that its rings are put together and judged; nobody has to report anything.
 */
import type { QueueMap } from '../../abi/index.js';
import type { GuestOs } from '../../driver/index.js';
import { DeviceStatus, queueFault, ringFeatures } from '../../virtio/index.js';
import type {
  DeviceHost,
  FeatureSet,
  GuestMemory,
  QueueAddresses,
  QueueConfig,
  QueuePosition,
  ResumableDevice,
  RingFeatures,
  StoppedQueue,
  VirtioDevice,
} from '../../virtio/index.js';
import { ObjectsWatch } from './objects-watch.js';
import type { ControlSinks } from './objects-watch.js';
import type { ObservationKey } from './observations.js';
import { Places } from './places.js';
import type { Place } from './places.js';
import type { PostedChain } from './posted-chain.js';
import { Regions } from './regions.js';
import { OutsideWatch } from './outside/outside-watch.js';
import { OutsideTally, chainsOnly } from './outside/unseen.js';
import { nonZeroByte } from './set-up.js';
import type { Tally } from './tally.js';
import { WatchedMemory, WatchedOs } from './watched-memory.js';
import type { AccessListener, OsListener } from './watched-memory.js';
import { WatchedPackedRing } from './watched-packed-ring.js';
import { WatchedSplitRing } from './watched-split-ring.js';
import type { QueueKind, RingHost, RingSink, RingState } from './ring-state.js';

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

/** Whose access goes on, for a listener that wants to meddle. */
export type AccessHook = (
  by: 'driver' | 'device',
  what: 'read' | 'written',
  address: number,
  length: number,
) => void;

export class WatchedMachine implements RingHost {
  readonly vm: number;
  readonly memory: GuestMemory;
  readonly driverMemory: GuestMemory;
  readonly deviceMemory: GuestMemory;
  /** Told of each access of the device. */
  readonly deviceListener: AccessListener;
  readonly os: GuestOs;
  readonly places = new Places();
  readonly regions = new Regions();
  readonly tally: Tally;
  readonly sink: RingSink;
  readonly rings = new Map<number, RingState>();
  /** Called behind each access. */
  hook: AccessHook | undefined;
  /** Called when a chain is made available, and when one comes back: before its reader can have seen it. */
  onPublished: ((ring: RingState, chain: PostedChain) => void) | undefined;
  onUsed: ((ring: RingState, chain: PostedChain) => void) | undefined;
  readonly #init: WatchedMachineInit;
  readonly #objects: ObjectsWatch;
  readonly #outside: OutsideWatch | undefined;
  #device: VirtioDevice | undefined;
  #features: FeatureSet = 0n;
  #status = 0;
  /** A reset is going on: the device may still look at what it had. */
  #resetting = false;
  readonly #pins = new Map<number, number>();

  constructor(init: WatchedMachineInit, guest: WatchedGuest) {
    this.#init = init;
    this.vm = init.vm;
    this.memory = guest.memory;
    const { outside } = init;
    const tally = outside === undefined ? init.tally : new OutsideTally(init.tally, outside.driverSeen);
    this.tally = tally;
    this.sink = outside === undefined ? init.sink : chainsOnly(init.sink);
    if (outside !== undefined && tally instanceof OutsideTally)
      this.#outside = new OutsideWatch(this, tally, outside.driverSeen);
    const driver = this.#driverListener();
    this.driverMemory = new WatchedMemory(driver);
    this.deviceListener = {
      read: (address, length) => this.#deviceRead(address, length),
      written: (address, length) => this.#deviceWrote(address, length),
      ...(init.concurrent === true
        ? { storing: (address: number, value: number) => this.#deviceStoring(address, value) }
        : {}),
    };
    this.deviceMemory = new WatchedMemory(this.deviceListener);
    guest.shareWith(this.driverMemory);
    guest.shareWith(this.deviceMemory);
    this.os = new WatchedOs(this.#outside?.osOf(guest) ?? guest, driver);
    this.#objects = new ObjectsWatch(this, init.queues, init.control);
  }

  /** The device works in another process. */
  get deviceOutside(): boolean {
    return this.#outside !== undefined;
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
    this.#outside?.atRest();
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
      this.#resetting = true;
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
    this.#resetting = false;
    if (this.#status !== 0) this.tally.looked('afterReset');
    this.#status = 0;
    this.#features = 0n;
    this.regions.clear();
    this.#outside?.forget();
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
    this.#outside?.forget();
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
    this.#outside?.lookAtAll();
    const ring = this.rings.get(index);
    if (ring === undefined || ring.lost) {
      this.tally.looked('afterReset');
      if (ring === undefined)
        this.breach('afterReset', `an interrupt of queue ${index}, which is not enabled`);
      return;
    }
    if (ring.kind === 'completion') {
      if (this.#outside?.isUnused(ring) !== true) this.#objects.completionInterrupt(ring);
    } else if (this.#outside !== undefined) this.#outside.called(ring);
    else ring.toDriver.notified();
  }

  // ---------------------------------------------------------------- memory

  #driverListener(): OsListener {
    return {
      ...(this.#outside === undefined
        ? {}
        : { storing: (address: number, value: number) => this.#outside?.storing(address, value) }),
      read: (address, length) => {
        const places = this.places.touching(address, address + length).slice();
        this.#outside?.driverRead(places);
        for (const place of places)
          place.ring.driver.read(
            place,
            Math.max(address, place.start),
            Math.min(address + length, place.end),
          );
        this.hook?.('driver', 'read', address, length);
      },
      written: (address, length) => {
        const places = this.places.touching(address, address + length).slice();
        for (const place of this.#outside?.isTold(address) === true ? [] : places)
          place.ring.driver.wrote(
            place,
            Math.max(address, place.start),
            Math.min(address + length, place.end),
          );
        this.#outside?.driverWrote(address, length, places);
        this.hook?.('driver', 'written', address, length);
      },
      freeing: (address, length) => this.#freeing(address, length),
      pinned: page => void this.#pins.set(page, (this.#pins.get(page) ?? 0) + 1),
      unpinning: page => this.#unpinning(page),
    };
  }

  #freeing(address: number, length: number): void {
    this.tally.looked('release');
    for (const ring of this.rings.values()) ring.driver.sync();
    for (const place of this.places.touching(address, address + length)) {
      const what = place.chain === undefined ? 'its rings' : `chain ${place.chain.head}`;
      place.ring.breach('release', `memory of ${what} was given back while the device may use it`);
      return;
    }
  }

  #unpinning(page: number): void {
    this.tally.looked('release');
    const left = (this.#pins.get(page) ?? 0) - 1;
    this.#pins.set(page, left);
    if (left < this.regions.users(page))
      this.breach('release', `page 0x${page.toString(16)} was released while a region lists it`);
  }

  #deviceRead(address: number, length: number): void {
    const end = address + length;
    const places = this.places.touching(address, end).slice();
    this.tally.looked('readsWithin');
    if (!this.#allowed(places, address, end, false)) this.#straysRead(places, address, length);
    for (const place of places)
      place.ring.device.read(place, Math.max(address, place.start), Math.min(end, place.end));
    this.hook?.('device', 'read', address, length);
  }

  #straysRead(places: readonly Place[], address: number, length: number): void {
    const what = `the device read ${length} bytes at 0x${address.toString(16)}`;
    if (this.rings.size === 0 && !this.#resetting) {
      this.breach('afterReset', `${what} while no queue is enabled`);
      return;
    }
    const own = places.find(place => place.kind === 'writable');
    if (own !== undefined)
      own.ring.breach('bufferUnread', `${what}, writable bytes of chain ${own.chain?.head}`);
    else if (!this.#lostOne()) this.breach('readsWithin', `${what}, which are in no ring, chain or region`);
  }

  /** A chain that its driver broke is followed no further, so nobody knows which memory the device has of that ring. */
  #lostOne(): boolean {
    for (const ring of this.rings.values()) if (ring.lost) return true;
    return false;
  }

  #deviceWrote(address: number, length: number): void {
    const end = address + length;
    const places = this.places.touching(address, end).slice();
    for (const place of places) place.ring.driver.sync();
    this.tally.looked('writesWithin');
    this.tally.looked('foreignAreas');
    if (!this.#allowed(places, address, end, true)) this.#straysWritten(places, address, length);
    for (const place of places)
      place.ring.device.wrote(place, Math.max(address, place.start), Math.min(end, place.end));
    this.hook?.('device', 'written', address, length);
  }

  #deviceStoring(address: number, value: number): void {
    for (const place of this.places.touching(address, address + 2).slice())
      place.ring.device.publishing(place, address - place.start, value);
  }

  #straysWritten(places: readonly Place[], address: number, length: number): void {
    const what = `the device wrote ${length} bytes at 0x${address.toString(16)}`;
    if (this.rings.size === 0 && !this.#resetting) {
      this.breach('afterReset', `${what} while no queue is enabled`);
      return;
    }
    const foreign = places.find(place => !permits(place, true));
    if (foreign !== undefined) {
      foreign.ring.breach('foreignAreas', `${what}, in the ${areaNames[foreign.kind]}`);
      return;
    }
    for (const ring of this.rings.values()) {
      const late = ring.returnedOwner(address);
      if (late === undefined) continue;
      ring.breach('lateWrites', `${what}, of chain ${late.head}, which is back`);
      return;
    }
    if (this.#lostOne()) return;
    this.breach(
      'writesWithin',
      `${what}, which are in no chain that it has and no region that may be written`,
    );
  }

  /** Whether the device may read or write every byte of [start, end). */
  #allowed(places: readonly Place[], start: number, end: number, write: boolean): boolean {
    let at = start;
    while (at < end) {
      const before = at;
      for (const place of places) {
        if (place.ring.lost || (permits(place, write) && place.start <= at && at < place.end))
          at = Math.max(at, place.end);
      }
      if (at < end) at = this.regions.allowedUpTo(at, end, write);
      if (at === before) return false;
    }
    return true;
  }

  // ---------------------------------------------------------------- chains

  published(ring: RingState, chain: PostedChain): void {
    this.#outside?.published(chain);
    this.#objects.published(ring, chain);
    this.onPublished?.(ring, chain);
  }
  taken(ring: RingState, chain: PostedChain): void {
    this.#outside?.taken(chain);
    this.#objects.taken(ring, chain);
  }
  used(ring: RingState, chain: PostedChain): void {
    this.#outside?.returned(ring, chain);
    this.#objects.used(ring, chain);
    this.onUsed?.(ring, chain);
  }
  consumed(ring: RingState, chain: PostedChain): void {
    // A driver that runs at the same time may have put something else where the answer was.
    if (this.#init.concurrent !== true) this.#objects.consumed(ring, chain);
  }
}

const areaNames = {
  descriptors: 'descriptor table',
  ring: 'descriptor ring',
  available: 'available ring',
  table: 'indirect table',
  readable: 'readable part of a chain',
  used: 'used ring',
  writable: 'writable part of a chain',
} as const;

function permits({ kind }: Place, write: boolean): boolean {
  return write ? kind === 'used' || kind === 'ring' || kind === 'writable' : kind !== 'writable';
}

/** Tells each call before it is made, the reset also behind it. */
class WatchedDevice implements VirtioDevice {
  readonly deviceId: number;
  readonly queueCount: number;
  readonly #inner: VirtioDevice;
  readonly #machine: WatchedMachine;

  constructor(inner: VirtioDevice, machine: WatchedMachine) {
    this.deviceId = inner.deviceId;
    this.queueCount = inner.queueCount;
    this.#inner = inner;
    this.#machine = machine;
  }

  attach(host: DeviceHost): void {
    this.#inner.attach({
      interruptQueue: index => {
        this.#machine.interrupting(index);
        host.interruptQueue(index);
      },
      interruptConfig: () => host.interruptConfig(),
    });
  }
  notified(index: number, next?: number): void {
    this.#machine.notifying(index, next);
    this.#inner.notified(index, next);
  }
  get deviceFeatures(): FeatureSet {
    return this.#inner.deviceFeatures;
  }
  setDriverFeatures(features: FeatureSet): void {
    this.#machine.featuresWritten(features);
    this.#inner.setDriverFeatures(features);
  }
  readStatus(): number {
    return this.#inner.readStatus();
  }
  writeStatus(status: number): void {
    this.#machine.statusWriting(status);
    this.#inner.writeStatus(status);
    this.#machine.statusWritten(status);
  }
  get configGeneration(): number {
    return this.#inner.configGeneration;
  }
  readConfig(): DataView {
    return this.#inner.readConfig();
  }
  queueSizeMax(index: number): number {
    return this.#inner.queueSizeMax(index);
  }
  enableQueue(index: number, size: number, addresses: QueueAddresses, start?: QueuePosition): void {
    this.#machine.enabling(index, size, addresses, start);
    this.#inner.enableQueue(index, size, addresses, start);
  }
  queueEnabled(index: number): boolean {
    return this.#inner.queueEnabled(index);
  }
  resetQueue(index: number): void {
    this.#inner.resetQueue(index);
    this.#machine.queueReset(index);
  }
}

class WatchedResumable extends WatchedDevice implements ResumableDevice {
  readonly #resumable: ResumableDevice;
  readonly #watch: WatchedMachine;

  constructor(inner: ResumableDevice, machine: WatchedMachine) {
    super(inner, machine);
    this.#resumable = inner;
    this.#watch = machine;
  }

  get needsResetReason(): string | undefined {
    return this.#resumable.needsResetReason;
  }
  stopQueue(index: number): StoppedQueue | undefined {
    const stopped = this.#resumable.stopQueue(index);
    this.#watch.queueReset(index);
    return stopped;
  }
}
