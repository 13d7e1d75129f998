/** The matrix: a row a case, a column a run. A law that only generated programs broke has a row too. */
import type { CaseResult } from '../../conformance/cases/case-report.js';
import type { CheckReport, Finding } from '../../conformance/report.js';
import { byChapter, findingsBesideCases, withOwnIds } from '../grades.js';

export interface MatrixRow {
  readonly id: string;
  readonly doc: string;
  /** In the order of the runs; undefined where a run has no such case. */
  readonly cells: readonly (CaseResult | undefined)[];
}

export interface MatrixChapter {
  readonly name: string;
  readonly rows: readonly MatrixRow[];
}

/** Name of the rows that stand for laws. */
const LAWS = 'LAWS';

export function matrixOf(runs: readonly CheckReport[]): MatrixChapter[] {
  const columns = runs.map(run => {
    const results = [...run.cases, ...findingsBesideCases(run).map(lawResult)];
    return new Map(withOwnIds(results).map(result => [result.id, result]));
  });
  const first = new Map<string, CaseResult>();
  for (const column of columns) for (const [id, result] of column) if (!first.has(id)) first.set(id, result);
  const rows = [...first.values()].map(({ id, doc }) => ({
    id,
    doc,
    cells: columns.map(column => column.get(id)),
  }));
  return [...byChapter(rows)].map(([name, members]) => ({ name, rows: members }));
}

function lawResult(finding: Finding): CaseResult {
  return {
    id: `${LAWS}/${finding.law}`,
    doc: 'A law that generated programs broke.',
    judges: 'both',
    kind: 'property',
    grade: 'fail',
    requirements: finding.requirements,
    message: finding.message,
    law: finding.law,
    runs: 1,
    actions: finding.actions,
    elapsedMs: 0,
    program: finding.program,
    steps: finding.tail,
  };
}
