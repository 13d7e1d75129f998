/** The check: batches of generated programs through the judge until the budget is spent, findings shrunk and explained. */
import fc from 'fast-check';
import { match } from 'ts-pattern';
import type { ProfileName } from '../abi/index.js';
import { Coverage } from './coverage.js';
import { programArbitrary } from './generate/program-arbitrary.js';
import { runBounds, runLeaks, runScenarios } from './fixed-suites.js';
import type { Implementation } from './implementation.js';
import { judge } from './judge.js';
import type { JudgeOptions } from './judge.js';
import { MonitorBook } from './monitors/book.js';
import type { LawBroken } from './laws.js';
import type { MachineDefinition } from '../statemachines/index.js';
import type { Program } from './program.js';
import type { BoundsSummary, CheckReport, Finding, Progress, SuiteName, SuiteReport } from './report.js';
import { REPORT_VERSION } from './report.js';
import { TraceRecorder, chart } from './trace.js';

export interface CheckOptions extends Implementation {
  readonly profile: ProfileName;
  /** 32 bits; everything follows from it and from the budget. */
  readonly seed: number;
  readonly suites: readonly SuiteName[];
  /** Programs to generate; with `timeMs` too, whichever ends first. One of the two is needed. */
  readonly runs?: number;
  readonly timeMs?: number;
  /** End with the first finding, and not with one for each suite. */
  readonly stopAtFirst?: boolean;
  /** Most actions of a generated program. */
  readonly actionsMax?: number;
  /** Programs tried while a counterexample shrinks; default 3000. */
  readonly shrinkRunsMax?: number;
  /** Definitions of machines to judge by in place of the usual ones of the same name. */
  readonly machines?: readonly MachineDefinition[];
  /** Clock of the edge, in milliseconds. */
  nowMs(): number;
  onProgress(progress: Progress): void;
  shouldStop(): boolean;
  /**
   * Where to say which program runs, for a watchdog in another thread: [batch seed, number in the batch, 0 settled or 1
   * racing]; number -1 while a counterexample shrinks.
   */
  readonly runIndex?: Int32Array;
}

/** Programs between two looks at the clock. */
const BATCH = 25;
const ACTIONS_MAX = 160;
const SHRINK_RUNS_MAX = 3000;
/** Rounds of the leaks suite; a test runs many more. */
const LEAK_ROUNDS = 2000;
const CHART_EVENTS = 24;

type GeneratedSuite = 'settled' | 'racing';

/** The program that a watchdog was told of. */
export function programOf(batchSeed: number, number: number, mode: GeneratedSuite): Program {
  const sample = fc.sample(programArbitrary({ mode, actionsMax: ACTIONS_MAX }), {
    seed: batchSeed,
    numRuns: number + 1,
  });
  return sample[number];
}

export async function check(options: CheckOptions): Promise<CheckReport> {
  const run = new CheckRun(options);
  return run.execute();
}

interface Tally {
  programs: number;
  actions: number;
  elapsedMs: number;
  findings: number;
}

class CheckRun {
  readonly #options: CheckOptions;
  readonly #coverage = new Coverage();
  readonly #book: MonitorBook;
  /** Judges programs whose coverage does not count. */
  readonly #otherBook: MonitorBook;
  readonly #findings: Finding[] = [];
  readonly #tallies = new Map<SuiteName, Tally>();
  readonly #startedMs: number;
  #bounds: BoundsSummary | undefined;
  #reason: string | undefined;
  #interrupted = false;

  constructor(options: CheckOptions) {
    this.#options = options;
    this.#startedMs = options.nowMs();
    this.#book = new MonitorBook(options.machines);
    this.#otherBook = new MonitorBook(options.machines);
    for (const suite of options.suites) {
      this.#tallies.set(suite, { programs: 0, actions: 0, elapsedMs: 0, findings: 0 });
    }
  }

  async execute(): Promise<CheckReport> {
    for (const suite of ['scenarios', 'bounds', 'leaks'] as const) {
      if (this.#tallies.has(suite) && !this.#stopped()) await this.#fixed(suite);
    }
    const generated = this.#options.suites.filter(suite => suite === 'settled' || suite === 'racing');
    for (let batch = 0; generated.length > 0 && !this.#spent(); batch++) {
      const open = generated.filter(suite => this.#tallyOf(suite).findings === 0);
      if (open.length === 0 || (this.#options.stopAtFirst === true && this.#findings.length > 0)) break;
      await this.#batch(open[batch % open.length], batch);
      this.#progress(open[batch % open.length]);
    }
    return this.#report();
  }

  /** Runs a suite whose programs are not generated. */
  async #fixed(suite: 'scenarios' | 'bounds' | 'leaks'): Promise<void> {
    const tally = this.#tallyOf(suite);
    const started = this.#options.nowMs();
    const options = this.#judgeOptions(this.#coverage);
    const goOn = (programs: number): boolean => {
      tally.programs = programs;
      this.#progress(suite);
      return !this.#stopped() && this.#options.nowMs() - started < this.#fixedBudgetMs();
    };
    const outcome = await match(suite)
      .with('scenarios', () => runScenarios(options, program => this.#explain(suite, program, 0), goOn))
      .with('bounds', () => runBounds(options))
      .with('leaks', () => runLeaks(options, LEAK_ROUNDS, goOn))
      .exhaustive();
    tally.programs = outcome.programs;
    tally.actions = outcome.calls;
    tally.findings = outcome.findings.length;
    this.#findings.push(...outcome.findings);
    this.#bounds ??= outcome.bounds;
    tally.elapsedMs = this.#options.nowMs() - started;
    this.#progress(suite);
  }

  /** A fixed suite may take a third of the time, so that the random ones get theirs. */
  #fixedBudgetMs(): number {
    return (this.#options.timeMs ?? Number.POSITIVE_INFINITY) / 3;
  }

  #tallyOf(suite: SuiteName): Tally {
    const tally = this.#tallies.get(suite);
    if (tally === undefined) throw new Error(`suite ${suite} is not part of this check`);
    return tally;
  }

  #total(key: 'programs' | 'actions'): number {
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

  #elapsedMs(): number {
    return this.#options.nowMs() - this.#startedMs;
  }

  /** True when the budget of the random suites is used up or somebody wants the check to end. */
  #spent(): boolean {
    const { runs, timeMs } = this.#options;
    if (this.#stopped()) return true;
    if (runs !== undefined && this.#generated() >= runs) return true;
    return timeMs !== undefined && this.#elapsedMs() >= timeMs;
  }

  /** Programs generated so far. */
  #generated(): number {
    return (this.#tallies.get('settled')?.programs ?? 0) + (this.#tallies.get('racing')?.programs ?? 0);
  }

  async #batch(suite: GeneratedSuite, batch: number): Promise<void> {
    const { options, tally } = { options: this.#options, tally: this.#tallyOf(suite) };
    const started = options.nowMs();
    const batchSeed = mix(options.seed, batch);
    const left = options.runs === undefined ? BATCH : Math.min(BATCH, options.runs - this.#generated());
    let number = 0;
    let first: LawBroken | undefined;
    let shrinkRuns = 0;
    const property = fc.asyncProperty(
      programArbitrary({ mode: suite, actionsMax: options.actionsMax ?? ACTIONS_MAX }),
      async program => {
        // Asked before every program: it is also the sign of life that a watchdog waits for.
        const stopped = this.#stopped();
        if (first !== undefined && (stopped || ++shrinkRuns > (options.shrinkRunsMax ?? SHRINK_RUNS_MAX)))
          return;
        this.#announce(batchSeed, first === undefined ? number : -1, suite);
        number++;
        const fresh = first === undefined;
        const judgement = await judge(
          program,
          first === undefined
            ? this.#judgeOptions(this.#coverage)
            : { ...this.#judgeOptions(undefined), sought: first.law },
        );
        if (fresh) {
          tally.programs++;
          tally.actions += judgement.calls;
        }
        const { broken } = judgement;
        // While shrinking only the law that broke first counts: another one would be another finding.
        if (broken === undefined || (first !== undefined && broken.law !== first.law)) return;
        first ??= broken;
        throw broken;
      },
    );
    const result = await fc.check(property, { seed: batchSeed, numRuns: left });
    if (result.failed && result.counterexample !== null) {
      tally.findings++;
      this.#findings.push(await this.#explain(suite, result.counterexample[0], result.numShrinks));
    }
    tally.elapsedMs += options.nowMs() - started;
  }

  #announce(batchSeed: number, number: number, suite: GeneratedSuite): void {
    const { runIndex } = this.#options;
    if (runIndex === undefined) return;
    Atomics.store(runIndex, 0, batchSeed);
    Atomics.store(runIndex, 1, number);
    Atomics.store(runIndex, 2, suite === 'settled' ? 0 : 1);
  }

  #judgeOptions(coverage: Coverage | undefined): JudgeOptions {
    const { profile, driver, device, reports, adapter, network } = this.#options;
    const implementation = { driver, device, reports, adapter, network };
    // A counterexample that shrinks must not add to what the programs covered.
    return {
      profile,
      implementation,
      coverage,
      book: coverage === undefined ? this.#otherBook : this.#book,
    };
  }

  async #explain(suite: SuiteName, program: Program, shrinks: number): Promise<Finding> {
    return explain(suite, program, shrinks, this.#judgeOptions(undefined));
  }

  #progress(suite: SuiteName): void {
    const { options } = { options: this.#options };
    const elapsedMs = this.#elapsedMs();
    const byTime = options.timeMs === undefined ? 0 : elapsedMs / options.timeMs;
    const { covered, total } = this.#book.transitionCoverage();
    const byRuns = options.runs === undefined ? 0 : this.#generated() / options.runs;
    options.onProgress({
      suite,
      programs: this.#total('programs'),
      actions: this.#total('actions'),
      elapsedMs,
      done: Math.min(1, Math.max(byTime, byRuns)),
      transitionsCovered: covered,
      transitionsTotal: total,
      requirementsTouched: this.#book.requirementsTouched().size,
      requirementsTotal: this.#book.requirementsTotal(),
    });
  }

  #report(): CheckReport {
    const { seed, profile } = this.#options;
    const suites: SuiteReport[] = [...this.#tallies].map(([suite, tally]) => ({ suite, ...tally }));
    return {
      version: REPORT_VERSION,
      kit: '',
      implementation: { name: 'bundled' },
      cases: [],
      requirements: {},
      verdict: this.#findings.length > 0 ? 'fail' : this.#reason === undefined ? 'pass' : 'inconclusive',
      reason: this.#reason,
      seed,
      profile,
      programs: this.#total('programs'),
      actions: this.#total('actions'),
      elapsedMs: this.#elapsedMs(),
      interrupted: this.#interrupted,
      suites,
      findings: this.#findings,
      coverage: [this.#book.table(), ...this.#coverage.tables()],
      bounds: this.#bounds,
    };
  }
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
    law: broken?.law ?? 'same program, same outcome',
    requirements: broken?.requirements ?? [],
    message:
      broken?.message ?? 'the program passed when it was run again: the implementation is not deterministic',
    program,
    actions: program.actions.length,
    shrinks,
    tail: chart(recorder.events, CHART_EVENTS),
  };
}

/** A 31-bit seed for each batch of a check. */
function mix(seed: number, batch: number): number {
  let x = (Math.imul(seed, 0x9e3779b1) + Math.imul(batch + 1, 0x85ebca6b)) | 0;
  x ^= x >>> 15;
  x = Math.imul(x, 0x2c1b3c6d);
  x ^= x >>> 12;
  return x & 0x7fff_ffff;
}
