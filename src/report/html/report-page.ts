/**
 * One or several reports as one HTML file that needs nothing else: no network, no other file. Without a script it is a table of
 * grades and a list of failures; its script adds search, filters and the details of each cell.
 */
import type { CaseResult } from '../../conformance/cases/case-report.js';
import type { CheckReport } from '../../conformance/report.js';
import { columnNames } from '../columns.js';
import { countGrades, gradeOrder, isFailure, leftOut } from '../grades.js';
import { escaped, firstLine } from '../text.js';
import { pageScript, pageScriptHash, pageStyle, pageStyleHash } from './assets.js';
import { packed } from './pack.js';
import { matrixOf, type MatrixChapter, type MatrixRow } from './rows.js';

/** Failures told in full on paper and without a script. */
const FAILURES_PRINTED = 200;

/** @param reports the columns, from left to right; at least one */
export function htmlReport(reports: readonly CheckReport[]): string {
  const names = columnNames(reports);
  const chapters = matrixOf(reports);
  const title = `${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''} · vrdma conformance`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src '${pageStyleHash}'; script-src '${pageScriptHash}'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="vrdma">
<title>${escaped(title)}</title>
<link rel="icon" href="data:,">
<style>${pageStyle}</style>
</head>
<body>
<main>
<header class="top"><h1>Conformance to virtio-rdma</h1><p>${summaryOf(chapters, reports)}</p></header>
<section class="runs" aria-label="Runs">
${reports.map((report, at) => runCard(report, names[at])).join('\n')}
</section>
<section id="tools" aria-label="Search and filters" hidden></section>
${matrixTable(chapters, names)}
<p id="nothing" hidden>No case matches. <button type="button" id="clear">Clear search and filters</button></p>
${failureList(chapters, names, reports)}
</main>
<aside id="drawer" role="dialog" aria-labelledby="drawer-title" hidden></aside>
<script type="application/json" id="data">${embedded(packed(chapters, reports, names))}</script>
<script>${pageScript}</script>
</body>
</html>
`;
}

/** JSON that neither ends the element that it stands in nor begins a comment. */
function embedded(data: unknown): string {
  return JSON.stringify(data).replaceAll('<', String.raw`\u003c`);
}

function summaryOf(chapters: readonly MatrixChapter[], reports: readonly CheckReport[]): string {
  const cases = chapters.reduce((sum, { rows }) => sum + rows.length, 0);
  const runs = reports.length === 1 ? 'one run' : `${reports.length} runs side by side`;
  return `${cases} ${cases === 1 ? 'case' : 'cases'}, ${runs}. A cell opens what was asked, what was seen, and the program that shows it.`;
}

function runCard(report: CheckReport, name: string): string {
  const { implementation, profile, kit, seed, programs, actions, elapsedMs, reason } = report;
  const counts = countGrades(report.cases);
  const whom = [
    `driver ${implementation.driver ?? 'bundled'}`,
    `device ${implementation.device ?? 'bundled'}`,
    `profile ${profile}`,
    ...(kit === '' ? [] : [`kit ${kit}`]),
    `seed ${seed}`,
  ];
  const facts = [
    ['generated', `${count(programs)} programs, ${count(actions)} actions`],
    ['time', `${(elapsedMs / 1000).toFixed(1)} s`],
    ...report.coverage.map(({ name: table, open, counts: reached }) => [
      table,
      `${Object.values(reached).filter(times => times > 0).length}${open === true ? ' kinds' : ` of ${Object.keys(reached).length}`}`,
    ]),
  ];
  return `<article class="run">
<h2>${escaped(firstLine(name, 120))} <span class="verdict ${report.verdict}">${verdictOf(report)}</span></h2>
${reason === undefined ? '' : `<p class="reason">${escaped(reason)}</p>`}
${bar(counts, report.cases.length)}
<p class="counts">${gradeOrder
    .filter(grade => counts[grade] > 0)
    .map(grade => `<span class="grade ${grade}">${counts[grade]} ${grade}</span>`)
    .join(' ')}</p>
<p class="quiet">${escaped(firstLine(whom.join(', '), 400))}</p>
<details><summary>effort and coverage</summary><dl>${facts.map(([key, value]) => `<div><dt>${escaped(key)}</dt><dd>${escaped(firstLine(value, 200))}</dd></div>`).join('')}</dl></details>
</article>`;
}

function verdictOf(report: CheckReport): string {
  const { verdict, interrupted } = report;
  if (verdict === 'fail') return 'not conformant';
  if (verdict === 'inconclusive') return 'no verdict';
  if (interrupted) return 'stopped';
  return leftOut(report) === 0 ? 'conformant' : 'passed what was asked';
}

/** A bar of the grades; what it says stands below it in words. */
function bar(counts: ReturnType<typeof countGrades>, total: number): string {
  if (total === 0) return '';
  let x = 0;
  const parts = gradeOrder.map(grade => {
    const width = (counts[grade] * 1000) / total;
    const part =
      width === 0
        ? ''
        : `<rect class="${grade}" x="${x.toFixed(1)}" width="${width.toFixed(1)}" height="8"/>`;
    x += width;
    return part;
  });
  return `<svg class="bar" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">${parts.join('')}</svg>`;
}

// The roles are said aloud since the style lays the table out as a list of rows, which takes the table's own roles away.
function matrixTable(chapters: readonly MatrixChapter[], names: readonly string[]): string {
  const heads = ['case', ...names].map(
    name => `<th role="columnheader" scope="col" title="${escaped(name)}">${escaped(name)}</th>`,
  );
  return `<table id="matrix" role="grid" aria-label="Cases and what came of them" aria-readonly="true">
<thead role="rowgroup"><tr role="row">${heads.join('')}</tr></thead>
${chapters.map(chapter => chapterBody(chapter, names.length)).join('\n')}
</table>`;
}

function chapterBody({ name, rows }: MatrixChapter, columns: number): string {
  return `<tbody role="rowgroup" data-chapter="${escaped(name)}">
<tr role="row" class="chapter"><th role="rowheader" scope="rowgroup" colspan="${columns + 1}">${escaped(name)} <small>${rows.length}</small></th></tr>
${rows.map(matrixRow).join('\n')}
</tbody>`;
}

function matrixRow({ id, doc, cells }: MatrixRow): string {
  return `<tr role="row"><th role="rowheader" scope="row"><code>${escaped(firstLine(id, 160))}</code><span>${escaped(firstLine(doc, 300))}</span></th>${cells.map(gradeCell).join('')}</tr>`;
}

function gradeCell(result: CaseResult | undefined): string {
  if (result === undefined) return '<td role="gridcell" class="none">–</td>';
  const known = result.known === undefined ? '' : ' known';
  return `<td role="gridcell" class="${result.grade}${known}">${result.grade}${known === '' ? '' : ' (known)'}</td>`;
}

/** For paper and for readers without a script: on screen, the cells tell the same. */
function failureList(
  chapters: readonly MatrixChapter[],
  names: readonly string[],
  reports: readonly CheckReport[],
): string {
  const failures = chapters.flatMap(({ rows }) =>
    rows.flatMap(({ id, cells }) =>
      cells.flatMap((cell, at) =>
        cell !== undefined && isFailure(cell) ? [failureItem(id, names[at], cell, reports[at])] : [],
      ),
    ),
  );
  if (failures.length === 0) return '';
  const rest = failures.length - FAILURES_PRINTED;
  return `<section class="failures">
<h2>Failures</h2>
<ol>
${failures.slice(0, FAILURES_PRINTED).join('\n')}
</ol>
${rest > 0 ? `<p>and ${rest} more</p>` : ''}
</section>`;
}

function failureItem(id: string, run: string, result: CaseResult, { requirements }: CheckReport): string {
  const [first] = result.requirements;
  const sentence = first === undefined ? '' : `<br>[${escaped(first)}] ${escaped(requirements[first] ?? '')}`;
  return `<li><code>${escaped(firstLine(id, 160))}</code> ${escaped(run)}<br>${escaped(firstLine(result.message ?? result.doc))}${sentence}</li>`;
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}
