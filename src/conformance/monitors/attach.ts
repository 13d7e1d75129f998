/** Puts the monitors, and a trace recorder if there is one, where a world and a run can be watched. */
import { profiles } from '../../abi/index.js';
import type { ProfileName } from '../../abi/index.js';
import type { ControlObserver } from '../../virtio/index.js';
import { LawBroken } from '../laws.js';
import type { Limits } from '../limits.js';
import type { TraceRecorder } from '../trace.js';
import type { WorldObservers } from '../world.js';
import type { HcaFunction } from '../../reference/index.js';
import type { WireObserver } from '../../fabric/index.js';
import { attachWire } from '../wire/attach.js';
import { observations } from '../ring-watch/observations.js';
import type { RingSink } from '../ring-watch/ring-state.js';
import { Tally } from '../ring-watch/tally.js';
import { WatchedMachine } from '../ring-watch/watched-machine.js';
import type { WatchedMachineInit } from '../ring-watch/watched-machine.js';
import type { MonitorBook } from './book.js';
import { bothControls, recordedRings } from './both.js';
import { InstanceNumbers, WatchedFunction } from './hca-monitors.js';
import { CommandMonitors, RingMonitors } from './ring-monitors.js';
import { TransportMonitors } from './transport-monitors.js';

export interface AttachOptions {
  readonly profile: ProfileName;
  readonly limits: Limits;
  readonly book: MonitorBook;
  /** Where the machines of the rings learn what happens there: driver and device both report it, or it is seen in memory. */
  readonly rings: 'reported' | 'watched';
  /** As a watched machine has it. */
  readonly outside?: WatchedMachineInit['outside'];
  readonly recorder: TraceRecorder | undefined;
}

/** Watchers of a world, and those of its transports by machine. */
export interface Attached {
  readonly observers: WorldObservers;
  readonly transports: readonly TransportMonitors[];
  /** Rings by machine. */
  readonly rings: ReadonlyMap<number, RingMonitors>;
}

/** Watchers for a para-virtual world. */
export function attach(options: AttachOptions): Attached {
  const { book, recorder } = options;
  const numbers = new InstanceNumbers();
  const onTheWire = attachWire(name => book.get(name));
  const watch = (_vm: number, inner: HcaFunction): HcaFunction =>
    onTheWire.function(new WatchedFunction(inner, book, numbers));
  const { maxQps, maxCqs, queueSizeMax } = options.limits.device;
  const map = profiles[options.profile].queues(maxQps, maxCqs);
  const firstCq = map.cq(0);
  const isCompletionQueue = (queue: number): boolean => queue >= firstCq && queue < firstCq + maxCqs;
  const transports: TransportMonitors[] = [];
  const rings = new Map<number, RingMonitors>();
  const sinks = new Map<number, RingSink>();
  const transportOf = (vm: number): TransportMonitors => {
    let found = transports[vm];
    if (found === undefined) {
      found = new TransportMonitors(book, {
        vm,
        queueCount: map.count,
        isCompletionQueue,
        // When a device outside takes a command is not seen; the watch over its rings judges its interrupts.
        commandsTold: options.outside === undefined,
      });
      transports[vm] = found;
    }
    return found;
  };
  const transport: WorldObservers['transport'] = (vm, inner, device) => transportOf(vm).watch(inner, device);
  const commands = new Map<number, CommandMonitors>();
  const commandsOf = (vm: number): CommandMonitors => {
    let found = commands.get(vm);
    if (found === undefined) commands.set(vm, (found = new CommandMonitors(book, vm)));
    return found;
  };
  const ringsOf = (vm: number): RingSink => {
    const judging = new RingMonitors(book, {
      vm,
      queueCount: map.count,
      queueSizeMax,
      isCompletionQueue,
      transport: transportOf(vm),
      chainsOnly: options.outside !== undefined,
    });
    rings.set(vm, judging);
    const both = recordedRings(recorder?.ring(vm), judging);
    sinks.set(vm, both);
    return both;
  };
  const controlOf = (vm: number): ControlObserver => {
    const judging = tellingArms(commandsOf(vm).device, transportOf(vm));
    return recorder === undefined ? judging : bothControls(recorder.control(vm, 'device'), judging);
  };
  const driverControlOf = (vm: number): ControlObserver => {
    const judging = commandsOf(vm).driver;
    return recorder === undefined ? judging : bothControls(recorder.control(vm, 'driver'), judging);
  };
  const common = { wire: bothWires(recorder?.wire, onTheWire.wire), function: watch, transport };
  if (options.rings === 'reported') {
    const observers: WorldObservers = {
      ...common,
      ring: ringsOf,
      control: controlOf,
      driverControl: driverControlOf,
      notified: (vm, queue) => sinks.get(vm)?.notified(queue),
    };
    return { observers, transports, rings };
  }
  const views: WorldObservers['views'] = (vm, guest) => {
    const control = { device: controlOf(vm), driver: driverControlOf(vm) };
    const tally = tellingBreaches(book);
    const { outside } = options;
    const init = { vm, queues: map, maxQps, maxCqs, tally, sink: ringsOf(vm), control, outside };
    return new WatchedMachine(init, guest);
  };
  return { observers: { ...common, views }, transports, rings };
}

/** Watchers for the functions of bare metal: the adapter that others are held against is judged too. */
export function attachBare(book: MonitorBook): WorldObservers {
  const numbers = new InstanceNumbers();
  const onTheWire = attachWire(name => book.get(name));
  return {
    wire: onTheWire.wire,
    function: (_vm, inner) => onTheWire.function(new WatchedFunction(inner, book, numbers)),
  };
}

/** The recorder comes first, so that a trace holds the packet that breaks a law. */
function bothWires(recorder: WireObserver | undefined, judge: WireObserver): WireObserver {
  if (recorder === undefined) return judge;
  return {
    sent(packet) {
      recorder.sent(packet);
      judge.sent(packet);
    },
    delivered: packet => recorder.delivered(packet),
    dropped(packet, why) {
      recorder.dropped(packet, why);
      judge.dropped(packet, why);
    },
  };
}

/** What is seen broken in a ring is a broken law, told before whatever comes of it. */
function tellingBreaches(book: MonitorBook): Tally {
  const tally = new Tally();
  tally.onBreach = (key, message) => {
    const { id, slug, verdict, requirements } = observations[key];
    if (verdict === 'fail') book.report(new LawBroken({ name: `ring ${id} ${slug}`, requirements }, message));
  };
  return tally;
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
