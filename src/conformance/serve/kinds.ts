/** The kinds of device that can be served to somebody else's driver, by the name that the command line has for them. */
import type { DeviceHost, HostOptions } from './host.js';
import { NetHost } from './net-host.js';
import { RdmaHost } from './rdma-host.js';

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
