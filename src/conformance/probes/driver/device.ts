/**
 * The registers of the probe device: what a driver reads and writes there is taken down in order and held against chapters
 * 2 to 4, and a case can make each register lie. The rings behind them are `SplitPen`s; what to do with them the bench says.
 */
import type { Profile } from '../../../abi/index.js';
import {
  DeviceStatus,
  FeatureBit,
  PackedDescriptor,
  PackedEvent,
  availRingBytes,
  descriptorTableBytes,
  featureMask,
  hasFeature,
  isSplitQueueSize,
  ringFeatures,
  usedRingBytes,
} from '../../../virtio/index.js';
import type {
  DeviceHost,
  FeatureSet,
  GuestMemory,
  QueueAddresses,
  VirtioDevice,
} from '../../../virtio/index.js';
import { DIRT } from './probe-guest.js';
import { PackedPen } from './packed-pen.js';
import type { Report, RingPen } from './pen.js';
import { SplitPen } from './split-pen.js';

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET, FAILED } = DeviceStatus;

/** Register accesses after which a driver counts as running in a circle. */
const ACCESSES_MAX = 20_000;

export type RegisterName =
  | 'status'
  | 'device features'
  | 'driver features'
  | 'config'
  | 'config generation'
  | 'queue size'
  | 'queue enable'
  | 'queue reset';

/** One access to a register by the driver. */
export interface RegisterAccess {
  readonly register: RegisterName;
  readonly write: boolean;
  /** Status written or read, features written, the queue's index; 0 where there is no number. */
  readonly value: number | bigint;
}

export interface DeviceOptions {
  readonly profile: Profile;
  readonly features: FeatureSet;
  readonly config: Uint8Array;
  readonly queueCount: number;
  queueSizeMax(index: number): number;
}

/** Where the device lies; each member that is set replaces the honest answer. */
export interface DeviceLies {
  /** FEATURES_OK does not stay set. */
  refusesFeatures?: boolean;
  /** Status reads after a reset that still show the old status. */
  slowReset?: number;
  /** Called before each read of the configuration: may change it. */
  onConfigRead?: () => void;
  /** What a status read gives, in place of the truth. */
  status?: (truth: number) => number;
  generation?: (truth: number) => number;
}

export class ProbeDevice implements VirtioDevice {
  readonly deviceId: number;
  readonly queueCount: number;
  readonly accesses: RegisterAccess[] = [];
  readonly rings = new Map<number, RingPen>();
  /** Kicks by queue, and all that came before DRIVER_OK. */
  readonly kicks = new Map<number, number>();
  lies: DeviceLies = {};
  offer: FeatureSet;
  config: Uint8Array;
  generation = 0;
  status = 0;
  accepted: FeatureSet = 0n;
  onKick: (queue: number) => void = () => {};
  onLive: () => void = () => {};
  onReset: () => void = () => {};
  readonly #options: DeviceOptions;
  readonly #memory: GuestMemory;
  readonly #report: Report;
  #host: DeviceHost | undefined;
  #resetReads = 0;
  #statusBeforeReset = 0;
  /** All accesses, those that were forgotten too. */
  accessCount = 0;

  constructor(options: DeviceOptions, memory: GuestMemory, report: Report) {
    this.#options = options;
    this.#memory = memory;
    this.#report = report;
    this.deviceId = options.profile.deviceId;
    this.queueCount = options.queueCount;
    this.offer = options.features;
    this.config = options.config;
  }

  get live(): boolean {
    return (this.status & (DRIVER_OK | DEVICE_NEEDS_RESET | FAILED)) === DRIVER_OK;
  }
  get failed(): boolean {
    return (this.status & FAILED) !== 0;
  }

  /** Packed rings are negotiated. */
  get usesPacked(): boolean {
    return ringFeatures(this.accepted).packed === true;
  }

  pen(index: number): RingPen {
    const pen = this.rings.get(index);
    if (pen === undefined) throw new Error(`probe device: queue ${index} is not enabled`);
    return pen;
  }
  /** A split ring. Throws Error for a packed one. */
  ring(index: number): SplitPen {
    const pen = this.pen(index);
    if (!(pen instanceof SplitPen)) throw new Error(`probe device: queue ${index} is a packed ring`);
    return pen;
  }
  /** A packed ring. Throws Error for a split one. */
  packedRing(index: number): PackedPen {
    const pen = this.pen(index);
    if (!(pen instanceof PackedPen)) throw new Error(`probe device: queue ${index} is a split ring`);
    return pen;
  }
  get splitRings(): readonly SplitPen[] {
    return [...this.rings.keys()].map(index => this.ring(index));
  }

  interruptQueue(index: number): void {
    this.#host?.interruptQueue(index);
  }
  interruptConfig(): void {
    this.#host?.interruptConfig();
  }
  needsReset(): void {
    this.status |= DEVICE_NEEDS_RESET;
    this.interruptConfig();
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  notified(index: number): void {
    this.kicks.set(index, (this.kicks.get(index) ?? 0) + 1);
    if ((this.status & DRIVER_OK) === 0)
      this.#report(['FEAT-24'], `queue ${index} was notified before DRIVER_OK was set`);
    this.onKick(index);
  }

  get deviceFeatures(): FeatureSet {
    this.#note('device features', false, 0);
    return this.offer;
  }

  setDriverFeatures(features: FeatureSet): void {
    this.#note('driver features', true, features);
    const unoffered = features & ~this.offer;
    if (unoffered !== 0n)
      this.#report(['FEAT-04'], `features 0x${unoffered.toString(16)} were accepted, which are not offered`);
    if ((this.status & FEATURES_OK) === 0) this.accepted = features;
  }

  readStatus(): number {
    let status = this.status;
    if (this.#resetReads > 0) {
      this.#resetReads--;
      status = this.#statusBeforeReset;
    }
    status = this.lies.status?.(status) ?? status;
    this.#note('status', false, status);
    return status;
  }

  writeStatus(status: number): void {
    this.#note('status', true, status);
    if (status === 0) {
      this.#reset();
      return;
    }
    if (this.#resetReads > 0) {
      this.#report(
        ['FEAT-22'],
        `status 0x${status.toString(16)} was written before the reset showed status 0`,
      );
    }
    const cleared = this.status & ~status & ~DEVICE_NEEDS_RESET;
    if (cleared !== 0)
      this.#report(['FEAT-15'], `status 0x${status.toString(16)} clears bits 0x${cleared.toString(16)}`);
    const added = status & ~this.status;
    this.#checkOrder(added);
    this.status |= added & (ACKNOWLEDGE | DRIVER | FAILED);
    if ((added & FEATURES_OK) !== 0 && this.lies.refusesFeatures !== true) this.status |= FEATURES_OK;
    if ((added & DRIVER_OK) === 0) return;
    this.status |= DRIVER_OK;
    this.onLive();
  }

  get configGeneration(): number {
    this.#note('config generation', false, 0);
    return this.lies.generation?.(this.generation) ?? this.generation;
  }

  readConfig(): DataView {
    this.#note('config', false, 0);
    this.lies.onConfigRead?.();
    return new DataView(this.config.slice().buffer);
  }

  queueSizeMax(index: number): number {
    this.#note('queue size', false, index);
    return index >= 0 && index < this.queueCount ? this.#options.queueSizeMax(index) : 0;
  }

  enableQueue(index: number, size: number, addresses: QueueAddresses): void {
    this.#note('queue enable', true, index);
    if (!this.#placedWell(index, size, addresses)) return;
    try {
      const features = ringFeatures(this.accepted);
      const init = { memory: this.#memory, index, size, addresses, features, report: this.#report };
      this.rings.set(index, features.packed === true ? new PackedPen(init) : new SplitPen(init));
    } catch (error) {
      this.#report(['VQ-07'], `queue ${index}: ${String(error)}`);
    }
  }

  queueEnabled(index: number): boolean {
    return this.rings.has(index);
  }

  resetQueue(index: number): void {
    this.#note('queue reset', true, index);
    if (hasFeature(this.accepted, FeatureBit.RING_RESET)) this.rings.delete(index);
  }

  #reset(): void {
    this.#statusBeforeReset = this.status === 0 ? ACKNOWLEDGE : this.status;
    this.#resetReads = this.lies.slowReset ?? 0;
    this.status = 0;
    this.accepted = 0n;
    this.rings.clear();
    this.onReset();
  }

  /** The order of section 2.3. */
  #checkOrder(added: number): void {
    const before: readonly (readonly [number, number, string])[] = [
      [DRIVER, ACKNOWLEDGE, 'DRIVER before ACKNOWLEDGE'],
      [FEATURES_OK, ACKNOWLEDGE | DRIVER, 'FEATURES_OK before ACKNOWLEDGE and DRIVER'],
      [DRIVER_OK, FEATURES_OK, 'DRIVER_OK without FEATURES_OK'],
    ];
    for (const [bit, needed, what] of before) {
      if ((added & bit) !== 0 && (this.status & needed) !== needed)
        this.#report(['FEAT-21'], `the driver set ${what}`);
    }
    if ((added & FEATURES_OK) === 0) return;
    if (!hasFeature(this.accepted, FeatureBit.VERSION_1))
      this.#report(['FEAT-03'], 'FEATURES_OK was set without accepting VIRTIO_F_VERSION_1');
    for (const { bit, requires, name } of this.#options.profile.features) {
      const lacks = requires.find(needed => !hasFeature(this.accepted, needed));
      if (hasFeature(this.accepted, bit) && lacks !== undefined)
        this.#report(['FEAT-05'], `${name} was accepted without feature ${lacks}, which it needs`);
    }
  }

  #placedWell(index: number, size: number, { descriptors, driver, device }: QueueAddresses): boolean {
    const report = (id: string, what: string): false => {
      this.#report([id], `queue ${index} ${what}`);
      return false;
    };
    const max = index >= 0 && index < this.queueCount ? this.#options.queueSizeMax(index) : 0;
    if (max === 0) return report('VQ-03', 'was enabled and does not exist');
    const format = ringFeatures(this.accepted).packed === true ? packedRules : splitRules;
    if (!format.isSize(size) || size > max)
      return report(format.sizes, `was enabled with a size of ${size}; its largest is ${max}`);
    if (this.rings.has(index)) return report('VQ-03', 'was enabled twice');
    if ((this.status & FEATURES_OK) === 0) return report('FEAT-21', 'was enabled before FEATURES_OK');
    if ((this.status & DRIVER_OK) !== 0 && !hasFeature(this.accepted, FeatureBit.RING_RESET))
      return report('VQ-03', 'was enabled after DRIVER_OK');
    for (const [area, name, bytes, alignment] of format.areas(size)) {
      const address = { descriptors, driver, device }[area];
      if (address % alignment !== 0)
        return report(format.places, `has its ${name} at ${address}, no multiple of ${alignment}`);
      if (!this.#memory.contains(address, bytes))
        return report(format.inMemory, `has its ${name} outside guest memory`);
      const copy = new Uint8Array(bytes);
      this.#memory.read(address, copy, 0, bytes);
      // The device alone writes to its area; in the others a driver may have begun, but nothing of before may stand.
      const dirty = area === 'device' ? copy.some(byte => byte !== 0) : copy.includes(DIRT);
      if (dirty) return report(format.zeros, `was enabled with a ${name} that was not filled with zeros`);
    }
    return true;
  }

  #note(register: RegisterName, write: boolean, value: number | bigint): void {
    if (this.accesses.length < 4096) this.accesses.push({ register, write, value });
    // Thrown through the driver: nothing else ends a loop that waits for a register.
    if (++this.accessCount > ACCESSES_MAX) throw new Error('the driver has read the registers without end');
  }
}

/** What a set-up must keep to, format by format: the sentences, and areas with their bytes and alignment. */
interface SetUpRules {
  readonly sizes: string;
  readonly places: string;
  readonly inMemory: string;
  readonly zeros: string;
  isSize(size: number): boolean;
  areas(size: number): readonly (readonly [keyof QueueAddresses, string, number, number])[];
}

const splitRules: SetUpRules = {
  sizes: 'VQ-05',
  places: 'VQ-06',
  inMemory: 'VQ-07',
  zeros: 'VQ-08',
  isSize: isSplitQueueSize,
  areas: size => [
    ['descriptors', 'descriptor table', descriptorTableBytes(size), 16],
    ['driver', 'available ring', availRingBytes(size), 2],
    ['device', 'used ring', usedRingBytes(size), 4],
  ],
};

const packedRules: SetUpRules = {
  sizes: 'VQ-81',
  places: 'VQ-82',
  inMemory: 'VQ-82',
  zeros: 'VQ-83',
  isSize: size => Number.isInteger(size) && size >= 1 && size <= 32768,
  areas: size => [
    ['descriptors', 'descriptor ring', PackedDescriptor.SIZE * size, 16],
    ['driver', 'event structure of the driver', PackedEvent.SIZE, 4],
    ['device', 'event structure of the device', PackedEvent.SIZE, 4],
  ],
};

/** All that a device may offer beyond what RDMA needs, and no driver has to know. */
export const unknownFeatures: FeatureSet = [
  FeatureBit.RING_PACKED,
  FeatureBit.IN_ORDER,
  FeatureBit.ORDER_PLATFORM,
  FeatureBit.NOTIFICATION_DATA,
  41,
  50,
  63,
  64,
  127,
].reduce((set, bit) => set | featureMask(bit), 0n);
