/** The suites that are one long program each: the bounds of the performance chapter, and leaks. */
import type { JudgeOptions } from './judge.js';
import type { LawBroken } from './laws.js';
import type { BoundsSummary, Finding, SuiteName } from './report.js';
import { checkBounds } from './suites/bounds.js';
import { checkLeaks, emptyProgram } from './suites/leaks.js';

export interface FixedOutcome {
  readonly programs: number;
  readonly calls: number;
  readonly findings: readonly Finding[];
  readonly bounds: BoundsSummary | undefined;
}

/** Asks whether to go on. */
export type GoOn = () => boolean;

export async function runBounds(options: JudgeOptions): Promise<FixedOutcome> {
  const { profile, implementation } = options;
  const { rows, throughput, broken, calls } = await checkBounds({ profile, implementation });
  return { programs: 1, calls, findings: findingsOf('bounds', broken), bounds: { rows, throughput } };
}

export async function runLeaks(options: JudgeOptions, rounds: number, goOn: GoOn): Promise<FixedOutcome> {
  const result = await checkLeaks(options, rounds, () => !goOn());
  return {
    programs: 1,
    calls: result.calls,
    findings: findingsOf('leaks', result.broken),
    bounds: undefined,
  };
}

/** These suites have no program to shrink: the finding names the run. */
function findingsOf(suite: SuiteName, broken: LawBroken | undefined): Finding[] {
  if (broken === undefined) return [];
  const { law, requirements, message } = broken;
  const program = { ...emptyProgram, name: suite };
  return [{ suite, law, requirements, message, program, actions: 0, shrinks: 0, tail: [] }];
}
