/**
 * The worlds that a program runs in: hosts with an HCA each, joined by a fabric, and machines on them. On bare metal a
 * machine calls its HCA function directly; para-virtualised it has guest memory, a driver, virtqueues and a device between.
 */
import { profiles, rqReq, sge, sqReq } from '../abi/index.js';
import type { ProfileName } from '../abi/index.js';
import { Fabric, Scheduler } from '../fabric/index.js';
import type { WireObserver } from '../fabric/index.js';
import { NativeVerbs, ReferenceHca } from '../reference/index.js';
import type { HcaFunction, ReferenceFunction } from '../reference/index.js';
import { connectInProcess } from '../transports/in-process.js';
import type { InProcessTransport } from '../transports/in-process.js';
import type {
  ControlObserver,
  GuestMemory,
  RingFeatures,
  RingObserver,
  VirtioDevice,
  VirtioTransport,
} from '../virtio/index.js';
import type { GuestOs } from '../driver/index.js';
import { bundledDevice, bundledDriver } from './bundled.js';
import { choicesOf } from './choices.js';
import type { Implementation } from './implementation.js';
import { limitsOf } from './limits.js';
import type { Limits } from './limits.js';
import { LawBroken, laws } from './laws.js';
import type { Outside } from './outside.js';
import { initialArena } from './patterns.js';
import type { Program } from './program.js';
import { ARENA_BASE, PAGE_BYTES, SimulatedGuest } from './simulated-guest.js';
import type { Memories } from './simulated-guest.js';
import { turn } from './turn.js';
import type { VerbsMachine, VerbsWorld } from './verbs-world.js';

export interface Machine extends VerbsMachine {
  readonly guest: SimulatedGuest;
  readonly function: ReferenceFunction;
  /** Undefined on bare metal. */
  readonly transport: InProcessTransport | undefined;
  readonly device: VirtioDevice | undefined;
}

/** What driver and device get in place of the guest's memory and of each other, so that somebody sees who does what. */
export interface MachineViews {
  readonly driverMemory: GuestMemory;
  readonly deviceMemory: GuestMemory;
  readonly os: GuestOs;
  /** What the transport drives in place of the device. */
  watch(device: VirtioDevice): VirtioDevice;
  /** The driver, whose reads are not seen, has looked at all that came back. */
  looked?(): void;
}

/** Who watches below the verbs; all optional. Rings and commands are told per machine. */
export interface WorldObservers {
  readonly wire?: WireObserver;
  ring?(vm: number): RingObserver;
  /** The device's side of the control queue. */
  control?(vm: number): ControlObserver;
  /** The driver's side of it. */
  driverControl?(vm: number): ControlObserver;
  /** Puts a watcher between a device and its HCA function. */
  function?(vm: number, inner: HcaFunction): HcaFunction;
  /** Puts a watcher between a driver and its transport. */
  transport?(vm: number, inner: VirtioTransport, device: VirtioDevice): VirtioTransport;
  /** An available-buffer notification went out. */
  notified?(vm: number, queue: number): void;
  /** Gives each party a view of its own of a machine's memory; without it both have the guest's. */
  views?(vm: number, guest: SimulatedGuest): MachineViews;
}

export interface WorldOptions {
  readonly profile: ProfileName;
  readonly limits?: Limits;
  readonly implementation?: Implementation;
  readonly observers?: WorldObservers;
  /** Gives HCAs and devices schedulers of their own, on which their work takes time; without it work takes none. */
  readonly processors?: Processors;
  /** Where the machines' memory comes from; without it each has memory of its own. */
  readonly memories?: Memories | undefined;
}

/** The scheduler on which each party works; all of them share the world's clock. */
export interface Processors {
  hca(host: number, world: World): Scheduler;
  device(vm: number, world: World): Scheduler;
}

export class World implements VerbsWorld {
  readonly scheduler: Scheduler;
  readonly fabric: Fabric;
  readonly hcas: readonly ReferenceHca[];
  readonly machines: Machine[] = [];
  /** Parties that the scheduler does not step. */
  outside: Outside | undefined;
  #failure: Error | undefined;

  constructor(
    program: Program,
    limits: Limits,
    wire: WireObserver | undefined,
    processors: Processors | undefined,
  ) {
    this.scheduler = new Scheduler(choicesOf(program));
    const { drop, duplicate, reorder } = program.faults;
    this.fabric = new Fabric(this.scheduler, {
      latencyNs: 1000,
      bandwidthBitsPerSecond: 100_000_000_000,
      faults: { dropPer1024: drop, duplicatePer1024: duplicate, reorderPer1024: reorder },
      faultSeed: program.seed,
    });
    if (wire !== undefined) this.fabric.observe(wire);
    const hostCount = Math.max(...program.hosts) + 1;
    this.hcas = Array.from(
      { length: hostCount },
      (_, host) => new ReferenceHca(processors?.hca(host, this) ?? this.scheduler, this.fabric, limits),
    );
  }

  /** The world is over: gives its machines' memory back. */
  release(): void {
    for (const machine of this.machines) machine.guest.release();
  }

  /** Keeps what went wrong outside any call; it surfaces at the next step of the run. */
  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
  }

  /** Surfaces a failure kept by {@link fail}. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /**
   * Runs until nothing moves. Retries without end are given whole laps, every one of them firing, for as long as a lap
   * brings something new.
   */
  runUntilQuiet(stepsMax: number, endless: (steps: number) => Error): void {
    const { scheduler } = this;
    let steps = 0;
    const run = (): void => {
      while (!scheduler.quiet) {
        scheduler.step();
        if (++steps > stepsMax) throw endless(steps);
      }
    };
    this.check();
    run();
    while (scheduler.endlessWaiting > 0) {
      const before = this.#progress();
      const target = scheduler.endlessFired + scheduler.endlessWaiting;
      while (scheduler.endlessFired < target && scheduler.step()) run();
      if (this.#progress() === before) break;
    }
    this.check();
  }

  /** Grows whenever an HCA gets a request done that waited. */
  #progress(): number {
    let sum = 0;
    for (const machine of this.machines) sum += machine.function.counters.completions;
    return sum;
  }
}

/** Bare metal: the program's verbs are the HCA's. */
export function bareMetalWorld(program: Program, options: WorldOptions): World {
  const limits = options.limits ?? limitsOf(program);
  const world = new World(program, limits, options.observers?.wire, options.processors);
  for (const [vm, host] of program.hosts.entries()) {
    const guest = guestOf(world, program, vm, PAGE_BYTES, options.memories);
    const hcaFunction = world.hcas[host].openFunction();
    const watched = options.observers?.function?.(vm, hcaFunction) ?? hcaFunction;
    world.machines.push({
      vm,
      verbs: new NativeVerbs(watched, guest.flatMemory()),
      guest,
      function: hcaFunction,
      dmaAddress: at => ARENA_BASE + at,
      transport: undefined,
      device: undefined,
    });
  }
  return world;
}

/** Para-virtual: driver, rings, device and HCA; driver and device may be somebody else's. Resolves when all drivers run. */
export async function paravirtualWorld(program: Program, options: WorldOptions): Promise<World> {
  const limits = options.limits ?? limitsOf(program, options.implementation?.outsideDevice);
  const { observers } = options;
  const profile = profiles[options.profile];
  const world = new World(program, limits, undefined, options.processors);
  const ringFeatures = ringFeaturesOf(program);
  options.implementation?.network?.(world.fabric);
  // Behind the network, so that packets are seen as they leave it.
  if (observers?.wire !== undefined) world.fabric.observe(observers.wire);
  world.outside = options.implementation?.outside;
  world.outside?.begin?.(program.hosts.length);
  const createDevice = options.implementation?.device ?? bundledDevice;
  const createDriver = options.implementation?.driver ?? bundledDriver;
  for (const [vm, host] of program.hosts.entries()) {
    const guest = guestOf(
      world,
      program,
      vm,
      dmaBytes(limits),
      options.implementation?.memories ?? options.memories,
    );
    const hcaFunction = world.hcas[host].openFunction();
    const adapter = options.implementation?.adapter?.(hcaFunction, vm) ?? hcaFunction;
    const ring = observers?.ring?.(vm);
    const control = observers?.control?.(vm);
    const views = observers?.views?.(vm, guest);
    const device = createDevice({
      profile,
      memory: views?.deviceMemory ?? guest.memory,
      function: observers?.function?.(vm, adapter) ?? adapter,
      scheduler: options.processors?.device(vm, world) ?? world.scheduler,
      limits: limits.device,
      ringFeatures,
      vm,
      ringObserver: ring,
      controlObserver: control,
    });
    const driven = views?.watch(device) ?? device;
    const transport = connectInProcess(driven, queue => observers?.notified?.(vm, queue));
    const starting = Promise.resolve(
      createDriver({
        profile,
        transport: observers?.transport?.(vm, transport, device) ?? transport,
        os: views?.os ?? guest,
        memory: views?.driverMemory ?? guest.memory,
        ringFeatures,
        ringObserver: ring,
        controlObserver: observers?.driverControl?.(vm),
        looked: views && (() => views.looked?.()),
      }),
    );
    const verbs = await pumpUntilSettled(world, starting);
    world.machines.push({
      vm,
      verbs,
      guest,
      function: hcaFunction,
      dmaAddress: at => dmaAddress(guest, at),
      transport,
      device,
    });
  }
  return world;
}

/** In order and data in notifications are drawn as one: neither needs the other, and both are a matter of the rings alone. */
function ringFeaturesOf({ indirect, eventIdx, packed, inOrder }: Program): RingFeatures {
  return { indirect, eventIdx, packed, inOrder, notificationData: inOrder };
}

/** Address as the device sees it; the end of the arena is where its last page ends. */
function dmaAddress(guest: SimulatedGuest, at: number): number {
  const inside = Math.min(Math.max(at, 0), guest.arenaBytes - 1);
  return guest.translate(ARENA_BASE + inside) + at - inside;
}

/** Memory for rings at their full size, completion buffers, requests and commands, with room to spare; whole pages. */
function dmaBytes({ attributes, device }: Limits): number {
  const queues = 4 + device.maxCqs + 2 * device.maxQps;
  const rings = queues * (26 * device.queueSizeMax + 64);
  const completions = device.maxCqs * attributes.maxCqe * 48;
  const requestBytes = sqReq.size + rqReq.size + (attributes.maxSendSge + attributes.maxRecvSge) * sge.size;
  const requests = device.maxQps * attributes.maxQpWr * requestBytes;
  return Math.ceil((rings + completions + requests + 128 * 1024) / 4096) * 4096;
}

function guestOf(
  { scheduler }: World,
  { arenaBytes, seed }: Program,
  vm: number,
  dma: number,
  pool: Memories | undefined,
): SimulatedGuest {
  const memoryBytes = pool?.sizeFor?.(arenaBytes + dma) ?? arenaBytes + dma;
  const guest = new SimulatedGuest({ scheduler, memoryBytes, arenaBytes, scatterSeed: seed + vm, pool });
  guest.writeArena(0, initialArena(vm, arenaBytes));
  return guest;
}

/** Steps the world until a promise settles. A driver that is still silent when nothing moves has lost its way. */
async function pumpUntilSettled<T>(world: World, promise: Promise<T>): Promise<T> {
  let settled = false;
  const done = (): void => {
    settled = true;
  };
  promise.then(done, done);
  for (let idle = 0; !settled && idle < 256; idle++) {
    if (world.scheduler.step()) idle = 0;
    await turn;
    if (idle > 64 && (await world.outside?.rest(undefined)) === true) idle = 0;
  }
  if (!settled) {
    throw new LawBroken(
      laws.starts,
      'the driver never resolved its start although nothing is left to happen',
    );
  }
  return promise;
}
