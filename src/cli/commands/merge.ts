/** `vrdma merge FILE...`: puts runs of several implementations or versions side by side. */
import type { Command } from 'commander';
import type { Session } from '../session.js';
import { htmlReport, mergedReport } from '../../report/index.js';
import { runTable } from '../format/runs.js';
import { addOutputOptions, coloursFor, type OutputOptions } from '../options.js';
import { readReportFile, writeReportFile } from '../report-files.js';

interface MergeOptions extends OutputOptions {
  readonly out?: string;
  readonly html?: string;
}

const EXAMPLES = `
Files are what 'vrdma check --json' or 'vrdma merge' printed. Each run is a column, in the order of the files.

Examples:
  $ vrdma merge ours.json theirs.json > both.json
  $ vrdma merge ours.json theirs.json --html both.html
  $ vrdma merge 1.0.json 1.1.json --out both.json --html both.html`;

export function addMergeCommand(root: Command, session: Session): void {
  const command = root
    .command('merge')
    .summary('put reports side by side')
    .description('Puts the runs of several reports side by side, as one JSON report or one page.')
    .argument('<files...>', 'reports as JSON')
    .option('--out <file>', 'write the JSON there instead of printing it')
    .option('--html <file>', 'write a page with a column for each run');
  addOutputOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((files: string[], options: MergeOptions) => merge(files, options, session));
}

function merge(files: readonly string[], options: MergeOptions, { io }: Session): void {
  const merged = mergedReport(files.flatMap(readReportFile));
  const json = `${JSON.stringify(merged, undefined, 2)}\n`;
  if (options.out !== undefined) writeReportFile('--out', options.out, json);
  if (options.html !== undefined) writeReportFile('--html', options.html, htmlReport(merged.runs));
  const written = options.out !== undefined || options.html !== undefined;
  io.out(written ? runTable(merged.runs, coloursFor(options, io)) : json);
}
