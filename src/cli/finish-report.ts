/** From what the kit saw to the report that people get: grades as the spec binds, known failures, names, sentences. */
import { basename } from 'node:path';
import { finishCases } from '../conformance/cases/index.js';
import type { FinishedCases, ImplementationName, KnownFailure } from '../conformance/cases/index.js';
import type { CheckReport, Finding } from '../conformance/report.js';
import type { SpecBook } from './spec-book.js';

export interface Finishing {
  readonly spec: SpecBook;
  readonly kitVersion: string;
  readonly implementation: ImplementationName;
  readonly strict: boolean;
  readonly known: readonly KnownFailure[];
  /** As `2026-11-23`. */
  readonly today: string;
}

export interface FinishedReport {
  readonly report: CheckReport;
  readonly passAgain: FinishedCases['passAgain'];
  readonly expired: FinishedCases['expired'];
}

export function finishReport(report: CheckReport, finishing: Finishing): FinishedReport {
  const { spec, strict, known, today } = finishing;
  const standings = new Map(spec.rows.map(({ requirement }) => [requirement.id, requirement]));
  const finished = finishCases(report.cases, { standingOf: id => standings.get(id), strict, known, today });
  const verdict =
    finished.failed || report.findings.some(finding => !isGraded(finding, finished))
      ? 'fail'
      : report.verdict === 'fail' && report.reason === undefined
        ? 'pass'
        : report.verdict;
  return {
    report: {
      ...report,
      verdict,
      kit: finishing.kitVersion,
      implementation: finishing.implementation,
      cases: finished.cases,
      requirements: sentencesOf(report, spec),
    },
    passAgain: finished.passAgain,
    expired: finished.expired,
  };
}

/** Whether a case speaks for the finding: its grade counts then. */
function isGraded(finding: Finding, { cases }: FinishedCases): boolean {
  return cases.some(
    ({ grade, law, message }) => grade !== 'pass' && (law === finding.law || message === finding.message),
  );
}

function sentencesOf({ cases, findings }: CheckReport, spec: SpecBook): Record<string, string> {
  const ids = new Set([...cases, ...findings].flatMap(({ requirements }) => requirements));
  const sentences: Record<string, string> = {};
  for (const id of [...ids].toSorted()) {
    const text = spec.text(id);
    if (text !== undefined) sentences[id] = text;
  }
  return sentences;
}

/** What a report calls the implementation: the given name, or that of its file. */
export function implementationName(options: {
  readonly name?: string;
  readonly driver?: string;
  readonly device?: string;
  readonly driverCmd?: string;
}): ImplementationName {
  const { device } = options;
  const driver = options.driverCmd ?? options.driver;
  const files = [driver, device].filter(file => file !== undefined).map(file => basename(file));
  const name = options.name ?? (files.length === 0 ? 'bundled' : files.join(' on '));
  return { name, ...(driver === undefined ? {} : { driver }), ...(device === undefined ? {} : { device }) };
}
