/** Files that somebody names on the command line. */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { usageError } from './exit-code.js';

/** @throws CliError (usage) */
export function readTextFile(file: string): string {
  expectReadable(file);
  return readFileSync(file, 'utf8');
}

/** @throws CliError (usage) */
export function expectReadable(file: string): void {
  const problem = whyUnreadable(resolve(file));
  if (problem !== undefined) throw usageError(`cannot read ${file}: ${problem}.`);
}

/** Undefined for a file that can be read. */
export function whyUnreadable(path: string): string | undefined {
  try {
    if (statSync(path).isDirectory()) return 'it is a directory';
    accessSync(path, constants.R_OK);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return code === 'ENOENT' ? 'there is no such file' : `the file cannot be read (${code})`;
  }
}
