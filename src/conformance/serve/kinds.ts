/** The kinds of device that can be served to somebody else's driver, by the name that the command line has for them. */
import type { ProfileName } from '../../abi/index.js';
import type { GuestMemory, ResumableDevice, RingFeatures } from '../../virtio/index.js';
import type { Implementation } from '../implementation.js';
import { NetHost } from './net-host.js';
import { RdmaHost } from './rdma-host.js';

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
  open(guest: GuestContext): HostedDevice;
}

interface DeviceKind {
  readonly doc: string;
  host(options: HostOptions): DeviceHost;
}

export const deviceKinds = {
  roce: {
    doc: 'RDMA devices, joined by a network and a reference HCA',
    host: options => new RdmaHost(options),
  },
  net: {
    doc: 'network devices, joined by a switch that learns',
    host: options => new NetHost(options, 'switch'),
  },
  loop: {
    doc: 'network devices that send every frame back to who sent it',
    host: options => new NetHost(options, 'loop'),
  },
} as const satisfies Readonly<Record<string, DeviceKind>>;

export type DeviceKindName = keyof typeof deviceKinds;
