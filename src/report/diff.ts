/** What got better and what got worse between two reports. */
import type { CaseResult, Grade } from '../conformance/cases/case-report.js';
import type { CheckReport } from '../conformance/report.js';
import { columnNames, runLabels } from './columns.js';
import { gradeOrder, withOwnIds } from './grades.js';

export const DIFF_VERSION = 1;

export interface ReportDiff {
  readonly version: typeof DIFF_VERSION;
  /** Something is worse in some run. */
  readonly worse: boolean;
  readonly runs: readonly RunDiff[];
  /** Names of runs without a counterpart. */
  readonly newRuns: readonly string[];
  readonly goneRuns: readonly string[];
}

export interface RunDiff {
  /** Names of the two runs. */
  readonly before: string;
  readonly after: string;
  readonly verdict: Changed<CheckReport['verdict']>;
  /** Why the later run could not judge or ended early. */
  readonly reason: string | undefined;
  readonly better: readonly CaseChange[];
  /** What fails now first. */
  readonly worse: readonly CaseChange[];
  readonly new: readonly CaseChange[];
  readonly gone: readonly CaseChange[];
  /** Cases with the same grade. */
  readonly same: number;
  /** Laws that generated programs broke in one run only, and that no case tells. */
  readonly lawsBroken: readonly string[];
  readonly lawsMended: readonly string[];
}

export interface Changed<T> {
  readonly before: T;
  readonly after: T;
}

export interface CaseChange {
  readonly id: string;
  /** Absent for a new case. */
  readonly before?: Grade;
  /** Absent for a case that is gone. */
  readonly after?: Grade;
  /** What the later run says of the case. */
  readonly message?: string;
  /** It fails, and the later run's file of known failures says why. */
  readonly known?: string;
}

const verdictOrder: readonly CheckReport['verdict'][] = ['pass', 'inconclusive', 'fail'];

/**
 * Compares runs in pairs: the one with the one, or, when there are several, those of the same implementation and profile.
 * `runs` is empty when nothing can be compared.
 */
export function diffReports(before: readonly CheckReport[], after: readonly CheckReport[]): ReportDiff {
  const pairs = pairsOf(before, after);
  const runs = pairs.map(([a, b]) => runDiff(a, b));
  const without = (all: readonly CheckReport[], paired: readonly CheckReport[]) =>
    columnNames(all).filter((_, at) => !paired.includes(all[at]));
  return {
    version: DIFF_VERSION,
    worse: runs.some(isWorse),
    runs,
    newRuns: without(
      after,
      pairs.map(([, b]) => b),
    ),
    goneRuns: without(
      before,
      pairs.map(([a]) => a),
    ),
  };
}

/** A case, a law or the verdict is worse. */
export function isWorse({ worse, lawsBroken, verdict }: RunDiff): boolean {
  return worse.length > 0 || lawsBroken.length > 0 || verdictIsWorse(verdict);
}

export function verdictIsWorse({ before, after }: RunDiff['verdict']): boolean {
  return verdictOrder.indexOf(after) > verdictOrder.indexOf(before);
}

type Pair = readonly [before: CheckReport, after: CheckReport];

function pairsOf(before: readonly CheckReport[], after: readonly CheckReport[]): Pair[] {
  if (before.length === 1 && after.length === 1) return [[before[0], after[0]]];
  const left = [...after];
  return before.flatMap((run): Pair[] => {
    const at = left.findIndex(
      other => other.implementation.name === run.implementation.name && other.profile === run.profile,
    );
    return left.splice(at, at < 0 ? 0 : 1).map(other => [run, other]);
  });
}

function runDiff(before: CheckReport, after: CheckReport): RunDiff {
  const [nameBefore, nameAfter] = runLabels([before, after]);
  const earlier = new Map(withOwnIds(before.cases).map(result => [result.id, result]));
  const later = new Map(withOwnIds(after.cases).map(result => [result.id, result]));
  const both = [...later.values()].flatMap(result => {
    const old = earlier.get(result.id);
    if (old === undefined) return [];
    return [{ change: changeOf(old, result), by: rank(old) - rank(result), rank: rank(result) }];
  });
  return {
    before: nameBefore,
    after: nameAfter,
    verdict: { before: before.verdict, after: after.verdict },
    reason: after.reason,
    better: both.filter(({ by }) => by > 0).map(({ change }) => change),
    worse: both
      .filter(({ by }) => by < 0)
      .toSorted((a, b) => b.rank - a.rank)
      .map(({ change }) => change),
    new: [...later.values()].filter(({ id }) => !earlier.has(id)).map(result => changeOf(undefined, result)),
    gone: [...earlier.values()]
      .filter(({ id }) => !later.has(id))
      .map(({ id, grade }) => ({ id, before: grade })),
    same: both.filter(({ by }) => by === 0).length,
    lawsBroken: lawsOnlyIn(after, before),
    lawsMended: lawsOnlyIn(before, after),
  };
}

function changeOf(before: CaseResult | undefined, after: CaseResult): CaseChange {
  const { id, grade, message, known } = after;
  return {
    id,
    ...(before === undefined ? {} : { before: before.grade }),
    after: grade,
    ...(message === undefined ? {} : { message }),
    ...(known === undefined ? {} : { known }),
  };
}

function rank({ grade }: CaseResult): number {
  return gradeOrder.indexOf(grade);
}

/** Laws that findings of one run name, and nothing at all of the other; a law that the run's cases tell is told there. */
function lawsOnlyIn(run: CheckReport, other: CheckReport): string[] {
  const elsewhere = new Set([...lawsOfFindings(other), ...lawsOfCases(other), ...lawsOfCases(run)]);
  return [...new Set(lawsOfFindings(run))].filter(law => !elsewhere.has(law));
}

function lawsOfFindings({ findings }: CheckReport): string[] {
  return findings.map(({ law }) => law);
}

function lawsOfCases({ cases }: CheckReport): string[] {
  return cases.flatMap(({ grade, law }) => (grade === 'fail' && law !== undefined ? [law] : []));
}
