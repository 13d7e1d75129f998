/** The cases of one check: which are asked, in which suite, and what came of each; every case of the catalogue has a result. */
import type { Implementation } from '../implementation.js';
import { observations, unseenOutside } from '../ring-watch/index.js';
import type { ObservationOutcome, ObservationReport } from '../ring-watch/index.js';
import type { BoundsSummary, CoverageTable, Finding, SuiteName } from '../report.js';
import { holds } from '../suites/bounds.js';
import type { ConformanceCase } from './case.js';
import type { CaseResult } from './case-report.js';
import { catalogue, suitesOf } from './catalogue.js';
import { resultOf, untried } from './run-case.js';
import { whyUnseen, whyUnseenThere } from './unseen.js';

/** Suites to run; ids of the cases to ask, all when absent, and of those that were asked before. */
export interface Choice {
  readonly suites: readonly SuiteName[];
  readonly cases?: ReadonlySet<string> | undefined;
  readonly done?: ReadonlySet<string> | undefined;
}

/** A case with its place in the catalogue. */
export interface PlacedCase {
  readonly each: ConformanceCase;
  readonly place: number;
}

/** What the properties are graded by. */
export interface CampaignSeen {
  /** Programs that were generated and judged. */
  readonly programs: number;
  readonly findings: readonly Finding[];
  /** How often each transition of each machine was taken. */
  readonly machines: CoverageTable;
}

/** Fewer generated programs than this say nothing about a law that none of them broke. */
const PROGRAMS_MIN = 20;

export class CaseBook {
  readonly #results = new Map<string, CaseResult>();
  readonly #suites: readonly SuiteName[];
  readonly #chosen: ReadonlySet<string> | undefined;
  readonly #done: ReadonlySet<string> | undefined;
  readonly #implementation: Implementation;

  constructor(implementation: Implementation, { suites, cases, done }: Choice) {
    this.#implementation = implementation;
    this.#suites = suites;
    this.#chosen = cases;
    this.#done = done;
  }

  /** Cases of a suite that are to be asked. */
  open(suite: SuiteName): readonly PlacedCase[] {
    return catalogue
      .map((each, place) => ({ each, place }))
      .filter(
        ({ each }) =>
          suitesOf(each).includes(suite) &&
          this.#whyNot(each) === undefined &&
          this.#unseen(each) === undefined,
      );
  }

  /** Whether any case is asked in a suite. */
  wants(suite: SuiteName): boolean {
    return this.open(suite).length > 0;
  }

  add(result: CaseResult): void {
    this.#results.set(result.id, result);
  }

  /** A bound that holds has passed; a run that broke off has counted nothing. */
  addBounds(bounds: BoundsSummary, findings: readonly Finding[]): readonly CaseResult[] {
    const added = this.open('bounds').map(({ each }): CaseResult => {
      const name = each.how.kind === 'bound' ? each.how.bound : '';
      const row = bounds.rows.find(counted => counted.name === name);
      const { requirements } = each;
      const effort = { runs: 1, actions: 0 };
      if (row === undefined) {
        // A run that came to its end has counted all that it can; a finding is of another bound then.
        const finding = bounds.rows.length > 0 ? undefined : findings.at(0);
        if (finding === undefined && this.#implementation.outsideDevice !== undefined)
          return resultOf(each, { ...untried('unsupported', each), message: OWN_CLOCK }, 0);
        const message = finding?.message ?? 'nothing was counted';
        const grade = finding === undefined ? 'inconclusive' : 'fail';
        return resultOf(each, { grade, requirements, message, ...effort }, 0);
      }
      if (holds(row)) return resultOf(each, { grade: 'pass', requirements, ...effort }, 0);
      const message = `${row.formula}: counted ${row.measured}, allowed ${row.kind === 'most' ? 'at most' : 'at least'} ${row.limit}`;
      return resultOf(each, { grade: 'fail', requirements, message, ...effort }, 0);
    });
    for (const result of added) this.add(result);
    return added;
  }

  /** An observation that was never looked at says nothing; one that is only counted is no failure. */
  addObservations({ outcomes, programs }: ObservationReport, elapsedMs: number): readonly CaseResult[] {
    const byId = new Map(outcomes.map(outcome => [outcome.observation.id, outcome]));
    const added = this.open('rings').flatMap(({ each }): CaseResult[] => {
      const outcome = each.how.kind === 'observation' ? byId.get(each.how.observation) : undefined;
      const unseen =
        this.#implementation.outsideDevice !== undefined && unseenById.has(outcome?.observation.id ?? '');
      return outcome === undefined || unseen ? [] : [observationResult(each, outcome, programs, elapsedMs)];
    });
    for (const result of added) this.add(result);
    return added;
  }

  /** What the rings of a device outside do not show. */
  addUnobserved(): readonly CaseResult[] {
    const added = this.open('rings').flatMap(({ each }): CaseResult[] => {
      const message = each.how.kind === 'observation' ? unseenById.get(each.how.observation) : undefined;
      return message === undefined ? [] : [resultOf(each, { ...untried('unsupported', each), message }, 0)];
    });
    for (const result of added) this.add(result);
    return added;
  }

  /** A result for every case, in the order of the catalogue. */
  results(seen: CampaignSeen): readonly CaseResult[] {
    return catalogue.map(each => {
      const whyNot = this.#whyNot(each);
      if (whyNot !== undefined) return resultOf(each, { ...untried('skipped', each), message: whyNot }, 0);
      const unseen = this.#unseen(each);
      if (unseen !== undefined)
        return resultOf(each, { ...untried('unsupported', each), message: unseen }, 0);
      if (each.how.kind === 'property') return propertyResult(each, each.how.law, seen);
      const message = 'the run ended before it was asked';
      return this.#results.get(each.id) ?? resultOf(each, { ...untried('inconclusive', each), message }, 0);
    });
  }

  /** Why the implementation shows too little for a case. */
  #unseen(each: ConformanceCase): string | undefined {
    const { remote, elsewhere } = this.#implementation;
    if (elsewhere === true) return whyUnseenThere(each.id);
    return remote && whyUnseen(each.how, remote);
  }

  #whyNot(each: ConformanceCase): string | undefined {
    const { id, judges } = each;
    if (this.#chosen?.has(id) === false) return 'not chosen';
    if (!suitesOf(each).some(suite => this.#suites.includes(suite))) return 'its suite was not chosen';
    if (this.#done?.has(id) === true) return 'asked before';
    const { driver, device } = this.#implementation;
    if (judges === 'device' && driver !== undefined && device === undefined)
      return 'it judges the device, and the bundled one is in place';
    if (judges === 'driver' && device !== undefined && driver === undefined)
      return 'it judges the driver, and the bundled one is in place';
    return undefined;
  }
}

const unseenById = new Map([...unseenOutside].map(([key, why]) => [observations[key].id, why]));
const OWN_CLOCK = 'it is counted in virtual time, and the device has a clock of its own';

function observationResult(
  each: ConformanceCase,
  { observation, looks, breaches, first }: ObservationOutcome,
  programs: number,
  elapsedMs: number,
): CaseResult {
  const { requirements } = each;
  const effort = { runs: programs, actions: looks };
  if (first === undefined) {
    const unseen = { grade: 'inconclusive', message: 'nothing of the kind happened in the rings' } as const;
    return resultOf(
      each,
      { ...(looks === 0 ? unseen : { grade: 'pass' }), requirements, ...effort },
      elapsedMs,
    );
  }
  const { message, program, steps, rings } = first;
  const grade = observation.verdict === 'fail' ? 'fail' : 'informational';
  const counted = `${message} (${breaches} times in ${looks})`;
  const broken = { requirements: first.requirements, message: counted, program, steps, rings };
  return resultOf(each, { grade, ...broken, ...effort }, elapsedMs);
}

/** A law or a machine is broken when a finding names it, and kept when enough programs could have broken it. */
function propertyResult(
  each: ConformanceCase,
  law: string,
  { programs, findings, machines }: CampaignSeen,
): CaseResult {
  const effort = { runs: programs, actions: 0 };
  const finding = findings.find(found => found.law === law);
  if (finding !== undefined) {
    const { message, requirements, program, tail } = finding;
    const broken = requirements.length > 0 ? requirements : each.requirements;
    return resultOf(
      each,
      { grade: 'fail', requirements: broken, message, law, program, steps: tail, ...effort },
      0,
    );
  }
  const { requirements } = each;
  if (programs < PROGRAMS_MIN) {
    const message = `${programs} generated programs are too few to tell`;
    return resultOf(each, { grade: 'inconclusive', requirements, message, ...effort }, 0);
  }
  if (law.startsWith('machine ') && !wasTaken(law.slice('machine '.length), machines)) {
    const message = 'no instance of this machine was seen to move';
    return resultOf(each, { grade: 'inconclusive', requirements, message, ...effort }, 0);
  }
  return resultOf(each, { grade: 'pass', requirements, ...effort }, 0);
}

function wasTaken(machine: string, { counts }: CoverageTable): boolean {
  return Object.entries(counts).some(([name, count]) => count > 0 && name.startsWith(`${machine}: `));
}
