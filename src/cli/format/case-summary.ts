/** The cases of a check on the console: what failed first, each with how to see it again, then what there is in all. */
import type { CaseResult, Grade } from '../../conformance/cases/case-report.js';
import type { CheckReport } from '../../conformance/report.js';
import {
  byChapter,
  countGrades,
  firstLine,
  gradeOrder,
  isFailure,
  visible,
  type KnownNews,
} from '../../report/index.js';
import { quoted } from '../options.js';
import { count, plural, table, wrap, type Colours } from './text.js';

export interface CaseSummaryContext extends KnownNews {
  readonly width: number;
  readonly colours: Colours;
  /** The command that runs a case's program again, if its program was saved. */
  readonly replayCommand?: (result: CaseResult) => string | undefined;
}

/** Failures told at full length, and cases without a verdict in a line each. */
const FAILURES_SHOWN = 20;
const OTHERS_SHOWN = 10;

/** Short when all is well: one line. Empty when no case was asked. */
export function caseSummary(report: CheckReport, context: CaseSummaryContext): string {
  if (report.cases.length === 0) return '';
  const failures = report.cases.filter(isFailure);
  const lines = [
    ...failures.slice(0, FAILURES_SHOWN).flatMap(result => [...failureLines(result, context), '']),
    ...moreLines(failures.length - FAILURES_SHOWN, 'failure', context),
    ...otherLines('inconclusive', report, context),
    ...otherLines('non-strict', report, context),
    ...newsLines(report, context),
    ...chapterLines(report, context.colours),
    countLine(report, context.colours),
    '',
  ];
  return lines.join('\n');
}

function failureLines(
  result: CaseResult,
  { width, colours: c, replayCommand }: CaseSummaryContext,
): string[] {
  const replay = replayCommand?.(result);
  const ids = result.requirements.map(id => `[${visible(id)}]`).join(' ');
  return [
    c.bold(c.red(`FAIL  ${visible(result.id)}`)),
    ...wrap(firstLine(result.message ?? result.doc), width, '  '),
    ...wrap(ids, width, '  '),
    ...(replay === undefined ? [] : [`  ${c.dim('replay with:')} ${c.bold(replay)}`]),
    `  ${c.dim('more:')} vrdma explain ${quoted(visible(result.id))}`,
  ];
}

/** Cases of a grade that fails nothing but that a person should know of, a line each. */
function otherLines(grade: Grade, { cases }: CheckReport, context: CaseSummaryContext): string[] {
  const found = cases.filter(result => result.grade === grade);
  if (found.length === 0) return [];
  const { width, colours: c } = context;
  const title = grade.toUpperCase();
  return [
    ...found.slice(0, OTHERS_SHOWN).flatMap(result => {
      const [first = '', ...rest] = wrap(
        `${visible(result.id)}: ${firstLine(result.message ?? result.doc)}`,
        width - title.length - 2,
      );
      return [`${c.yellow(title)}  ${first}`, ...rest.map(line => ' '.repeat(title.length + 2) + line)];
    }),
    ...moreLines(found.length - OTHERS_SHOWN, 'case', context),
    '',
  ];
}

function moreLines(more: number, what: string, { colours: c }: CaseSummaryContext): string[] {
  return more <= 0 ? [] : [c.dim(`and ${plural(more, `more ${what}`)} (--json and --html list them)`), ''];
}

function newsLines({ cases }: CheckReport, context: CaseSummaryContext): string[] {
  const { passAgain = [], expired = [], width, colours: c } = context;
  const excused = cases.filter(({ grade, known }) => grade === 'fail' && known !== undefined);
  const lines = [
    ...excused.map(({ id, known = '' }) => `known failure: ${visible(id)}: ${firstLine(known)}`),
    ...passAgain.map(
      ({ id, reason }) =>
        `passes again, take it from the known failures: ${visible(id)}: ${firstLine(reason)}`,
    ),
    ...expired.map(({ id, reason }) => `no longer excused: ${visible(id)}: ${firstLine(reason)}`),
  ];
  return lines.length === 0
    ? []
    : [...lines.flatMap(line => wrap(line, width).map(part => c.yellow(part))), ''];
}

/** One row for each chapter of which a case was asked; nothing when every case passed or was left out. */
function chapterLines({ cases }: CheckReport, c: Colours): string[] {
  const shown = gradeOrder.filter(grade => cases.some(result => result.grade === grade));
  if (shown.every(grade => grade === 'pass' || grade === 'skipped' || grade === 'unsupported')) return [];
  const asked = [...byChapter(cases)].filter(([, members]) =>
    members.some(({ grade }) => grade !== 'skipped'),
  );
  const rows = asked.map(([chapter, members]) => {
    const counts = countGrades(members);
    return [
      visible(chapter),
      count(members.length),
      ...shown.map(grade => (counts[grade] === 0 ? '.' : count(counts[grade]))),
    ];
  });
  const [head = '', ...lines] = table([['chapter', 'cases', ...shown], ...rows], numbered(shown.length + 1));
  return [c.dim(head), ...lines, ''];
}

function numbered(columns: number): number[] {
  return Array.from({ length: columns }, (_, at) => at + 1);
}

/** `250 cases: 241 pass, 2 unsupported, 7 fail (1 of them known)` */
function countLine({ cases }: CheckReport, c: Colours): string {
  const counts = countGrades(cases);
  const known = cases.filter(({ grade, known: reason }) => grade === 'fail' && reason !== undefined).length;
  const parts = gradeOrder
    .filter(grade => counts[grade] > 0)
    .map(grade => {
      const text = `${count(counts[grade])} ${grade}`;
      if (grade === 'pass') return c.green(text);
      if (grade !== 'fail') return text;
      return `${c.red(text)}${known === 0 ? '' : ` (${known === counts.fail ? 'known' : `${known} of them known`})`}`;
    });
  return `${plural(cases.length, 'case')}: ${parts.join(', ')}`;
}
