/**
 * The line between a driver and a device: the registers of a virtio transport, without regard to whether PCI, MMIO or a
 * socket carries them. `VirtioTransport` is what the driver sees; `VirtioDevice` is what the transport drives.
 */
import type { QueueAddresses, QueuePosition } from './queue.js';

/** Feature bits as a set of bits; 128 bits are enough for every feature of virtio 1.4. */
export type FeatureSet = bigint;

/** Interrupt sources as the driver sees them. */
export type InterruptHandler = (source: number | 'config') => void;

export interface VirtioTransport {
  readonly deviceId: number;
  readonly deviceFeatures: FeatureSet;
  /** Written once, before FEATURES_OK. */
  setDriverFeatures(features: FeatureSet): void;
  /** Device status; writing 0 resets the device. */
  readStatus(): number;
  writeStatus(status: number): void;
  readonly configGeneration: number;
  /** A copy of the configuration; the view is as long as the configuration space. */
  readConfig(): DataView;
  readonly queueCount: number;
  /** Largest size of a queue, 0 when it does not exist. */
  queueSizeMax(index: number): number;
  /** Sets size and places of a queue that is not enabled, and enables it. */
  enableQueue(index: number, size: number, addresses: QueueAddresses): void;
  queueEnabled(index: number): boolean;
  /** Resets one queue (needs RING_RESET). On return the device is done with it and it is disabled. */
  resetQueue(index: number): void;
  /**
   * Available-buffer notification. `next`: the queue's `nextAvailable`, given when NOTIFICATION_DATA is in force and only
   * then.
   */
  notify(index: number, next?: number): void;
  onInterrupt(handler: InterruptHandler): void;
}

/** What the transport gives a device. */
export interface DeviceHost {
  /** Used-buffer notification of a queue. */
  interruptQueue(index: number): void;
  /** Configuration change notification. */
  interruptConfig(): void;
}

export interface VirtioDevice extends Omit<VirtioTransport, 'notify' | 'onInterrupt' | 'enableQueue'> {
  /** As of the transport; `start`: where a ring stands that another device worked on before. */
  enableQueue(index: number, size: number, addresses: QueueAddresses, start?: QueuePosition): void;
  /** An available-buffer notification arrived; with NOTIFICATION_DATA it says how far the driver had come then. */
  notified(index: number, next?: number): void;
  attach(host: DeviceHost): void;
}

/** A queue that was taken away from a device. */
export interface StoppedQueue {
  readonly position: QueuePosition;
  /** Chains that the device had taken and did not return. */
  readonly inFlight: number;
}

/** A device whose queues a transport may take away and give back, live or not, on a ring that has a past. */
export interface ResumableDevice extends VirtioDevice {
  /** Why DEVICE_NEEDS_RESET is set; undefined while it is not. */
  readonly needsResetReason: string | undefined;
  /** With `start` the ring goes on where it stands there, and the device may be live. */
  enableQueue(index: number, size: number, addresses: QueueAddresses, start?: QueuePosition): void;
  /**
   * What somebody who polls sees of a queue: 0 when nothing is available, else a number that is another one as soon as the
   * driver has made more available, or has broken the ring.
   */
  look(index: number): number;
  /** On return the device is done with the queue and it is disabled. Undefined when it was not enabled. */
  stopQueue(index: number): StoppedQueue | undefined;
}
