/** What the process ends with, and the errors that end it early. */
import type { CheckReport } from '../conformance/report.js';

export const ExitCode = {
  /** Everything that was asked for was done, and no law was broken. */
  conformant: 0,
  /** A law was broken; a crash or a hang of the implementation is one. */
  violations: 1,
  /** The command line or a file it names cannot be understood. */
  usage: 2,
  /** No verdict: the implementation could not be loaded, the kit is at fault, or the run was stopped. */
  couldNotJudge: 3,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Ends the command with one message and an exit code. */
export class CliError extends Error {
  readonly exitCode: ExitCode;

  /** @param message what was found, what was expected and what to try. */
  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.name = 'CliError';
    this.exitCode = exitCode;
  }
}

export function usageError(message: string): CliError {
  return new CliError(ExitCode.usage, message);
}

/** A run that was stopped before its budget was spent and found nothing has not shown conformance. */
export function exitCodeOf(report: Pick<CheckReport, 'verdict' | 'interrupted'>): ExitCode {
  if (report.verdict === 'fail') return ExitCode.violations;
  if (report.verdict === 'inconclusive' || report.interrupted) return ExitCode.couldNotJudge;
  return ExitCode.conformant;
}
