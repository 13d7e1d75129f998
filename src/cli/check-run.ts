/**
 * A whole check, whatever the implementation does to it: a worker that hangs, dies or vanishes in the middle of a case ends
 * that case and not the check; a fresh worker goes on with the rest. However a worker ends, what it had found stays found.
 */
import type { CaseResult } from '../conformance/cases/case-report.js';
import type { CheckReport, Finding, Progress, SuiteName } from '../conformance/report.js';
import type { Engine } from './engine.js';
import type { CheckJob } from './job.js';
import { crashOf, emptyReport, reportOf, type Crash } from './outcome-report.js';
import type { Outcome } from './supervise.js';

/** What is told of a worker's run while it lasts. */
export interface Listeners {
  onCase(result: CaseResult): void;
  onFinding(finding: Finding): void;
  onProgress(progress: Progress): void;
}

export interface CheckRunOptions {
  readonly job: CheckJob;
  /** Runs one worker to its end. */
  run(job: CheckJob, listeners: Listeners): Promise<Outcome>;
  /** The kit, to name the case or program that was under way. */
  engine(): Promise<Engine>;
  onProgress(progress: Progress): void;
  /** The implementation has crashed and a fresh worker starts. */
  onRestart(message: string): void;
  nowMs(): number;
}

/** Crashes after which the rest of the cases is left alone: each costs a hang's time. */
const CRASHES_MAX = 8;
/** Suites that end with their first finding. */
const endWithFinding: readonly SuiteName[] = ['leaks', 'settled', 'racing'];

export async function runCheck(options: CheckRunOptions): Promise<CheckReport> {
  const run = new CheckSegments(options);
  return run.execute();
}

/** The segments of a check between two crashes, added up. */
class CheckSegments {
  readonly #options: CheckRunOptions;
  readonly #startedMs: number;
  readonly #results = new Map<string, CaseResult>();
  /** Found by workers that came to no report, and what ended them. */
  readonly #findings: Finding[] = [];
  /** Done by workers that died. */
  #programs = 0;
  #actions = 0;
  #progress: Progress | undefined;

  constructor(options: CheckRunOptions) {
    this.#options = options;
    this.#startedMs = options.nowMs();
  }

  async execute(): Promise<CheckReport> {
    let job = this.#options.job;
    for (let crashes = 1; ; crashes++) {
      this.#progress = undefined;
      const found: Finding[] = [];
      const outcome = await this.#options.run(job, {
        onCase: result => void this.#results.set(result.id, result),
        onFinding: finding => void found.push(finding),
        onProgress: progress => {
          this.#progress = progress;
          this.#options.onProgress({
            ...progress,
            programs: progress.programs + this.#programs,
            actions: progress.actions + this.#actions,
          });
        },
      });
      const asked = { ...job, progress: this.#progress, elapsedMs: this.#elapsedMs() };
      if (outcome.kind !== 'checked') this.#findings.push(...found);
      const crash = crashOf(outcome);
      if (crash === undefined) return this.#wholeOf(reportOf(outcome, asked));
      const next = await this.#afterCrash(crash, job);
      if (next === undefined || crashes >= CRASHES_MAX) {
        const reason =
          next === undefined
            ? `the implementation failed while no program could be named: before the first one, or while a failing one was shrunk: ${crash.message}`
            : `the implementation crashed or hung ${crashes} times; the rest was not asked`;
        return this.#wholeOf({ ...emptyReport(asked, reason), verdict: 'fail' });
      }
      this.#options.onRestart(crash.message);
      job = next;
    }
  }

  /** Notes what crashed, and says what is left to do; undefined when nobody knows what it was. */
  async #afterCrash(crash: Crash, job: CheckJob): Promise<CheckJob | undefined> {
    const [batchSeed, number, mode, place] = crash.run;
    this.#programs += this.#progress?.programs ?? 0;
    this.#actions += this.#progress?.actions ?? 0;
    const { catalogue, programOf } = await this.#options.engine();
    const each = place < 0 ? undefined : catalogue[place];
    if (each !== undefined) {
      const { id, doc, judges, how } = each;
      const program = how.kind === 'program' ? how.program : undefined;
      const { law, requirements, message } = crash;
      const result: CaseResult = {
        id,
        doc,
        judges,
        kind: how.kind,
        grade: 'fail',
        law,
        requirements,
        message,
        runs: 1,
        actions: 0,
        elapsedMs: 0,
        ...(program === undefined ? {} : { program }),
      };
      this.#results.set(id, result);
      if (program !== undefined) this.#findings.push(findingOf(crash, program, 'scenarios'));
      return this.#rest(job);
    }
    const suite: SuiteName = mode === 0 ? 'settled' : 'racing';
    if (number < 0 || !job.suites.includes(suite)) return undefined;
    this.#findings.push(findingOf(crash, programOf(batchSeed, number, suite), suite));
    return this.#rest(job);
  }

  /** What a fresh worker has to do: the cases that have no result, and the suites that have not ended. */
  #rest(job: CheckJob): CheckJob {
    const ended = new Set(this.#findings.map(({ suite }) => suite).filter(s => endWithFinding.includes(s)));
    const suites = job.suites.filter(suite => !ended.has(suite));
    return { ...job, suites, done: [...this.#results.keys()] };
  }

  /** The report of the last worker with what those before it did. */
  #wholeOf(report: CheckReport): CheckReport {
    const cases = report.cases.map(result => this.#results.get(result.id) ?? result);
    const missing = [...this.#results.values()].filter(({ id }) => !cases.some(result => result.id === id));
    const findings = [...this.#findings, ...report.findings];
    return {
      ...report,
      verdict: findings.length > 0 && report.verdict === 'pass' ? 'fail' : report.verdict,
      programs: report.programs + this.#programs,
      actions: report.actions + this.#actions,
      elapsedMs: Math.max(report.elapsedMs, this.#findings.length > 0 ? this.#elapsedMs() : 0),
      findings,
      cases: [...cases, ...missing],
    };
  }

  #elapsedMs(): number {
    return this.#options.nowMs() - this.#startedMs;
  }
}

function findingOf(crash: Crash, program: Finding['program'], suite: SuiteName): Finding {
  const { law, requirements, message } = crash;
  return {
    suite,
    law,
    requirements,
    message,
    program,
    actions: program.actions.length,
    shrinks: 0,
    tail: [],
  };
}
