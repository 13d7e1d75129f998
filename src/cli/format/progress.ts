/** One line that says how far a check has come. */
import type { Progress } from '../../conformance/report.js';
import { count, plural, type Colours } from './text.js';

const BAR_CELLS = 20;

/** `settled  42% [########............]  1,234 programs  98,765 actions  102,345/s  transitions 231/240  ...` */
export function progressLine(progress: Progress, width: number, c: Colours): string {
  const done = Math.min(1, Math.max(0, progress.done));
  const filled = Math.round(done * BAR_CELLS);
  const bar = `[${'#'.repeat(filled)}${'.'.repeat(BAR_CELLS - filled)}]`;
  const head = `${progress.suite.padEnd(9)} ${String(Math.floor(done * 100)).padStart(3)}% ${bar}`;
  const figures = [
    plural(progress.programs, 'program'),
    plural(progress.actions, 'action'),
    `${count(actionsPerSecond(progress))}/s`,
    ...covered('transitions', progress.transitionsCovered, progress.transitionsTotal),
    ...covered('requirements', progress.requirementsTouched, progress.requirementsTotal),
  ];
  let line = head;
  // A line that is too long would be wrapped and could not be redrawn: what does not fit is left out.
  for (const figure of figures) if (line.length + 2 + figure.length < width) line += `  ${figure}`;
  return (
    c.cyan(line.slice(0, progress.suite.length)) + line.slice(progress.suite.length, Math.max(1, width - 1))
  );
}

function covered(what: string, reached: number, total: number): string[] {
  return total === 0 ? [] : [`${what} ${reached}/${total}`];
}

function actionsPerSecond({ actions, elapsedMs }: Progress): number {
  return elapsedMs > 0 ? (actions * 1000) / elapsedMs : 0;
}
