/** Puts the monitors, and a trace recorder if there is one, where a world and a run can be watched. */
import { profiles } from '../../abi/index.js';
import type { ProfileName } from '../../abi/index.js';
import type { ControlObserver } from '../../virtio/index.js';
import type { Limits } from '../limits.js';
import type { TraceRecorder } from '../trace.js';
import type { WorldObservers } from '../world.js';
import type { HcaFunction } from '../../reference/index.js';
import type { MonitorBook } from './book.js';
import { bothControls, bothRings } from './both.js';
import { InstanceNumbers, WatchedFunction } from './hca-monitors.js';
import { CommandMonitors, RingMonitors } from './ring-monitors.js';
import { TransportMonitors } from './transport-monitors.js';

export interface AttachOptions {
  readonly profile: ProfileName;
  readonly limits: Limits;
  readonly book: MonitorBook;
  /** Driver and device both report their rings, so that the machines of the rings can judge. */
  readonly rings: boolean;
  readonly recorder: TraceRecorder | undefined;
}

/** Watchers of a world, and those of its transports by machine. */
export interface Attached {
  readonly observers: WorldObservers;
  readonly transports: readonly TransportMonitors[];
  /** Rings by machine; none when they are not reported. */
  readonly rings: ReadonlyMap<number, RingMonitors>;
}

/** Watchers for a para-virtual world. */
export function attach(options: AttachOptions): Attached {
  const { book, recorder } = options;
  const numbers = new InstanceNumbers();
  const watch = (_vm: number, inner: HcaFunction): HcaFunction => new WatchedFunction(inner, book, numbers);
  const { maxQps, maxCqs, queueSizeMax } = options.limits.device;
  const map = profiles[options.profile].queues(maxQps, maxCqs);
  const firstCq = map.cq(0);
  const isCompletionQueue = (queue: number): boolean => queue >= firstCq && queue < firstCq + maxCqs;
  const transports: TransportMonitors[] = [];
  const rings = new Map<number, RingMonitors>();
  const transportOf = (vm: number): TransportMonitors => {
    let found = transports[vm];
    if (found === undefined) {
      const { rings: commandsTold } = options;
      found = new TransportMonitors(book, { vm, queueCount: map.count, isCompletionQueue, commandsTold });
      transports[vm] = found;
    }
    return found;
  };
  const transport: WorldObservers['transport'] = (vm, inner, device) => transportOf(vm).watch(inner, device);
  if (!options.rings)
    return { observers: { ...recorder?.worldObservers, function: watch, transport }, transports, rings };
  const commands = new Map<number, CommandMonitors>();
  const commandsOf = (vm: number): CommandMonitors => {
    let found = commands.get(vm);
    if (found === undefined) commands.set(vm, (found = new CommandMonitors(book, vm)));
    return found;
  };
  const observers: WorldObservers = {
    wire: recorder?.worldObservers.wire,
    function: watch,
    transport,
    ring: vm => {
      const monitors = new RingMonitors(book, {
        vm,
        queueCount: map.count,
        queueSizeMax,
        isCompletionQueue,
        transport: transportOf(vm),
      });
      rings.set(vm, monitors);
      const recording = recorder?.worldObservers.ring?.(vm);
      return recording === undefined ? monitors : bothRings(recording, monitors);
    },
    control: vm => {
      const recording = recorder?.worldObservers.control?.(vm);
      const judging = tellingArms(commandsOf(vm).device, transportOf(vm));
      return recording === undefined ? judging : bothControls(recording, judging);
    },
    driverControl: vm => commandsOf(vm).driver,
    notified: (vm, queue) => rings.get(vm)?.notified(queue),
  };
  return { observers, transports, rings };
}

/** Watchers for the functions of bare metal: the adapter that others are held against is judged too. */
export function attachBare(book: MonitorBook): WorldObservers {
  const numbers = new InstanceNumbers();
  return { function: (_vm, inner) => new WatchedFunction(inner, book, numbers) };
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
