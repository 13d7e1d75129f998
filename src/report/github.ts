/**
 * A report as workflow commands of GitHub Actions: each failure an annotation, on the file that is judged. GitHub shows ten
 * errors and ten warnings of a step; the last of each says how many there are besides.
 */
import type { CaseResult } from '../conformance/cases/case-report.js';
import type { CheckReport } from '../conformance/report.js';
import { countGrades, findingsBesideCases, gradeOrder, isFailure } from './grades.js';
import { shortened, visible } from './text.js';

type Level = 'error' | 'warning' | 'notice';

interface Annotation {
  readonly level: Level;
  readonly file: string | undefined;
  readonly title: string;
  readonly message: string;
}

/** Annotations of one level that GitHub shows for a step. */
const SHOWN = 10;
const MESSAGE_LIMIT = 2000;

/** What there is to say about the file of known failures. */
export interface KnownNews {
  /** Known failures that passed. */
  readonly passAgain?: readonly { readonly id: string; readonly reason: string }[];
  /** Known failures whose day is over and that failed. */
  readonly expired?: readonly { readonly id: string; readonly reason: string }[];
}

/** One line an annotation: errors, then warnings, then one notice with the count by grade. */
export function githubAnnotations(report: CheckReport, news: KnownNews = {}): string {
  const annotations = [
    ...limited(errorsOf(report)),
    ...limited([...newsOf(news), ...warningsOf(report)]),
    summary(report),
  ];
  return annotations.map(annotation => `${command(annotation)}\n`).join('');
}

function errorsOf(report: CheckReport): Annotation[] {
  const findings = findingsBesideCases(report).map(finding => ({
    level: 'error' as const,
    file: fileOf('both', report),
    title: finding.law,
    message: told(finding.message, finding.requirements, report),
  }));
  const reason =
    report.reason === undefined || report.verdict === 'pass'
      ? []
      : [
          {
            level: 'error' as const,
            file: undefined,
            title: report.verdict === 'fail' ? 'the run failed' : 'the run came to no verdict',
            message: report.reason,
          },
        ];
  return [
    ...reason,
    ...report.cases.filter(isFailure).map(result => caseAnnotation('error', result, report)),
    ...findings,
  ];
}

function warningsOf(report: CheckReport): Annotation[] {
  return report.cases
    .filter(({ grade }) => grade === 'inconclusive' || grade === 'non-strict')
    .map(result => caseAnnotation('warning', result, report));
}

function newsOf({ passAgain = [], expired = [] }: KnownNews): Annotation[] {
  const about = (title: string, reason: string): Annotation => ({
    level: 'warning',
    file: undefined,
    title,
    message: `known because: ${reason}`,
  });
  return [
    ...passAgain.map(({ id, reason }) => about(`passes again: ${id}`, reason)),
    ...expired.map(({ id, reason }) => about(`no longer excused: ${id}`, reason)),
  ];
}

function caseAnnotation(level: Level, result: CaseResult, report: CheckReport): Annotation {
  const { id, grade, message, doc, requirements } = result;
  return {
    level,
    file: fileOf(result.judges, report),
    title: `${grade}: ${id}`,
    message: `${told(message ?? doc, requirements, report)}\nvrdma explain ${id}`,
  };
}

/** The message, and the sentence of the first requirement. */
function told(message: string, ids: readonly string[], { requirements }: CheckReport): string {
  const [id] = ids;
  return id === undefined ? message : `${message}\n[${id}] ${requirements[id] ?? ''}`.trimEnd();
}

/** The file that is judged, if it is somebody's and lies in the repository. */
function fileOf(judges: CaseResult['judges'], { implementation }: CheckReport): string | undefined {
  const { driver, device } = implementation;
  const file = judges === 'device' ? (device ?? driver) : (driver ?? device);
  return file === undefined || /^(\/|[A-Za-z]:|\.\.)/.test(file) ? undefined : file.replace(/^\.\//, '');
}

/** The last one that is shown stands for those that are not. */
function limited(annotations: readonly Annotation[]): Annotation[] {
  if (annotations.length <= SHOWN) return [...annotations];
  const shown = annotations.slice(0, SHOWN - 1);
  const rest = annotations.slice(SHOWN - 1);
  return [
    ...shown,
    {
      level: rest[0].level,
      file: undefined,
      title: `and ${rest.length} more`,
      message: rest.map(({ title }) => title).join('\n'),
    },
  ];
}

function summary(report: CheckReport): Annotation {
  const counts = countGrades(report.cases);
  const parts = gradeOrder.filter(grade => counts[grade] > 0).map(grade => `${counts[grade]} ${grade}`);
  return {
    level: 'notice',
    file: undefined,
    title: `vrdma check: ${report.verdict}`,
    message: `${report.implementation.name}, profile ${report.profile}, seed ${report.seed}: ${parts.length === 0 ? 'no cases were asked' : parts.join(', ')}`,
  };
}

/** `::error file=a.js,title=…::message`, with what would end a command or a property written as GitHub reads it back. */
function command({ level, file, title, message }: Annotation): string {
  const properties = [
    ...(file === undefined ? [] : [`file=${property(file)}`]),
    `title=${property(shortened(visible(title).replaceAll('\n', ' '), 200))}`,
  ];
  return `::${level} ${properties.join(',')}::${data(shortened(visible(message), MESSAGE_LIMIT))}`;
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
