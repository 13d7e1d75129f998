/** The suites that are not generated: scenarios with known outcomes, the bounds of the performance chapter, leaks. */
import type { JudgeOptions } from './judge.js';
import { judge } from './judge.js';
import type { LawBroken } from './laws.js';
import type { Program } from './program.js';
import type { BoundsSummary, Finding, SuiteName } from './report.js';
import { scenarios } from './scenarios/index.js';
import { checkBounds } from './suites/bounds.js';
import { checkLeaks, emptyProgram } from './suites/leaks.js';

export interface FixedOutcome {
  readonly programs: number;
  readonly calls: number;
  readonly findings: readonly Finding[];
  readonly bounds: BoundsSummary | undefined;
}

/** Tells how many programs of the suite are done, and asks whether to go on. */
export type GoOn = (programs: number) => boolean;

/** Runs every scenario on the stack and on bare metal. `explain` makes a finding of a program that fails. */
export async function runScenarios(
  options: JudgeOptions,
  explain: (program: Program) => Promise<Finding>,
  goOn: GoOn,
): Promise<FixedOutcome> {
  let programs = 0;
  let calls = 0;
  const findings: Finding[] = [];
  for (const { program } of scenarios) {
    if (!goOn(programs)) break;
    const judgement = await judge(program, options);
    programs++;
    calls += judgement.calls;
    if (judgement.broken !== undefined) findings.push(await explain(program));
  }
  return { programs, calls, findings, bounds: undefined };
}

export async function runBounds(options: JudgeOptions): Promise<FixedOutcome> {
  const { profile, implementation } = options;
  const { rows, throughput, broken, calls } = await checkBounds({ profile, implementation });
  return { programs: 1, calls, findings: findingsOf('bounds', broken), bounds: { rows, throughput } };
}

export async function runLeaks(options: JudgeOptions, rounds: number, goOn: GoOn): Promise<FixedOutcome> {
  const result = await checkLeaks(options, rounds, () => !goOn(0));
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
