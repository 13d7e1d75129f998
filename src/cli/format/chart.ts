/** A sequence chart for the terminal: one line an event, time on the left, a lane a party, what happened on the right. */
import type { ChartEvent } from '../../conformance/report.js';
import { virtualTime } from './text.js';

const LANE_GAP = 9;
const TIME_WIDTH = 8;

/**
 * @param events oldest first
 * @param width characters of a line at most; longer texts are cut with `…`
 * @param lanes parties from left to right; without it, in the order in which they appear
 */
export function sequenceChart(
  events: readonly ChartEvent[],
  width: number,
  lanes: readonly string[] = partiesOf(events),
): string[] {
  if (events.length === 0) return [];
  const gap = Math.max(LANE_GAP, ...lanes.map(lane => lane.length + 2));
  const times = events.map(event => virtualTime(event.timeNs));
  const timeWidth = Math.max(TIME_WIDTH, ...times.map(time => time.length));
  const head = `${'time'.padStart(timeWidth)}  ${lanes.map(lane => centred(lane, gap)).join('')}`;
  return [
    head.trimEnd(),
    ...events.map((event, at) => {
      const drawn = arrow(lanes.indexOf(event.from), lanes.indexOf(event.to), lanes.length, gap);
      return cut(`${times[at].padStart(timeWidth)}  ${drawn}  ${event.text}`.trimEnd(), width);
    }),
  ];
}

/** The parties in the order of their first appearance. */
export function partiesOf(events: readonly ChartEvent[]): string[] {
  return [...new Set(events.flatMap(event => [event.from, event.to]))];
}

/** A row of lanes with an arrow between two of them, or a mark on one. */
function arrow(from: number, to: number, lanes: number, gap: number): string {
  const place = (lane: number) => lane * gap + Math.floor(gap / 2);
  const row = Array.from({ length: lanes * gap }, () => ' ');
  for (let lane = 0; lane < lanes; lane++) row[place(lane)] = '|';
  if (from < 0 || to < 0) return row.join('');
  if (from === to) row[place(from)] = '*';
  else {
    const [left, right] = from < to ? [place(from), place(to)] : [place(to), place(from)];
    for (let at = left + 1; at < right; at++) row[at] = '-';
    if (from < to) row[right - 1] = '>';
    else row[left + 1] = '<';
  }
  return row.join('');
}

function centred(text: string, width: number): string {
  const left = Math.max(0, Math.floor(width / 2) - Math.floor(text.length / 2));
  return (' '.repeat(left) + text).padEnd(width);
}

function cut(line: string, width: number): string {
  return line.length <= width ? line : `${line.slice(0, Math.max(1, width - 1))}…`;
}
