/**
 * The registers, the memory and the rings of one virtual machine of a bench: the judged device, memory that watches it, and a
 * driver's half of every queue by hand.
 */
import type { Profile, QueueMap } from '../../../abi/index.js';
import { connectInProcess } from '../../../transports/in-process.js';
import type { InProcessTransport } from '../../../transports/in-process.js';
import {
  DeviceStatus,
  FeatureBit,
  featureMask,
  featureSet,
  hasFeature,
  layOutRing,
  ringBytes,
  ringFeatures,
} from '../../../virtio/index.js';
import type { FeatureSet, VirtioDevice } from '../../../virtio/index.js';
import { CaseUnsupported } from '../../cases/case.js';
import { GUEST_BASE } from '../../simulated-guest.js';
import type { ObjectKind } from './answers.js';
import { PackedPen } from './packed-pen.js';
import type { Accuse, Chain, Part, RingPen, UsedElement } from './pen.js';
import { SplitPen } from './split-pen.js';
import type { WatchedMemory } from './watched-memory.js';

/** Largest queue that a probe sets up. */
export const QUEUE_SIZE = 32;

/** What the machines of one bench share. */
export interface Surroundings {
  readonly profile: Profile;
  readonly accuse: Accuse;
  /** Runs until nothing is left to do. */
  run(): void;
  /** Goes on where a party has a clock of its own. False: nothing came of it, or nothing can. */
  runOn(): boolean;
  note(from: string, to: string, text: string): void;
  /** Does what only sets the scene: one step of the exchange when it went well. */
  scene<T>(who: string, text: string, work: () => T): T;
}

export interface StartOptions {
  readonly indirect?: boolean;
  readonly eventIdx?: boolean;
  readonly ringReset?: boolean;
  /** Packed rings in place of split ones. */
  readonly packed?: boolean;
  /** With packed rings alone: the hand for split ones gives its descriptors away as they come. */
  readonly inOrder?: boolean;
  /** Size of each queue, undefined to leave it disabled; {@link QUEUE_SIZE} or the largest allowed when absent. */
  readonly queueSize?: (index: number, queues: QueueMap) => number | undefined;
}

export class RingMachine {
  readonly name: string;
  readonly vm: number;
  readonly memory: WatchedMemory;
  readonly device: VirtioDevice;
  readonly transport: InProcessTransport;
  readonly queues: QueueMap;
  readonly profile: Profile;
  readonly maxQps: number;
  readonly maxCqs: number;
  features: FeatureSet = 0n;
  /** Numbers of the objects that the device has acknowledged. */
  readonly living: Readonly<Record<ObjectKind, Set<number>>> = {
    pd: new Set(),
    mr: new Set(),
    ah: new Set(),
    cq: new Set(),
    qp: new Set(),
  };
  /** Set-up queues by index. */
  readonly rings = new Map<number, RingPen>();
  protected readonly around: Surroundings;
  #next = GUEST_BASE;

  readonly #showsStatus: boolean;

  constructor(
    vm: number,
    device: VirtioDevice,
    memory: WatchedMemory,
    around: Surroundings,
    showsStatus = true,
  ) {
    this.vm = vm;
    this.#showsStatus = showsStatus;
    this.name = vm === 0 ? 'guest' : `guest ${vm}`;
    this.memory = memory;
    this.device = device;
    this.profile = around.profile;
    this.transport = connectInProcess(device);
    this.around = around;
    const limits = this.profile.config.decode(device.readConfig(), 0);
    this.maxQps = limits.max_rdma_qps;
    this.maxCqs = limits.max_rdma_cqs;
    this.queues = this.profile.queues(this.maxQps, this.maxCqs);
  }

  // --- initialisation ---

  /** Features that a driver of this profile must accept, and those that the options ask for. Throws CaseUnsupported. */
  wanted(options: StartOptions = {}): FeatureSet {
    const bits = [FeatureBit.VERSION_1, ...this.profile.features.map(({ bit }) => bit)];
    if (options.indirect === true) bits.push(FeatureBit.INDIRECT_DESC);
    if (options.eventIdx === true) bits.push(FeatureBit.EVENT_IDX);
    if (options.ringReset === true) bits.push(FeatureBit.RING_RESET);
    if (options.packed === true) bits.push(FeatureBit.RING_PACKED);
    if (options.inOrder === true) bits.push(FeatureBit.IN_ORDER);
    for (const bit of bits) {
      if (!hasFeature(this.device.deviceFeatures, bit))
        throw new CaseUnsupported(`feature ${bit} is not offered`);
    }
    return featureSet(...bits);
  }

  /** Reset to DRIVER_OK. */
  start(options: StartOptions = {}): void {
    this.negotiate(this.wanted(options));
    this.enableAll(options);
    this.goLive();
  }

  /** Reset to FEATURES_OK; an accusation when the device does not keep it. */
  negotiate(features: FeatureSet): void {
    const { device } = this;
    device.writeStatus(0);
    this.rings.clear();
    this.memory.forbidAll();
    for (const numbers of Object.values(this.living)) numbers.clear();
    device.writeStatus(DeviceStatus.ACKNOWLEDGE);
    device.writeStatus(DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER);
    device.setDriverFeatures(features);
    device.writeStatus(FEATURES_AGREED);
    this.features = features;
    if (device.readStatus() !== FEATURES_AGREED) {
      this.accuse(
        ['FEAT-11', 'RST-36'],
        `features 0x${features.toString(16)}, all offered and none missing: the status is ${device.readStatus()}, expected ${FEATURES_AGREED}`,
      );
    }
  }

  enableAll(options: StartOptions = {}): void {
    for (let index = 0; index < this.queues.count; index++) {
      const size =
        options.queueSize === undefined ? this.usualSize(index) : options.queueSize(index, this.queues);
      if (size !== undefined && size > 0) this.enable(index, size);
    }
  }

  usualSize(index: number): number {
    return Math.min(QUEUE_SIZE, this.device.queueSizeMax(index));
  }

  /** Sets a queue up with areas of its own, all zero. */
  enable(index: number, size = this.usualSize(index)): RingPen {
    const { features } = this;
    const bytes = ringBytes(size, ringFeatures(features));
    const base = this.alloc(bytes, 16);
    const addresses = layOutRing(base, size, ringFeatures(features));
    this.memory.bytes.fill(0, this.memory.at(base), this.memory.at(this.#next));
    const init = { index, size, addresses, memory: this.memory, accuse: this.around.accuse };
    const { packed, inOrder = false } = ringFeatures(features);
    const pen = packed === true ? new PackedPen({ ...init, inOrder }) : new SplitPen(init);
    this.rings.set(index, pen);
    this.device.enableQueue(index, size, addresses);
    return pen;
  }

  goLive(): void {
    this.device.writeStatus(LIVE);
    this.around.run();
    const status = this.device.readStatus();
    if (status !== LIVE) {
      this.accuse(['FEAT-27'], `status ${LIVE} was written after a sound set-up and reads ${status}`);
    }
  }

  get status(): number {
    return this.device.readStatus();
  }
  /** Throws CaseUnsupported where the status of the device cannot be read. */
  get needsReset(): boolean {
    if (!this.#showsStatus) throw new CaseUnsupported('the status of the device cannot be read');
    return (this.status & DeviceStatus.DEVICE_NEEDS_RESET) !== 0;
  }
  has(bit: number): boolean {
    return (this.features & featureMask(bit)) !== 0n;
  }

  // --- memory ---

  alloc(bytes: number, align = 8): number {
    const at = Math.ceil(this.#next / align) * align;
    this.#next = at + bytes;
    if (this.#next > this.memory.end) throw new Error('the probe is out of guest memory');
    return at;
  }

  /** Address up to which memory is in use; what lies behind one of before can be given back with `rewind`. */
  get allocated(): number {
    return this.#next;
  }
  rewind(allocated: number): void {
    this.#next = allocated;
  }

  /** Puts bytes into fresh memory and says where. */
  place(bytes: Uint8Array): number {
    const at = this.alloc(Math.max(1, bytes.length));
    this.memory.put(at, bytes);
    return at;
  }

  // --- rings ---

  pen(index: number): RingPen {
    const pen = this.rings.get(index);
    if (pen === undefined) throw new Error(`queue ${index} is not set up`);
    return pen;
  }

  /** A split ring. Throws Error for a packed one. */
  ring(index: number): SplitPen {
    const pen = this.pen(index);
    if (!(pen instanceof SplitPen)) throw new Error(`queue ${index} is a packed ring`);
    return pen;
  }

  /** A packed ring. Throws Error for a split one. */
  packedRing(index: number): PackedPen {
    const pen = this.pen(index);
    if (!(pen instanceof PackedPen)) throw new Error(`queue ${index} is a split ring`);
    return pen;
  }

  get splitRings(): readonly SplitPen[] {
    return [...this.rings.keys()].map(index => this.ring(index));
  }

  get control(): SplitPen {
    return this.ring(this.queues.control);
  }

  /** Publishes what was added to a ring, and notifies the device if it asks for that. */
  publish(index: number): void {
    const ring = this.pen(index);
    ring.publish();
    if (ring.kickWanted(this.has(FeatureBit.EVENT_IDX))) this.kick(index);
  }

  kick(index: number): void {
    this.note(this.name, 'device', `kick queue ${index}`);
    this.transport.notify(index);
  }

  interruptsOf(index: number): number {
    return this.transport.interruptsByQueue[index];
  }

  /** What came back on a queue since the last look. */
  returned(index: number): UsedElement[] {
    return this.pen(index).harvest();
  }

  /** Makes one chain available on a queue, and notifies if the device asks for it. */
  offer(index: number, parts: readonly Part[]): Chain {
    const ring = this.pen(index);
    if (ring.freeDescriptors < parts.length) ring.harvest();
    const chain = ring.add(parts);
    this.publish(index);
    return chain;
  }

  note(from: string, to: string, text: string): void {
    this.around.note(from, to, text);
  }
  /** Does what only sets the scene: one step of the exchange when it went well. */
  scene<T>(text: string, work: () => T): T {
    return this.around.scene(this.name, text, work);
  }
  accuse(requirements: readonly string[], message: string): never {
    return this.around.accuse(requirements, message);
  }
}

const FEATURES_AGREED = DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK;
const LIVE = FEATURES_AGREED | DeviceStatus.DRIVER_OK;
