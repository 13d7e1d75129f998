/** Serves devices of one kind at a vhost-user socket, judged and recorded if that is asked for. */
import { VhostUserServer } from '../../transports/vhost-user/server.js';
import type { ServerListener } from '../../transports/vhost-user/server.js';
import type { ServedDevice, ServedDeviceContext } from '../../transports/vhost-user/served-device.js';
import { GuestMemory } from '../../virtio/index.js';
import type { TraceRecorder } from '../trace.js';
import type { DeviceHost } from './host.js';
import type { LiveJudge } from './live-judge.js';

export interface ServeOptions {
  readonly path: string;
  readonly host: DeviceHost;
  readonly polling: boolean;
  readonly listener: ServerListener;
  readonly judge?: LiveJudge | undefined;
  readonly recorder?: TraceRecorder | undefined;
}

/** Listens until it is closed. Throws `SocketFault` and `NativeMissing`. */
export function serve(options: ServeOptions): VhostUserServer {
  const { path, host, polling, listener, recorder } = options;
  if (recorder !== undefined) {
    host.observeWire?.(recorder.wire);
    recorder.useClock(() => host.nowNs?.() ?? 0);
  }
  return new VhostUserServer({ path, polling, listener, serve: context => open(options, context) });
}

function open({ host, judge, recorder }: ServeOptions, { vm, wake }: ServedDeviceContext): ServedDevice {
  const ringObserver = recorder?.ring(vm);
  const controlObserver = recorder?.control(vm, 'device');
  const watched = judge?.open(vm);
  const memory = watched?.deviceMemory ?? new GuestMemory();
  const hosted = host.open({ vm, memory, wake, ringObserver, controlObserver });
  return {
    ...hosted,
    device: watched?.watch(hosted.device) ?? hosted.device,
    memories: watched?.memories ?? [memory],
  };
}
