/** The spec that ships with the package: the chapters' requirements and the record of what checks each. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { z } from 'zod';
import { parseSpec, traceability, type Check, type TraceRow } from '../conformance/requirements.js';

export interface SpecBook {
  readonly rows: readonly TraceRow[];
  /** What is wrong between spec and checks, one line each. */
  readonly problems: readonly string[];
  /** The sentence of a requirement. */
  text(id: string): string | undefined;
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
  };
}

function readChecks(file: string): readonly Check[] {
  return checksSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
}

function packageSpecDirectory(): string {
  return fileURLToPath(new URL('../../spec/', import.meta.url));
}
