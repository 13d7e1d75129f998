/** Saves the program of a finding as a file that `vrdma replay` reads. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Program } from '../conformance/program.js';
import type { Finding } from '../conformance/report.js';

export const FINDINGS_DIRECTORY = 'findings';

/** The program with the law's name and what was seen, so that the file tells what it is about. */
export function savedProgram(finding: Finding): Program {
  return { ...finding.program, name: finding.law, doc: finding.message.split('\n')[0] };
}

export function programText(program: Program): string {
  return `${JSON.stringify(program, undefined, 2)}\n`;
}

/**
 * Writes `<law>-<seed>.json` in the directory and returns its path. A different program under that name is left alone:
 * the new one gets a number.
 */
export function saveFinding(finding: Finding, seed: number, directory: string): string {
  return saveText(programText(savedProgram(finding)), `${slug(finding.law)}-${seed}`, directory);
}

/** Writes `<name>.json` in the same way; the name is one that {@link slug} makes. */
export function saveText(text: string, name: string, directory: string): string {
  mkdirSync(directory, { recursive: true });
  for (let number = 1; ; number++) {
    const suffix = number === 1 ? '' : `-${number}`;
    const path = join(directory, `${name}${suffix}.json`);
    if (existsSync(path) && readFileSync(path, 'utf8') !== text) continue;
    writeFileSync(path, text);
    return path;
  }
}

/** The words of a law as a file name. */
export function slug(law: string): string {
  const words = law.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  return words.replaceAll(/^-+|-+$/g, '').slice(0, 60) || 'finding';
}
