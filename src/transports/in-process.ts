/**
 * A driver and a device joined in one process: each call passes straight through, and what would be an exit from the guest
 * or an interrupt to it is counted.
 */
import type {
  FeatureSet,
  InterruptHandler,
  QueueAddresses,
  VirtioDevice,
  VirtioTransport,
} from '../virtio/index.js';

/**
 * Joins a device to a driver. The device's `attach` is called here, once. `watch` is told of each available-buffer
 * notification before the device is.
 */
export function connectInProcess(device: VirtioDevice, watch?: (queue: number) => void): InProcessTransport {
  return new InProcessTransport(device, watch);
}

export class InProcessTransport implements VirtioTransport {
  readonly deviceId: number;
  readonly queueCount: number;
  /** Available-buffer notifications: exits from the guest on the data path. By queue, and all. */
  readonly notificationsByQueue: Uint32Array;
  notifications = 0;
  /** Used-buffer notifications: interrupts to the guest. By queue, and all. */
  readonly interruptsByQueue: Uint32Array;
  queueInterrupts = 0;
  /** Configuration change notifications. */
  configInterrupts = 0;
  /** Status, feature, configuration and queue register accesses: exits on the control path. */
  registerAccesses = 0;
  readonly #device: VirtioDevice;
  readonly #watch: ((queue: number) => void) | undefined;
  #handler: InterruptHandler | undefined;

  constructor(device: VirtioDevice, watch?: (queue: number) => void) {
    this.#device = device;
    this.#watch = watch;
    this.deviceId = device.deviceId;
    this.queueCount = device.queueCount;
    this.notificationsByQueue = new Uint32Array(device.queueCount);
    this.interruptsByQueue = new Uint32Array(device.queueCount);
    device.attach({
      interruptQueue: index => {
        this.queueInterrupts++;
        this.interruptsByQueue[index]++;
        this.#handler?.(index);
      },
      interruptConfig: () => {
        this.configInterrupts++;
        this.#handler?.('config');
      },
    });
  }

  notify(index: number, next?: number): void {
    this.notifications++;
    this.notificationsByQueue[index]++;
    this.#watch?.(index);
    this.#device.notified(index, next);
  }

  /** Interrupts before a handler is set are counted and lost, as for a guest that has not unmasked them. */
  onInterrupt(handler: InterruptHandler): void {
    this.#handler = handler;
  }

  get deviceFeatures(): FeatureSet {
    return this.#register().deviceFeatures;
  }
  setDriverFeatures(features: FeatureSet): void {
    this.#register().setDriverFeatures(features);
  }
  readStatus(): number {
    return this.#register().readStatus();
  }
  writeStatus(status: number): void {
    this.#register().writeStatus(status);
  }
  get configGeneration(): number {
    return this.#register().configGeneration;
  }
  readConfig(): DataView {
    return this.#register().readConfig();
  }
  queueSizeMax(index: number): number {
    return this.#register().queueSizeMax(index);
  }
  enableQueue(index: number, size: number, addresses: QueueAddresses): void {
    this.#register().enableQueue(index, size, addresses);
  }
  queueEnabled(index: number): boolean {
    return this.#register().queueEnabled(index);
  }
  resetQueue(index: number): void {
    this.#register().resetQueue(index);
  }

  #register(): VirtioDevice {
    this.registerAccesses++;
    return this.#device;
  }
}
