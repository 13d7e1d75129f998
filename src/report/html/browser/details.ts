/** The details of one cell: what was asked, what was seen, which sentences, the program, the last steps, the rings. */
import { sequenceChart } from './chart.js';
import { button, element } from './dom.js';
import type { CellData, PageData, ProgramData } from '../page-data.js';

/** What the matrix says of the case. */
export interface Shown {
  readonly id: string;
  readonly row: number;
  readonly run: number;
  readonly grade: string;
}

export function detailSections(data: PageData, shown: Shown): HTMLElement[] {
  const { judges, kind, cells } = data.rows[shown.row];
  const cell = cells[shown.run];
  if (cell === null || cell === undefined)
    return [element('p', { class: 'quiet' }, 'This run has no such case.')];
  const text = (at: number | undefined) => (at === undefined ? undefined : data.texts[at]);
  const message = text(cell.messageAt);
  const known = text(cell.knownAt);
  const rings = text(cell.ringsAt);
  return [
    ...(message === undefined ? [] : [element('p', { class: `message ${shown.grade}` }, message)]),
    ...(known === undefined ? [] : [element('p', {}, `Known failure: ${known}`)]),
    factList(cell, judges, kind, text(cell.lawAt)),
    ...requirementSection(data, cell, shown.grade),
    ...(cell.programAt === undefined ? [] : programSection(data, data.programs[cell.programAt], shown.id)),
    ...(cell.chartAt === undefined
      ? []
      : [
          section(
            'The last steps',
            element(
              'div',
              { class: 'wide', tabindex: '0' },
              sequenceChart(data.charts[cell.chartAt], data.texts),
            ),
          ),
        ]),
    ...(rings === undefined
      ? []
      : [section('The rings at the end', element('pre', { tabindex: '0' }, rings))]),
    ...(cell.cut === true
      ? [
          element(
            'p',
            { class: 'quiet' },
            'Program, steps and rings were left out to keep this page small; the JSON report has them.',
          ),
        ]
      : []),
    section('To know more', element('pre', {}, `vrdma explain ${quoted(shown.id)}`)),
  ];
}

function section(title: string, ...content: readonly (Node | string)[]): HTMLElement {
  return element('section', {}, element('h3', {}, title), ...content);
}

function factList(cell: CellData, judges: string, kind: string, law: string | undefined): HTMLElement {
  const facts: [string, string][] = [
    ['judges', judges === 'both' ? 'driver and device' : judges],
    ['asked by', kind],
    ['tries', `${cell.runs}, ${cell.actions} actions, ${cell.ms} ms`],
    ...(law === undefined ? [] : [['law', law] as [string, string]]),
  ];
  return element(
    'dl',
    { class: 'facts' },
    ...facts.map(([key, value]) => element('div', {}, element('dt', {}, key), element('dd', {}, value))),
  );
}

function requirementSection(data: PageData, cell: CellData, grade: string): HTMLElement[] {
  const ids = data.requirementLists[cell.requirementsAt];
  if (ids.length === 0) return [];
  const items = ids.flatMap(id => [
    element('dt', {}, id),
    element('dd', {}, data.requirements[id] ?? '(no chapter has this id)'),
  ]);
  const broken = grade === 'fail' || grade === 'non-strict';
  return [
    section(broken ? 'What it breaks' : 'What it shows', element('dl', { class: 'requirements' }, ...items)),
  ];
}

function programSection(data: PageData, program: ProgramData, id: string): HTMLElement[] {
  const actions = program.actionsAt.map(at => data.actions[at]);
  const file = `${id.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.json`;
  const save = () => {
    const whole = { ...(program.head as object), actions: actions.map(({ action }) => action) };
    saveFile(file, `${JSON.stringify(whole, undefined, 2)}\n`);
  };
  return [
    section(
      `Program: ${actions.length} ${actions.length === 1 ? 'action' : 'actions'}`,
      element('p', { class: 'quiet' }, data.texts[program.worldAt]),
      element(
        'ol',
        { class: 'script', start: '0', tabindex: '0' },
        ...actions.map(({ line }) => element('li', {}, line)),
      ),
      element(
        'p',
        { class: 'quiet' },
        button('Save program', {}, save),
        ' then ',
        element('code', {}, `vrdma replay ${file}`),
      ),
    ),
  ];
}

function saveFile(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  element('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** A word that a POSIX shell reads as it is. */
function quoted(word: string): string {
  return /^[A-Za-z0-9_./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
