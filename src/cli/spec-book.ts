/** The spec that ships with the package: the chapters' requirements and the record of what checks each. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { z } from 'zod';
import { contextOf, parseSpec, traceability } from '../conformance/requirements.js';
import type { Check, TraceRow } from '../conformance/requirements.js';

export interface SpecBook {
  readonly rows: readonly TraceRow[];
  /** What is wrong between spec and checks, one line each. */
  readonly problems: readonly string[];
  /** The sentence of a requirement. */
  text(id: string): string | undefined;
  /** Where a requirement stands and what the chapter says before it: its section, and the paragraph above. */
  context(id: string): string;
  /** What is known of the mutants' last run. */
  readonly mutants: readonly CaughtMutant[];
}

/** A mutant and the cases that caught it. */
export interface CaughtMutant {
  readonly id: string;
  readonly doc: string;
  /** The obligations that it breaks. */
  readonly requirements: readonly string[];
  readonly caughtBy: readonly string[];
}

const checksSchema = z.array(
  z.object({
    id: z.string(),
    path: z.string(),
    line: z.int(),
    kind: z.enum(['test', 'machine', 'law']),
  }),
);

/** @param directory holds the chapters and checks.json; the package's own by default */
export function readSpecBook(directory = packageSpecDirectory()): SpecBook {
  const files = readdirSync(directory)
    .filter(name => name.endsWith('.md'))
    .toSorted()
    .map(name => ({ path: `spec/${name}`, text: readFileSync(join(directory, name), 'utf8') }));
  const spec = parseSpec(files);
  const trace = traceability(spec.requirements, readChecks(join(directory, 'checks.json')));
  const texts = new Map(spec.requirements.map(({ id, text }) => [id, text]));
  return {
    rows: trace.rows,
    problems: [...spec.problems, ...trace.problems].map(
      ({ path, line, message }) => `${path}:${line}: ${message}`,
    ),
    text: id => texts.get(id),
    context: id => contextOf(files, spec.requirements, id),
    mutants: readMutants(join(directory, 'mutants.json')),
  };
}

function readChecks(file: string): readonly Check[] {
  return checksSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
}

const mutantsSchema = z.array(
  z.object({
    id: z.string(),
    doc: z.string(),
    requirements: z.array(z.string()),
    caughtBy: z.array(z.string()),
  }),
);

function readMutants(file: string): readonly CaughtMutant[] {
  return existsSync(file) ? mutantsSchema.parse(JSON.parse(readFileSync(file, 'utf8'))) : [];
}

function packageSpecDirectory(): string {
  return fileURLToPath(new URL('../../spec/', import.meta.url));
}
