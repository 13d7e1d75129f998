/** Devices that are served to somebody else's driver: what they are made with, and how they are driven. */
import type { ProfileName } from '../../abi/index.js';
import type {
  ControlObserver,
  GuestMemory,
  ResumableDevice,
  RingFeatures,
  RingObserver,
} from '../../virtio/index.js';
import type { Implementation } from '../implementation.js';
import type { WireObserver } from '../../fabric/index.js';
import type { RdmaQueues } from './live-judge.js';

export interface HostOptions {
  readonly profile: ProfileName;
  readonly ringFeatures: RingFeatures;
  /** Whoever drives the devices looks at every queue again and again; they need not ask for notifications. */
  readonly polling: boolean;
  /** A device or adapter that is wrong on purpose; the bundled ones when absent. Of RDMA devices only. */
  readonly faulty?: Implementation | undefined;
}

/** What one virtual machine's device is made with. */
export interface GuestContext {
  readonly vm: number;
  /** The guest's memory as the device sees it; regions come and go. */
  readonly memory: GuestMemory;
  /** There is work that no queue was notified of. */
  readonly wake: () => void;
  /** Who records what the device does to its rings, and its commands. */
  readonly ringObserver?: RingObserver | undefined;
  readonly controlObserver?: ControlObserver | undefined;
}

/** A device of one virtual machine, and how it is driven. */
export interface HostedDevice {
  readonly device: ResumableDevice;
  /** Queues, or queue pairs of a network device: what GET_QUEUE_NUM says. */
  readonly queueNumber: number;
  /** Does a bounded amount of work. True when there is more. */
  run(): boolean;
  /** Looks at every queue first. True when anything was found. */
  poll(): boolean;
  close(): void;
}

/** All devices of one kind that one process serves; they are joined. */
export interface DeviceHost {
  /** Which queue means what; undefined when they are no RDMA devices. */
  readonly rdma?: RdmaQueues | undefined;
  /** Puts a recorder on the wire, where there is one. */
  observeWire?(observer: WireObserver): void;
  /** Nanoseconds of the devices' own clock, where they have one. */
  nowNs?(): number;
  open(guest: GuestContext): HostedDevice;
}
