/** Serves devices of one kind at a vhost-user socket. */
import { VhostUserServer } from '../../transports/vhost-user/server.js';
import type { ServerListener } from '../../transports/vhost-user/server.js';
import type { ServedDevice, ServedDeviceContext } from '../../transports/vhost-user/served-device.js';
import { GuestMemory } from '../../virtio/index.js';
import type { DeviceHost } from './kinds.js';

export interface ServeOptions {
  readonly path: string;
  readonly host: DeviceHost;
  readonly polling: boolean;
  readonly listener: ServerListener;
}

/** Listens until it is closed. Throws `SocketFault` and `NativeMissing`. */
export function serve({ path, host, polling, listener }: ServeOptions): VhostUserServer {
  return new VhostUserServer({ path, polling, listener, serve: context => open(host, context) });
}

function open(host: DeviceHost, { vm, wake }: ServedDeviceContext): ServedDevice {
  const memory = new GuestMemory();
  return { ...host.open({ vm, memory, wake }), memories: [memory] };
}
