/** `vrdma diff A.json B.json`: what got better and what got worse. */
import type { Command } from 'commander';
import type { Session } from '../session.js';
import { diffReports } from '../../report/index.js';
import { ExitCode, usageError } from '../exit-code.js';
import { diffText } from '../format/diff.js';
import { addOutputOptions, coloursFor, type OutputOptions } from '../options.js';
import { readReportFile } from '../report-files.js';

interface DiffOptions extends OutputOptions {
  readonly json?: boolean;
}

const EXAMPLES = `
From the best to the worst: pass, informational, non-strict, unsupported, skipped, inconclusive, fail.
Worse is also a verdict that is worse, and a law that generated programs break now and did not before.
Cases that are new or gone are listed and are neither better nor worse. Reports of several runs are compared
run by run, by the name of the implementation and the profile.

Exit code 1 when anything is worse.

Examples:
  $ vrdma diff main.json branch.json
  $ vrdma diff 1.0.json 1.1.json --json`;

export function addDiffCommand(root: Command, session: Session): void {
  const command = root
    .command('diff')
    .summary('what got better and worse between two reports')
    .description('Compares two reports case by case.')
    .argument('<before>', 'report as JSON')
    .argument('<after>', 'report as JSON')
    .option('--json', 'print the differences as JSON');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((before: string, after: string, options: DiffOptions) => diff(before, after, options, session));
}

function diff(before: string, after: string, options: DiffOptions, session: Session): void {
  const { io } = session;
  const found = diffReports(readReportFile(before), readReportFile(after));
  if (found.runs.length === 0)
    throw usageError(
      `${before} and ${after} have no run in common: ${found.goneRuns.join('; ')} against ${found.newRuns.join('; ')}. ` +
        'Runs are paired by the name of the implementation (vrdma check --name) and the profile.',
    );
  if (found.worse) session.exitCode = ExitCode.violations;
  io.out(
    options.json === true
      ? `${JSON.stringify(found, undefined, 2)}\n`
      : diffText(found, { width: io.columns, colours: coloursFor(options, io) }),
  );
}
