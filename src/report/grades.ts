/** Grades as reports count and order them. */
import { chapterOf } from '../conformance/cases/case.js';
import type { CaseResult, Grade } from '../conformance/cases/case-report.js';
import type { CheckReport, Finding } from '../conformance/report.js';

/** From the best to the worst: what `diff` calls better and worse. */
export const gradeOrder = [
  'pass',
  'informational',
  'non-strict',
  'unsupported',
  'skipped',
  'inconclusive',
  'fail',
] as const satisfies readonly Grade[];

export type GradeCounts = Readonly<Record<Grade, number>>;

export function countGrades(cases: readonly Pick<CaseResult, 'grade'>[]): GradeCounts {
  const counts = {
    pass: 0,
    informational: 0,
    'non-strict': 0,
    unsupported: 0,
    skipped: 0,
    inconclusive: 0,
    fail: 0,
  };
  for (const { grade } of cases) counts[grade]++;
  return counts;
}

/** Failed, and nobody said that it would. */
export function isFailure({ grade, known }: Pick<CaseResult, 'grade' | 'known'>): boolean {
  return grade === 'fail' && known === undefined;
}

type Judged = Pick<CheckReport, 'cases' | 'implementation'>;

/**
 * Cases that judge what is under test, those among them that were left out included. Where a driver alone is judged, the cases of
 * the device are no part of the question, and the other way round.
 */
export function inQuestion({ cases, implementation: { driver, device } }: Judged): readonly CaseResult[] {
  return cases.filter(
    ({ judges }) =>
      judges === 'both' ||
      (judges === 'device'
        ? device !== undefined || driver === undefined
        : driver !== undefined || device === undefined),
  );
}

/** How many of them were left out on purpose: a verdict speaks of the rest only. */
export function leftOut(report: Judged): number {
  return inQuestion(report).filter(({ grade }) => grade === 'skipped').length;
}

/** Cases by the chapter of the spec that their id begins with, in the order of their first appearance. */
export function byChapter<T extends { readonly id: string }>(cases: readonly T[]): Map<string, T[]> {
  const chapters = new Map<string, T[]>();
  for (const each of cases) {
    const chapter = chapterOfAny(each.id);
    const known = chapters.get(chapter);
    if (known === undefined) chapters.set(chapter, [each]);
    else known.push(each);
  }
  return chapters;
}

/** An id from a file may have no chapter; it is one of its own then. */
function chapterOfAny(id: string): string {
  return id.includes('/') ? chapterOf(id) : id;
}

/** The findings of generated programs that no case of the report tells already, by the law or by the same message. */
export function findingsBesideCases({
  findings,
  cases,
}: Pick<CheckReport, 'findings' | 'cases'>): readonly Finding[] {
  const telling = cases.filter(({ grade }) => grade !== 'pass');
  const laws = new Set(telling.map(({ law }) => law));
  const messages = new Set(telling.map(({ message }) => message));
  return findings.filter(({ law, message }) => !laws.has(law) && !messages.has(message));
}

/** The results with ids that are each one's own: one that comes again gets a number, so that no reader loses the other. */
export function withOwnIds<T extends { readonly id: string }>(results: readonly T[]): readonly T[] {
  const times = new Map<string, number>();
  return results.map(result => {
    const time = (times.get(result.id) ?? 0) + 1;
    times.set(result.id, time);
    return time === 1 ? result : { ...result, id: `${result.id} #${time}` };
  });
}
