/** A sequence chart as SVG: time on the left, a lane a party, what happened on the right. */
import { svg } from './dom.js';
import type { ChartData } from '../page-data.js';

const ROW = 22;
const LINE = 15;
const HEAD = 30;
const TIME = 66;
const CHARACTER = 7.1;
const WIDTH = 680;
const TEXT_MIN = 250;

export function sequenceChart(chart: ChartData, texts: readonly string[]): SVGElement {
  const gap = Math.max(44, Math.min(92, (WIDTH - TIME - TEXT_MIN) / chart.lanes.length));
  const textX = TIME + chart.lanes.length * gap + 8;
  const textWidth = Math.max(TEXT_MIN, WIDTH - textX);
  const laneX = (lane: number) => TIME + lane * gap + gap / 2;
  const marks: SVGElement[] = [];
  let y = HEAD;
  for (let at = 0; at + 3 < chart.events.length; at += 4) {
    const [timeNs, from, to, textAt] = chart.events.slice(at, at + 4);
    const lines = wrapped(texts[textAt] ?? '', Math.floor(textWidth / CHARACTER));
    marks.push(
      svg('text', { x: TIME - 6, y: y + 4, class: 'time' }, timeText(timeNs)),
      arrow(laneX(from), laneX(to), y),
      svg(
        'text',
        { class: 'what' },
        ...lines.map((line, row) => svg('tspan', { x: textX, y: y + 4 + row * LINE }, line)),
      ),
    );
    y += ROW + (lines.length - 1) * LINE;
  }
  const lanes = chart.lanes.flatMap((lane, at) => [
    svg('line', { x1: laneX(at), x2: laneX(at), y1: HEAD - 12, y2: y - 8, class: 'lane' }),
    svg('text', { x: laneX(at), y: 12, class: 'party' }, gap < 74 ? short(lane) : lane),
  ]);
  const width = textX + textWidth;
  return svg(
    'svg',
    {
      class: 'chart',
      viewBox: `0 0 ${width} ${y}`,
      width,
      height: y,
      role: 'img',
      'aria-label': 'Sequence chart',
    },
    ...lanes,
    ...marks,
  );
}

function arrow(from: number, to: number, y: number): SVGElement {
  if (from === to) return svg('circle', { cx: from, cy: y, r: 3.5, class: 'note' });
  const back = to > from ? -7 : 7;
  return svg(
    'g',
    { class: 'arrow' },
    svg('line', { x1: from, x2: to + back, y1: y, y2: y }),
    svg('path', { d: `M${to} ${y}l${back} -4v8z` }),
  );
}

/** `driver 0` as `dri0`. */
function short(lane: string): string {
  return lane.replace(/^(\w{3})\w* (\d+)$/, '$1$2');
}

export function timeText(ns: number): string {
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} us`;
  return ns < 1e9 ? `${(ns / 1e6).toFixed(1)} ms` : `${(ns / 1e9).toFixed(2)} s`;
}

/** Lines of at most so many characters; a longer word is cut. */
function wrapped(text: string, limit: number): string[] {
  const lines = [''];
  for (const word of text.split(/\s+/).flatMap(each => pieces(each, limit))) {
    const last = lines.length - 1;
    const longer = lines[last] === '' ? word : `${lines[last]} ${word}`;
    if (longer.length <= limit) lines[last] = longer;
    else lines.push(word);
  }
  return lines;
}

function pieces(word: string, limit: number): string[] {
  const count = Math.max(1, Math.ceil(word.length / limit));
  return Array.from({ length: count }, (_, at) => word.slice(at * limit, (at + 1) * limit));
}
