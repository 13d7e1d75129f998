/** The matrix as the script sees it: rows read from the table, which of them are shown, and the cell that has the focus. */
import { required } from './dom.js';
import type { PageData } from '../page-data.js';

export interface Row {
  readonly element: HTMLTableRowElement;
  readonly body: HTMLElement;
  /** Place among all rows. */
  readonly at: number;
  readonly id: string;
  readonly chapter: string;
  /** The first is the case itself, then one a run. */
  readonly cells: readonly HTMLTableCellElement[];
  /** One a run; `none` where it has no such case. */
  readonly grades: readonly string[];
}

export interface Filter {
  readonly words: readonly string[];
  /** Empty sets let everything through. */
  readonly grades: ReadonlySet<string>;
  readonly chapters: ReadonlySet<string>;
  readonly judges: ReadonlySet<string>;
  /** Only cases in which the runs differ. */
  readonly differs: boolean;
}

export class Matrix {
  readonly table = required('matrix');
  readonly rows: readonly Row[];
  shown: readonly Row[];
  readonly #data: () => PageData;
  readonly #byElement: ReadonlyMap<Element | null, Row>;
  #haystacks: readonly string[] | undefined;
  #focused: HTMLTableCellElement | undefined;

  constructor(data: () => PageData) {
    this.#data = data;
    const rows: Row[] = [];
    for (const body of this.table.querySelectorAll('tbody')) {
      for (const element of body.querySelectorAll<HTMLTableRowElement>('tr:not(.chapter)')) {
        const cells = [...element.cells];
        rows.push({
          element,
          body,
          at: rows.length,
          id: cells[0].firstElementChild?.textContent ?? '',
          chapter: body.dataset['chapter'] ?? '',
          cells,
          grades: cells.slice(1).map(cell => cell.classList[0]),
        });
      }
    }
    this.rows = rows;
    this.shown = rows;
    this.#byElement = new Map(rows.map(row => [row.element, row]));
    const [first] = rows;
    if (first !== undefined) this.#makeStop(first.cells[1] ?? first.cells[0]);
  }

  /** Shows the rows that pass, and the chapters that have any. */
  apply(filter: Filter): void {
    const data = filter.judges.size > 0 ? this.#data() : undefined;
    const haystacks = filter.words.length > 0 ? this.#searchable() : undefined;
    this.shown = this.rows.filter(row => {
      const { grades, chapter, at } = row;
      return (
        (filter.grades.size === 0 || grades.some(grade => filter.grades.has(grade))) &&
        (filter.chapters.size === 0 || filter.chapters.has(chapter)) &&
        (data === undefined || filter.judges.has(data.rows[at].judges)) &&
        (!filter.differs || grades.some(grade => grade !== grades[0])) &&
        (haystacks === undefined || filter.words.every(word => haystacks[at].includes(word)))
      );
    });
    const shown = new Set(this.shown);
    const rowsOf = new Map<HTMLElement, number>();
    for (const { body } of this.shown) rowsOf.set(body, (rowsOf.get(body) ?? 0) + 1);
    for (const row of this.rows) row.element.hidden = !shown.has(row);
    for (const body of this.table.querySelectorAll('tbody')) {
      const rows = rowsOf.get(body) ?? 0;
      body.hidden = rows === 0;
      // The height until the browser has laid the rows out, so that the scroll bar does not jump.
      body.style.containIntrinsicHeight = `auto ${(rows + 1) * ROW_HEIGHT}px`;
    }
    const lost = this.#focused?.closest('[hidden]') instanceof Element;
    if (lost && this.shown.length > 0) this.#makeStop(this.shown[0].cells[1]);
  }

  /** Id, description, requirements and messages of each row, in small letters; made when first searched. */
  #searchable(): readonly string[] {
    if (this.#haystacks !== undefined) return this.#haystacks;
    const { rows, texts, requirementLists } = this.#data();
    this.#haystacks = this.rows.map(({ cells, at }) => {
      const parts = [cells[0].textContent ?? ''];
      for (const cell of rows[at].cells) {
        if (cell === null) continue;
        parts.push(...requirementLists[cell.requirementsAt]);
        for (const text of [cell.messageAt, cell.lawAt, cell.knownAt])
          if (text !== undefined) parts.push(texts[text]);
      }
      return parts.join(' ').toLowerCase();
    });
    return this.#haystacks;
  }

  rowOf(cell: Element): Row | undefined {
    return this.#byElement.get(cell.closest('tr'));
  }

  /** Gives a cell the focus; it alone is reached with the tabulator. */
  focus(row: Row, column: number): void {
    const cell = row.cells[Math.max(0, Math.min(column, row.cells.length - 1))];
    this.#makeStop(cell);
    cell.focus();
  }

  /** The cell that has the focus or would get it. */
  place(): { row: Row; column: number } | undefined {
    const cell = this.#focused;
    const row = cell === undefined ? undefined : this.rowOf(cell);
    return cell === undefined || row === undefined ? undefined : { row, column: row.cells.indexOf(cell) };
  }

  /** The next or previous shown cell that did not pass, seen from a place. */
  nextOddity(from: { row: Row; column: number }, step: 1 | -1): { row: Row; column: number } | undefined {
    const columns = from.row.grades.length;
    const start = this.shown.indexOf(from.row) * columns + from.column - 1;
    for (let at = start + step; at >= 0 && at < this.shown.length * columns; at += step) {
      const row = this.shown[Math.floor(at / columns)];
      const grade = row.grades[at % columns];
      if (!quiet.has(grade)) return { row, column: (at % columns) + 1 };
    }
    return undefined;
  }

  #makeStop(cell: HTMLTableCellElement): void {
    this.#focused?.removeAttribute('tabindex');
    cell.tabIndex = 0;
    this.#focused = cell;
  }
}

/** Pixels of a row, its line included. */
const ROW_HEIGHT = 31;

/** Grades that nobody has to look at. */
const quiet = new Set(['pass', 'none', 'skipped', 'unsupported']);
