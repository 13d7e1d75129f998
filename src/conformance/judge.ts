/** Judges one program: runs it, holds it against bare metal if it is settled, and says which law broke first, if any. */
import type { ProfileName } from '../abi/index.js';
import { compareMemory } from './compare-memory.js';
import type { Coverage } from './coverage.js';
import type { Implementation } from './implementation.js';
import { ExactlyOnce } from './invariants/exactly-once.js';
import { MemoryUntouched } from './invariants/memory.js';
import { UseCounts } from './invariants/use-counts.js';
import type { Limits } from './limits.js';
import { firstDifference } from './observation.js';
import { LawBroken } from './observer.js';
import type { RunObserver } from './observer.js';
import type { Program } from './program.js';
import { Run } from './run.js';
import type { TraceRecorder } from './trace.js';
import { bareMetalWorld, paravirtualWorld } from './world.js';
import type { World, WorldOptions } from './world.js';

export interface JudgeOptions {
  readonly profile: ProfileName;
  readonly implementation?: Implementation;
  readonly limits?: Limits;
  readonly coverage?: Coverage;
  readonly recorder?: TraceRecorder;
}

/** What came of a program. `broken` is undefined when every law held. */
export interface Judgement {
  readonly broken: LawBroken | undefined;
  /** Verbs calls made, on both sides of a comparison. */
  readonly calls: number;
}

/** Throws only for a fault of the kit; whatever the implementation does is in the judgement. */
export async function judge(program: Program, options: JudgeOptions): Promise<Judgement> {
  let calls = 0;
  let run: Run | undefined;
  let world: World | undefined;
  try {
    world = await paravirtualWorld(program, worldOptions(options));
    const paravirtual = world;
    options.recorder?.useClock(() => paravirtual.scheduler.nowNs);
    run = new Run(program, world, observers(program, world, options));
    await run.execute();
    calls += run.calls;
  } catch (error) {
    return { broken: asLaw(error), calls: calls + (run?.calls ?? 0) };
  }
  if (program.mode === 'racing') return { broken: undefined, calls };
  const bareWorld = bareMetalWorld(program, { profile: options.profile, limits: options.limits });
  const bare = new Run(program, bareWorld, []);
  await bare.execute();
  calls += bare.calls;
  return { broken: compare(run, world, bare, bareWorld), calls };
}

function worldOptions(options: JudgeOptions): WorldOptions {
  const { profile, limits, implementation, recorder } = options;
  return { profile, limits, implementation, observers: recorder?.worldObservers };
}

function observers(program: Program, world: World, options: JudgeOptions): RunObserver[] {
  const list: RunObserver[] = [];
  // The recorder comes first, so that a trace holds the event that breaks a law.
  if (options.recorder !== undefined) list.push(options.recorder);
  list.push(new ExactlyOnce(), new UseCounts(), new MemoryUntouched(program, world));
  if (options.coverage !== undefined) {
    options.coverage.begin();
    list.unshift(options.coverage);
  }
  return list;
}

/** The central theorem: a settled program is observed exactly as on bare metal. */
function compare(run: Run, world: World, bare: Run, bareWorld: World): LawBroken | undefined {
  const difference = firstDifference(run.observation, bare.observation) ?? compareMemory(world, bareWorld);
  if (difference === undefined) return undefined;
  return new LawBroken('para-virtualisation is invisible', ['OVR-01'], difference);
}

function asLaw(error: unknown): LawBroken {
  if (error instanceof LawBroken) return error;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new LawBroken('an implementation never crashes', ['HOST-01'], text);
}
