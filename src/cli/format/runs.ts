/** Several runs as a table: one line each, with the count by grade. */
import type { CheckReport } from '../../conformance/report.js';
import { columnNames, countGrades, gradeOrder } from '../../report/index.js';
import { table, type Colours } from './text.js';

export function runTable(runs: readonly CheckReport[], c: Colours): string {
  const counts = runs.map(run => countGrades(run.cases));
  const shown = gradeOrder.filter(grade => counts.some(count => count[grade] > 0));
  const names = columnNames(runs);
  const rows = runs.map((run, at) => [
    names[at],
    run.verdict,
    String(run.cases.length),
    ...shown.map(grade => String(counts[at][grade])),
  ]);
  const [head = '', ...lines] = table(
    [['run', 'verdict', 'cases', ...shown], ...rows],
    ['cases', ...shown].map((_, at) => at + 2),
  );
  return [c.dim(head), ...lines, ''].join('\n');
}
