/**
 * The bench on which a device is probed: machines with the judged device each, the kit's driver played by hand opposite, a
 * reference HCA below and a network between. Everything is driven by one scheduler; `run` goes on until nothing moves.
 */
import { profiles } from '../../../abi/index.js';
import type { Profile } from '../../../abi/index.js';
import { Fabric, Scheduler, SeededChoices, firstChoice, noFaults } from '../../../fabric/index.js';
import { ReferenceHca } from '../../../reference/index.js';
import { bundledDevice } from '../../bundled.js';
import { CaseUnsupported } from '../../cases/case.js';
import type { CaseContext, CaseEffort } from '../../cases/case.js';
import type { Limits } from '../../limits.js';
import type { Outside, OutsideDevice } from '../../outside.js';
import { Steps } from '../steps.js';
import type { StepKind } from '../steps.js';
import { ProbeMachine } from './machine.js';
import type { StartOptions, Surroundings } from './machine.js';
import { WatchedMemory } from './watched-memory.js';

/** Small, so that every limit is soon reached, and each one different from its neighbours. */
export const probeLimits: Limits = {
  attributes: {
    maxMrSizeBytes: 256 * 1024,
    pageSizeCap: 4096,
    maxQp: 8,
    maxQpWr: 16,
    maxSendSge: 4,
    maxRecvSge: 3,
    maxSgeRd: 3,
    maxCq: 5,
    maxCqe: 24,
    maxMr: 6,
    maxPd: 5,
    maxAh: 4,
    maxQpRdAtom: 4,
    maxQpInitRdAtom: 5,
  },
  port: { gidTableLength: 4, maxMsgSizeBytes: 16 * 1024, activeMtu: 3 },
  device: { maxQps: 8, maxCqs: 5, queueSizeMax: 32 },
};

export interface BenchOptions extends StartOptions {
  readonly limits?: Limits;
  /** Machines, each with the judged device, all on one host; 2 when absent. */
  readonly machines?: number;
  /** Leaves machine 0 as it is after power-on. */
  readonly unstarted?: boolean;
  /** Guest memory of each machine; {@link MEMORY_BYTES} when absent. */
  readonly memoryBytes?: number;
  /** Chooses who goes next by the case's seed in place of the order of posting. */
  readonly racing?: boolean;
}

export const MEMORY_BYTES = 256 * 1024;

/** Steps in which everything must have come to rest. */
export const STEPS_MAX = 20_000;

/** Throws CaseUnsupported for a bench that a device outside cannot stand on. */
function fitOutside(device: OutsideDevice | undefined, machines: number, options: BenchOptions): void {
  if (device === undefined) return;
  if (options.limits !== undefined)
    throw new CaseUnsupported('it needs a device with limits of its own choice, and the device is outside');
  if (machines > device.machinesMax)
    throw new CaseUnsupported(`it needs ${machines} machines, and the device takes ${device.machinesMax}`);
}

export class Bench implements Surroundings {
  readonly profile: Profile;
  readonly limits: Limits;
  readonly machines: readonly ProbeMachine[];
  readonly #scheduler: Scheduler;
  readonly #fabric: Fabric;
  readonly #outside: Outside | undefined;
  #steps = 0;
  #packets = 0;
  readonly #memories: WatchedMemory[] = [];
  readonly #told = new Steps();

  constructor({ profile, implementation, seed }: CaseContext, options: BenchOptions = {}) {
    this.profile = profiles[profile];
    const { outside, outsideDevice, memories } = implementation;
    const count = options.machines ?? 2;
    fitOutside(outsideDevice, count, options);
    this.#outside = outsideDevice && outside;
    this.limits = outsideDevice?.limits ?? options.limits ?? probeLimits;
    this.#scheduler = new Scheduler(options.racing === true ? new SeededChoices(seed) : firstChoice);
    this.#fabric = new Fabric(this.#scheduler, {
      latencyNs: 1000,
      bandwidthBitsPerSecond: 100e9,
      faults: noFaults,
      faultSeed: seed,
    });
    implementation.network?.(this.#fabric);
    this.#fabric.observe({ sent: () => this.#packets++, delivered: () => {}, dropped: () => {} });
    const hca = new ReferenceHca(this.#scheduler, this.#fabric, this.limits);
    const createDevice = implementation.device ?? bundledDevice;
    this.#outside?.begin?.(count);
    this.#outside?.watchTurns?.({
      telling: () => this.#pushMemories(),
      called: () => this.#pullMemories(),
    });
    this.machines = Array.from({ length: count }, (_, vm) => {
      const bytes = options.memoryBytes ?? MEMORY_BYTES;
      const memory = new WatchedMemory(bytes, this.#outside && memories?.take(bytes));
      this.#memories.push(memory);
      const hcaFunction = hca.openFunction();
      const device = createDevice({
        profile: this.profile,
        memory,
        function: implementation.adapter?.(hcaFunction, vm) ?? hcaFunction,
        scheduler: this.#scheduler,
        limits: this.limits.device,
        ringFeatures: { indirect: true, eventIdx: true, packed: true, inOrder: true },
        vm,
        ringObserver: undefined,
        controlObserver: undefined,
      });
      return new ProbeMachine(vm, device, memory, this, outsideDevice?.showsStatus);
    });
    for (const machine of this.machines) {
      if (machine.vm > 0 || options.unstarted !== true) machine.start(options);
    }
  }

  /** The machine whose device is probed. */
  get me(): ProbeMachine {
    return this.machines[0];
  }
  /** Another machine on the same host. */
  get neighbour(): ProbeMachine {
    return this.machines[1];
  }

  /** Steps of the scheduler so far. */
  get steps(): number {
    return this.#inside(this.#steps);
  }
  /** Packets sent so far by all machines. */
  get packets(): number {
    return this.#inside(this.#packets);
  }
  /** The kit steps the device and sees its packets and its reads of memory: it is not outside. */
  get inHand(): boolean {
    return this.#outside === undefined;
  }
  get scheduler(): Scheduler {
    return this.#inside(this.#scheduler);
  }

  /** What there is only where the kit has the device, its adapter and the network in its hands. Throws CaseUnsupported. */
  #inside<T>(value: T): T {
    if (this.#outside === undefined) return value;
    throw new CaseUnsupported('it steps the device or counts its packets, and the device is outside');
  }

  #pushMemories(): void {
    for (const memory of this.#memories) memory.push();
  }

  #pullMemories(): void {
    for (const memory of this.#memories) memory.pull();
  }

  /** Runs until nothing is left to do; a device that polls gets its turns as long as they bring something new. */
  run(): void {
    if (this.#outside !== undefined) {
      this.#runOutside(this.#outside);
      return;
    }
    this.#runUntilQuiet();
    const scheduler = this.#scheduler;
    while (scheduler.endlessWaiting > 0) {
      const before = this.#progress();
      const target = scheduler.endlessFired + scheduler.endlessWaiting;
      while (scheduler.endlessFired < target && scheduler.step()) this.#runUntilQuiet();
      if (this.#progress() === before) break;
    }
    this.#checkTrespass();
  }

  #runOutside(outside: Outside): void {
    for (let more = true; more;) {
      this.#pushMemories();
      this.#runUntilQuiet();
      more = outside.rest(undefined) === true;
      this.#pullMemories();
    }
    this.#checkTrespass();
  }

  /** Goes on with what a device elsewhere does by its own clock, a time-out for one. False: nothing came of it. */
  runOn(): boolean {
    if (this.#outside?.linger?.() !== true) return false;
    this.run();
    return true;
  }

  #runUntilQuiet(): void {
    for (let steps = 0; !this.#scheduler.quiet; steps++) {
      if (steps > STEPS_MAX)
        this.accuse(['HOST-01'], `not at rest after ${STEPS_MAX} steps of the scheduler`);
      this.step();
    }
  }

  /** One step of the scheduler. */
  step(): void {
    this.#scheduler.step();
    this.#steps++;
  }

  #progress(): number {
    return this.machines.reduce((sum, { memory }) => sum + memory.writes, 0);
  }

  #checkTrespass(): void {
    for (const { memory, name } of this.machines) {
      if (memory.trespass === undefined) continue;
      const { address, length } = memory.trespass;
      this.accuse(
        ['ISO-08', 'VQ-33', 'ERR-23'],
        `the device wrote ${length} bytes at 0x${address.toString(16)} in the memory of ${name}: in no writable descriptor, used ring or writable region`,
      );
    }
  }

  note(from: string, to: string, text: string, kind: StepKind = 'action'): void {
    this.#told.add({ timeNs: this.#scheduler.nowNs, from, to, text }, kind);
  }

  /** Does what only sets the scene: one step of the exchange when it went well. */
  scene<T>(who: string, text: string, work: () => T): T {
    return this.#told.fold(() => ({ timeNs: this.#scheduler.nowNs, from: who, to: who, text }), work);
  }

  /** Throws CaseBroken with the exchange so far. */
  accuse = (requirements: readonly string[], message: string): never => {
    const timeNs = this.#scheduler.nowNs;
    throw this.#told.broken(requirements, { timeNs, from: 'probe', to: 'probe', text: message });
  };

  /** Accuses unless the two are the same as JSON. `what` says what was done. */
  same(requirements: readonly string[], what: string, actual: unknown, expected: unknown): void {
    const [got, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
    if (got !== wanted) this.accuse(requirements, `${what}: ${got}, expected ${wanted}`);
  }

  /** What the probe did so far. */
  get effort(): CaseEffort {
    return {
      runs: 1,
      actions: this.machines.reduce((sum, { transport }) => sum + transport.notifications, 0),
    };
  }
}
