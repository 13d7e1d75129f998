/** A soak as a person reads it: one line while it goes on, a line for each new kind of finding, totals at the end. */
import { soakModes, totalsOf } from '../../conformance/soak/index.js';
import type { SoakFinding, SoakState } from '../../conformance/soak/index.js';
import { count, duration, plural, table, wrap, type Colours } from './text.js';

/** What a session has done so far, and what was there before it. */
export interface SoakProgress {
  readonly state: SoakState;
  /** The state when the session began. */
  readonly before: SoakState;
  /** Milliseconds of this session. */
  readonly elapsedMs: number;
}

/** `0:12:34  1,234 programs  98,765 calls/s  1,234,567 hostile inputs  8,765/s  no findings` */
export function soakLine({ state, before, elapsedMs }: SoakProgress, width: number, c: Colours): string {
  const [now, then] = [totalsOf(state), totalsOf(before)];
  const rate = (done: number): string => count(elapsedMs > 0 ? (done * 1000) / elapsedMs : 0);
  const clock = clockOf(state.elapsedMs);
  const { length } = state.findings;
  const findings = length === 0 ? 'no findings' : plural(length, 'finding');
  const figures = [
    plural(now.programs, 'program'),
    `${rate(now.calls - then.calls)} calls/s`,
    plural(now.hostileInputs, 'hostile input'),
    `${rate(now.hostileInputs - then.hostileInputs)}/s`,
  ];
  let line = `${clock}  ${findings}`;
  // A line that is too long would be wrapped and could not be redrawn: what does not fit is left out.
  for (const figure of figures) if (line.length + 2 + figure.length < width) line += `  ${figure}`;
  line = line.slice(0, Math.max(1, width - 1));
  const shown = line.slice(clock.length, clock.length + 2 + findings.length);
  return c.cyan(clock) + (length === 0 ? shown : c.red(shown)) + line.slice(clock.length + shown.length);
}

/** Hours, minutes and seconds. */
function clockOf(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** A kind of finding: what was broken, by what, how to see it again. */
export function soakFindingText(
  finding: SoakFinding,
  { width, colours: c, againCommand }: { width: number; colours: Colours; againCommand: string },
): string {
  const { law, requirements, message, shape, mode, profile, batch, place, shrinks } = finding;
  const ids = requirements.filter(id => !law.includes(id));
  const [first, ...rest] = message.split('\n');
  return [
    `${c.bold(c.red(`BROKEN  ${law}`))}  ${c.dim(`(${mode}, ${profile}, batch ${batch}, input ${place})`)}`,
    ...wrap(first.length > MESSAGE_MAX ? `${first.slice(0, MESSAGE_MAX)} ...` : first, width, '  '),
    ...rest.slice(0, STACK_LINES).map(line => `  ${line}`),
    ...(ids.length === 0 ? [] : [`  requirements ${ids.join(', ')}`]),
    ...wrap(shrinks > 0 ? `shrunk in ${plural(shrinks, 'step')} to ${shape}` : 'not shrunk', width, '  '),
    `  ${c.dim('again')}  ${c.bold(againCommand)}`,
    '',
  ].join('\n');
}

const MESSAGE_MAX = 400;
const STACK_LINES = 6;

/** Totals over all sessions of the state. */
export function soakSummary(state: SoakState, c: Colours): string {
  const totals = totalsOf(state);
  const row = (name: string, of: typeof totals): string[] => [
    name,
    count(of.batches),
    count(of.programs),
    count(of.calls),
    count(of.hostileInputs),
    count(of.unsupported),
  ];
  const shown = soakModes.filter(mode => state.modes[mode].batches > 0);
  const rows = [
    ['mode', 'batches', 'programs', 'calls', 'hostile inputs', 'unsupported'],
    ...shown.map(mode => row(mode, state.modes[mode])),
    row('all', totals),
  ];
  const [head, ...lines] = table(rows, [1, 2, 3, 4, 5]);
  const times = state.findings.reduce((sum, { count: each }) => sum + each, 0);
  const verdict =
    state.findings.length === 0
      ? c.bold(c.green('NOTHING FOUND'))
      : c.bold(c.red(`${plural(state.findings.length, 'finding')}, seen ${plural(times, 'time')}`));
  return [
    c.dim(head),
    ...lines,
    '',
    `${verdict}  in ${plural(state.sessions, 'session')}, ${duration(state.elapsedMs)}, seed ${state.seed}`,
    '',
  ].join('\n');
}
