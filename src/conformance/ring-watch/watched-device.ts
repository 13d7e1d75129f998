/** A device whose registers are watched: whoever listens is told of each call before it is made, of the reset also behind it. */
import type {
  DeviceHost,
  FeatureSet,
  QueueAddresses,
  QueuePosition,
  ResumableDevice,
  StoppedQueue,
  VirtioDevice,
} from '../../virtio/index.js';

/** Told of what goes over the transport, at the device's end. */
export interface RegisterListener {
  featuresWritten(features: FeatureSet): void;
  statusWriting(value: number): void;
  statusWritten(value: number): void;
  enabling(index: number, size: number, addresses: QueueAddresses, start?: QueuePosition): void;
  /** The device is done with the queue. */
  queueReset(index: number): void;
  notifying(index: number, next: number | undefined): void;
  interrupting(index: number): void;
}

export class WatchedDevice implements VirtioDevice {
  readonly deviceId: number;
  readonly queueCount: number;
  readonly #inner: VirtioDevice;
  readonly #listener: RegisterListener;

  constructor(inner: VirtioDevice, listener: RegisterListener) {
    this.deviceId = inner.deviceId;
    this.queueCount = inner.queueCount;
    this.#inner = inner;
    this.#listener = listener;
  }

  attach(host: DeviceHost): void {
    this.#inner.attach({
      interruptQueue: index => {
        this.#listener.interrupting(index);
        host.interruptQueue(index);
      },
      interruptConfig: () => host.interruptConfig(),
    });
  }
  notified(index: number, next?: number): void {
    this.#listener.notifying(index, next);
    this.#inner.notified(index, next);
  }
  get deviceFeatures(): FeatureSet {
    return this.#inner.deviceFeatures;
  }
  setDriverFeatures(features: FeatureSet): void {
    this.#listener.featuresWritten(features);
    this.#inner.setDriverFeatures(features);
  }
  readStatus(): number {
    return this.#inner.readStatus();
  }
  writeStatus(status: number): void {
    this.#listener.statusWriting(status);
    this.#inner.writeStatus(status);
    this.#listener.statusWritten(status);
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
    this.#listener.enabling(index, size, addresses, start);
    this.#inner.enableQueue(index, size, addresses, start);
  }
  queueEnabled(index: number): boolean {
    return this.#inner.queueEnabled(index);
  }
  resetQueue(index: number): void {
    this.#inner.resetQueue(index);
    this.#listener.queueReset(index);
  }
}

export class WatchedResumable extends WatchedDevice implements ResumableDevice {
  readonly #resumable: ResumableDevice;
  readonly #told: RegisterListener;

  constructor(inner: ResumableDevice, listener: RegisterListener) {
    super(inner, listener);
    this.#resumable = inner;
    this.#told = listener;
  }

  get needsResetReason(): string | undefined {
    return this.#resumable.needsResetReason;
  }
  look(index: number): number {
    return this.#resumable.look(index);
  }
  stopQueue(index: number): StoppedQueue | undefined {
    const stopped = this.#resumable.stopQueue(index);
    this.#told.queueReset(index);
    return stopped;
  }
}
