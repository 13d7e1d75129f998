/**
 * The host device of one virtual machine: virtio in front, one function of an HCA behind. What is bound to a virtqueue is
 * woken when the queue is notified; queues that nothing is bound to are ignored.
 */
import type { Profile } from '../abi/index.js';
import type { Scheduler } from '../fabric/scheduler.js';
import type { HcaFunction } from '../reference/hca.js';
import {
  FeatureBit,
  VirtioDeviceModel,
  featureSet,
  isRingStart,
  ringFeatureSet,
  ringFeatures,
} from '../virtio/index.js';
import type {
  ControlObserver,
  GuestMemory,
  QueueAddresses,
  QueuePosition,
  RingFeatures,
  RingObserver,
} from '../virtio/index.js';
import { commandHandler } from './command-table.js';
import type { CommandTable } from './command.js';
import { configSpace } from './config-space.js';
import type { DeviceContext, DeviceLimits } from './context.js';
import { ControlQueue } from './control-queue.js';
import { DeviceObjects } from './objects.js';

export interface RdmaDeviceOptions {
  readonly profile: Profile;
  /** The virtual machine's memory: all that this device reads and writes. */
  readonly memory: GuestMemory;
  /** The virtual machine's function of the HCA, used by no other device. */
  readonly function: HcaFunction;
  readonly scheduler: Scheduler;
  readonly limits: DeviceLimits;
  /** Ring features to offer. VERSION_1 and RING_RESET are offered always. */
  readonly ringFeatures: RingFeatures;
  /** Number of the virtual machine, 0 .. 2^24-1, from which its MAC address is made; 0 when absent. */
  readonly vm?: number;
  /**
   * Nanoseconds of virtual time between two looks at an empty queue. A device with it never asks for notifications, so no
   * post leaves the guest; without it the device sleeps until it is notified.
   */
  readonly pollIntervalNs?: number | undefined;
  readonly ringObserver?: RingObserver | undefined;
  readonly controlObserver?: ControlObserver | undefined;
  /** Who carries a command out, by its code; the table of this directory when absent. */
  readonly commands?: CommandTable | undefined;
}

export class RdmaDevice extends VirtioDeviceModel {
  readonly #options: RdmaDeviceOptions;
  readonly #context: DeviceContext;
  #objects: DeviceObjects;
  /** The control queue was enabled since the last reset. */
  #knowsControl = false;
  /** It began behind its beginning. */
  #hasPast = false;

  constructor(options: RdmaDeviceOptions) {
    const { profile, limits } = options;
    const queueMap = profile.queues(limits.maxQps, limits.maxCqs);
    const profileFeatures = featureSet(...profile.features.map(feature => feature.bit));
    super({
      deviceId: profile.deviceId,
      features: profileFeatures | featureSet(FeatureBit.RING_RESET) | ringFeatureSet(options.ringFeatures),
      requiredFeatures: profileFeatures,
      requirements: profile.features,
      queueCount: queueMap.count,
      queueSizeMax: () => limits.queueSizeMax,
      config: configSpace(profile, limits, options.function.port, options.vm ?? 0),
      memory: options.memory,
      observer: options.ringObserver,
    });
    this.#options = options;
    this.#context = {
      hca: options.function,
      memory: options.memory,
      scheduler: options.scheduler,
      limits,
      queueMap,
      pollIntervalNs: options.pollIntervalNs,
      // A method and no getter: a literal with a getter has a shape of its own each time, which holds on to this device.
      stopped: () => !this.live,
      liveQueue: index => this.queue(index),
      interruptQueue: index => this.interruptQueue(index),
      fault: reason => this.needsReset(reason),
    };
    this.#objects = new DeviceObjects(this.#context);
  }

  /**
   * A ring that goes on behind its beginning was worked by another device, or by this one before a reset: the driver believes in
   * objects that are not here. Rings of a device that was only stopped have their objects still.
   */
  override enableQueue(index: number, size: number, addresses: QueueAddresses, start?: QueuePosition): void {
    super.enableQueue(index, size, addresses, start);
    if (index !== this.#context.queueMap.control || !this.queueEnabled(index)) return;
    if (!this.#knowsControl && start !== undefined)
      this.#hasPast = !isRingStart(start, ringFeatures(this.negotiatedFeatures));
    this.#knowsControl = true;
    if (this.live) this.#refusePast();
  }

  #refusePast(): void {
    if (this.#hasPast)
      this.needsReset('the control queue has a past, and the objects that were made in it are not here');
  }

  protected override onDriverOk(): void {
    this.#refusePast();
    const { profile, controlObserver, commands = commandHandler } = this.#options;
    const { controlClass } = profile;
    this.#objects.setWorker(new ControlQueue(this.#objects, { commands, controlClass, controlObserver }));
  }

  protected override onNotify(index: number): void {
    this.#objects.worker(index)?.wake();
  }

  protected override onQueueReset(index: number): void {
    this.#objects.worker(index)?.queueReset();
  }

  /** Every object is destroyed in silence. */
  protected override onReset(): void {
    this.#hasPast = false;
    this.#knowsControl = false;
    this.#objects.close();
    this.#options.function.reset();
    this.#objects = new DeviceObjects(this.#context);
  }
}
