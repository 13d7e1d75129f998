/** The requirements and their checks as text. */
import type { TraceRow } from '../../conformance/requirements.js';
import type { ChainRow } from '../../conformance/matrix.js';
import type { SpecBook } from '../spec-book.js';
import { plural, table, wrap, type Colours } from './text.js';

const PLACES_SHOWN = 6;

/** One line a chapter, then what is wrong. */
export function specOverview(
  book: Pick<SpecBook, 'rows' | 'problems'>,
  links: ReadonlyMap<string, ChainRow>,
  c: Colours,
): string {
  const paths = [...new Set(book.rows.map(({ requirement }) => requirement.path))];
  const rows = paths.map(path => {
    const members = book.rows.filter(({ requirement }) => requirement.path === path);
    const kinds = (kind: string) =>
      members.filter(({ checks }) => checks.some(check => check.kind === kind)).length;
    const linked = (link: 'cases' | 'mutants') =>
      members.filter(({ requirement }) => (links.get(requirement.id)?.[link].length ?? 0) > 0).length;
    return [
      path,
      members[0].requirement.chapter,
      String(members.length),
      String(members.filter(({ checks }) => checks.length > 0).length),
      String(kinds('test')),
      String(kinds('machine')),
      String(kinds('law')),
      String(linked('cases')),
      String(linked('mutants')),
    ];
  });
  const [head = '', ...lines] = table(
    [
      ['chapter', 'ids', 'requirements', 'checked', 'by tests', 'by machines', 'by laws', 'cases', 'mutants'],
      ...rows,
    ],
    [2, 3, 4, 5, 6, 7, 8],
  );
  const checked = book.rows.filter(({ checks }) => checks.length > 0).length;
  return [
    c.dim(head),
    ...lines,
    '',
    `${checked} of ${plural(book.rows.length, 'requirement')} checked`,
    ...(book.problems.length === 0 ? [] : ['', ...book.problems.map(problem => c.red(problem))]),
    '',
  ].join('\n');
}

function linkLines(kind: string, names: readonly string[], c: Colours): string[] {
  const rest = names.length - PLACES_SHOWN;
  return [
    ...names.slice(0, PLACES_SHOWN).map(name => c.dim(`  ${kind}: ${name}`)),
    ...(rest > 0 ? [c.dim(`  and ${plural(rest, `more ${kind}`)}`)] : []),
  ];
}

export function requirementText(
  { requirement, checks }: TraceRow,
  links: ChainRow | undefined,
  width: number,
  c: Colours,
): string {
  const strict = requirement.strict ? c.dim(' (strict: a lenient reading exists)') : '';
  const places = checks.slice(0, PLACES_SHOWN).map(({ path, line, kind }) => `  ${kind}: ${path}:${line}`);
  const rest = checks.length - places.length;
  return [
    `${c.bold(requirement.id)}  ${c.dim(`${requirement.path}:${requirement.line}`)}${strict}`,
    ...wrap(requirement.text, width, '  '),
    ...(places.length === 0 ? [c.red('  nothing checks it')] : places.map(place => c.dim(place))),
    ...(rest > 0 ? [c.dim(`  and ${plural(rest, 'more place')}`)] : []),
    ...linkLines('case', links?.cases ?? [], c),
    ...linkLines('mutant', links?.mutants ?? [], c),
    ...(links?.argument === undefined ? [] : wrap(`no mutant: ${links.argument}`, width, '  ')),
    '',
  ].join('\n');
}
