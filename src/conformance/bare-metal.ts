/** The other side of a comparison: a settled program on bare metal, and how two sides are held against each other. */
import type { ProfileName } from '../abi/index.js';
import { compareMemory } from './compare-memory.js';
import type { Implementation } from './implementation.js';
import type { Span } from './invariants/data.js';
import { ExactlyOnce } from './invariants/exactly-once.js';
import { LawBroken, laws } from './laws.js';
import type { Limits } from './limits.js';
import { attachBare } from './monitors/attach.js';
import type { MonitorBook } from './monitors/book.js';
import type { Program } from './program.js';
import { Run } from './run/run.js';
import type { Memories } from './simulated-guest.js';
import type { VerbsWorld } from './verbs-world.js';
import { bareMetalWorld } from './world.js';
import type { Timing, World } from './world.js';

/** A run that has come to its end, with the world that it ran in. */
export interface Side<W extends VerbsWorld = VerbsWorld> {
  readonly run: Run;
  readonly world: W;
}
export type Bare = Side<World>;

export interface BareOptions {
  readonly profile: ProfileName;
  readonly limits: Limits;
  readonly book: MonitorBook;
  readonly memories: Memories | undefined;
  /** Who stands on the other side of the comparison. */
  readonly implementation?: Implementation;
}

/**
 * The central theorem: a settled program is observed exactly as on bare metal. An adapter of somebody else's is held to what is
 * promised: sequence numbers, and the bytes that are `free`, are its own affair.
 */
export function compare({ run, world }: Side, bare: Bare, free?: readonly Span[]): LawBroken | undefined {
  const adapter = free === undefined ? 'ours' : 'theirs';
  const difference =
    run.observation.difference(bare.run.observation, adapter) ?? compareMemory(world, bare.world, free);
  if (difference === undefined) return undefined;
  return new LawBroken(laws.invisible, difference);
}

/** A program may expect what a device with other limits cannot come to: the reason, then. */
export async function runBareFirst(program: Program, options: BareOptions): Promise<Bare | string> {
  try {
    return await runBare(program, options);
  } catch (error) {
    const expects = error instanceof LawBroken && error.law === laws.expected.name;
    if (!expects || options.implementation?.outsideDevice === undefined) throw error;
    return `it was written for other limits than those of the device: ${error.message}`;
  }
}

/** Throws when the reference itself breaks a law: a fault of the kit. */
export async function runBare(
  program: Program,
  { profile, limits, book, memories, implementation }: BareOptions,
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

/** An adapter of its own stands behind the implementation, with a clock of its own, where the kit has put none. */
export function hasAdapter(implementation: Implementation | undefined): boolean {
  return implementation?.outsideDevice !== undefined || implementation?.remote !== undefined;
}

/** Somebody outside has to be told what a program comes to on bare metal. */
export function waitsByMarks(implementation: Implementation | undefined): boolean {
  return implementation?.outside !== undefined || implementation?.remote?.restsByExpected === true;
}
