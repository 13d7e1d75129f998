/**
 * From what was seen to what it means: which breach is a failure, what a person said to expect, and the verdict of the whole.
 * The runner knows broken or not; the spec says how much a sentence binds.
 */
import type { Keyword } from '../requirements.js';
import type { CaseResult, Grade } from './case-report.js';

/** How much a requirement binds. */
export interface Standing {
  /** A lenient reading of the public record exists. */
  readonly strict: boolean;
  readonly keyword: Keyword;
}

/** A failure that is known and, until `expires`, does not fail the run. */
export interface KnownFailure {
  readonly id: string;
  readonly reason: string;
  /** The last day on which it counts, as `2026-12-31`. */
  readonly expires?: string | undefined;
}

export interface Reading {
  /** Undefined for an id that the spec does not have; such a breach is a failure. */
  standingOf(requirement: string): Standing | undefined;
  /** A lenient reading is not accepted. */
  readonly strict: boolean;
  readonly known: readonly KnownFailure[];
  /** As `2026-11-23`. */
  readonly today: string;
}

export interface FinishedCases {
  readonly cases: readonly CaseResult[];
  /** Known failures that passed. */
  readonly passAgain: readonly KnownFailure[];
  /** Known failures whose day is over and that failed. */
  readonly expired: readonly KnownFailure[];
  /** Some case failed that is not known to. */
  readonly failed: boolean;
}

export function finishCases(results: readonly CaseResult[], reading: Reading): FinishedCases {
  const known = new Map(reading.known.map(each => [each.id, each]));
  const inForce = ({ expires }: KnownFailure): boolean => expires === undefined || expires >= reading.today;
  const cases = results.map((result): CaseResult => {
    const grade = result.grade === 'fail' ? gradeOfBreach(result.requirements, reading) : result.grade;
    const found = known.get(result.id);
    if (grade !== 'fail' || found === undefined || !inForce(found)) return { ...result, grade };
    return { ...result, grade, known: found.reason };
  });
  const gradeOf = new Map(cases.map(({ id, grade }) => [id, grade]));
  return {
    cases,
    passAgain: reading.known.filter(({ id }) => gradeOf.get(id) === 'pass'),
    expired: reading.known.filter(each => !inForce(each) && gradeOf.get(each.id) === 'fail'),
    failed: cases.some(({ grade, known: reason }) => grade === 'fail' && reason === undefined),
  };
}

/** A breach is as bad as the most binding sentence that it breaks; one that breaks no sentence is a failure. */
export function gradeOfBreach(
  requirements: readonly string[],
  { standingOf, strict }: Pick<Reading, 'standingOf' | 'strict'>,
): Grade {
  const grades = requirements.map((id): Grade => {
    const standing = standingOf(id);
    if (standing === undefined) return 'fail';
    if (standing.keyword.startsWith('SHOULD') || standing.keyword === 'MAY') return 'informational';
    return standing.strict && !strict ? 'non-strict' : 'fail';
  });
  if (grades.length === 0 || grades.includes('fail')) return 'fail';
  return grades.includes('non-strict') ? 'non-strict' : 'informational';
}
