/** Generated programs in batches through the judge; the first failure of a batch is shrunk. */
import fc from 'fast-check';
import { programArbitrary } from './generate/program-arbitrary.js';
import { judge } from './judge.js';
import type { JudgeOptions } from './judge.js';
import type { LawBroken } from './laws.js';
import type { Program } from './program.js';

export type GeneratedSuite = 'settled' | 'racing';

/** Programs between two looks at the clock. */
export const BATCH = 25;
const ACTIONS_MAX = 160;
const SHRINK_RUNS_MAX = 3000;

export interface BatchOptions {
  readonly suite: GeneratedSuite;
  /** Seed of the whole check, and number of the batch in it. */
  readonly seed: number;
  readonly batch: number;
  /** Programs at most. */
  readonly runs: number;
  /** Most actions of a program. */
  readonly actionsMax?: number | undefined;
  /** Programs tried while a counterexample shrinks. */
  readonly shrinkRunsMax?: number | undefined;
  /** How programs are judged, and how those are that only make a counterexample smaller. */
  readonly judge: JudgeOptions;
  readonly judgeShrinking: JudgeOptions;
  /** Asked before every program: it is also the sign of life that a watchdog waits for. */
  shouldStop(): boolean;
  /** Which program comes next: seed of the batch, number in it; -1 while a counterexample shrinks. */
  announce(batchSeed: number, number: number): void;
}

export interface BatchOutcome {
  readonly programs: number;
  /** Verbs calls. */
  readonly actions: number;
  readonly failure: BatchFailure | undefined;
}

export interface BatchFailure {
  readonly program: Program;
  readonly shrinks: number;
  /** What it broke when it was found. */
  readonly broken: LawBroken;
}

export async function runBatch(options: BatchOptions): Promise<BatchOutcome> {
  const batchSeed = mix(options.seed, options.batch);
  const shrinkRunsMax = options.shrinkRunsMax ?? SHRINK_RUNS_MAX;
  let programs = 0;
  let actions = 0;
  let shrinkRuns = 0;
  let first: LawBroken | undefined;
  const property = fc.asyncProperty(
    programArbitrary({ mode: options.suite, actionsMax: options.actionsMax ?? ACTIONS_MAX }),
    async program => {
      if (options.shouldStop()) return;
      if (first === undefined) {
        options.announce(batchSeed, programs);
        const judgement = await judge(program, options.judge);
        programs++;
        actions += judgement.calls;
        first = judgement.broken;
        if (first !== undefined) throw first;
        return;
      }
      if (++shrinkRuns > shrinkRunsMax) return;
      options.announce(batchSeed, -1);
      const { broken } = await judge(program, { ...options.judgeShrinking, sought: first.law });
      // While shrinking only the law that broke first counts: another one would be another finding.
      if (broken?.law === first.law) throw broken;
    },
  );
  const result = await fc.check(property, { seed: batchSeed, numRuns: options.runs });
  if (!result.failed || result.counterexample === null || first === undefined)
    return { programs, actions, failure: undefined };
  const [program] = result.counterexample;
  return { programs, actions, failure: { program, shrinks: result.numShrinks, broken: first } };
}

/** The program that a watchdog was told of. */
export function programOf(batchSeed: number, number: number, mode: GeneratedSuite): Program {
  const sample = fc.sample(programArbitrary({ mode, actionsMax: ACTIONS_MAX }), {
    seed: batchSeed,
    numRuns: number + 1,
  });
  return sample[number];
}

/** A 31-bit seed for each batch of a check. */
function mix(seed: number, batch: number): number {
  let x = (Math.imul(seed, 0x9e3779b1) + Math.imul(batch + 1, 0x85ebca6b)) | 0;
  x ^= x >>> 15;
  x = Math.imul(x, 0x2c1b3c6d);
  x ^= x >>> 12;
  return x & 0x7fff_ffff;
}
