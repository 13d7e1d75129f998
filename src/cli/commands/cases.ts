/** `vrdma list` shows the cases, `vrdma explain` tells all about one: what it promises, why, how it is asked, where the machines stand. */
import type { Command } from 'commander';
import type { Session } from '../session.js';
import type { ConformanceCase } from '../../conformance/cases/index.js';
import { toDot } from '../../explorer/index.js';
import { machines } from '../../statemachines/index.js';
import { usageError } from '../exit-code.js';
import { caseList, explanation } from '../format/cases.js';
import { unknownName } from '../nearest.js';
import { addOutputOptions, chosenCases, coloursFor, gather, type OutputOptions } from '../options.js';

interface ListOptions extends OutputOptions {
  readonly skip?: readonly string[];
  readonly json?: boolean;
}

interface ExplainOptions extends OutputOptions {
  readonly dot?: boolean;
}

const LIST_EXAMPLES = `
A case is named by its id, a pattern, a chapter, or a requirement that it shows.

Examples:
  $ vrdma list
  $ vrdma list 'CTRL/*' --skip 'CTRL/create-*'
  $ vrdma list QP-24
  $ vrdma list --json`;

const EXPLAIN_EXAMPLES = `
Examples:
  $ vrdma explain CTRL/create-cq/zero-depth
  $ vrdma explain QP/machine/qp-rc --dot | dot -Tsvg -o qp.svg     the transitions of the case in bold`;

export function addListCommand(root: Command, session: Session): void {
  const command = root
    .command('list')
    .summary('the conformance cases')
    .description('Lists the cases by chapter: id, whom a case judges, how it is asked, what it promises.')
    .argument('[cases...]', 'ids, patterns, chapters or requirements; all cases by default')
    .option('--skip <cases>', 'all but these', gather)
    .option('--json', 'print as JSON');
  addOutputOptions(command)
    .addHelpText('after', LIST_EXAMPLES)
    .action((only: string[], options: ListOptions) => list(only, options, session));
}

export function addExplainCommand(root: Command, session: Session): void {
  const command = root
    .command('explain')
    .summary('all about one case')
    .description(
      'Shows a case: requirements and why, its program, the machines with its transitions marked, its mutants.',
    )
    .argument('<id>', 'a case')
    .option('--dot', 'print the machines of the case for Graphviz, its transitions in bold');
  addOutputOptions(command)
    .addHelpText('after', EXPLAIN_EXAMPLES)
    .action((id: string, options: ExplainOptions) => explain(id, options, session));
}

async function list(only: readonly string[], options: ListOptions, { io, kit }: Session): Promise<void> {
  const engine = await kit.engine();
  const chosen = chosenCases(engine, only.length === 0 ? undefined : only, options.skip);
  const left = chosen === undefined ? undefined : new Set(chosen);
  const cases = engine.catalogue.filter(({ id }) => left === undefined || left.has(id));
  io.out(
    options.json === true
      ? `${JSON.stringify(cases.map(plain), undefined, 2)}\n`
      : caseList(cases, io.outIsTty ? io.columns : undefined, coloursFor(options, io)),
  );
}

/** A case without what runs it. */
function plain({ how, ...facts }: ConformanceCase): object {
  return { ...facts, kind: how.kind, ...(how.kind === 'program' ? { program: how.program } : {}) };
}

async function explain(id: string, options: ExplainOptions, { io, kit }: Session): Promise<void> {
  const { catalogue } = await kit.engine();
  const each = catalogue.find(known => known.id.toLowerCase() === id.toLowerCase());
  if (each === undefined) {
    throw usageError(
      unknownName(
        'case',
        id,
        catalogue.map(known => known.id),
      ),
    );
  }
  const touched = machines.filter(machine =>
    machine.transitions.some(({ requirement }) => each.requirements.includes(requirement)),
  );
  if (options.dot === true) {
    if (touched.length === 0)
      throw usageError(`no machine has a transition for ${each.requirements.join(', ')}.`);
    io.out(touched.map(machine => toDot(machine, new Set(each.requirements))).join(''));
    return;
  }
  io.out(explanation(each, touched, kit.spec(), io.columns, coloursFor(options, io)));
}
