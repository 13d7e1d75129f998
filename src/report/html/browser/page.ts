/** The page's script: the drawer with the details of a cell, its address, and the keyboard. */
import { detailSections } from './details.js';
import { button, element, required } from './dom.js';
import { Matrix, type Row } from './matrix.js';
import { buildTools } from './tools.js';
import type { PageData } from '../page-data.js';

performance.mark('vrdma:start');
document.documentElement.classList.add('scripted');

let parsed: PageData | undefined;
const pageData = () => (parsed ??= JSON.parse(required('data').textContent ?? '') as PageData);

const matrix = new Matrix(pageData);
const tools = buildTools(matrix);
const drawer = required('drawer');

interface Place {
  readonly row: Row;
  /** 1 is the first run. */
  readonly column: number;
}
let opened: Place | undefined;

function open({ row, column }: Place): void {
  const data = pageData();
  opened = { row, column };
  const run = column - 1;
  const title = element('h2', { id: 'drawer-title', tabindex: '-1' }, row.id);
  const runs = data.runs.map((name, at) =>
    button(
      `${name}: ${row.cells[at + 1].textContent}`,
      { class: `chip grade ${row.grades[at]}`, 'aria-pressed': String(at === run) },
      () => open({ row, column: at + 1 }),
    ),
  );
  drawer.replaceChildren(
    element('header', {}, title, button('Close', { class: 'close', 'aria-keyshortcuts': 'Escape' }, close)),
    element('p', { class: 'doc' }, row.cells[0].lastElementChild?.textContent ?? ''),
    element('div', { class: 'line', role: 'group', 'aria-label': 'runs' }, ...runs),
    ...detailSections(data, { id: row.id, row: row.at, run, grade: row.grades[run] }),
  );
  drawer.hidden = false;
  drawer.scrollTop = 0;
  document.documentElement.classList.add('opened');
  for (const marked of matrix.table.querySelectorAll('[aria-selected]'))
    marked.removeAttribute('aria-selected');
  row.cells[column].setAttribute('aria-selected', 'true');
  history.replaceState(null, '', `#case=${encodeURIComponent(row.id)}&run=${column}`);
  title.focus();
  row.element.scrollIntoView({ block: 'nearest' });
}

function close(): void {
  const last = opened;
  opened = undefined;
  drawer.hidden = true;
  drawer.replaceChildren();
  document.documentElement.classList.remove('opened');
  history.replaceState(null, '', location.pathname + location.search);
  if (last === undefined) return;
  last.row.cells[last.column].removeAttribute('aria-selected');
  if (!last.row.element.hidden) matrix.focus(last.row, last.column);
}

/** `#case=ID&run=N` opens that cell; anything else opens nothing. */
function openAddress(): void {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const row = matrix.rows.find(({ id }) => id === wanted.get('case'));
  if (row === undefined) return;
  const column = Math.min(Math.max(1, Math.trunc(Number(wanted.get('run') ?? 1)) || 1), row.grades.length);
  if (row.element.hidden) tools.clear();
  row.element.scrollIntoView({ block: 'center' });
  open({ row, column });
}

function openCell(cell: HTMLTableCellElement): void {
  const row = matrix.rowOf(cell);
  if (row === undefined) return;
  const column = Math.max(1, row.cells.indexOf(cell));
  matrix.focus(row, row.cells.indexOf(cell));
  open({ row, column });
}

const PAGE = 20;

/** Where a key leads from a cell; undefined for a key that leads nowhere. */
function moved(key: string, whole: boolean, { row, column }: Place): Place | undefined {
  const { shown } = matrix;
  const at = shown.indexOf(row);
  const last = row.cells.length - 1;
  const to = (line: number, cell: number): Place => ({
    row: shown[Math.max(0, Math.min(line, shown.length - 1))],
    column: Math.max(0, Math.min(cell, last)),
  });
  if (key === 'ArrowDown') return to(at + 1, column);
  if (key === 'ArrowUp') return to(at - 1, column);
  if (key === 'ArrowRight') return to(at, column + 1);
  if (key === 'ArrowLeft') return to(at, column - 1);
  if (key === 'PageDown') return to(at + PAGE, column);
  if (key === 'PageUp') return to(at - PAGE, column);
  if (key === 'Home') return to(whole ? 0 : at, 0);
  if (key === 'End') return to(whole ? shown.length - 1 : at, last);
  return undefined;
}

matrix.table.addEventListener('keydown', event => {
  const place = matrix.place();
  if (place === undefined || event.altKey || event.metaKey) return;
  if (event.key === 'Enter' || event.key === ' ') openCell(place.row.cells[place.column]);
  else {
    const target = moved(event.key, event.ctrlKey, place);
    if (target === undefined) return;
    matrix.focus(target.row, target.column);
  }
  event.preventDefault();
});

matrix.table.addEventListener('click', event => {
  const cell = event.target instanceof Element ? event.target.closest('td, tr:not(.chapter) > th') : null;
  if (cell instanceof HTMLTableCellElement) openCell(cell);
});

document.addEventListener('keydown', event => {
  const typing = event.target === tools.search;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === 'Escape') {
    if (opened !== undefined) close();
    else if (typing && tools.search.value === '') tools.search.blur();
    else if (typing) tools.clear();
  } else if (typing) {
    const [first] = matrix.shown;
    if (event.key !== 'ArrowDown' || first === undefined) return;
    matrix.focus(first, 1);
  } else if (event.key === '/') tools.search.focus();
  else if (event.key === 'n' || event.key === 'p') toOddity(event.key === 'n' ? 1 : -1);
  else return;
  event.preventDefault();
});

/** The next or previous cell that did not pass gets the focus, or the drawer when it is open. */
function toOddity(step: 1 | -1): void {
  const from = opened ?? matrix.place();
  const target = from === undefined ? undefined : matrix.nextOddity(from, step);
  if (target === undefined) return;
  matrix.focus(target.row, target.column);
  if (opened !== undefined) open(target);
}

addEventListener('hashchange', openAddress);
openAddress();
performance.mark('vrdma:ready');
performance.measure('vrdma', 'vrdma:start', 'vrdma:ready');
