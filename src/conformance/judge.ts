/** Judges one program: runs it, holds it against bare metal if it is settled, and says which law broke first, if any. */
import type { ProfileName } from '../abi/index.js';
import { compareMemory } from './compare-memory.js';
import { profiles } from '../abi/index.js';
import type { Coverage } from './coverage.js';
import type { Implementation } from './implementation.js';
import { DataArrives } from './invariants/data.js';
import { EventsAreArmed } from './invariants/events.js';
import { ExactlyOnce } from './invariants/exactly-once.js';
import { MemoryUntouched } from './invariants/memory.js';
import { expectCleanReset } from './invariants/reset.js';
import { NothingWaits } from './invariants/rest.js';
import { UseCounts } from './invariants/use-counts.js';
import { fitProgram } from './fit-program.js';
import { limitsOf } from './limits.js';
import type { Limits } from './limits.js';
import { attach, attachBare } from './monitors/attach.js';
import type { Attached } from './monitors/attach.js';
import { MonitorBook } from './monitors/book.js';
import { VerbsMonitors } from './monitors/verbs-monitors.js';
import { LawBroken, laws } from './laws.js';
import type { RunObserver } from './observer.js';
import type { Action, Program } from './program.js';
import { Run } from './run/run.js';
import type { TraceRecorder } from './trace.js';
import { turn } from './turn.js';
import { World, bareMetalWorld, paravirtualWorld } from './world.js';
import { MemoryPool } from './simulated-guest.js';
import type { Timing } from './world.js';
import type { VerbsWorld } from './verbs-world.js';

export interface JudgeOptions {
  readonly profile: ProfileName;
  readonly implementation?: Implementation;
  readonly limits?: Limits;
  readonly coverage?: Coverage;
  readonly recorder?: TraceRecorder;
  /** Name of the only law that matters: what could not find it broken is left out, to save time. */
  readonly sought?: string;
  /** Monitors to use, so that their coverage adds up over many programs; made anew when absent. */
  readonly book?: MonitorBook;
}

/** Turns of the microtask queue in which the promises of an abandoned world come to rest. */
const TURNS_OF_AN_END = 64;

/** What came of a program. `broken` is undefined when every law held. */
export interface Judgement {
  readonly broken: LawBroken | undefined;
  /** Verbs calls made, on both sides of a comparison. */
  readonly calls: number;
  /** Why the program says nothing about this implementation. */
  readonly unfit?: string;
}

/** Throws only for a fault of the kit; whatever the implementation does is in the judgement. */
export async function judge(asked: Program, options: JudgeOptions): Promise<Judgement> {
  const fitted = fitProgram(asked, options.implementation?.outsideDevice);
  if (typeof fitted === 'string') return { broken: undefined, calls: 0, unfit: fitted };
  // What a run that was cut short has left in promises moves now, so that it is not taken for this program's doing.
  for (let turns = 0; turns < TURNS_OF_AN_END; turns++) await turn;
  const remote = options.implementation?.remote;
  const program = remote?.without(fitted) ?? fitted;
  const book = options.book ?? new MonitorBook();
  // Somebody else's code may hold on to memory that it was given, so that memory is not used again.
  const memories = options.implementation === undefined ? pool : undefined;
  const limits = options.limits ?? limitsOf(program, options.implementation?.outsideDevice);
  const judging: Judging = { ...options, book, limits, memories };
  const judgement = await judgeMain(program, judging);
  // Machines that are elsewhere have no device here that could be reset.
  if (remote !== undefined) return judgement;
  if (judgement.broken !== undefined || !resetsInFlight(program)) return judgement;
  if (options.sought !== undefined && options.sought === laws.invisible.name) return judgement;
  return { ...judgement, broken: await judgeReset(program, judging) };
}

interface Judging extends JudgeOptions {
  readonly book: MonitorBook;
  readonly limits: Limits;
  readonly memories: MemoryPool | undefined;
}

const pool = new MemoryPool();

async function judgeMain(program: Program, judging: Judging): Promise<Judgement> {
  const { book } = judging;
  let run: Run | undefined;
  let world: VerbsWorld | undefined;
  const alone = judging.sought !== undefined && judging.sought !== laws.invisible.name;
  const compared = program.mode === 'settled' && !alone;
  // Where a party works outside, what bare metal comes to says when the party is done.
  let bare: Bare | undefined;
  if (program.mode === 'settled' && waitsByMarks(judging.implementation)) {
    const found = await runBareFirst(program, judging);
    if (typeof found === 'string') return { broken: undefined, calls: 0, unfit: found };
    bare = found;
  }
  book.begin();
  try {
    const attached = attachTo(judging, judging.recorder);
    const judged = await openWorld(program, judging, attached);
    world = judged;
    judging.recorder?.useClock(() => judged.scheduler.nowNs);
    run = new Run(program, judged, judges(program, judged, judging, attached), { expected: bare?.run.marks });
    await run.execute();
    throwBroken(book.finish());
    if (judged instanceof World) {
      expectCleanReset(judged, vm => attached.transports[vm]?.enabled ?? [], 'at the end');
      throwBroken(book.broken);
    }
  } catch (error) {
    // A machine that was violated tells more than what came of it.
    return { broken: book.broken ?? asLaw(error), calls: run?.calls ?? 0 };
  }
  if (!compared) {
    for (const over of [world, bare?.world]) over?.release();
    return { broken: undefined, calls: run.calls };
  }
  bare ??= await runBare(program, judging);
  const calls = run.calls + bare.run.calls;
  try {
    const broken = compare(run, world, bare.run, bare.world);
    if (broken === undefined || world instanceof World) return { broken, calls };
    return { broken: (await dependsOnTiming(program, judging, bare)) ? undefined : broken, calls };
  } catch (error) {
    return { broken: asLaw(error), calls };
  } finally {
    for (const over of [world, bare.world]) over.release();
  }
}

/** Somebody outside has to be told what a program comes to on bare metal. */
function waitsByMarks(implementation: Implementation | undefined): boolean {
  return implementation?.outside !== undefined || implementation?.remote?.restsByExpected === true;
}

/**
 * Whether bare metal itself comes to something else when its network and its parties take other times. An HCA elsewhere has
 * times of its own, and what depends on them is not its fault.
 */
async function dependsOnTiming(program: Program, judging: Judging, usual: Bare): Promise<boolean> {
  // Which completions a queue that overruns loses, and whether a queue pair that is its own peer hears its requests or their
  // answers first, is a matter of nothing but time.
  if (usual.run.overran || program.actions.some(isOwnPeer)) return true;
  for (const { timing, seed } of otherTimes) {
    const choices = seed === undefined ? program.choices : { list: [], only: false };
    const other = await runBare({ ...program, choices, seed: seed ?? program.seed }, judging, timing);
    const differs = compare(other.run, other.world, usual.run, usual.world) !== undefined;
    other.world.release();
    if (differs) return true;
  }
  return false;
}

function isOwnPeer(action: Action): boolean {
  if (action.op !== 'modifyQp') return false;
  const { dest } = action.set;
  return typeof dest === 'object' && dest.vm === action.vm && dest.qp === action.qp;
}

/** An answer comes long before, or long after, the next packet goes; and parties take turns in another order. */
const otherTimes: readonly { readonly timing?: Timing; readonly seed?: number }[] = [
  { timing: { latencyNs: 1, bandwidthBitsPerSecond: 1_000_000_000 } },
  { timing: { latencyNs: 20_000, bandwidthBitsPerSecond: 100_000_000_000 } },
  { seed: 1 },
  { seed: 2 },
  { seed: 3 },
  { seed: 4 },
];

interface Bare {
  readonly run: Run;
  readonly world: World;
}

/** A program may expect what a device with other limits cannot come to: the reason, then. */
async function runBareFirst(program: Program, judging: Judging): Promise<Bare | string> {
  try {
    return await runBare(program, judging);
  } catch (error) {
    const expects = error instanceof LawBroken && error.law === laws.expected.name;
    if (!expects || judging.implementation?.outsideDevice === undefined) throw error;
    return `it was written for other limits than those of the device: ${error.message}`;
  }
}

/** Throws when the reference itself breaks a law: a fault of the kit. */
async function runBare(
  program: Program,
  { profile, limits, book, memories, implementation }: Judging,
  timing?: Timing,
): Promise<Bare> {
  book.begin();
  const observers = attachBare(book);
  const world = bareMetalWorld(program, { profile, limits, observers, memories, timing });
  const run = new Run(program, world, [new ExactlyOnce()], {
    marking: waitsByMarks(implementation),
  });
  await run.execute();
  const broken = book.finish();
  if (broken !== undefined) throw new Error(`the reference adapter broke a law: ${broken.message}`);
  return { run, world };
}

function attachTo(judging: Judging, recorder: TraceRecorder | undefined): Attached {
  const { profile, limits, book, implementation } = judging;
  const foreign = implementation?.driver !== undefined || implementation?.device !== undefined;
  return attach({
    profile,
    limits,
    book,
    rings: (implementation?.reports ?? !foreign) ? 'reported' : 'watched',
    outside: implementation?.outsideDevice && { driverSeen: implementation.driver === undefined },
    recorder,
  });
}

function openWorld(program: Program, judging: Judging, attached: Attached): VerbsWorld | Promise<VerbsWorld> {
  const { implementation, limits, sought } = judging;
  return (
    implementation?.remote?.open(program, limits, sought !== undefined) ?? worldOf(program, judging, attached)
  );
}

function worldOf(program: Program, judging: Judging, { observers }: Attached): Promise<World> {
  const { profile, limits, implementation, memories } = judging;
  return paravirtualWorld(program, { profile, limits, implementation, observers, memories });
}

/** One racing program in four is run again and cut short by a reset. */
function resetsInFlight({ mode, seed }: Program): boolean {
  return mode === 'racing' && seed % 4 === 0;
}

/** Runs a part of the program, resets every device in the middle of it, and expects silence. */
async function judgeReset(program: Program, judging: Judging): Promise<LawBroken | undefined> {
  const { book } = judging;
  const count = 1 + ((program.seed >>> 8) % Math.max(1, program.actions.length));
  book.begin();
  try {
    const attached = attachTo(judging, undefined);
    const world = await worldOf(program, judging, attached);
    await new Run(program, world, []).executePart(count);
    expectCleanReset(
      world,
      vm => attached.transports[vm]?.enabled ?? [],
      `when ${count} action(s) were issued`,
    );
    throwBroken(book.broken);
  } catch (error) {
    return book.broken ?? asLaw(error);
  }
  return undefined;
}

function throwBroken(broken: LawBroken | undefined): void {
  if (broken !== undefined) throw broken;
}

function judges(program: Program, world: VerbsWorld, judging: Judging, attached: Attached): RunObserver[] {
  const { book, limits, profile, coverage, recorder } = judging;
  const { maxQps, maxCqs } = limits.device;
  const list: RunObserver[] = [
    new ExactlyOnce(),
    new UseCounts(),
    new VerbsMonitors(program, book, limits.port.gidTableLength),
    new EventsAreArmed(),
    new MemoryUntouched(program, world),
    new DataArrives(program, world),
    new NothingWaits(attached.rings, profiles[profile].queues(maxQps, maxCqs)),
  ];
  // The recorder comes first, so that a trace holds the event that breaks a law.
  if (recorder !== undefined) list.unshift(recorder);
  if (coverage !== undefined) {
    coverage.begin();
    list.unshift(coverage);
  }
  return list;
}

/** The central theorem: a settled program is observed exactly as on bare metal. */
function compare(run: Run, world: VerbsWorld, bare: Run, bareWorld: World): LawBroken | undefined {
  const difference = run.observation.difference(bare.observation) ?? compareMemory(world, bareWorld);
  if (difference === undefined) return undefined;
  return new LawBroken(laws.invisible, difference);
}

function asLaw(error: unknown): LawBroken {
  if (error instanceof LawBroken) return error;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new LawBroken(laws.neverCrashes, text);
}
