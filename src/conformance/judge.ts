/** Judges one program: runs it, holds it against bare metal if it is settled, and says which law broke first, if any. */
import type { ProfileName } from '../abi/index.js';
import { compareMemory } from './compare-memory.js';
import type { Coverage } from './coverage.js';
import type { Implementation } from './implementation.js';
import { ExactlyOnce } from './invariants/exactly-once.js';
import { MemoryUntouched } from './invariants/memory.js';
import { UseCounts } from './invariants/use-counts.js';
import { limitsOf } from './limits.js';
import type { Limits } from './limits.js';
import { attach } from './monitors/attach.js';
import { MonitorBook } from './monitors/book.js';
import { VerbsMonitors } from './monitors/verbs-monitors.js';
import { LawBroken, laws } from './laws.js';
import type { RunObserver } from './observer.js';
import type { Program } from './program.js';
import { Run } from './run/run.js';
import type { TraceRecorder } from './trace.js';
import { bareMetalWorld, paravirtualWorld } from './world.js';
import type { World } from './world.js';

export interface JudgeOptions {
  readonly profile: ProfileName;
  readonly implementation?: Implementation;
  readonly limits?: Limits;
  readonly coverage?: Coverage;
  readonly recorder?: TraceRecorder;
  /** Monitors to use, so that their coverage adds up over many programs; made anew when absent. */
  readonly book?: MonitorBook;
}

/** What came of a program. `broken` is undefined when every law held. */
export interface Judgement {
  readonly broken: LawBroken | undefined;
  /** Verbs calls made, on both sides of a comparison. */
  readonly calls: number;
}

/** Throws only for a fault of the kit; whatever the implementation does is in the judgement. */
export async function judge(program: Program, options: JudgeOptions): Promise<Judgement> {
  const book = options.book ?? new MonitorBook();
  const limits = options.limits ?? limitsOf(program);
  const { profile, implementation, recorder } = options;
  book.begin();
  let run: Run | undefined;
  let world: World | undefined;
  try {
    const foreign = implementation?.driver !== undefined || implementation?.device !== undefined;
    const observers = attach({ profile, limits, book, rings: !foreign, recorder });
    world = await paravirtualWorld(program, { profile, limits, implementation, observers });
    const paravirtual = world;
    recorder?.useClock(() => paravirtual.scheduler.nowNs);
    run = new Run(
      program,
      world,
      judges(program, world, options, new VerbsMonitors(program, book, limits.port.gidTableLength)),
    );
    await run.execute();
    const broken = book.finish();
    if (broken !== undefined) throw broken;
  } catch (error) {
    // A machine that was violated tells more than what came of it.
    return { broken: book.broken ?? asLaw(error), calls: run?.calls ?? 0 };
  }
  if (program.mode === 'racing') return { broken: undefined, calls: run.calls };
  const bareWorld = bareMetalWorld(program, { profile, limits });
  const bare = new Run(program, bareWorld, []);
  await bare.execute();
  return { broken: compare(run, world, bare, bareWorld), calls: run.calls + bare.calls };
}

function judges(program: Program, world: World, options: JudgeOptions, monitors: RunObserver): RunObserver[] {
  const list: RunObserver[] = [
    new ExactlyOnce(),
    new UseCounts(),
    monitors,
    new MemoryUntouched(program, world),
  ];
  // The recorder comes first, so that a trace holds the event that breaks a law.
  if (options.recorder !== undefined) list.unshift(options.recorder);
  if (options.coverage !== undefined) {
    options.coverage.begin();
    list.unshift(options.coverage);
  }
  return list;
}

/** The central theorem: a settled program is observed exactly as on bare metal. */
function compare(run: Run, world: World, bare: Run, bareWorld: World): LawBroken | undefined {
  const difference = run.observation.difference(bare.observation) ?? compareMemory(world, bareWorld);
  if (difference === undefined) return undefined;
  return new LawBroken(laws.invisible, difference);
}

function asLaw(error: unknown): LawBroken {
  if (error instanceof LawBroken) return error;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new LawBroken(laws.neverCrashes, text);
}
