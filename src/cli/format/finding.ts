/** A broken law as a person reads it: what was seen, which requirements, the program, the last steps, how to see it again. */
import type { Finding } from '../../conformance/report.js';
import { sequenceChart } from './chart.js';
import { programScript } from '../../conformance/index.js';
import { plural, wrap, type Colours } from './text.js';

export interface FindingContext {
  readonly width: number;
  readonly colours: Colours;
  /** The sentence of a requirement; undefined when no chapter has the id. */
  requirementText(id: string): string | undefined;
  /** File that the program was saved in; undefined when nothing was saved. */
  readonly savedAs: string | undefined;
  readonly replayCommand: string | undefined;
}

/** Events of the chart at most. */
const TAIL_EVENTS = 30;

export function findingText(finding: Finding, context: FindingContext): string {
  const { colours: c, width } = context;
  const shrunk = finding.shrinks > 0 ? `, shrunk in ${plural(finding.shrinks, 'step')}` : '';
  return [
    `${c.bold(c.red(`BROKEN  ${finding.law}`))}  ${c.dim(`(suite ${finding.suite})`)}`,
    ...messageLines(finding.message, width),
    ...section(c, 'requirements', requirementLines(finding, context)),
    ...section(
      c,
      `program: ${plural(finding.program.actions.length, 'action')}${shrunk}`,
      hasProgram(finding) ? programScript(finding.program).map(line => `  ${line}`) : [],
    ),
    ...section(c, tailTitle(finding), chartLines(finding, width)),
    ...whereLines(context),
    '',
  ].join('\n');
}

/** Costs are counted and leaks are sought in a run of its own, which no program file can hold. */
export function hasProgram({ suite }: Finding): boolean {
  return suite !== 'bounds' && suite !== 'leaks';
}

function messageLines(message: string, width: number): string[] {
  // The first line is prose; what follows is a stack or a comparison and keeps its shape.
  const [first = '', ...rest] = message.split('\n');
  return [...wrap(first, width, '  '), ...rest.map(line => `  ${line}`)];
}

function requirementLines({ requirements }: Finding, context: FindingContext): string[] {
  return requirements.flatMap(id =>
    wrap(`[${id}] ${context.requirementText(id) ?? '(no chapter has this id)'}`, context.width, '  '),
  );
}

function tailTitle({ tail }: Finding): string {
  return tail.length > TAIL_EVENTS ? `the last ${TAIL_EVENTS} of ${tail.length} events` : 'the last steps';
}

function chartLines({ tail }: Finding, width: number): string[] {
  return sequenceChart(tail.slice(-TAIL_EVENTS), width - 2).map(line => `  ${line}`);
}

function whereLines({ savedAs, replayCommand, colours: c }: FindingContext): string[] {
  return [
    '',
    ...(savedAs === undefined ? [] : [`${c.dim('saved as')}  ${savedAs}`]),
    ...(replayCommand === undefined ? [] : [`${c.dim('replay  ')}  ${c.bold(replayCommand)}`]),
  ];
}

/** A titled block; nothing when it would be empty. */
function section(c: Colours, title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', c.underline(title), ...lines];
}
