/**
 * The chain from a sentence to what proves that its check can fail: requirement, cases, machine transitions, mutants. Every
 * link is looked at in both directions; a link that is missing is a problem.
 */
import type { MachineDefinition, TransitionDefinition } from '../statemachines/index.js';
import type { ConformanceCase } from './cases/index.js';
import type { Problem, Requirement } from './requirements.js';

/** What of a mutant the chain needs. */
export interface ChainedMutant {
  readonly id: string;
  /** The obligations that it breaks. */
  readonly requirements: readonly string[];
}

/** What the last recorded run of the mutants showed. */
export interface RecordedMutant {
  readonly id: string;
  /** Cases that caught it. */
  readonly caughtBy: readonly string[];
}

export interface ChainParts {
  readonly requirements: readonly Requirement[];
  readonly cases: readonly Pick<ConformanceCase, 'id' | 'requirements'>[];
  readonly machines: readonly MachineDefinition[];
  readonly mutants: readonly ChainedMutant[];
  readonly recorded: readonly RecordedMutant[];
  /** Requirements that no mutant can break, with the reason. */
  readonly argued: Readonly<Record<string, string>>;
  /** Requirements that no case can ask for, with the reason. */
  readonly unasked: Readonly<Record<string, string>>;
}

/** One requirement with all that speaks of it. */
export interface ChainRow {
  readonly requirement: Requirement;
  readonly cases: readonly string[];
  /** `QP.RC: INIT MODIFY_TO_RTR -> RTR` */
  readonly transitions: readonly string[];
  readonly mutants: readonly string[];
  /** Why no mutant breaks it, where none does. */
  readonly argument: string | undefined;
}

export interface Chain {
  readonly rows: readonly ChainRow[];
  readonly problems: readonly Problem[];
}

/** Where a problem stands that no line of the spec is to blame for. */
const CASES = 'src/conformance/cases/catalogue.ts';
const MUTANTS = 'src/conformance/mutants/index.ts';
const RECORD = 'spec/mutants.json';

export function chainOf(parts: ChainParts): Chain {
  const casesBy = groupBy(
    parts.cases.flatMap(({ id, requirements }) => requirements.map(key => [key, id] as const)),
  );
  const mutantsBy = groupBy(
    parts.mutants.flatMap(({ id, requirements }) => requirements.map(key => [key, id] as const)),
  );
  const transitionsBy = groupBy(
    parts.machines.flatMap(machine =>
      machine.transitions.map(each => [each.requirement, transitionName(machine, each)] as const),
    ),
  );
  const rows = parts.requirements.map((requirement): ChainRow => ({
    requirement,
    cases: casesBy.get(requirement.id) ?? [],
    transitions: transitionsBy.get(requirement.id) ?? [],
    mutants: mutantsBy.get(requirement.id) ?? [],
    argument: parts.argued[requirement.id],
  }));
  return {
    rows,
    problems: [
      ...rowProblems(rows, parts.unasked),
      ...unknownProblems(parts),
      ...recordProblems(parts),
      ...caseProblems(parts),
    ],
  };
}

export function transitionName(
  machine: MachineDefinition,
  { from, event, to }: TransitionDefinition,
): string {
  return `${machine.name}: ${from} ${event} -> ${to}`;
}

/** A permission cannot be broken; every other sentence has a mutant that breaks it, or a reason why none can. */
function rowProblems(rows: readonly ChainRow[], unasked: ChainParts['unasked']): Problem[] {
  return rows.flatMap(({ requirement, cases, mutants, argument }) => {
    const { id, path, line, keyword } = requirement;
    const found: Problem[] = [];
    if (cases.length === 0 && unasked[id] === undefined)
      found.push({ kind: 'no-case', path, line, message: `no case asks for ${id}` });
    if (cases.length > 0 && unasked[id] !== undefined)
      found.push({
        kind: 'stale-argument',
        path: CASES,
        line: 1,
        message: `${id} is said not to be askable, and ${cases[0]} asks for it`,
      });
    if (mutants.length === 0 && argument === undefined && keyword !== 'MAY')
      found.push({ kind: 'no-mutant', path, line, message: `no mutant breaks ${id}, and nothing says why` });
    if (mutants.length > 0 && argument !== undefined)
      found.push({
        kind: 'stale-argument',
        path: MUTANTS,
        line: 1,
        message: `${id} is argued to be unbreakable, and ${mutants[0]} breaks it`,
      });
    return found;
  });
}

/** What cites an id in its source is looked at with the citations; here is what holds ids as data. */
function unknownProblems({ requirements, cases, mutants, argued }: ChainParts): Problem[] {
  const known = new Set(requirements.map(({ id }) => id));
  const unknown = (ids: readonly string[], path: string, who: string): Problem[] =>
    ids
      .filter(id => !known.has(id))
      .map(id => ({
        kind: 'unknown-id',
        path,
        line: 1,
        message: `${who} names ${id}, and no chapter has it`,
      }));
  return [
    ...cases.flatMap(({ id, requirements: ids }) => unknown(ids, CASES, `case ${id}`)),
    ...mutants.flatMap(({ id, requirements: ids }) => unknown(ids, MUTANTS, `mutant ${id}`)),
    ...unknown(Object.keys(argued), MUTANTS, 'the list of arguments'),
  ];
}

/** The record of the last run names every mutant, each caught, and no other. */
function recordProblems({ mutants, recorded, cases }: ChainParts): Problem[] {
  const problem = (message: string): Problem => ({ kind: 'stale-record', path: RECORD, line: 1, message });
  const byId = new Map(recorded.map(each => [each.id, each]));
  const known = new Set(mutants.map(({ id }) => id));
  const caseIds = new Set(cases.map(({ id }) => id));
  return [
    ...mutants.flatMap(({ id }) => {
      const record = byId.get(id);
      if (record === undefined) return [problem(`mutant ${id} was not run: vrdma mutants --write`)];
      return record.caughtBy.length === 0 ? [problem(`mutant ${id} got away`)] : [];
    }),
    ...recorded
      .filter(({ id }) => !known.has(id))
      .map(({ id }) => problem(`there is no mutant ${id} any more`)),
    ...recorded.flatMap(({ id, caughtBy }) =>
      caughtBy
        .filter(name => !caseIds.has(name))
        .map(name => problem(`mutant ${id} was caught by ${name}, and there is no such case any more`)),
    ),
  ];
}

/** A case that no mutant can fail has not shown that it can fail. */
function caseProblems({ cases, mutants, argued, requirements }: ChainParts): Problem[] {
  const breakable = new Set(mutants.flatMap(({ requirements: ids }) => ids));
  const permitted = new Set(requirements.filter(({ keyword }) => keyword === 'MAY').map(({ id }) => id));
  const excused = (id: string): boolean => permitted.has(id) || argued[id] !== undefined;
  return cases
    .filter(({ requirements: ids }) => !ids.some(id => breakable.has(id)) && !ids.every(excused))
    .map(({ id }) => ({
      kind: 'no-mutant',
      path: CASES,
      line: 1,
      message: `no mutant breaks what case ${id} asks for`,
    }));
}

function groupBy(pairs: readonly (readonly [key: string, value: string])[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const [key, value] of pairs) {
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [value]);
    else if (!group.includes(value)) group.push(value);
  }
  return groups;
}
