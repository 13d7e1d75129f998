/** Judges one program: runs it, holds it against bare metal if it is settled, and says which law broke first, if any. */
import { profiles } from '../abi/index.js';
import type { ProfileName } from '../abi/index.js';
import { compare, hasAdapter, runBare, runBareFirst, waitsByMarks } from './bare-metal.js';
import type { Bare, Side } from './bare-metal.js';
import type { Coverage } from './coverage.js';
import { dependsOnTiming } from './depends-on-timing.js';
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
import { attach } from './monitors/attach.js';
import type { Attached } from './monitors/attach.js';
import { MonitorBook } from './monitors/book.js';
import { VerbsMonitors } from './monitors/verbs-monitors.js';
import { LawBroken, laws } from './laws.js';
import type { RunObserver } from './observer.js';
import type { Program } from './program.js';
import { Run } from './run/run.js';
import type { TraceRecorder } from './trace.js';
import { turn } from './turn.js';
import { World, paravirtualWorld } from './world.js';
import { MemoryPool } from './simulated-guest.js';
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
  if (options.sought === laws.invisible.name) return judgement;
  return { ...judgement, broken: await judgeReset(program, judging) };
}

interface Judging extends JudgeOptions {
  readonly book: MonitorBook;
  readonly limits: Limits;
  readonly memories: MemoryPool | undefined;
}

const pool = new MemoryPool();

async function judgeMain(program: Program, judging: Judging): Promise<Judgement> {
  const { sought, implementation } = judging;
  const settled = program.mode === 'settled';
  // Where a party works outside, what bare metal comes to says when the party is done.
  let bare: Bare | undefined;
  if (settled && waitsByMarks(implementation)) {
    const found = await runBareFirst(program, judging);
    if (typeof found === 'string') return { broken: undefined, calls: 0, unfit: found };
    bare = found;
  }
  const ours = await runJudged(program, judging, bare);
  if ('broken' in ours) return ours;
  const alone = sought !== undefined && sought !== laws.invisible.name;
  if (settled && !alone)
    return compareSides(program, judging, ours, bare ?? (await runBare(program, judging)));
  for (const over of [ours.world, bare?.world]) over?.release();
  return { broken: undefined, calls: ours.run.calls };
}

interface Judged extends Side {
  readonly data: DataArrives;
}

/** Runs the program on what is judged: the run when every law held, else which one did not. */
async function runJudged(
  program: Program,
  judging: Judging,
  bare: Bare | undefined,
): Promise<Judged | Judgement> {
  const { book, recorder } = judging;
  let run: Run | undefined;
  book.begin();
  try {
    const attached = attachTo(judging, recorder);
    const world = await openWorld(program, judging, attached);
    recorder?.useClock(() => world.scheduler.nowNs);
    const data = new DataArrives(program, world);
    const observers = judges(program, world, judging, attached, data);
    run = new Run(program, world, observers, { expected: bare?.run.marks });
    await run.execute();
    attached.atRest();
    throwBroken(book.finish());
    if (world instanceof World) {
      expectCleanReset(world, attached.enabled, 'at the end');
      throwBroken(book.broken);
    }
    return { run, world, data };
  } catch (error) {
    // A machine that was violated tells more than what came of it.
    return { broken: book.broken ?? asLaw(error), calls: run?.calls ?? 0 };
  }
}

async function compareSides(
  program: Program,
  judging: Judging,
  ours: Judged,
  bare: Bare,
): Promise<Judgement> {
  const calls = ours.run.calls + bare.run.calls;
  try {
    const theirs = hasAdapter(judging.implementation);
    const broken = compare(ours, bare, theirs ? ours.data.unpromised() : undefined);
    if (broken === undefined || !theirs) return { broken, calls };
    return { broken: (await dependsOnTiming(program, judging, bare)) ? undefined : broken, calls };
  } catch (error) {
    return { broken: asLaw(error), calls };
  } finally {
    for (const over of [ours.world, bare.world]) over.release();
  }
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
    expectCleanReset(world, attached.enabled, `when ${count} action(s) were issued`);
    throwBroken(book.broken);
  } catch (error) {
    return book.broken ?? asLaw(error);
  }
  return undefined;
}

function throwBroken(broken: LawBroken | undefined): void {
  if (broken !== undefined) throw broken;
}

function judges(
  program: Program,
  world: VerbsWorld,
  judging: Judging,
  attached: Attached,
  data: DataArrives,
): RunObserver[] {
  const { book, limits, profile, coverage, recorder } = judging;
  const { maxQps, maxCqs } = limits.device;
  const list: RunObserver[] = [
    new ExactlyOnce(),
    new UseCounts(),
    new VerbsMonitors(program, book, limits.port.gidTableLength),
    new EventsAreArmed(),
    new MemoryUntouched(program, world),
    data,
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

function asLaw(error: unknown): LawBroken {
  if (error instanceof LawBroken) return error;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new LawBroken(laws.neverCrashes, text);
}
