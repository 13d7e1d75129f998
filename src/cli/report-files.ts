/** Report files: read with one message when they are no reports, written with one when they cannot be. */
import { writeFileSync } from 'node:fs';
import type { CheckReport } from '../conformance/report.js';
import { readReports, ReportError } from '../report/index.js';
import { usageError } from './exit-code.js';
import { readTextFile } from './read-files.js';

/** All runs in a file. @throws CliError (usage) that names the file and the place in it */
export function readReportFile(file: string): readonly CheckReport[] {
  const text = readTextFile(file);
  try {
    const runs = readReports(text, file);
    if (runs.length > 0) return runs;
  } catch (error) {
    if (error instanceof ReportError) throw usageError(error.message);
    throw error;
  }
  throw usageError(`${file}: runs: it holds no run; expected at least one.`);
}

/** @param option names the option that the file was given with. @throws CliError (usage) */
export function writeReportFile(option: string, file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw usageError(
      `cannot write ${option} ${file}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
