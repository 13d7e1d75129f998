/** What the parts of one device share: its HCA function, its guest's memory, its queues and the way to stop it. */
import type { QueueMap } from '../abi/index.js';
import type { Scheduler } from '../fabric/scheduler.js';
import type { HcaFunction } from '../reference/hca.js';
import type { DeviceQueue, GuestMemory } from '../virtio/index.js';

export interface DeviceLimits {
  /** Queue pair numbers 0 .. maxQps-1, of which 0 is never used; 2..16384. */
  readonly maxQps: number;
  /** Completion queue numbers 0 .. maxCqs-1; 1..16384. */
  readonly maxCqs: number;
  /** Largest size of every virtqueue; a power of two in 1..32768. */
  readonly queueSizeMax: number;
  /** Pages of all memory regions together, which bounds what page lists take of the host; 2^20 when absent. */
  readonly maxMrPages?: number;
}

export interface DeviceContext {
  readonly hca: HcaFunction;
  readonly memory: GuestMemory;
  readonly scheduler: Scheduler;
  readonly limits: DeviceLimits;
  readonly queueMap: QueueMap;
  /** Nanoseconds between two looks at an empty queue, for a device that polls; undefined: it sleeps until it is notified. */
  readonly pollIntervalNs: number | undefined;
  /** The guest broke a rule of the rings: nothing more is taken, returned or notified until the device is reset. */
  stopped(): boolean;
  /** The device half of an enabled queue; undefined while the queue is disabled. */
  liveQueue(index: number): DeviceQueue | undefined;
  /** Sends a used-buffer notification. */
  interruptQueue(index: number): void;
  /** Stops the device: DEVICE_NEEDS_RESET and a configuration interrupt [VQ, CTRL]. `reason` is for people. */
  fault(reason: string): void;
}
