/** How a check begins and ends: a heading, a table of suites, what was reached and what was not, the verdict. */
import { match } from 'ts-pattern';
import { boundNames } from '../../conformance/report.js';
import type { CheckReport } from '../../conformance/report.js';
import { inQuestion, isFailure, leftOut } from '../../report/index.js';
import { count, duration, plural, table, wrap, type Colours } from './text.js';

/** Names of things that were never reached, at most, in each table. */
const NEVER_SHOWN = 3;

export interface Setup {
  readonly profile: string;
  readonly seed: number;
  /** File names, or undefined for the bundled ones. */
  readonly driver: string | undefined;
  readonly device: string | undefined;
  /** Command of a verbs agent, in place of both. */
  readonly agent?: string | undefined;
  /** `30 s a run`, `1000 runs`. */
  readonly budget: string;
}

export function headingText(setup: Setup, c: Colours): string {
  const who = (name: string, file: string | undefined) => `${file ?? 'the bundled'} ${name}`;
  return [
    `${c.bold('vrdma check')}  ${setup.agent === undefined ? `${who('driver', setup.driver)} on ${who('device', setup.device)}` : `the verbs agent ${setup.agent}`}`,
    `profile ${setup.profile}, seed ${c.bold(String(setup.seed))}, budget ${setup.budget}`,
    '',
  ].join('\n');
}

export interface SummaryContext {
  readonly width: number;
  readonly colours: Colours;
  /** The command that runs the same check again. */
  readonly againCommand: string;
}

export function summaryText(report: CheckReport, context: SummaryContext): string {
  const { colours: c } = context;
  return [
    ...suiteLines(report, c),
    ...boundLines(report, c),
    ...coverageLines(report, context),
    verdictLine(report, c),
    ...(report.reason === undefined ? [] : reasonLines(report.reason, context.width)),
    `${c.dim('the same again:')} ${context.againCommand}`,
    '',
  ].join('\n');
}

/** A suite in which nothing was to be asked is left out; one that the end of the run cut off is not. */
function suiteLines({ suites, interrupted, reason }: CheckReport, c: Colours): string[] {
  const cutOff = interrupted || reason !== undefined;
  const shown = suites.filter(({ programs }) => cutOff || programs > 0);
  if (shown.length === 0) return [];
  const rows = shown.map(suite => [
    suite.suite + (suite.programs === 0 ? ' (not run)' : ''),
    count(suite.programs),
    count(suite.actions),
    suite.elapsedMs > 0 ? count((suite.actions * 1000) / suite.elapsedMs) : '-',
    String(suite.findings),
    duration(suite.elapsedMs),
  ]);
  const [head = '', ...lines] = table(
    [['suite', 'programs', 'actions', 'actions/s', 'findings', 'time'], ...rows],
    [1, 2, 3, 4, 5],
  );
  return [c.dim(head), ...lines, ''];
}

/** What each verb cost at most, and messages a second in virtual time, against the bounds of the performance chapter. */
function boundLines({ bounds }: CheckReport, c: Colours): string[] {
  if (bounds === undefined) return [];
  const rows = bounds.rows.map(row => [row.requirement, row.formula, String(row.measured)]);
  const throughput = bounds.throughput.map(row => [
    `depth ${row.depth}`,
    `${row.messageBytes} bytes`,
    count(row.nativePerSecond),
    count(row.paravirtualPerSecond),
    row.ratio.toFixed(3),
  ]);
  const counted = new Set(bounds.rows.map(row => row.name));
  const missing = boundNames.filter(name => !counted.has(name));
  const gaps = missing.length === 0 ? [] : [c.dim(`not measured: ${missing.join(', ')}`)];
  const most = [c.dim('bounds, most counted'), ...table(rows, [2]), ...gaps, ''];
  if (throughput.length === 0) return most;
  const [head = '', ...lines] = table(
    [['messages/s', 'virtual time', 'bare metal', 'para-virtual', 'ratio'], ...throughput],
    [1, 2, 3, 4],
  );
  return [...most, c.dim(head), ...lines, ''];
}

/** A run that found something stopped early; what it did not reach says nothing then. */
function coverageLines({ coverage, verdict }: CheckReport, { width, colours: c }: SummaryContext): string[] {
  if (coverage.every(({ counts }) => Object.values(counts).every(times => times === 0))) return [];
  const nameWidth = Math.max('reached'.length, ...coverage.map(({ name }) => name.length));
  const lines = coverage.flatMap(({ name, open, counts }) => {
    const names = Object.keys(counts);
    const never = names.filter(key => counts[key] === 0);
    const total = open === true ? ' kinds' : ` of ${names.length}`;
    const line = `${name.padEnd(nameWidth)}  ${names.length - never.length}${total}`;
    return [line, ...(verdict === 'pass' ? neverLines(never, width).map(text => c.dim(text)) : [])];
  });
  return [c.dim('reached'), ...lines, ''];
}

function neverLines(never: readonly string[], width: number): string[] {
  if (never.length === 0) return [];
  const more =
    never.length > NEVER_SHOWN ? `, and ${never.length - NEVER_SHOWN} more (--json lists them)` : '';
  return wrap(`never: ${never.slice(0, NEVER_SHOWN).join(', ')}${more}`, width, '    ');
}

function verdictLine(report: CheckReport, c: Colours): string {
  const done = `${plural(report.programs, 'program')}, ${plural(report.actions, 'action')}, ${duration(report.elapsedMs)}`;
  const cut = report.interrupted ? ', interrupted' : '';
  return match(report.verdict)
    .with('pass', () =>
      report.interrupted
        ? `${c.bold(c.yellow('STOPPED'))}  no law broken so far in ${done}`
        : passText(report, done, c),
    )
    .with('fail', () => {
      const failed = report.cases.filter(isFailure).length;
      const laws = report.findings.length === 0 ? 'a law' : plural(report.findings.length, 'law');
      const what = failed === 0 ? `${laws} broken` : `${plural(failed, 'case')} failed`;
      return `${c.bold(c.red('NOT CONFORMANT'))}  ${what} in ${done}${cut}`;
    })
    .with('inconclusive', () => `${c.bold(c.yellow('NO VERDICT'))}  after ${done}${cut}`)
    .exhaustive();
}

/** Only who was asked everything is conformant. */
function passText(report: CheckReport, done: string, c: Colours): string {
  const left = leftOut(report);
  if (left === 0) return `${c.bold(c.green('CONFORMANT'))}  no law broken in ${done}`;
  const whole = inQuestion(report).length;
  const asked = `${count(whole - left)} of ${plural(whole, 'case')} that judge it were asked`;
  return `${c.bold(c.green('PASSED'))}  no law broken in ${done}; no verdict of the whole: ${asked}`;
}

function reasonLines(reason: string, width: number): string[] {
  const [first = '', ...rest] = reason.split('\n');
  return [...wrap(first, width, '  '), ...rest.map(line => `  ${line}`)];
}
