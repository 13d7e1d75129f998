/** The file of known failures: cases that fail for a reason that is known, until a day that somebody named. */
import { z } from 'zod';
import type { KnownFailure } from '../conformance/cases/index.js';
import { usageError } from './exit-code.js';
import { unknownName } from './nearest.js';
import { readTextFile } from './read-files.js';

const schema = z.array(
  z.strictObject({
    id: z.string().describe('id of a case, such as CTRL/create-cq/zero-depth'),
    reason: z.string().min(1, 'a reason of at least one character'),
    /** The last day on which it counts. */
    expires: z.iso.date('a day such as 2026-12-31').optional(),
  }),
);

/** @throws CliError (usage) @param ids of all cases */
export function readKnownFailures(file: string, ids: readonly string[]): readonly KnownFailure[] {
  const where = `known failures in ${file}`;
  let json: unknown;
  try {
    json = JSON.parse(readTextFile(file));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw usageError(
      `${where}: this is not JSON (${error.message}); expected a list such as ` +
        `[{"id": "CTRL/create-cq/zero-depth", "reason": "issue 12", "expires": "2026-12-31"}].`,
    );
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw usageError(`${where}: at ${path.length === 0 ? 'the top' : path.join('.')}: ${message}.`);
  }
  for (const { id } of parsed.data) {
    if (!ids.includes(id)) throw usageError(`${where}: ${unknownName('case', id, ids)}`);
  }
  return parsed.data;
}
