/** Cases as text: the list, and all about one. */
import { match } from 'ts-pattern';
import { programScript } from '../../conformance/index.js';
import { chapterOf, type ConformanceCase } from '../../conformance/cases/index.js';
import type { MachineDefinition, TransitionDefinition } from '../../statemachines/index.js';
import type { SpecBook } from '../spec-book.js';
import { plural, table, wrap, type Colours } from './text.js';

/** Requirements of a case that are shown in full; one that stands for a whole machine has dozens. */
const SENTENCES_MAX = 8;
/** Lines of a machine's picture at most. */
const PICTURE_LINES_MAX = 24;

/** A line a case. @param width of the terminal, at which lines end; undefined for whole lines */
export function caseList(cases: readonly ConformanceCase[], width: number | undefined, c: Colours): string {
  const chapters = [...new Set(cases.map(({ id }) => chapterOf(id)))];
  return [
    ...chapters.flatMap(chapter => {
      const members = cases.filter(({ id }) => chapterOf(id) === chapter);
      const idWidth = Math.max(...members.map(({ id }) => id.length));
      return [
        `${c.bold(chapter)}  ${c.dim(plural(members.length, 'case'))}`,
        ...members.map(({ id, doc, judges, how }) => {
          const head = `  ${id.padEnd(idWidth)}  ${judges.padEnd(6)}  ${how.kind.padEnd(11)}  `;
          return (head + doc).slice(0, width === undefined ? undefined : Math.max(head.length, width));
        }),
        '',
      ];
    }),
    `${plural(cases.length, 'case')}; vrdma explain ID tells about one`,
    '',
  ].join('\n');
}

export function explanation(
  each: ConformanceCase,
  machines: readonly MachineDefinition[],
  spec: SpecBook,
  width: number,
  c: Colours,
): string {
  return [
    c.bold(each.id),
    ...wrap(each.doc, width, '  '),
    '',
    ...table([
      ['  judges', each.judges],
      ['  asked by', howText(each)],
      ['  needs', needsText(each)],
      ['  from', each.source],
      ['  alone', `vrdma check --only ${each.id}`],
    ]),
    '',
    c.underline('requirements'),
    ...requirementLines(each, spec, width, c),
    ...(each.how.kind === 'program'
      ? [c.underline('program'), ...programScript(each.how.program).map(line => `  ${line}`), '']
      : []),
    ...machines.flatMap(machine => pictureLines(machine, each.requirements, c)),
    ...mutantLines(each, spec, c),
  ].join('\n');
}

function howText({ how }: ConformanceCase): string {
  return match(how)
    .with({ kind: 'program' }, () => 'a program with a known outcome, on the stack and on bare metal')
    .with({ kind: 'probe' }, () => 'a hand-written peer opposite the implementation')
    .with({ kind: 'hostile' }, () => 'a peer that breaks rules on purpose, from the seed')
    .with({ kind: 'property' }, ({ law }) => `generated programs, judged by: ${law}`)
    .with(
      { kind: 'observation' },
      ({ observation }) => `what the rings show (${observation}), while programs run`,
    )
    .with({ kind: 'bound' }, () => 'counting what a run costs')
    .exhaustive();
}

function needsText({ needs }: ConformanceCase): string {
  const { features = [], services = [], profile } = needs;
  const parts = [...features, ...services, ...(profile === undefined ? [] : [`profile ${profile}`])];
  return parts.length === 0 ? 'nothing special' : parts.join(', ');
}

function requirementLines(
  { requirements }: ConformanceCase,
  spec: SpecBook,
  width: number,
  c: Colours,
): string[] {
  const shown = requirements.slice(0, SENTENCES_MAX);
  const rest = requirements.slice(SENTENCES_MAX);
  const told = new Set<string>();
  return [
    ...shown.flatMap(id => {
      const row = spec.rows.find(({ requirement }) => requirement.id === id);
      if (row === undefined) return [`  [${id}] (no chapter has this id)`, ''];
      const { requirement } = row;
      const strict = requirement.strict ? ' (strict: a lenient reading exists)' : '';
      return [
        ...wrap(`[${id}]${strict} ${requirement.text}`, width, '  '),
        ...whyLines(spec.context(id), told, width).map(line => c.dim(line)),
        '',
      ];
    }),
    ...(rest.length === 0 ? [] : [...wrap(`and ${rest.join(', ')}: vrdma spec ${rest[0]}`, width, '  '), '']),
  ];
}

/** What the chapter says around a requirement, once. */
function whyLines(why: string, told: Set<string>, width: number): string[] {
  if (told.has(why)) return [];
  told.add(why);
  return wrap(`why: ${why}`, width, '       ');
}

/** The transitions of the case, marked, among the others that leave the same states. */
function pictureLines(machine: MachineDefinition, ids: readonly string[], c: Colours): string[] {
  const isMarked = ({ requirement }: TransitionDefinition): boolean => ids.includes(requirement);
  const states = new Set(machine.transitions.filter(isMarked).map(({ from }) => from));
  const near = machine.transitions.filter(({ from }) => states.has(from));
  const chosen = near.length <= PICTURE_LINES_MAX ? near : near.filter(isMarked);
  const shown = chosen.slice(0, PICTURE_LINES_MAX);
  const more = chosen.length - shown.length;
  const lines = table(
    shown.map(each => [
      isMarked(each) ? ' >' : '  ',
      each.from,
      `--${each.event}-->`,
      each.to,
      `[${each.requirement}]`,
    ]),
  );
  return [
    `${c.underline(`machine ${machine.name}`)}  ${c.dim(`vrdma machines ${machine.name}`)}`,
    ...lines.map((line, at) => (isMarked(shown[at]) ? c.bold(line) : c.dim(line))),
    ...(more > 0 ? [c.dim(`   and ${more} more`)] : []),
    '',
  ];
}

function mutantLines({ id, requirements }: ConformanceCase, spec: SpecBook, c: Colours): string[] {
  const caught = spec.mutants.filter(
    mutant => mutant.caughtBy.includes(id) || mutant.requirements.some(each => requirements.includes(each)),
  );
  if (caught.length === 0) return [];
  const rows = caught
    .slice(0, SENTENCES_MAX)
    .map(mutant => [`  ${mutant.id}`, mutant.caughtBy.includes(id) ? 'caught by this case' : '', mutant.doc]);
  return [c.underline('mutants'), ...table(rows), ''];
}
