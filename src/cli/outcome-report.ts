/** What a worker's end means: a report, no verdict, or a crash of the implementation. */
import { match } from 'ts-pattern';
import { fileURLToPath } from 'node:url';
import { laws } from '../conformance/laws.js';
import { REPORT_VERSION } from '../conformance/report.js';
import type { CheckReport, Progress } from '../conformance/report.js';
import type { ProfileName } from './job.js';
import type { Outcome, RunIndex } from './supervise.js';

/** What was asked for, and how far it had come when the job ended. */
export interface Asked {
  readonly profile: ProfileName;
  readonly seed: number;
  readonly progress: Progress | undefined;
  readonly elapsedMs: number;
}

/** The implementation gave no answer: what that breaks, and what was under way. */
export interface Crash {
  readonly law: string;
  readonly requirements: readonly string[];
  readonly message: string;
  readonly run: RunIndex;
}

type Unanswered = Extract<Outcome, { kind: 'hung' | 'crashed' | 'vanished' }>;

/** A worker that gave no answer while it judged: the implementation's doing, unless the stack says otherwise. */
export function crashOf(outcome: Outcome): Crash | undefined {
  if (outcome.kind !== 'hung' && outcome.kind !== 'crashed' && outcome.kind !== 'vanished') return undefined;
  if (!outcome.judging || isFaultOfKit(outcome)) return undefined;
  const law = outcome.kind === 'crashed' ? laws.neverCrashes : laws.answers;
  const { name, requirements } = law;
  return { law: name, requirements, message: describe(outcome), run: outcome.run };
}

/** The report of a job that ended in any way but a crash of the implementation. */
export function reportOf(outcome: Outcome, asked: Asked): CheckReport {
  const kitFault = (what: string) =>
    emptyReport(asked, `a fault of the kit, not of the implementation: ${what}`);
  return match(outcome)
    .with({ kind: 'checked' }, ({ report }) => report)
    .with({ kind: 'not-loaded' }, ({ reason }) => emptyReport(asked, reason))
    .with({ kind: 'failed' }, ({ stack }) => kitFault(stack))
    .with({ kind: 'stopped' }, () => ({ ...emptyReport(asked, 'interrupted'), interrupted: true }))
    .with({ kind: 'replayed' }, () => kitFault('a check came back as a replay'))
    .otherwise(ended =>
      ended.judging
        ? kitFault(describe(ended))
        : emptyReport(asked, `the implementation could not be loaded: ${describe(ended)}`),
    );
}

function isFaultOfKit(ended: Unanswered): boolean {
  return ended.kind === 'crashed' && threwInKit(ended.stack);
}

export function describe(ended: Unanswered): string {
  return match(ended)
    .with(
      { kind: 'hung' },
      ({ ms }) =>
        `it blocks: no sign of life for ${(ms / 1000).toFixed(1)} s (--hang-timeout), so it was ended`,
    )
    .with({ kind: 'crashed' }, ({ stack }) => `it threw where nobody could catch it: ${stack}`)
    .with({ kind: 'vanished' }, ({ code }) =>
      code === 0 || code === 13
        ? 'it waits for a promise that nothing can settle any more'
        : `it ended its thread with process.exit(${code})`,
    )
    .exhaustive();
}

const kitDirectory = fileURLToPath(new URL('..', import.meta.url));

/**
 * True when the first frame of the stack that is not Node's own lies in the kit. The bundled driver and device lie in the
 * kit's directory too, and are no part of it here: they are what is judged.
 */
export function threwInKit(stack: string, kit = kitDirectory): boolean {
  const frame = stack
    .split('\n')
    .filter(line => /^\s+at /.test(line) && !line.includes('node:'))
    .map(line => line.replace('file://', ''))[0];
  if (frame === undefined || !frame.includes(kit)) return false;
  return !frame.includes(`${kit}driver/`) && !frame.includes(`${kit}device/`);
}

/** A report without a verdict. */
export function emptyReport({ seed, profile, progress, elapsedMs }: Asked, reason: string): CheckReport {
  return {
    version: REPORT_VERSION,
    kit: '',
    implementation: { name: 'bundled' },
    cases: [],
    requirements: {},
    verdict: 'inconclusive',
    reason,
    seed,
    profile,
    programs: progress?.programs ?? 0,
    actions: progress?.actions ?? 0,
    elapsedMs,
    interrupted: false,
    suites: [],
    findings: [],
    coverage: [],
    bounds: undefined,
  };
}
