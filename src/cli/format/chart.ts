/** A sequence chart for the terminal: one line an event, time on the left, a lane a party, what happened on the right. */
import type { ChartEvent } from '../../conformance/chart-event.js';
import { partiesOf } from '../../report/index.js';
import { virtualTime, wrap } from './text.js';

const LANE_GAP = 9;
const NARROW_GAP = 6;
const TIME_WIDTH = 8;
const TEXT_WIDTH_MIN = 24;

/**
 * @param events oldest first
 * @param width characters of a line at most
 * @param lanes parties from left to right
 */
export function sequenceChart(
  events: readonly ChartEvent[],
  width: number,
  lanes: readonly string[] = partiesOf(events),
): string[] {
  if (events.length === 0) return [];
  const times = events.map(event => virtualTime(event.timeNs));
  const timeWidth = Math.max(TIME_WIDTH, ...times.map(time => time.length));
  const { labels, gap } = laneLabels(lanes, width - timeWidth);
  const margin = timeWidth + 2;
  const idle = `${' '.repeat(margin)}${arrow(-1, -1, lanes.length, gap)}`;
  const textWidth = Math.max(TEXT_WIDTH_MIN, width - idle.length - 4);
  const head = `${'time'.padStart(timeWidth)}  ${labels.map(label => centred(label, gap)).join('')}`;
  const lines = events.flatMap((event, at) => {
    const drawn = arrow(lanes.indexOf(event.from), lanes.indexOf(event.to), lanes.length, gap);
    const [first = '', ...rest] = wrap(event.text, textWidth);
    return [
      `${times[at].padStart(timeWidth)}  ${drawn}  ${first}`,
      ...rest.map(text => `${idle}    ${text}`),
    ];
  });
  return [head, ...lines].map(line => cut(line.trimEnd(), width));
}

/** Whole names while they leave half of the line to the texts; else `dri0` for `driver 0`. */
function laneLabels(lanes: readonly string[], width: number): { labels: readonly string[]; gap: number } {
  const gap = Math.max(LANE_GAP, ...lanes.map(lane => lane.length + 2));
  if (lanes.length * gap <= width / 2) return { labels: lanes, gap };
  const labels = lanes.map(lane => lane.replace(/^(\w{3})\w* (\d+)$/, '$1$2'));
  return { labels, gap: Math.max(NARROW_GAP, ...labels.map(label => label.length + 1)) };
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
