/** Runs the batches of a soak and makes what they find smaller: what a worker does. */
import type { Implementation } from '../implementation.js';
import { inputsOf } from './batch.js';
import type { Batch, SoakInput, SoakPlan } from './batch.js';
import { shrink } from './shrink.js';
import type { Shrunk } from './shrink.js';
import { Trials } from './trial.js';
import type { Failure } from './trial.js';

/** What a batch did. */
export interface BatchOutcome {
  readonly programs: number;
  /** Verbs calls. */
  readonly calls: number;
  readonly hostileInputs: number;
  /** Inputs for which the implementation does not offer what they need. */
  readonly unsupported: number;
  readonly failures: readonly PlacedFailure[];
}

/** A failure, and the place of its input in the batch. */
export interface PlacedFailure extends Failure {
  readonly place: number;
}

/** Is told the place of each input before it is tried, -1 before one that only makes another smaller; false ends the work. */
export type Beat = (place: number) => boolean;

/**
 * Tries the inputs of a batch. Undefined when `beat` ended it.
 * @param skip places of inputs that are left out: a worker died of them before
 */
export async function runBatch(
  plan: SoakPlan,
  batch: Batch,
  skip: readonly number[],
  implementation: Implementation,
  beat: Beat,
): Promise<BatchOutcome | undefined> {
  const trials = new Trials(implementation);
  const failures: PlacedFailure[] = [];
  const sum = { programs: 0, calls: 0, hostileInputs: 0, unsupported: 0 };
  for (const [place, input] of inputsOf(plan, batch).entries()) {
    if (skip.includes(place)) continue;
    if (!beat(place)) return undefined;
    const trial = await trials.try(input);
    if ('program' in input) sum.programs++;
    sum.calls += trial.calls;
    sum.hostileInputs += trial.hostileInputs;
    if (trial.unsupported) sum.unsupported++;
    for (const failure of trial.failures) failures.push({ ...failure, place });
  }
  return { ...sum, failures };
}

/** Makes the input at a place of a batch as small as it can while it breaks the same law. Undefined when `beat` ended it. */
export async function shrinkFailure(
  plan: SoakPlan,
  batch: Batch,
  { place, ...failure }: PlacedFailure,
  implementation: Implementation,
  beat: Beat,
): Promise<Shrunk | undefined> {
  const inputs = inputsOf(plan, batch);
  return shrink(candidates(inputs, place), failure, implementation, () => beat(-1));
}

/** The input itself; then the same with what came before it in the world that they share. */
function* candidates(inputs: readonly SoakInput[], place: number): IterableIterator<SoakInput> {
  const input = inputs[place];
  yield input;
  if (input.mode !== 'hostile-driver') return;
  for (let before = 1; before < 2 * place; before *= 2) {
    const attacks = inputs
      .slice(Math.max(0, place - before), place + 1)
      .flatMap(each => (each.mode === 'hostile-driver' ? each.attacks : []));
    yield { ...input, attacks };
  }
}

/** What a saved finding breaks now; undefined when it breaks nothing. */
export async function tryAgain(
  input: SoakInput,
  implementation: Implementation,
): Promise<Failure | undefined> {
  const { failures } = await new Trials(implementation).try(input);
  return failures[0];
}
