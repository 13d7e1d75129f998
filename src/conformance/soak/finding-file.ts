/**
 * A finding of a soak as a file. One with a program is read by `vrdma replay` too; one with attacks, and one that only the
 * watched rings show, is run again by `vrdma soak --again`.
 */
import { z } from 'zod';
import { attackSchema as deviceAttackSchema } from '../hostile/device/index.js';
import { attackSchema as driverAttackSchema } from '../hostile/driver/index.js';
import { programSchema } from '../program.js';
import type { SoakInput } from './batch.js';
import { SoakStateError, jsonOf, versionOf } from './state.js';
import type { Failure } from './trial.js';

const SOAK_FINDING_VERSION = 1;

const about = {
  version: z.literal(SOAK_FINDING_VERSION),
  law: z.string(),
  requirements: z.array(z.string()),
  message: z.string(),
  profile: z.enum(['roce', 'rdma']),
};

const findingFileSchema = z.discriminatedUnion('mode', [
  z.strictObject({ ...about, mode: z.enum(['settled', 'racing', 'rings']), program: programSchema }),
  z.strictObject({
    ...about,
    mode: z.literal('hostile-driver'),
    attacks: z.array(driverAttackSchema).min(1),
  }),
  z.strictObject({
    ...about,
    mode: z.literal('hostile-device'),
    attacks: z.array(deviceAttackSchema).min(1),
  }),
]);

export function findingText(input: SoakInput, { law, requirements, message }: Failure): string {
  const head = { version: SOAK_FINDING_VERSION, law, requirements, message };
  return `${JSON.stringify({ ...head, ...input }, undefined, 2)}\n`;
}

/** @throws SoakStateError when the text is no finding of a soak */
export function parseFinding(text: string, fileName: string): { input: SoakInput; failure: Failure } {
  const document = jsonOf(text, fileName);
  const version = versionOf(document);
  if (version !== undefined && version > SOAK_FINDING_VERSION)
    throw new SoakStateError(
      `${fileName} is a finding of version ${version}; this kit reads version ${SOAK_FINDING_VERSION}: use a newer vrdma`,
    );
  const parsed = findingFileSchema.safeParse(document);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new SoakStateError(
      `${fileName} is no finding of a soak: ${path.join('.') || 'the file'}: ${message}`,
    );
  }
  const { version: _version, law, requirements, message, ...input } = parsed.data;
  return { input, failure: { law, requirements, message } };
}
