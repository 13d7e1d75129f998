/** `vrdma spec`: the requirements, and what checks each. */
import type { Command } from 'commander';
import type { Session } from '../app.js';
import { ExitCode, usageError } from '../exit-code.js';
import { requirementText, specOverview } from '../format/spec.js';
import { unknownName } from '../nearest.js';
import { addOutputOptions, coloursFor, type OutputOptions } from '../options.js';
import type { SpecBook } from '../spec-book.js';

interface SpecOptions extends OutputOptions {
  readonly json?: boolean;
}

const EXAMPLES = `
Exit code 1 when a requirement has no check, a check names an unknown one, or a chapter is malformed.

Examples:
  $ vrdma spec
  $ vrdma spec CTRL-07
  $ vrdma spec CTRL QP --json`;

export function addSpecCommand(root: Command, session: Session): void {
  const command = root
    .command('spec')
    .summary('the requirements, and what checks each')
    .description('Shows how the requirements of the spec are covered by tests, machines and laws.')
    .argument('[ids...]', 'requirements (CTRL-07) or chapters (CTRL) to show in full')
    .option('--json', 'print as JSON');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((ids: string[], options: SpecOptions) => spec(ids, options, session));
}

function spec(ids: readonly string[], options: SpecOptions, session: Session): void {
  const { io } = session;
  const book = session.kit.spec();
  const c = coloursFor(options, io);
  const rows = ids.length === 0 ? book.rows : ids.flatMap(id => rowsOf(id, book));
  if (options.json === true) io.out(`${JSON.stringify({ rows, problems: book.problems }, undefined, 2)}\n`);
  else if (ids.length === 0) io.out(specOverview(book, c));
  else io.out(rows.map(row => requirementText(row, io.columns, c)).join('\n'));
  if (ids.length === 0 && book.problems.length > 0) session.exitCode = ExitCode.violations;
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
