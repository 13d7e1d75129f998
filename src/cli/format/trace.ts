/** A judged trace: what was broken and where, what was read, what was not judged. */
import { unjudgedReasons } from '../../conformance/elsewhere/index.js';
import type { TraceFinding, TraceVerdict } from '../../conformance/elsewhere/index.js';
import { count, duration, plural, table, wrap, type Colours } from './text.js';

export interface TraceRun extends TraceVerdict {
  readonly elapsedMs: number;
}

export interface TraceFormat {
  readonly width: number;
  readonly colours: Colours;
  requirementText(id: string): string | undefined;
}

/** Findings shown in full; the first is the one to look at. */
const SHOWN = 3;
const SHOWN_SHORT = 20;

export function traceText(run: TraceRun, quiet: boolean, format: TraceFormat): string {
  if (quiet) return verdictLines(run, format).join('');
  return [
    run.findings.length === 0 ? '' : findingsText(run.findings, run.findingsInAll, format),
    `${countLines(run).join('\n')}\n\n`,
    ...unjudgedLines(run, format),
    ...verdictLines(run, format),
  ].join('');
}

/** The first ones in full, others in a line each. */
export function findingsText(findings: readonly TraceFinding[], inAll: number, format: TraceFormat): string {
  const { colours: c, width } = format;
  const short = findings.slice(SHOWN, SHOWN + SHOWN_SHORT);
  const left = inAll - SHOWN - short.length;
  const further = [
    ...short.flatMap(({ line, message }) => wrap(`line ${count(line)}: ${message}`, width, '  ')),
    ...(left > 0 ? [`  and ${count(left)} more`] : []),
  ];
  return [
    ...findings.slice(0, SHOWN).map(finding => `${findingLines(finding, format).join('\n')}\n\n`),
    ...(further.length === 0 ? [] : [`${c.underline('further')}\n${further.join('\n')}\n\n`]),
  ].join('');
}

function findingLines(finding: TraceFinding, format: TraceFormat): string[] {
  const { width, colours: c } = format;
  const { line, law, text, message, violation, requirements } = finding;
  const rows =
    violation === undefined
      ? wrap(message, width, '  ')
      : [
          ...labelled('machine', violation.machine, width),
          ...labelled('instance', violation.instance, width),
          ...labelled('state', violation.states.join(' or ') || 'none: it does not exist', width),
          ...labelled('met', violation.met, width),
          ...labelled('expected', violation.expected.join(', ') || 'nothing more', width),
        ];
  return [
    `${c.bold(c.red('BROKEN'))}  ${c.bold(`line ${count(line)}: ${law}`)}`,
    `  ${c.dim(text)}`,
    ...rows,
    ...requirements.flatMap(id =>
      wrap(`[${id}] ${format.requirementText(id) ?? '(no chapter has this id)'}`, width, '  '),
    ),
  ];
}

function labelled(label: string, text: string, width: number): string[] {
  const [first = '', ...rest] = wrap(text, width - 12, '');
  return [`  ${label.padEnd(9)} ${first}`, ...rest.map(line => `${' '.repeat(12)}${line}`)];
}

function countLines({ header, events }: TraceRun): string[] {
  return table([['point', 'events'], ...header.points.map(point => [point, count(events[point] ?? 0)])], [1]);
}

function unjudgedLines({ unjudged, header }: TraceRun, { colours: c }: TraceFormat): string[] {
  const rows = Object.entries(unjudgedReasons)
    .map(([reason, text]) => [count(unjudged[reason as keyof typeof unjudged]), text])
    .filter(([events]) => events !== '0');
  if (rows.length === 0) return [];
  const middle = header.from === 'middle' ? ', which begins in the middle' : '';
  return [
    `${c.bold(c.yellow('NOT JUDGED'))}  of this trace${middle}:\n`,
    ...table(rows, [0]).map(line => `  ${line}\n`),
    '\n',
  ];
}

function verdictLines(run: TraceRun, { colours: c }: TraceFormat): string[] {
  const { verdict, lines, findingsInAll, whole, elapsedMs, unjudged } = run;
  const left = Object.values(unjudged).reduce((sum, each) => sum + each, 0);
  const read = `${plural(lines, 'line')}, ${duration(elapsedMs)}`;
  const open = left === 0 ? '' : `; ${plural(left, 'event')} not judged`;
  switch (verdict) {
    case 'pass':
      return [`${c.bold(c.green('PASS'))}  no law broken in ${read}${open}\n`];
    case 'fail': {
      const rest = whole ? '' : '; the rest was not read';
      return [`${c.bold(c.red('BROKEN'))}  ${plural(findingsInAll, 'finding')} in ${read}${open}${rest}\n`];
    }
    case 'inconclusive': {
      const why = whole ? 'nothing of the trace was judged' : 'the trace was not read to its end';
      return [`${c.bold(c.yellow('NO VERDICT'))}  ${why}: ${read}${open}\n`];
    }
  }
}

export interface TraceProgress {
  readonly lines: number;
  readonly findings: number;
  /** Read, unpacked. */
  readonly bytes: number;
  /** 0 .. 1; undefined when the size is not known. */
  readonly done: number | undefined;
  readonly elapsedMs: number;
}

/** `trace   42%  1,234,567 lines  1,234 MB  350,123/s  0 findings` */
export function traceProgressLine(progress: TraceProgress, width: number, c: Colours): string {
  const { lines, findings, bytes, done, elapsedMs } = progress;
  const figures = [
    ...(done === undefined ? [] : [`${String(Math.min(100, Math.floor(done * 100))).padStart(3)}%`]),
    plural(lines, 'line'),
    `${count(bytes / 1e6)} MB`,
    `${count(elapsedMs > 0 ? (lines * 1000) / elapsedMs : 0)}/s`,
    plural(findings, 'finding'),
  ];
  return c.cyan('trace') + `  ${figures.join('  ')}`.slice(0, Math.max(1, width - 6));
}
