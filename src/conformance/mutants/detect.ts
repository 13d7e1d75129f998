/**
 * How a mutant is caught: the cases are asked one after the other, those about what it breaks first, then generated programs,
 * until one shows a fault. A program that shows it is made small.
 */
import { match } from 'ts-pattern';
import type { ProfileName } from '../../abi/index.js';
import { catalogue } from '../cases/catalogue.js';
import type { CaseResult } from '../cases/case-report.js';
import type { ConformanceCase } from '../cases/case.js';
import { runCase } from '../cases/run-case.js';
import { propertyCases } from '../cases/static-cases.js';
import { check } from '../check.js';
import { simpler } from '../generate/shrink.js';
import { judge } from '../judge.js';
import { MonitorBook } from '../monitors/book.js';
import type { Program } from '../program.js';
import type { SuiteName } from '../report.js';
import type { Mutant } from './mutant.js';

export interface DetectOptions {
  readonly profile: ProfileName;
  /** 32 bits; attacks and generated programs follow from it. */
  readonly seed: number;
  /** Ask everything, and name all that catch it; else the first one ends it. */
  readonly all?: boolean | undefined;
  /** Id of a case to ask before the others. */
  readonly first?: string | undefined;
  /** Leave the program that was found as it is. */
  readonly quick?: boolean | undefined;
  /** Clock of the edge, in milliseconds. */
  nowMs(): number;
  shouldStop(): boolean;
}

/** A case that a mutant failed, with what was seen. */
export interface Catch {
  readonly case: string;
  readonly requirements: readonly string[];
  readonly message: string;
}

export interface Detection {
  readonly mutant: string;
  readonly seed: number;
  /** What caught it, the first first; empty: it got away. */
  readonly by: readonly Catch[];
  /** Cases asked and programs run before the first catch, that one included. */
  readonly runs: number;
  /** Actions of the smallest program that was found; undefined where no program shows it. */
  readonly actions: number | undefined;
  /** What a hand-written peer did up to the failure, where one shows it; undefined elsewhere. */
  readonly steps: number | undefined;
  readonly elapsedMs: number;
}

/** Generated programs of the campaign; what a default check runs is many times that. */
const PROGRAMS = 400;
/** Short programs shrink fast. */
const ACTIONS_MAX = 60;
const SHRINK_RUNS_MAX = 400;

export async function detect(mutant: Mutant, options: DetectOptions): Promise<Detection> {
  const started = options.nowMs();
  const hunt = new Hunt(mutant, options);
  const { near, far } = casesFor(mutant, options.first);
  const asked = new Set<SuiteName>();
  const campaign = async (suites: readonly SuiteName[]): Promise<void> => {
    if (!hunt.goesOn || asked.has(suites[0])) return;
    for (const suite of suites) asked.add(suite);
    await hunt.campaign(suites);
  };
  // A case that is asked over a whole campaign is none to begin with.
  const wanted = suiteOf(options.first);
  if (wanted !== undefined) await campaign(wanted);
  await hunt.cases(near);
  // What rings and counts show of just what it breaks is near, too.
  for (const suite of ['rings', 'bounds'] as const)
    if (near.some(each => suiteOf(each.id)?.[0] === suite)) await campaign([suite]);
  await hunt.cases(far);
  for (const suites of suitesFor(mutant)) await campaign(suites);
  const { by, runs, actions, steps } = hunt;
  const elapsedMs = options.nowMs() - started;
  return { mutant: mutant.id, seed: options.seed, by, runs, actions, steps, elapsedMs };
}

const generated = ['settled', 'racing'] as const;

/** The campaign that a case is asked over; undefined for one that is asked by itself. */
function suiteOf(id: string | undefined): readonly SuiteName[] | undefined {
  return match(catalogue.find(each => each.id === id)?.how.kind)
    .returnType<readonly SuiteName[] | undefined>()
    .with('property', () => generated)
    .with('observation', () => ['rings'])
    .with('bound', () => ['bounds'])
    .otherwise(() => undefined);
}

/** The campaigns, the one first that counts what the mutant is about. */
function suitesFor({ chapter, where }: Mutant): readonly (readonly SuiteName[])[] {
  if (where === 'ring' || chapter === 'rings' || chapter === 'notification races')
    return [['rings'], generated, ['bounds'], ['leaks']];
  return match(chapter)
    .with('time and cost', () => [['bounds'], ['rings'], generated, ['leaks']] as const)
    .with('leaks', () => [['leaks'], generated, ['rings'], ['bounds']] as const)
    .otherwise(() => [generated, ['rings'], ['bounds'], ['leaks']] as const);
}

class Hunt {
  readonly by: Catch[] = [];
  runs = 0;
  actions: number | undefined;
  steps: number | undefined;
  readonly #mutant: Mutant;
  readonly #options: DetectOptions;
  readonly #book = new MonitorBook();

  constructor(mutant: Mutant, options: DetectOptions) {
    this.#mutant = mutant;
    this.#options = options;
  }

  get goesOn(): boolean {
    return !this.#options.shouldStop() && (this.#options.all === true || this.by.length === 0);
  }

  async cases(cases: readonly ConformanceCase[]): Promise<void> {
    for (const each of cases) {
      if (!this.goesOn) return;
      await this.#ask(each);
    }
  }

  async #ask(each: ConformanceCase): Promise<void> {
    const { implementation } = this.#mutant;
    const { profile, seed } = this.#options;
    const result = await runCase(each, {
      profile,
      implementation,
      seed,
      nowMs: () => this.#options.nowMs(),
      judge: { profile, implementation, book: this.#book },
    });
    if (result === undefined) return;
    const first = this.by.length === 0;
    if (first) this.runs++;
    if (result.grade !== 'fail') return;
    this.by.push({ case: each.id, requirements: result.requirements, message: result.message ?? '' });
    if (!first) return;
    const { program, law, steps, actions } = result;
    if (program === undefined || law === undefined) {
      if (steps !== undefined && steps.length > 0) this.steps = actions;
      return;
    }
    this.actions = (this.#options.quick === true ? program : await this.#shrunk(program, law)).actions.length;
  }

  async campaign(suites: readonly SuiteName[]): Promise<void> {
    const { profile, seed, quick, all } = this.#options;
    const failed: CaseResult[] = [];
    const report = await check({
      ...this.#mutant.implementation,
      profile,
      seed,
      suites,
      runs: PROGRAMS,
      actionsMax: ACTIONS_MAX,
      shrinkRunsMax: quick === true ? 0 : SHRINK_RUNS_MAX,
      stopAtFirst: all !== true,
      nowMs: () => this.#options.nowMs(),
      shouldStop: () => this.#options.shouldStop(),
      onProgress: () => undefined,
      onCase(result) {
        const broken = result.grade === 'fail' || result.grade === 'informational';
        if (broken && result.kind !== 'property') failed.push(result);
      },
    });
    if (this.by.length === 0) {
      this.runs += report.programs;
      this.actions = report.findings.at(0)?.actions ?? failed.at(0)?.program?.actions.length;
    }
    for (const { id, requirements, message } of failed)
      this.by.push({ case: id, requirements, message: message ?? '' });
    for (const { law, suite, requirements, message } of report.findings) {
      if (suite === 'bounds' && failed.length > 0) continue;
      const id = propertyCases.find(({ how }) => how.kind === 'property' && how.law === law)?.id;
      this.by.push({ case: id ?? `${suite}: ${law}`, requirements, message });
    }
  }

  /** The smallest program that still breaks the law, as far as the patience reaches. */
  async #shrunk(found: Program, law: string): Promise<Program> {
    const { implementation } = this.#mutant;
    const { profile } = this.#options;
    let best = found;
    let candidates = simpler(best);
    for (let tries = 0; tries < SHRINK_RUNS_MAX; tries++) {
      const next = candidates.next();
      if (next.done === true || this.#options.shouldStop()) break;
      const { program, place } = next.value;
      const { broken } = await judge(program, { profile, implementation, book: this.#book, sought: law });
      if (broken?.law !== law) continue;
      best = program;
      candidates = simpler(best, place);
    }
    return best;
  }
}

/** Cases that can see a mutant of its kind: those about what it breaks, the closest first, and all others, the long ones last. */
function casesFor(
  { where, requirements }: Mutant,
  first: string | undefined,
): { readonly near: readonly ConformanceCase[]; readonly far: readonly ConformanceCase[] } {
  const other = where === 'driver' || where === 'transport' ? 'device' : 'driver';
  const distance = (each: ConformanceCase): number => {
    if (each.id === first) return -1;
    const shared = requirements.findIndex(id => each.requirements.includes(id));
    return shared < 0 ? requirements.length : shared;
  };
  const placed = catalogue
    .filter(({ judges }) => judges !== other)
    .map(each => ({ each, place: distance(each) }))
    .toSorted((a, b) => a.place - b.place);
  const isNear = ({ place }: { place: number }): boolean => place < requirements.length;
  return {
    near: placed.filter(isNear).map(({ each }) => each),
    far: placed
      .filter(each => !isNear(each))
      .map(({ each }) => each)
      .toSorted((a, b) => Number(a.long ?? false) - Number(b.long ?? false)),
  };
}
