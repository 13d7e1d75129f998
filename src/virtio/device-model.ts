/**
 * What every virtio device does before and around its own work: status register, feature negotiation, configuration space
 * with its generation, queue set-up, reset of one queue and of all. A device extends it and gets only the calls that count:
 * its hooks run while it is live, on edges, never twice for one write.
 */
import { DeviceStatus, FeatureBit, featureMask } from './constants.js';
import { featureBits, hasFeature, missingPrerequisites, ringFeatures } from './features.js';
import type { FeatureRequirement } from './features.js';
import type { GuestMemory } from './guest-memory.js';
import { newDeviceQueue, newRingPosition, queueFault } from './make-queue.js';
import type { RingObserver } from './observer.js';
import type { DeviceQueue, QueueAddresses, QueueConfig, QueuePosition } from './queue.js';
import type { DeviceHost, FeatureSet, ResumableDevice, StoppedQueue } from './transport.js';

export interface DeviceModelInit {
  readonly deviceId: number;
  /** Features offered. VERSION_1 is added. */
  readonly features: FeatureSet;
  /** Features without which the device does not work; VERSION_1 is added. */
  readonly requiredFeatures?: FeatureSet;
  /** Prerequisites among the device-type features offered. */
  readonly requirements?: readonly FeatureRequirement[];
  readonly queueCount: number;
  /** Largest size of a queue, a power of two unless only packed rings are used; 0 when there is no such queue. */
  queueSizeMax(index: number): number;
  /** Configuration space; copied. */
  readonly config: Uint8Array;
  readonly memory: GuestMemory;
  readonly observer?: RingObserver | undefined;
}

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET, FAILED } = DeviceStatus;
/** Bits that the driver sets; the others it may write in vain. */
const DRIVER_BITS = ACKNOWLEDGE | DRIVER | DRIVER_OK | FEATURES_OK | FAILED;

/** What {@link VirtioDeviceModel.look} sees of a broken ring. */
const BROKEN = -1;

export abstract class VirtioDeviceModel implements ResumableDevice {
  readonly deviceId: number;
  readonly deviceFeatures: FeatureSet;
  readonly queueCount: number;
  protected readonly memory: GuestMemory;
  readonly #init: DeviceModelInit;
  readonly #requiredFeatures: FeatureSet;
  readonly #config: Uint8Array;
  #configGeneration = 0;
  #host: DeviceHost | undefined;
  #status = 0;
  #driverFeatures: FeatureSet = 0n;
  #needsResetReason: string | undefined;
  /** Times that a queue was enabled, 16 bits. */
  #enablings = 0;
  /** Queues that are enabled. */
  readonly #enabled: (QueueConfig | undefined)[];
  /** Those of them that were looked at: most queues of a device are set up and never used. */
  readonly #queues: (DeviceQueue | undefined)[];

  /** Throws RangeError when a feature is offered without one that it needs, or required and not offered. */
  constructor(init: DeviceModelInit) {
    const version1 = featureMask(FeatureBit.VERSION_1);
    this.deviceId = init.deviceId;
    this.deviceFeatures = init.features | version1;
    this.queueCount = init.queueCount;
    this.memory = init.memory;
    this.#init = init;
    this.#requiredFeatures = (init.requiredFeatures ?? 0n) | version1;
    checkOffer(this.deviceFeatures, this.#requiredFeatures, init.requirements ?? []);
    this.#config = init.config.slice();
    this.#enabled = new Array<QueueConfig | undefined>(init.queueCount).fill(undefined);
    this.#queues = new Array<DeviceQueue | undefined>(init.queueCount).fill(undefined);
  }

  /** The driver is ready. Called once after each reset, before the first `onNotify`. */
  protected abstract onDriverOk(): void;
  /** There may be something in a queue: it was notified, or the device has just become live. */
  protected abstract onNotify(index: number): void;
  /** A queue is gone; its chains must not be touched again. */
  protected abstract onQueueReset(index: number): void;
  /** The device is reset: every queue is gone and nothing of before may show. */
  protected abstract onReset(): void;

  /** A queue that may be worked on: enabled, and the device is live. */
  protected queue(index: number): DeviceQueue | undefined {
    return this.live ? (this.#queues[index] ?? this.#makeQueue(index)) : undefined;
  }

  #makeQueue(index: number): DeviceQueue | undefined {
    const config = this.#enabled[index];
    if (config === undefined) return undefined;
    const features = ringFeatures(this.#driverFeatures);
    return (this.#queues[index] = newDeviceQueue(this.memory, config, features, this.#init.observer));
  }

  /** DRIVER_OK is set and neither side has given up. */
  protected get live(): boolean {
    return (this.#status & (DRIVER_OK | DEVICE_NEEDS_RESET | FAILED)) === DRIVER_OK;
  }

  /** Features in force; none before FEATURES_OK. */
  protected get negotiatedFeatures(): FeatureSet {
    return this.#has(FEATURES_OK) ? this.#driverFeatures : 0n;
  }

  /** Why DEVICE_NEEDS_RESET is set; undefined while it is not. */
  get needsResetReason(): string | undefined {
    return this.#needsResetReason;
  }

  /** Sends the used-buffer notification of a queue; nothing when the device is not live. */
  protected interruptQueue(index: number): void {
    if (this.live) this.#host?.interruptQueue(index);
  }

  /** Enters the error state that only a reset ends. Every queue stops; a live driver is told. */
  protected needsReset(why: string): void {
    if (this.#needsResetReason !== undefined) return;
    this.#needsResetReason = why;
    this.#status |= DEVICE_NEEDS_RESET;
    for (const queue of this.#queues) queue?.stop(`device needs reset: ${why}`);
    if (this.#has(DRIVER_OK)) this.#host?.interruptConfig();
  }

  /** To be called when `queue.broken` is set. Ignored for a queue that a reset has taken away in the meantime. */
  protected queueBroke(queue: DeviceQueue): void {
    if (this.#queues[queue.index] === queue)
      this.needsReset(`queue ${queue.index}: ${queue.broken ?? 'broken'}`);
  }

  /** Changes configuration bytes from `offset` on, as one change: a new generation and, when live, a notification. */
  protected changeConfig(offset: number, bytes: Uint8Array): void {
    this.#config.set(bytes, offset);
    this.#configGeneration = (this.#configGeneration + 1) & 0xff;
    if (this.live) this.#host?.interruptConfig();
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  /** What the notification says of the driver's progress is a hint: the ring says the same, and is what counts. */
  notified(index: number, _next?: number): void {
    if (this.live && this.#enabled[index] !== undefined) this.onNotify(index);
  }

  get configGeneration(): number {
    return this.#configGeneration;
  }

  readConfig(): DataView {
    return new DataView(this.#config.slice().buffer);
  }

  setDriverFeatures(features: FeatureSet): void {
    if (!this.#has(FEATURES_OK)) this.#driverFeatures = features;
  }

  readStatus(): number {
    return this.#status;
  }

  writeStatus(status: number): void {
    if (status === 0) {
      this.#reset();
      return;
    }
    // Bits are set and never cleared, and act only when they go from 0 to 1: later writes repeat the earlier bits.
    const added = status & DRIVER_BITS & ~this.#status;
    this.#status |= added & (ACKNOWLEDGE | DRIVER | FAILED);
    if ((added & FEATURES_OK) !== 0 && this.#featuresAcceptable()) this.#status |= FEATURES_OK;
    if ((added & DRIVER_OK) !== 0 && this.#has(FEATURES_OK)) {
      this.#status |= DRIVER_OK;
      this.#goLive();
    }
  }

  queueSizeMax(index: number): number {
    return isIndex(index, this.queueCount) ? this.#init.queueSizeMax(index) : 0;
  }

  /**
   * A wrong set-up leaves the queue disabled and sets DEVICE_NEEDS_RESET. `start`: where a ring stands that another device
   * worked on before; a new one when absent.
   */
  enableQueue(index: number, size: number, addresses: QueueAddresses, start?: QueuePosition): void {
    const { descriptors, driver, device } = addresses;
    const config = { index, size, descriptors, driver, device, start };
    const fault = this.#enableFault(config);
    if (fault !== undefined) {
      this.needsReset(`enabling queue ${index}: ${fault}`);
      return;
    }
    this.#enablings = (this.#enablings + 1) & 0xffff;
    this.#enabled[index] = config;
    if (this.live) this.onNotify(index);
  }

  #enableFault(config: QueueConfig): string | undefined {
    const { index, size } = config;
    const max = this.queueSizeMax(index);
    if (max === 0) return 'there is no such queue';
    if (this.queueEnabled(index)) return 'it is enabled already';
    if (!this.#has(FEATURES_OK)) return 'features are not negotiated yet';
    const mayBeLive = config.start !== undefined || this.#hasFeature(FeatureBit.RING_RESET);
    if (this.#has(DRIVER_OK) && !mayBeLive) return 'the device is live';
    if (size > max) return `size ${size} is above ${max}`;
    return queueFault(this.memory, config, ringFeatures(this.negotiatedFeatures));
  }

  queueEnabled(index: number): boolean {
    return this.#enabled[index] !== undefined;
  }

  resetQueue(index: number): void {
    if (!this.queueEnabled(index) || !this.#hasFeature(FeatureBit.RING_RESET)) return;
    this.#disable(index, 'queue was reset');
    this.onQueueReset(index);
  }

  look(index: number): number {
    const queue = this.queue(index);
    if (queue === undefined) return 0;
    const available = queue.available();
    if (queue.broken !== undefined) return BROKEN;
    return available === 0 ? 0 : (this.#enablings * 0x1_0000 + queue.position.avail) * 0x1_0000 + available;
  }

  stopQueue(index: number): StoppedQueue | undefined {
    const config = this.#enabled[index];
    if (config === undefined) return undefined;
    const queue = this.#queues[index];
    const position = queue?.position ?? config.start ?? newRingPosition(ringFeatures(this.#driverFeatures));
    const inFlight = queue?.inFlight ?? 0;
    this.#disable(index, 'queue was stopped');
    this.onQueueReset(index);
    return { position, inFlight };
  }

  #disable(index: number, why: string): void {
    this.#queues[index]?.stop(why);
    this.#queues[index] = undefined;
    this.#enabled[index] = undefined;
  }

  #featuresAcceptable(): boolean {
    const accepted = this.#driverFeatures;
    return (
      (this.#status & (ACKNOWLEDGE | DRIVER)) === (ACKNOWLEDGE | DRIVER) &&
      (accepted & ~this.deviceFeatures) === 0n &&
      (this.#requiredFeatures & ~accepted) === 0n &&
      missingPrerequisites(accepted, this.#init.requirements ?? []).length === 0
    );
  }

  #goLive(): void {
    if (!this.live) return;
    this.onDriverOk();
    // Nobody notified for what the driver put into its queues before it was ready, so look at all of them.
    for (let index = 0; index < this.queueCount; index++) this.notified(index);
  }

  #reset(): void {
    // From here on nothing is sent; the status shows 0 only when the device is done.
    this.#status &= ~DRIVER_OK;
    for (let index = 0; index < this.queueCount; index++) {
      this.#disable(index, 'device was reset');
    }
    this.#driverFeatures = 0n;
    this.#needsResetReason = undefined;
    this.onReset();
    this.#status = 0;
  }

  #has(bit: number): boolean {
    return (this.#status & bit) !== 0;
  }

  #hasFeature(bit: number): boolean {
    return hasFeature(this.negotiatedFeatures, bit);
  }
}

/** Throws RangeError for an offer that no driver could accept as it must. */
function checkOffer(
  offered: FeatureSet,
  required: FeatureSet,
  requirements: readonly FeatureRequirement[],
): void {
  for (const { bit, requires } of missingPrerequisites(offered, requirements)) {
    throw new RangeError(`offered feature ${bit} needs ${requires}, which is not offered`);
  }
  const missing = featureBits(required & ~offered).join(', ');
  if (missing !== '') throw new RangeError(`required features ${missing} are not offered`);
}

function isIndex(index: number, count: number): boolean {
  return Number.isInteger(index) && index >= 0 && index < count;
}
