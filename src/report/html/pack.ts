/** Packs the details of a matrix for the page: what repeats is stored once, and the whole has a limit. */
import type { CaseResult } from '../../conformance/cases/case-report.js';
import type { Program } from '../../conformance/program.js';
import type { ChartEvent } from '../../conformance/chart-event.js';
import type { CheckReport } from '../../conformance/report.js';
import { actionLine, programScript } from '../../conformance/script.js';
import { partiesOf } from '../lanes.js';
import { firstLine, shortened, visible } from '../text.js';
import type { ActionData, CellData, ChartData, PageData, ProgramData, RowData } from './page-data.js';
import type { MatrixChapter, MatrixRow } from './rows.js';

const EVENTS_KEPT = 60;
const ACTIONS_KEPT = 600;
const RING_LINES_KEPT = 80;
const MESSAGE_LIMIT = 4000;
/** Characters of programs, charts and rings in all, so that a page of a thousand cases stays below 3 MB. */
const DETAIL_LIMIT = 1_600_000;

export function packed(
  chapters: readonly MatrixChapter[],
  runs: readonly CheckReport[],
  names: readonly string[],
): PageData {
  const store = new Store();
  const rows = chapters.flatMap(chapter => chapter.rows.map(row => rowData(row, store)));
  return {
    runs: names,
    rows,
    requirements: sentencesOf(runs),
    requirementLists: store.requirementLists.kept,
    texts: store.texts.kept,
    actions: store.actions.kept,
    programs: store.programs.kept,
    charts: store.charts.kept,
  };
}

function rowData({ cells }: MatrixRow, store: Store): RowData {
  const some = cells.find(cell => cell !== undefined);
  return {
    judges: some?.judges ?? '',
    kind: some?.kind ?? '',
    cells: cells.map(cell => (cell === undefined ? null : cellData(cell, store))),
  };
}

function cellData(result: CaseResult, store: Store): CellData {
  return {
    requirementsAt: store.requirementLists.place(result.requirements.map(visible)),
    runs: result.runs,
    actions: result.actions,
    ms: Math.round(result.elapsedMs * 10) / 10,
    ...(result.message === undefined ? {} : { messageAt: store.text(result.message) }),
    ...(result.law === undefined ? {} : { lawAt: store.text(result.law) }),
    ...(result.known === undefined ? {} : { knownAt: store.text(result.known) }),
    ...evidence(result, store),
  };
}

function evidence({ program, steps = [], rings = [] }: CaseResult, store: Store): Partial<CellData> {
  if (program === undefined && steps.length === 0 && rings.length === 0) return {};
  if (store.size > DETAIL_LIMIT) return { cut: true };
  const kept = rings.slice(-RING_LINES_KEPT).join('\n');
  return {
    ...(program === undefined ? {} : { programAt: store.program(program) }),
    ...(steps.length === 0 ? {} : { chartAt: store.chart(steps.slice(-EVENTS_KEPT)) }),
    ...(kept === '' ? {} : { ringsAt: store.text(kept) }),
  };
}

function sentencesOf(runs: readonly CheckReport[]): Record<string, string> {
  const entries = runs.flatMap(({ requirements }) => Object.entries(requirements));
  return Object.fromEntries(entries.map(([id, text]) => [visible(id), visible(text)]));
}

/** Everything that may repeat. */
class Store {
  readonly requirementLists = new Once<readonly string[]>();
  readonly texts = new Once<string>();
  readonly actions = new Once<ActionData>();
  readonly programs = new Once<ProgramData>();
  readonly charts = new Once<ChartData>();

  /** Characters of what was stored, about. */
  get size(): number {
    return this.texts.size + this.actions.size + this.programs.size + this.charts.size;
  }

  text(text: string): number {
    return this.texts.place(shortened(visible(text), MESSAGE_LIMIT));
  }

  program({ actions, ...head }: Program): number {
    const kept = actions.slice(0, ACTIONS_KEPT);
    const [world = ''] = programScript({ ...head, actions: [] });
    const left = actions.length - kept.length;
    return this.programs.place({
      worldAt: this.text(left === 0 ? world : `${world}; ${left} more actions are in the JSON report`),
      head,
      actionsAt: kept.map(action => this.actions.place({ line: visible(actionLine(action)), action })),
    });
  }

  chart(events: readonly ChartEvent[]): number {
    const lanes = partiesOf(events);
    return this.charts.place({
      lanes: lanes.map(lane => firstLine(lane, 40)),
      events: events.flatMap(({ timeNs, from, to, text }) => [
        timeNs,
        lanes.indexOf(from),
        lanes.indexOf(to),
        this.text(shortened(text, 300)),
      ]),
    });
  }
}

/** A list that holds equal things once. */
class Once<T> {
  readonly kept: T[] = [];
  /** Characters of all as JSON. */
  size = 0;
  readonly #places = new Map<string, number>();

  place(thing: T): number {
    const key = JSON.stringify(thing);
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    this.#places.set(key, this.kept.length);
    this.size += key.length;
    return this.kept.push(thing) - 1;
  }
}
