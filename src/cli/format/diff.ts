/** The differences between two reports for a person: what is worse first, then what is better, new and gone. */
import {
  countGrades,
  firstLine,
  gradeOrder,
  verdictIsWorse,
  visible,
  type CaseChange,
  type ReportDiff,
  type RunDiff,
} from '../../report/index.js';
import { plural, wrap, type Colours } from './text.js';

export interface DiffContext {
  readonly width: number;
  readonly colours: Colours;
}

/** Lines of one kind at most. */
const SHOWN = 30;

export function diffText(diff: ReportDiff, context: DiffContext): string {
  return [
    ...diff.runs.flatMap(run => [...runLines(run, context), '']),
    ...diff.newRuns.map(name => `new run: ${name}`),
    ...diff.goneRuns.map(name => `run gone: ${name}`),
    ...(diff.newRuns.length + diff.goneRuns.length > 0 ? [''] : []),
  ].join('\n');
}

function runLines(run: RunDiff, context: DiffContext): string[] {
  const { colours: c } = context;
  const worse = (text: string) => c.bold(c.red(`WORSE   ${text}`));
  const better = (text: string) => c.green(`BETTER  ${text}`);
  const { verdict } = run;
  const verdictText = `verdict: ${verdict.before} -> ${verdict.after}`;
  const changed =
    verdict.before === verdict.after
      ? []
      : [verdictIsWorse(verdict) ? worse(verdictText) : better(verdictText)];
  return [
    c.bold(`${run.before} -> ${run.after}`),
    ...changed,
    ...(run.reason === undefined ? [] : wrap(firstLine(run.reason), context.width, '        ')),
    ...run.lawsBroken.map(law => worse(`law broken: ${firstLine(law)}`)),
    ...limited(run.worse, context, change => [worse(changeText(change)), ...messageLines(change, context)]),
    ...run.lawsMended.map(law => better(`law kept: ${firstLine(law)}`)),
    ...limited(run.better, context, change => [better(changeText(change))]),
    ...limited(run.new.filter(notPassed), context, change => [
      `NEW     ${visible(change.id)}  ${change.after}`,
      ...messageLines(change, context),
    ]),
    ...limited(run.gone, context, ({ id, before }) => [`GONE    ${visible(id)}  was ${before}`]),
    sums(run),
  ];
}

function notPassed({ after }: CaseChange): boolean {
  return after !== 'pass' && after !== 'skipped' && after !== 'unsupported';
}

function changeText({ id, before, after, known }: CaseChange): string {
  return `${visible(id)}  ${before} -> ${after}${known === undefined ? '' : ` (known: ${firstLine(known, 80)})`}`;
}

function messageLines({ message }: CaseChange, { width }: DiffContext): string[] {
  return message === undefined ? [] : wrap(firstLine(message), width, '        ');
}

function limited(
  changes: readonly CaseChange[],
  { colours: c }: DiffContext,
  lines: (change: CaseChange) => string[],
): string[] {
  const more = changes.length - SHOWN;
  return [
    ...changes.slice(0, SHOWN).flatMap(lines),
    ...(more > 0 ? [c.dim(`        and ${more} more (--json lists them)`)] : []),
  ];
}

/** `2 worse, 1 better, 3 new (2 pass, 1 fail), 1 gone, 240 as before` */
function sums(run: RunDiff): string {
  const counts = countGrades(run.new.flatMap(({ after }) => (after === undefined ? [] : [{ grade: after }])));
  const grades = gradeOrder.filter(grade => counts[grade] > 0).map(grade => `${counts[grade]} ${grade}`);
  const { before, after } = run.verdict;
  const verdictWorse = verdictIsWorse(run.verdict) ? 1 : 0;
  const verdictBetter = before === after ? 0 : 1 - verdictWorse;
  return [
    `${run.worse.length + run.lawsBroken.length + verdictWorse} worse`,
    `${run.better.length + run.lawsMended.length + verdictBetter} better`,
    `${run.new.length} new${grades.length === 0 ? '' : ` (${grades.join(', ')})`}`,
    `${run.gone.length} gone`,
    `${plural(run.same, 'case')} as before`,
  ].join(', ');
}
