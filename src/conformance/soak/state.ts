/** How far a soak has come, as plain data: what a file holds between two sessions. */
import { z } from 'zod';
import { soakModes, soakProfiles, soakRings } from './batch.js';

/** Grows when a reader of the old form would misread the new one. */
const SOAK_STATE_VERSION = 1;

const natural = z.int().min(0);
const mode = z.enum(soakModes);

const totalsSchema = z.strictObject({
  batches: natural,
  programs: natural,
  /** Verbs calls. */
  calls: natural,
  hostileInputs: natural,
  /** Inputs that asked for something the implementation does not offer. */
  unsupported: natural,
});

const findingSchema = z.strictObject({
  law: z.string(),
  requirements: z.array(z.string()),
  message: z.string(),
  /** With the law it tells this kind of finding from others. */
  shape: z.string(),
  /** Where it was found first: with the seed of the soak that names the input. */
  mode,
  profile: z.enum(['roce', 'rdma']),
  batch: natural,
  place: natural,
  shrinks: natural,
  /** Times that it was found. */
  count: natural.min(1),
  file: z.string(),
});

const soakStateSchema = z.strictObject({
  version: z.literal(SOAK_STATE_VERSION),
  /** What all inputs follow from. */
  seed: z.int().min(0).max(0xffff_ffff),
  profile: z.enum(soakProfiles),
  /** States of before there was a choice have both. */
  rings: z.enum(soakRings).default('both'),
  /** Modules that are judged; null stands for the bundled one. */
  driver: z.string().nullable(),
  device: z.string().nullable(),
  /** Version of the kit; another one may draw other inputs from the same numbers. */
  kit: z.string(),
  sessions: natural,
  elapsedMs: z.number().min(0),
  /** Of each mode the number of its next batch is that of the batches so far. */
  modes: z.record(mode, totalsSchema),
  findings: z.array(findingSchema),
  /** How often each symptom was seen, and the number of the finding that it was at first; see `symptomOf`. */
  symptoms: z.record(z.string(), z.strictObject({ seen: natural.min(1), finding: natural })),
});

export type SoakState = z.infer<typeof soakStateSchema>;
export type SoakFinding = z.infer<typeof findingSchema>;
export type SoakTotals = z.infer<typeof totalsSchema>;

/** What a soak is about: a state for another subject cannot be gone on with. */
export type SoakSubject = Pick<SoakState, 'seed' | 'profile' | 'rings' | 'driver' | 'device' | 'kit'>;

export function newState(subject: SoakSubject): SoakState {
  const { seed, profile, rings, driver, device, kit } = subject;
  const zero = (): SoakTotals => ({ batches: 0, programs: 0, calls: 0, hostileInputs: 0, unsupported: 0 });
  return {
    version: SOAK_STATE_VERSION,
    seed,
    profile,
    rings,
    driver,
    device,
    kit,
    sessions: 0,
    elapsedMs: 0,
    modes: {
      settled: zero(),
      racing: zero(),
      rings: zero(),
      'hostile-driver': zero(),
      'hostile-device': zero(),
    },
    findings: [],
    symptoms: {},
  };
}

/** Over all modes. */
export function totalsOf({ modes }: SoakState): SoakTotals {
  const sum = { batches: 0, programs: 0, calls: 0, hostileInputs: 0, unsupported: 0 };
  for (const name of soakModes) {
    sum.batches += modes[name].batches;
    sum.programs += modes[name].programs;
    sum.calls += modes[name].calls;
    sum.hostileInputs += modes[name].hostileInputs;
    sum.unsupported += modes[name].unsupported;
  }
  return sum;
}

/** A state that cannot be gone on with; the message says what was found and what was expected. */
export class SoakStateError extends Error {}

/** @throws SoakStateError */
export function parseState(text: string, fileName: string): SoakState {
  const document = jsonOf(text, fileName);
  const version = versionOf(document);
  if (version !== undefined && version > SOAK_STATE_VERSION)
    throw new SoakStateError(
      `${fileName} is a soak state of version ${version}; this kit reads version ${SOAK_STATE_VERSION}: use a newer vrdma`,
    );
  const parsed = soakStateSchema.safeParse(document);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new SoakStateError(`${fileName} is no soak state: ${path.join('.') || 'the file'}: ${message}`);
  }
  const { symptoms, findings } = parsed.data;
  const lost = Object.entries(symptoms).find(([, { finding }]) => finding >= findings.length);
  if (lost !== undefined)
    throw new SoakStateError(
      `${fileName} is no soak state: symptoms: finding ${lost[1].finding} is not there; expected one of ${findings.length}`,
    );
  return parsed.data;
}

export function jsonOf(text: string, fileName: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SoakStateError(
      `${fileName} is not JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

export function versionOf(document: unknown): number | undefined {
  if (typeof document !== 'object' || document === null || !('version' in document)) return undefined;
  return typeof document.version === 'number' ? document.version : undefined;
}
