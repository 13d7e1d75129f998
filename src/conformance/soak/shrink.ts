/** Makes a failing input smaller for as long as it breaks the same law. */
import { z } from 'zod';
import { simpler } from '../generate/shrink.js';
import type { ShrinkPlace } from '../generate/shrink.js';
import { attackSchema as deviceAttackSchema } from '../hostile/device/index.js';
import { attackSchema as driverAttackSchema } from '../hostile/driver/index.js';
import type { Implementation } from '../implementation.js';
import type { SoakInput } from './batch.js';
import { Trials } from './trial.js';
import type { Failure } from './trial.js';

export interface Shrunk {
  readonly input: SoakInput;
  readonly failure: Failure;
  /** Steps that made it smaller. */
  readonly shrinks: number;
  /** False when none of the candidates failed again: it takes more than one input, or more than a seed decides. */
  readonly again: boolean;
}

/** Tries at most. */
const TRIES_MAX = 1500;

/**
 * @param candidates inputs that may show the failure; the first one that does is made smaller
 * @param goOn asked before each try; undefined is returned when it says no
 */
export async function shrink(
  candidates: Iterable<SoakInput>,
  failure: Failure,
  implementation: Implementation,
  goOn: () => boolean,
): Promise<Shrunk | undefined> {
  const trials = new Trials(implementation);
  const broken = async (input: SoakInput): Promise<Failure | undefined> => {
    trials.startOver();
    const { failures } = await trials.try(input, failure.law);
    return failures.find(({ law }) => law === failure.law);
  };
  let first: SoakInput | undefined;
  for (const input of candidates) {
    if (!goOn()) return undefined;
    first ??= input;
    const found = await broken(input);
    if (found !== undefined) return smallest(input, found, broken, goOn);
  }
  if (first === undefined) throw new Error('a failure without an input');
  return { input: first, failure, shrinks: 0, again: false };
}

async function smallest(
  input: SoakInput,
  failure: Failure,
  broken: (input: SoakInput) => Promise<Failure | undefined>,
  goOn: () => boolean,
): Promise<Shrunk | undefined> {
  let best = { input, failure, shrinks: 0, again: true };
  let steps = simplerInputs(input, undefined);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const next = steps.next();
    if (next.done === true) break;
    if (!goOn()) return undefined;
    const found = await broken(next.value.input);
    if (found === undefined) continue;
    best = { input: next.value.input, failure: found, shrinks: best.shrinks + 1, again: true };
    steps = simplerInputs(best.input, next.value.place);
  }
  return best;
}

interface Step {
  readonly input: SoakInput;
  readonly place: Place;
}
type Place = ShrinkPlace | AttackPlace;

function* simplerInputs(input: SoakInput, place: Place | undefined): IterableIterator<Step> {
  if ('program' in input) {
    const from = place !== undefined && 'phase' in place ? place : undefined;
    for (const step of simpler(input.program, from))
      yield { input: { ...input, program: step.program }, place: step.place };
    return;
  }
  const from = place !== undefined && 'acts' in place ? place : undefined;
  if (input.mode === 'hostile-driver') {
    for (const step of simplerAttacks(input.attacks, z.array(driverAttackSchema).min(1), from))
      yield { input: { ...input, attacks: step.attacks }, place: step.place };
  } else {
    for (const step of simplerAttacks(input.attacks, z.array(deviceAttackSchema).min(1), from))
      yield { input: { ...input, attacks: step.attacks }, place: step.place };
  }
}

/** Acts left out at a time, and from where on they have been tried; 0 when what is left is made plainer. */
interface AttackPlace {
  readonly acts: number;
  readonly end: number;
}

interface AttackLike {
  readonly acts: readonly unknown[];
}

function* simplerAttacks<A extends AttackLike>(
  attacks: readonly A[],
  schema: z.ZodType<A[]>,
  place: AttackPlace | undefined,
): IterableIterator<{ attacks: readonly A[]; place: AttackPlace }> {
  for (const fewer of withoutOne(attacks)) if (fewer.length > 0) yield { attacks: fewer, place: whole };
  const all = attacks.reduce((sum, { acts }) => sum + acts.length, 0);
  let end = Math.min(place?.end ?? all, all);
  for (let size = place?.acts ?? Math.ceil(all / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (; end > 0; end -= size) {
      const start = Math.max(0, end - size);
      yield { attacks: withoutActs(attacks, start, end), place: { acts: size, end: start } };
    }
    end = all;
  }
  for (const plainer of plainerValues(attacks)) {
    const parsed = schema.safeParse(plainer);
    if (parsed.success) yield { attacks: parsed.data, place: { acts: 0, end: 0 } };
  }
}

const whole: AttackPlace = { acts: 1, end: Number.MAX_SAFE_INTEGER };

/** Counts acts through all attacks, and leaves those from `start` up to `end` out. */
function withoutActs<A extends AttackLike>(attacks: readonly A[], start: number, end: number): A[] {
  let at = 0;
  return attacks.map(attack => {
    const first = at;
    at += attack.acts.length;
    return { ...attack, acts: attack.acts.filter((_, i) => first + i < start || first + i >= end) };
  });
}

/** JSON values with one thing less in them: a smaller number, a member or an element left out. */
function* plainerValues(value: unknown): IterableIterator<unknown> {
  if (value === true) yield false;
  else if (typeof value === 'number') yield* smallerNumbers(value);
  else if (Array.isArray(value)) {
    const list: readonly unknown[] = value;
    yield* withoutOne(list);
    for (const [i, each] of list.entries())
      for (const plainer of plainerValues(each)) yield list.with(i, plainer);
  } else if (typeof value === 'object' && value !== null) {
    const entries: readonly (readonly [string, unknown])[] = Object.entries(value);
    for (const rest of withoutOne(entries)) yield Object.fromEntries(rest);
    for (const [i, [key, each]] of entries.entries())
      for (const plainer of plainerValues(each)) yield Object.fromEntries(entries.with(i, [key, plainer]));
  }
}

function* smallerNumbers(value: number): IterableIterator<number> {
  if (value === 0) return;
  yield 0;
  if (value < 0) yield -value;
  if (value > 1) yield 1;
  if (value > 3) yield Math.floor(value / 2);
}

function* withoutOne<T>(list: readonly T[]): IterableIterator<T[]> {
  for (let i = 0; i < list.length; i++) yield list.toSpliced(i, 1);
}
