/** Asks one case by itself: a scenario, a probe or an attack. Whatever the implementation does is in the result. */
import { match } from 'ts-pattern';
import { judge } from '../judge.js';
import type { JudgeOptions } from '../judge.js';
import { laws } from '../laws.js';
import type { Program } from '../program.js';
import { TraceRecorder, chart } from '../trace.js';
import { CaseBroken, CaseUnsupported } from './case.js';
import type { CaseContext, CaseRun, ConformanceCase } from './case.js';
import type { CaseResult, Grade } from './case-report.js';

export interface RunCaseOptions extends CaseContext {
  readonly judge: JudgeOptions;
  /** Clock of the edge, in milliseconds. */
  nowMs(): number;
}

/** What came of the asking, without what the case says of itself. */
type Outcome = Omit<CaseResult, 'id' | 'doc' | 'judges' | 'kind' | 'elapsedMs'>;

const CHART_EVENTS = 24;

/** A case that is asked together with others (a property, an observation, a bound) has no result of its own: undefined. */
export async function runCase(
  each: ConformanceCase,
  options: RunCaseOptions,
): Promise<CaseResult | undefined> {
  const started = options.nowMs();
  const { profile } = each.needs;
  if (profile !== undefined && profile !== options.profile) {
    return resultOf(each, { ...untried('unsupported', each), message: `profile ${profile} only` }, 0);
  }
  const { inside } = each.needs;
  if (inside !== undefined && options.implementation.outsideDevice !== undefined)
    return resultOf(each, { ...untried('unsupported', each), message: `it needs ${inside}` }, 0);
  const outcome = await match(each.how)
    .with({ kind: 'program' }, ({ program }) => runProgram(each, program, options.judge))
    .with({ kind: 'probe' }, { kind: 'hostile' }, ({ run }) => runProbe(each, run, options))
    .with({ kind: 'property' }, { kind: 'observation' }, { kind: 'bound' }, () => undefined)
    .exhaustive();
  return outcome && resultOf(each, outcome, options.nowMs() - started);
}

export function resultOf(each: ConformanceCase, outcome: Outcome, elapsedMs: number): CaseResult {
  const { id, doc, judges, how } = each;
  return { id, doc, judges, kind: how.kind, ...outcome, elapsedMs };
}

/** Of a case that was not asked. */
export function untried(grade: Grade, { requirements }: ConformanceCase): Outcome {
  return { grade, requirements, runs: 0, actions: 0 };
}

async function runProgram(each: ConformanceCase, program: Program, options: JudgeOptions): Promise<Outcome> {
  const { broken, calls, unfit } = await judge(program, options);
  if (unfit !== undefined) return { ...untried('unsupported', each), message: unfit };
  if (broken === undefined)
    return { grade: 'pass', requirements: each.requirements, runs: 1, actions: calls };
  const recorder = new TraceRecorder();
  await judge(program, { ...options, recorder, coverage: undefined, book: undefined });
  const ofTheCase = broken.law === laws.expected.name || broken.law === laws.invisible.name;
  return {
    grade: 'fail',
    requirements: ofTheCase ? each.requirements : broken.requirements,
    message: broken.message,
    law: broken.law,
    runs: 1,
    actions: calls,
    program,
    steps: chart(recorder.events, CHART_EVENTS),
  };
}

async function runProbe(each: ConformanceCase, run: CaseRun, context: CaseContext): Promise<Outcome> {
  try {
    const { runs, actions } = await run(context);
    return { grade: 'pass', requirements: each.requirements, runs, actions };
  } catch (error) {
    if (error instanceof CaseUnsupported) return { ...untried('unsupported', each), message: error.message };
    if (error instanceof CaseBroken) {
      const { requirements, message, steps, actions } = error;
      return { grade: 'fail', requirements, message, steps, runs: 1, actions };
    }
    const { name, requirements } = laws.neverCrashes;
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { grade: 'fail', law: name, requirements, message, runs: 1, actions: 0 };
  }
}
