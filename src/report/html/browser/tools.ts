/** Search field and filter chips above the matrix. */
import { button, element, required } from './dom.js';
import type { Filter, Matrix } from './matrix.js';

const gradeNames = ['fail', 'inconclusive', 'non-strict', 'informational', 'unsupported', 'skipped', 'pass'];

export interface Tools {
  readonly search: HTMLInputElement;
  /** Nothing searched, nothing filtered. */
  clear(): void;
}

/** Builds the tools and keeps the matrix in step with them. */
export function buildTools(matrix: Matrix): Tools {
  const chosen = {
    grades: new Set<string>(),
    chapters: new Set<string>(),
    judges: new Set<string>(),
    differs: false,
  };
  const search = element('input', {
    type: 'search',
    id: 'search',
    placeholder: 'Search cases, requirements, messages',
    'aria-label': 'Search cases, requirements and messages',
    'aria-keyshortcuts': '/',
    autocomplete: 'off',
    spellcheck: 'false',
  });
  const status = element('p', { role: 'status', class: 'status' });
  const apply = () => {
    const words = search.value
      .toLowerCase()
      .split(/\s+/)
      .filter(word => word !== '');
    const filter: Filter = { ...chosen, words };
    matrix.apply(filter);
    const all = matrix.rows.length;
    const { length } = matrix.shown;
    status.textContent = length === all ? `${all} cases` : `${length} of ${all} cases`;
    required('nothing').hidden = length > 0;
  };
  const chips: HTMLElement[] = [];
  const chip = (text: string, style: string, toggle: (on: boolean) => void) => {
    const made = button(text, { class: `chip ${style}`, 'aria-pressed': 'false' }, () => {
      const on = made.getAttribute('aria-pressed') !== 'true';
      made.setAttribute('aria-pressed', String(on));
      toggle(on);
      apply();
    });
    chips.push(made);
    return made;
  };
  const member = (set: Set<string>, name: string) => (on: boolean) =>
    void (on ? set.add(name) : set.delete(name));
  const clear = () => {
    search.value = '';
    for (const made of chips) made.setAttribute('aria-pressed', 'false');
    for (const set of [chosen.grades, chosen.chapters, chosen.judges]) set.clear();
    chosen.differs = false;
    apply();
  };

  const counts = countsOf(matrix);
  const gradeChips = gradeNames
    .filter(grade => counts.grades.has(grade))
    .map(grade =>
      chip(`${grade} ${counts.grades.get(grade)}`, `grade ${grade}`, member(chosen.grades, grade)),
    );
  const chapterChips = [...counts.chapters].map(([name, cases]) =>
    chip(`${name} ${cases}`, '', member(chosen.chapters, name)),
  );
  const judgeChips = ['driver', 'device', 'both'].map(name => chip(name, '', member(chosen.judges, name)));
  const differs = chip('runs differ', '', on => void (chosen.differs = on));
  const several = (matrix.rows[0]?.grades.length ?? 0) > 1;

  let pending = 0;
  search.addEventListener('input', () => {
    cancelAnimationFrame(pending);
    pending = requestAnimationFrame(apply);
  });
  required('clear').addEventListener('click', () => {
    clear();
    search.focus();
  });
  const tools = required('tools');
  tools.append(
    element('div', { class: 'line' }, search, status, keysHint(), themeButton()),
    element(
      'div',
      { class: 'line' },
      group('grade', ...gradeChips, ...(several ? [differs] : [])),
      group('judges', ...judgeChips),
    ),
    group('chapter', ...chapterChips),
  );
  tools.hidden = false;
  apply();
  return { search, clear };
}

function group(name: string, ...chips: readonly HTMLElement[]): HTMLElement {
  return element(
    'div',
    { class: 'line', role: 'group', 'aria-label': name },
    element('span', {}, name),
    ...chips,
  );
}

/** How many cases have a grade in some run, and how many each chapter has. */
function countsOf({ rows }: Matrix): { grades: Map<string, number>; chapters: Map<string, number> } {
  const grades = new Map<string, number>();
  const chapters = new Map<string, number>();
  const add = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const row of rows) {
    for (const grade of new Set(row.grades)) add(grades, grade);
    add(chapters, row.chapter);
  }
  return { grades, chapters };
}

function keysHint(): HTMLElement {
  const keys: [string, string][] = [
    ['/', 'search'],
    ['arrows', 'move'],
    ['Enter', 'open'],
    ['n p', 'next, previous that did not pass'],
    ['Esc', 'close'],
  ];
  return element(
    'p',
    { class: 'keys' },
    ...keys.flatMap(([key, what]) => [element('kbd', {}, key), ` ${what} `]),
  );
}

const themes = ['auto', 'dark', 'light'] as const;

/** Dark, light, or as the system has it; remembered where the browser lets a file remember. */
function themeButton(): HTMLElement {
  let at = Math.max(
    0,
    themes.findIndex(theme => theme === remembered()),
  );
  const show = () => {
    const theme = themes[at];
    if (theme === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
    made.textContent = `theme: ${theme}`;
  };
  const made = button('', { id: 'theme' }, () => {
    at = (at + 1) % themes.length;
    remember(themes[at]);
    show();
  });
  show();
  return made;
}

function remembered(): string | null {
  try {
    return localStorage.getItem('vrdma-theme');
  } catch {
    return null;
  }
}

function remember(theme: string): void {
  try {
    localStorage.setItem('vrdma-theme', theme);
  } catch {
    // A page from a file may have no storage; the choice then lasts as long as the page.
  }
}
