/** Runs one program with every ring of its world watched, and tallies what is seen. */
import { profiles } from '../../abi/index.js';
import type { ProfileName } from '../../abi/index.js';
import { fitProgram } from '../fit-program.js';
import type { Implementation } from '../implementation.js';
import { LawBroken, laws } from '../laws.js';
import { limitsOf } from '../limits.js';
import { MonitorBook } from '../monitors/book.js';
import { machineMonitors } from '../monitors/machine.js';
import type { Observation } from '../observation.js';
import { RunObserver } from '../observer.js';
import type { Program } from '../program.js';
import { Run } from '../run/run.js';
import type { MemoryPool } from '../simulated-guest.js';
import type { TraceRecorder } from '../trace.js';
import { paravirtualWorld } from '../world.js';
import type { World } from '../world.js';
import type { ObservationKey } from './observations.js';
import type { Tally } from './tally.js';
import { WatchedMachine } from './watched-machine.js';

export interface WatchOptions {
  readonly profile: ProfileName;
  readonly implementation?: Implementation | undefined;
  readonly tally: Tally;
  /** Machines of the rings, kept from program to program; made anew when absent. */
  readonly book?: MonitorBook | undefined;
  readonly recorder?: TraceRecorder | undefined;
  readonly memories?: MemoryPool | undefined;
  /** Is given each machine before its driver starts, to look at its accesses and to change memory between them. */
  meddle?(machine: WatchedMachine): void;
}

export interface Watched {
  /** Verbs calls made. */
  readonly calls: number;
  /** What the program saw; undefined when its driver did not start. */
  readonly observation: Observation | undefined;
  /** Why the program did not come to its end; the rings are judged up to there. */
  readonly failure: Error | undefined;
}

const machineKeys: readonly (readonly [machine: string, key: ObservationKey])[] = [
  ['CHAIN', 'chainMachine'],
  ['NOTIFY_DEVICE', 'toDeviceMachine'],
  ['NOTIFY_DRIVER', 'toDriverMachine'],
  ['COMMAND', 'commandMachine'],
];

/** Steps that may follow the reset at the end. */
const STEPS_MAX = 100_000;

/** A program that a device outside cannot run is not run. */
export async function watchProgram(asked: Program, options: WatchOptions): Promise<Watched> {
  const { profile, tally, recorder, implementation, memories } = options;
  const program = fitProgram(asked, implementation?.outsideDevice);
  if (typeof program === 'string') return { calls: 0, observation: undefined, failure: undefined };
  const book = options.book ?? new MonitorBook();
  book.begin();
  const before = machineKeys.map(([machine]) => steps(book, machine));
  const machines: WatchedMachine[] = [];
  const limits = limitsOf(program, implementation?.outsideDevice);
  const queues = profiles[profile].queues(limits.device.maxQps, limits.device.maxCqs);
  const outside = implementation?.outsideDevice && { driverSeen: implementation.driver === undefined };
  let run: Run | undefined;
  let failure: Error | undefined;
  const atRest = (): void => {
    for (const machine of machines) machine.atRest();
  };
  try {
    const world = await paravirtualWorld(program, {
      profile,
      limits,
      implementation,
      memories,
      observers: {
        wire: recorder?.wire,
        views: (vm, guest) => {
          const { maxQps, maxCqs } = limits.device;
          const { sink, control } = machineMonitors(book, {
            vm,
            profile,
            limits: limits.device,
            deviceOutside: outside !== undefined,
            recorder,
          });
          const machine = new WatchedMachine(
            { vm, queues, maxQps, maxCqs, tally, sink, control, outside },
            guest,
          );
          options.meddle?.(machine);
          machines.push(machine);
          return machine;
        },
      },
    });
    recorder?.useClock(() => world.scheduler.nowNs);
    const observers: RunObserver[] = [new AtRest(program, world, atRest)];
    if (recorder !== undefined) observers.unshift(recorder);
    run = new Run(program, world, observers);
    await run.execute();
    atRest();
    book.finish();
    resetAll(world);
    world.release();
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
    if (isWait(failure)) atRest();
  }
  for (const [i, [machine, key]] of machineKeys.entries()) {
    tally.looked(key, steps(book, machine) - before[i]);
    if (book.broken?.law === `machine ${machine}`)
      tally.breach(key, book.broken.message, () => machines.flatMap(each => each.dump()));
  }
  return { calls: run?.calls ?? 0, observation: run?.observation, failure };
}

/** Nothing is left to happen, and a verb waits: somebody may not have been told. */
function isWait(failure: Error): boolean {
  if (!(failure instanceof LawBroken)) return false;
  return failure.law === laws.answersOnce.name || failure.law === laws.starts.name;
}

/** Steps that a machine's monitor has seen taken. */
function steps(book: MonitorBook, machine: string): number {
  let sum = 0;
  for (const count of book.get(machine).coverage) sum += count;
  return sum;
}

function resetAll(world: World): void {
  for (const { transport } of world.machines) transport?.writeStatus(0);
  const { scheduler } = world;
  for (let left = STEPS_MAX; left > 0 && !scheduler.quiet; left--) scheduler.step();
}

/** Says when nothing moves any more: between the actions of a settled program, and at the end of any. */
class AtRest extends RunObserver {
  readonly #program: Program;
  readonly #world: World;
  readonly #tell: () => void;

  constructor(program: Program, world: World, tell: () => void) {
    super();
    this.#program = program;
    this.#world = world;
    this.#tell = tell;
  }

  override actionStarted(): void {
    if (this.#program.mode === 'settled') this.#atRest();
  }
  override ended(): void {
    this.#atRest();
  }

  #atRest(): void {
    if (this.#world.scheduler.quiet) this.#tell();
  }
}
