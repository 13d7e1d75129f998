/** `vrdma spec`: the requirements, and what checks each. */
import type { Command } from 'commander';
import type { Session } from '../session.js';
import { ExitCode, usageError } from '../exit-code.js';
import { requirementText, specOverview } from '../format/spec.js';
import { unknownName } from '../nearest.js';
import { chainOf, type Chain } from '../../conformance/matrix.js';
import { machines } from '../../statemachines/index.js';
import type { Engine } from '../engine.js';
import { addOutputOptions, coloursFor, type OutputOptions } from '../options.js';
import type { SpecBook } from '../spec-book.js';

interface SpecOptions extends OutputOptions {
  readonly json?: boolean;
}

const EXAMPLES = `
Exit code 1 when a chapter is malformed, a requirement has no check or no case, no mutant breaks it and
nothing says why, a mutant was not caught, or anything names a requirement that does not exist.

Examples:
  $ vrdma spec
  $ vrdma spec CTRL-07
  $ vrdma spec CTRL QP --json`;

export function addSpecCommand(root: Command, session: Session): void {
  const command = root
    .command('spec')
    .summary('the requirements, and what checks each')
    .description(
      'Shows how each requirement of the spec is covered: tests, laws, machines, conformance cases, mutants.',
    )
    .argument('[ids...]', 'requirements (CTRL-07) or chapters (CTRL) to show in full')
    .option('--json', 'print as JSON');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((ids: string[], options: SpecOptions) => spec(ids, options, session));
}

async function spec(ids: readonly string[], options: SpecOptions, session: Session): Promise<void> {
  const { io } = session;
  const book = session.kit.spec();
  const chain = chainFrom(book, await session.kit.engine());
  const problems = [
    ...book.problems,
    ...chain.problems.map(({ path, line, message }) => `${path}:${line}: ${message}`),
  ];
  const c = coloursFor(options, io);
  const rows = ids.length === 0 ? book.rows : ids.flatMap(id => rowsOf(id, book));
  const links = new Map(chain.rows.map(row => [row.requirement.id, row]));
  if (options.json === true) {
    const linked = rows.map(row => ({ ...links.get(row.requirement.id), ...row }));
    io.out(`${JSON.stringify({ rows: linked, problems }, undefined, 2)}\n`);
  } else if (ids.length === 0) io.out(specOverview({ rows: book.rows, problems }, links, c));
  else io.out(rows.map(row => requirementText(row, links.get(row.requirement.id), io.columns, c)).join('\n'));
  if (ids.length === 0 && problems.length > 0) session.exitCode = ExitCode.violations;
}

function chainFrom(book: SpecBook, { argued, catalogue, mutants, unasked }: Engine): Chain {
  const requirements = book.rows.map(({ requirement }) => requirement);
  return chainOf({
    requirements,
    cases: catalogue,
    machines,
    mutants,
    recorded: book.mutants,
    argued,
    unasked,
  });
}

function rowsOf(wanted: string, book: SpecBook): SpecBook['rows'] {
  const upper = wanted.toUpperCase();
  const found = book.rows.filter(
    ({ requirement }) => requirement.id === upper || requirement.chapter === upper,
  );
  if (found.length > 0) return found;
  const chapters = new Set(book.rows.map(({ requirement }) => requirement.chapter));
  throw usageError(
    unknownName('requirement', wanted, [...chapters, ...book.rows.map(({ requirement }) => requirement.id)]),
  );
}
