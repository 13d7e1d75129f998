/** Puts the monitors, and a trace recorder if there is one, where a world and a run can be watched. */
import { profiles } from '../../abi/index.js';
import type { ProfileName } from '../../abi/index.js';
import { LawBroken } from '../laws.js';
import type { Limits } from '../limits.js';
import type { TraceRecorder } from '../trace.js';
import type { WorldObservers } from '../world.js';
import { attachWire } from '../wire/attach.js';
import { observations } from '../ring-watch/observations.js';
import { Tally } from '../ring-watch/tally.js';
import { WatchedMachine } from '../ring-watch/watched-machine.js';
import type { WatchedMachineInit } from '../ring-watch/watched-machine.js';
import type { MonitorBook } from './book.js';
import { recordedWire } from './both.js';
import { InstanceNumbers, WatchedFunction } from './hca-monitors.js';
import { machineMonitors, monitoredQueues } from './machine.js';
import type { MachineMonitors } from './machine.js';
import type { RingMonitors } from './ring-monitors.js';
import { TransportMonitors } from './transport-monitors.js';
import type { EnabledQueue } from './transport-monitors.js';

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

/** Watchers of a world, and what they know of its machines. */
export interface Attached {
  readonly observers: WorldObservers;
  /** Rings by machine, from the moment at which it is there. */
  readonly rings: ReadonlyMap<number, RingMonitors>;
  /** The queues that the driver of a machine has enabled since its last reset. */
  readonly enabled: (vm: number) => Iterable<EnabledQueue>;
  /** Nothing moves any more: what is watched in memory shows what is missing. */
  atRest(): void;
}

interface AttachedMachine extends MachineMonitors {
  readonly transport: TransportMonitors;
}

/** Watchers for a para-virtual world. */
export function attach(options: AttachOptions): Attached {
  const { book, recorder, outside } = options;
  const { wire, function: watched } = attachBare(book);
  const machines = new Map<number, AttachedMachine>();
  const rings = new Map<number, RingMonitors>();
  const machineOf = (vm: number): AttachedMachine => {
    const known = machines.get(vm);
    if (known !== undefined) return known;
    const made = attachMachine(options, vm);
    machines.set(vm, made);
    rings.set(vm, made.rings);
    return made;
  };
  const enabled = (vm: number): Iterable<EnabledQueue> => machineOf(vm).transport.enabled;
  const common: WorldObservers = {
    wire: recordedWire(recorder?.wire, wire),
    function: watched,
    transport: (vm, inner, device) => machineOf(vm).transport.watch(inner, device),
  };
  if (options.rings === 'reported') {
    const reported: WorldObservers = {
      ring: vm => machineOf(vm).sink,
      control: vm => machineOf(vm).control.device,
      driverControl: vm => machineOf(vm).control.driver,
      notified: (vm, queue) => machineOf(vm).sink.notified(queue),
    };
    return { observers: { ...common, ...reported }, rings, enabled, atRest: () => undefined };
  }
  const { maxQps, maxCqs } = options.limits.device;
  const queues = profiles[options.profile].queues(maxQps, maxCqs);
  const seen: WatchedMachine[] = [];
  const views: WorldObservers['views'] = (vm, guest) => {
    const { sink, control } = machineOf(vm);
    const tally = tellingBreaches(book);
    const machine = new WatchedMachine({ vm, queues, maxQps, maxCqs, tally, sink, control, outside }, guest);
    seen.push(machine);
    return machine;
  };
  const atRest = (): void => {
    for (const machine of seen) machine.atRest();
  };
  return { observers: { ...common, views }, rings, enabled, atRest };
}

/** Watchers for bare metal, where there are adapters and the wire between them and no more. */
export function attachBare(book: MonitorBook): Required<Pick<WorldObservers, 'wire' | 'function'>> {
  const numbers = new InstanceNumbers();
  const onTheWire = attachWire(name => book.get(name));
  return {
    wire: onTheWire.wire,
    function: (_vm, inner) => onTheWire.function(new WatchedFunction(inner, book, numbers)),
  };
}

function attachMachine(
  { book, profile, limits: { device: limits }, outside, recorder }: AttachOptions,
  vm: number,
): AttachedMachine {
  const deviceOutside = outside !== undefined;
  const transport = new TransportMonitors(book, {
    vm,
    ...monitoredQueues(profile, limits),
    // When a device outside takes a command is not seen; the watch over its rings judges its interrupts.
    commandsTold: !deviceOutside,
  });
  const monitors = machineMonitors(book, { vm, profile, limits, deviceOutside, transport, recorder });
  return { transport, ...monitors };
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
