/** What judges the rings and the commands of one machine, and who is to be told of them. */
import { profiles } from '../../abi/index.js';
import type { ProfileName } from '../../abi/index.js';
import type { ControlObserver } from '../../virtio/index.js';
import type { DeviceLimits } from '../limits.js';
import type { ControlSinks } from '../ring-watch/objects-watch.js';
import type { RingSink } from '../ring-watch/ring-state.js';
import type { TraceRecorder } from '../trace.js';
import type { MonitorBook } from './book.js';
import { recordedControl, recordedRings } from './both.js';
import { CommandMonitors, RingMonitors } from './ring-monitors.js';
import type { TransportMonitors } from './transport-monitors.js';

export interface MachineOptions {
  readonly vm: number;
  readonly profile: ProfileName;
  readonly limits: DeviceLimits;
  /** The device works in another process: when it raises, looks and sleeps is not seen. */
  readonly deviceOutside: boolean;
  /** Told of what moves and of armings; absent where the transport is not judged. */
  readonly transport?: TransportMonitors;
  /** Told of everything before it is judged. */
  readonly recorder: TraceRecorder | undefined;
}

export interface MachineMonitors {
  readonly rings: RingMonitors;
  /** To be told of the rings. */
  readonly sink: RingSink;
  /** To be told of the commands. */
  readonly control: ControlSinks;
}

export function machineMonitors(book: MonitorBook, options: MachineOptions): MachineMonitors {
  const { vm, profile, limits, deviceOutside, transport, recorder } = options;
  const rings = new RingMonitors(book, {
    vm,
    ...monitoredQueues(profile, limits),
    queueSizeMax: limits.queueSizeMax,
    chainsOnly: deviceOutside,
    ...(transport && { transport }),
  });
  const { driver, device } = new CommandMonitors(book, vm);
  return {
    rings,
    sink: recordedRings(recorder?.ring(vm), rings),
    control: {
      driver: recordedControl(recorder?.control(vm, 'driver'), driver),
      device: recordedControl(
        recorder?.control(vm, 'device'),
        transport === undefined ? device : tellingArms(device, transport),
      ),
    },
  };
}

/** The queues of a machine as its monitors number them. */
export function monitoredQueues(profile: ProfileName, { maxQps, maxCqs }: DeviceLimits) {
  const map = profiles[profile].queues(maxQps, maxCqs);
  const firstCq = map.cq(0);
  return {
    queueCount: map.count,
    isCompletionQueue: (queue: number): boolean => queue >= firstCq && queue < firstCq + maxCqs,
  };
}

function tellingArms(inner: ControlObserver, transport: TransportMonitors): ControlObserver {
  return {
    command: (id, command) => {
      transport.commandTaken(command);
      inner.command(id, command);
    },
    answer: (id, command, ack) => inner.answer(id, command, ack),
  };
}
