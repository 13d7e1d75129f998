/** The check: every case is asked, then generated programs run until the budget is spent; findings are shrunk and explained. */
import { match } from 'ts-pattern';
import type { ProfileName } from '../abi/index.js';
import { BATCH, runBatch } from './campaign.js';
import type { BatchFailure, GeneratedSuite } from './campaign.js';
import { CaseBook } from './cases/case-book.js';
import type { CaseResult } from './cases/case-report.js';
import { runCase } from './cases/run-case.js';
import { runObservations } from './ring-watch/index.js';
import { Coverage } from './coverage.js';
import { runBounds, runLeaks } from './fixed-suites.js';
import type { FixedOutcome } from './fixed-suites.js';
import type { Implementation } from './implementation.js';
import { judge } from './judge.js';
import type { JudgeOptions } from './judge.js';
import { MonitorBook } from './monitors/book.js';
import type { MachineDefinition } from '../statemachines/index.js';
import type { Program } from './program.js';
import { REPORT_VERSION, suiteNames } from './report.js';
import type { BoundsSummary, CheckReport, Finding, Progress, SuiteName, SuiteReport } from './report.js';
import { TraceRecorder, chart } from './trace.js';

export interface CheckOptions extends Implementation {
  readonly profile: ProfileName;
  /** 32 bits; everything follows from it and from the budget. */
  readonly seed: number;
  readonly suites: readonly SuiteName[];
  /** Ids of the cases to ask; all of them when absent. */
  readonly cases?: ReadonlySet<string> | undefined;
  /** Ids of cases that were asked before, and are not asked again. */
  readonly done?: ReadonlySet<string> | undefined;
  /** Programs to generate, or milliseconds to generate them in; with both, whichever ends first. One of the two is needed. */
  readonly runs?: number;
  readonly timeMs?: number;
  /** End with the first failure, and not with one for each suite; the rings also with what is only counted. */
  readonly stopAtFirst?: boolean;
  /** Most actions of a generated program. */
  readonly actionsMax?: number;
  /** Programs tried while a counterexample shrinks; the suites have defaults of their own. */
  readonly shrinkRunsMax?: number;
  /** Definitions of machines to judge by in place of the usual ones of the same name. */
  readonly machines?: readonly MachineDefinition[];
  /** Clock of the edge, in milliseconds. */
  nowMs(): number;
  onProgress(progress: Progress): void;
  /** A case has been asked; those that are judged over many programs come at the end. */
  onCase?(result: CaseResult): void;
  /** A law was found broken, and the program is as short as it gets; the report has it too. */
  onFinding?(finding: Finding): void;
  shouldStop(): boolean;
  /** Where to say what is under way, for a watchdog in another thread; see {@link UnderWay}. */
  readonly runIndex?: Int32Array;
}

/** Places in {@link CheckOptions.runIndex}. */
export const UnderWay = {
  /** Seed of the batch of generated programs. */
  batchSeed: 0,
  /** Number of the program in its batch; -1 while a counterexample shrinks and while none runs. */
  program: 1,
  /** 0 settled, 1 racing. */
  mode: 2,
  /** Place of the case in the catalogue; -1 while none is asked. */
  case: 3,
} as const;

/** Rounds of the leaks suite; a test runs many more. */
const LEAK_ROUNDS = 2000;
/** Programs whose rings are watched; the rarest observation is looked at dozens of times in as many. */
const WATCHED_PROGRAMS = 200;
/** The law of a kit that can repeat what it has seen. */
const REPEATS = 'same program, same outcome';
/** Programs tried to make one shorter that shows what is wrong in the rings of a device in another process. */
const OUTSIDE_SHRINK_RUNS_MAX = 60;
const CHART_EVENTS = 24;

export async function check(options: CheckOptions): Promise<CheckReport> {
  return new CheckRun(options).execute();
}

interface Tally {
  programs: number;
  actions: number;
  elapsedMs: number;
  findings: number;
}

class CheckRun {
  readonly #options: CheckOptions;
  readonly #implementation: Implementation;
  readonly #cases: CaseBook;
  readonly #coverage = new Coverage();
  readonly #book: MonitorBook;
  /** Judges programs whose coverage does not count. */
  readonly #otherBook: MonitorBook;
  readonly #findings: Finding[] = [];
  readonly #tallies = new Map<SuiteName, Tally>();
  readonly #startedMs: number;
  #bounds: BoundsSummary | undefined;
  #interrupted = false;

  constructor(options: CheckOptions) {
    const { driver, device, reports, adapter, network, outside, outsideDevice, memories, remote, elsewhere } =
      options;
    this.#options = options;
    this.#implementation = {
      driver,
      device,
      reports,
      adapter,
      network,
      outside,
      outsideDevice,
      memories,
      remote,
      elsewhere,
    };
    this.#cases = new CaseBook(this.#implementation, options);
    this.#startedMs = options.nowMs();
    this.#book = new MonitorBook(options.machines);
    this.#otherBook = new MonitorBook(options.machines);
    for (const suite of suiteNames.filter(name => options.suites.includes(name))) {
      this.#tallies.set(suite, { programs: 0, actions: 0, elapsedMs: 0, findings: 0 });
    }
  }

  async execute(): Promise<CheckReport> {
    for (const suite of this.#tallies.keys()) {
      if (this.#stopped() || this.#enough()) break;
      const started = this.#options.nowMs();
      await match(suite)
        .with('probes', 'scenarios', 'hostile', directed => this.#ask(directed))
        .with('bounds', 'leaks', fixed => this.#fixed(fixed))
        .with('rings', () => this.#observe(started))
        .with('settled', 'racing', () => undefined)
        .exhaustive();
      this.#tallyOf(suite).elapsedMs += this.#options.nowMs() - started;
    }
    await this.#generate();
    return this.#report();
  }

  /** Asks the cases of a suite one by one. */
  async #ask(suite: 'probes' | 'scenarios' | 'hostile'): Promise<void> {
    const tally = this.#tallyOf(suite);
    const { profile, seed } = this.#options;
    const nowMs = () => this.#options.nowMs();
    const open = this.#cases.open(suite);
    for (const [asked, { each, place }] of open.entries()) {
      if (this.#stopped() || this.#enough()) return;
      this.#progress(suite, asked / open.length);
      this.#announce({ case: place });
      const judgeOptions = this.#judgeOptions(this.#coverage);
      const context = { profile, seed, implementation: this.#implementation, judge: judgeOptions, nowMs };
      const result = await runCase(each, context);
      this.#announce({ case: -1 });
      if (result === undefined) continue;
      this.#cases.add(result);
      this.#options.onCase?.(result);
      tally.programs += result.runs;
      tally.actions += result.actions;
      if (result.grade === 'fail') {
        tally.findings++;
        if (result.program !== undefined) this.#found(findingOf(suite, result, result.program));
      }
    }
  }

  /** Watches the rings while generated programs run. */
  async #observe(startedMs: number): Promise<void> {
    if (!this.#cases.wants('rings')) return;
    const outside = this.#implementation.outsideDevice !== undefined;
    const tally = this.#tallyOf('rings');
    const { profile, seed } = this.#options;
    const goOn = (programs: number): boolean => {
      tally.programs = programs;
      this.#progress('rings', programs / WATCHED_PROGRAMS);
      return !this.#stopped();
    };
    const context = { profile, seed, implementation: this.#implementation };
    const { stopAtFirst } = this.#options;
    const shrinkRunsMax = outside ? OUTSIDE_SHRINK_RUNS_MAX : this.#options.shrinkRunsMax;
    const report = await runObservations(context, {
      programs: WATCHED_PROGRAMS,
      seed,
      goOn,
      stopAtFirst,
      shrinkRunsMax,
    });
    if (outside) for (const result of this.#cases.addUnobserved()) this.#options.onCase?.(result);
    tally.programs = report.programs;
    tally.actions = report.actions;
    for (const result of this.#cases.addObservations(report, this.#options.nowMs() - startedMs)) {
      if (result.grade === 'fail') tally.findings++;
      this.#options.onCase?.(result);
    }
  }

  /** Runs a suite that is one long program. */
  async #fixed(suite: 'bounds' | 'leaks'): Promise<void> {
    // Both look below the verbs, and of machines elsewhere there is nothing to see there.
    if (!this.#cases.wants(suite) || this.#implementation.remote !== undefined) return;
    const tally = this.#tallyOf(suite);
    const options = this.#judgeOptions(this.#coverage);
    this.#progress(suite, 0);
    const goOn = (): boolean => !this.#stopped();
    const outcome: FixedOutcome = await match(suite)
      .with('bounds', () => runBounds(options))
      .with('leaks', () => runLeaks(options, LEAK_ROUNDS, goOn))
      .exhaustive();
    tally.programs = outcome.programs;
    tally.actions = outcome.calls;
    tally.findings = outcome.findings.length;
    for (const finding of outcome.findings) this.#found(finding);
    if (outcome.bounds !== undefined) {
      this.#bounds = outcome.bounds;
      for (const result of this.#cases.addBounds(outcome.bounds, outcome.findings))
        this.#options.onCase?.(result);
    }
  }

  /** Settled and racing batches take turns until the budget is spent. */
  async #generate(): Promise<void> {
    const suites = (['settled', 'racing'] as const).filter(suite => this.#tallies.has(suite));
    if (suites.length === 0 || !this.#cases.wants('settled')) return;
    const started = this.#options.nowMs();
    for (let batch = 0; !this.#enough(); batch++) {
      const done = this.#generatedShare(started);
      if (this.#stopped() || done >= 1) break;
      const open = suites.filter(suite => this.#tallyOf(suite).findings === 0);
      if (open.length === 0) break;
      const suite = open[batch % open.length];
      this.#progress(suite, done);
      await this.#batch(suite, batch);
    }
  }

  async #batch(suite: GeneratedSuite, batch: number): Promise<void> {
    const { seed, runs, actionsMax, shrinkRunsMax } = this.#options;
    const tally = this.#tallyOf(suite);
    const started = this.#options.nowMs();
    const { programs, actions, failure } = await runBatch({
      suite,
      seed,
      batch,
      runs: runs === undefined ? BATCH : Math.min(BATCH, runs - this.#generated()),
      actionsMax,
      shrinkRunsMax,
      judge: this.#judgeOptions(this.#coverage),
      judgeShrinking: this.#judgeOptions(undefined),
      shouldStop: () => this.#stopped(),
      announce: (batchSeed, program) =>
        this.#announce({ batchSeed, program, mode: suite === 'settled' ? 0 : 1 }),
    });
    tally.programs += programs;
    tally.actions += actions;
    if (failure !== undefined) {
      tally.findings++;
      this.#found(await this.#explain(suite, failure));
    }
    tally.elapsedMs += this.#options.nowMs() - started;
  }

  #found(finding: Finding): void {
    this.#findings.push(finding);
    this.#options.onFinding?.(finding);
  }

  #tallyOf(suite: SuiteName): Tally {
    const tally = this.#tallies.get(suite);
    if (tally === undefined) throw new Error(`suite ${suite} is not part of this check`);
    return tally;
  }

  #total(key: 'programs' | 'actions' | 'findings'): number {
    let sum = 0;
    for (const tally of this.#tallies.values()) sum += tally[key];
    return sum;
  }

  /** Somebody wants the check to end. */
  #stopped(): boolean {
    if (!this.#options.shouldStop()) return false;
    this.#interrupted = true;
    return true;
  }

  /** The first failure is all that was wanted. */
  #enough(): boolean {
    return this.#options.stopAtFirst === true && this.#total('findings') > 0;
  }

  #elapsedMs(): number {
    return this.#options.nowMs() - this.#startedMs;
  }

  /** Of the budget for generated programs, how much is used up; 1 or more is all of it. */
  #generatedShare(startedMs: number): number {
    const { runs, timeMs } = this.#options;
    const byTime = timeMs === undefined ? 0 : (this.#options.nowMs() - startedMs) / timeMs;
    const byRuns = runs === undefined ? 0 : this.#generated() / runs;
    return Math.max(byTime, byRuns);
  }

  /** Programs generated so far. */
  #generated(): number {
    return (this.#tallies.get('settled')?.programs ?? 0) + (this.#tallies.get('racing')?.programs ?? 0);
  }

  #announce(what: Partial<Record<keyof typeof UnderWay, number>>): void {
    const { runIndex } = this.#options;
    if (runIndex === undefined) return;
    for (const name of ['batchSeed', 'program', 'mode', 'case'] as const) {
      const value = what[name];
      if (value !== undefined) Atomics.store(runIndex, UnderWay[name], value);
    }
  }

  #judgeOptions(coverage: Coverage | undefined): JudgeOptions {
    // A counterexample that shrinks must not add to what the programs covered.
    const book = coverage === undefined ? this.#otherBook : this.#book;
    return { profile: this.#options.profile, implementation: this.#implementation, coverage, book };
  }

  async #explain(suite: SuiteName, { program, shrinks, broken }: BatchFailure): Promise<Finding> {
    const found = await explain(suite, program, shrinks, this.#judgeOptions(undefined));
    if (found.law !== REPEATS || this.#implementation.outsideDevice === undefined) return found;
    // A device in another process has times of its own: what it did once it did.
    const { law, requirements, message } = broken;
    return { ...found, law, requirements, message: `${message} (not when the program was run again)` };
  }

  /** @param done share of the suite, 0..1 */
  #progress(suite: SuiteName, done: number): void {
    const { covered, total } = this.#book.transitionCoverage();
    this.#options.onProgress({
      suite,
      programs: this.#total('programs'),
      actions: this.#total('actions'),
      elapsedMs: this.#elapsedMs(),
      done: Math.min(1, done),
      transitionsCovered: covered,
      transitionsTotal: total,
      requirementsTouched: this.#book.requirementsTouched().size,
      requirementsTotal: this.#book.requirementsTotal(),
    });
  }

  #report(): CheckReport {
    const { seed, profile } = this.#options;
    const suites: SuiteReport[] = [...this.#tallies].map(([suite, tally]) => ({ suite, ...tally }));
    const machines = this.#book.table();
    const cases = this.#cases.results({ programs: this.#generated(), findings: this.#findings, machines });
    return {
      version: REPORT_VERSION,
      kit: '',
      implementation: { name: 'bundled' },
      cases,
      requirements: {},
      verdict: this.#total('findings') > 0 ? 'fail' : 'pass',
      reason: undefined,
      seed,
      profile,
      programs: this.#total('programs'),
      actions: this.#total('actions'),
      elapsedMs: this.#elapsedMs(),
      interrupted: this.#interrupted,
      suites,
      findings: this.#findings,
      coverage: [machines, ...this.#coverage.tables()],
      bounds: this.#bounds,
    };
  }
}

function findingOf(suite: SuiteName, result: CaseResult, program: Program): Finding {
  const { law = result.id, requirements, message = '', steps = [] } = result;
  return {
    suite,
    law,
    requirements,
    message,
    program,
    actions: program.actions.length,
    shrinks: 0,
    tail: steps,
  };
}

/** Runs a failing program once more with a trace, and says what broke. */
export async function explain(
  suite: SuiteName,
  program: Program,
  shrinks: number,
  options: JudgeOptions,
): Promise<Finding> {
  const recorder = new TraceRecorder();
  const { broken } = await judge(program, { ...options, recorder });
  return {
    suite,
    law: broken?.law ?? REPEATS,
    requirements: broken?.requirements ?? [],
    message:
      broken?.message ?? 'the program passed when it was run again: the implementation is not deterministic',
    program,
    actions: program.actions.length,
    shrinks,
    tail: chart(recorder.events, CHART_EVENTS),
  };
}
