/** A judged capture: what was broken at which frame, what only a lenient reading allows, what was not judged. */
import type { FrameReport, WireFinding } from '../../conformance/wire/index.js';
import { count, duration, plural, wrap } from './text.js';
import type { TraceFormat } from './trace.js';

export interface CaptureRun extends FrameReport {
  readonly elapsedMs: number;
}

const SHOWN = 5;
const SHOWN_SHORT = 20;

export function captureText(run: CaptureRun, quiet: boolean, format: TraceFormat): string {
  if (quiet) return verdictLine(run, format);
  const { findings } = run;
  const short = findings.slice(SHOWN, SHOWN + SHOWN_SHORT);
  const left = findings.length - SHOWN - short.length;
  return [
    ...findings.slice(0, SHOWN).map(finding => `${findingLines(finding, format).join('\n')}\n\n`),
    ...short.map(
      ({ frame, machine, event, detail }) => `  frame ${count(frame)}: ${machine} ${event}, ${detail}\n`,
    ),
    left > 0 ? `  and ${count(left)} more\n` : '',
    short.length > 0 ? '\n' : '',
    ...lenientLines(run, format),
    ...unjudgedLines(run, format),
    verdictLine(run, format),
  ].join('');
}

function findingLines(finding: WireFinding, format: TraceFormat): string[] {
  const { colours: c, width } = format;
  const { frame, machine, connection, states, event, detail, packet, expected, requirements } = finding;
  const rows: readonly (readonly [string, string])[] = [
    ['machine', machine],
    ['connection', connection],
    ['state', states.join(' or ')],
    ['met', `${event} (${detail})`],
    ['expected', expected.join(', ')],
  ];
  return [
    `${c.bold(c.red('BROKEN'))}  ${c.bold(`frame ${count(frame)}`)}`,
    `  ${c.dim(packet)}`,
    ...rows.filter(([, text]) => text !== '').flatMap(([label, text]) => labelled(label, text, width)),
    ...requirements.flatMap(id =>
      wrap(`[${id}] ${format.requirementText(id) ?? '(no chapter has this id)'}`, width, '  '),
    ),
  ];
}

function labelled(label: string, text: string, width: number): string[] {
  const [first = '', ...rest] = wrap(text, width - 14, '');
  return [`  ${label.padEnd(11)} ${first}`, ...rest.map(line => `${' '.repeat(14)}${line}`)];
}

function lenientLines({ lenient }: CaptureRun, { colours: c, width }: TraceFormat): string[] {
  if (lenient.length === 0) return [];
  return [
    `${c.bold(c.yellow('NON-STRICT'))}  only a lenient reading allows it:\n`,
    ...lenient
      .flatMap(note =>
        wrap(
          `[${note.requirement}] ${plural(note.count, 'time')}, first at frame ${count(note.frame)}: ${note.detail}`,
          width,
          '  ',
        ),
      )
      .map(line => `${line}\n`),
    '\n',
  ];
}

function unjudgedLines({ unjudged }: CaptureRun, { colours: c }: TraceFormat): string[] {
  const rows = Object.entries(unjudged);
  if (rows.length === 0) return [];
  return [
    `${c.bold(c.yellow('NOT JUDGED'))}\n`,
    ...rows.map(([reason, times]) => `  ${count(times)}  ${reason}\n`),
    '\n',
  ];
}

function verdictLine(
  { findings, packets, connections, frames, elapsedMs }: CaptureRun,
  { colours: c }: TraceFormat,
): string {
  const read = `${plural(packets, 'RoCE packet')} of ${plural(connections, 'flow')} in ${plural(frames, 'frame')}, ${duration(elapsedMs)}`;
  if (findings.length > 0)
    return `${c.bold(c.red('BROKEN'))}  ${plural(findings.length, 'finding')} in ${read}\n`;
  if (packets === 0) return `${c.bold(c.yellow('NO VERDICT'))}  nothing was judged: ${read}\n`;
  return `${c.bold(c.green('PASS'))}  no law broken in ${read}\n`;
}
