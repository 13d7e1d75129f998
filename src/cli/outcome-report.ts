/** Turns whatever a job came to, a hang or a crash included, into the one report that every face reads. */
import { match } from 'ts-pattern';
import { fileURLToPath } from 'node:url';
import type { Program } from '../conformance/program.js';
import { REPORT_VERSION } from '../conformance/report.js';
import type { CheckReport, Finding, Progress, SuiteName } from '../conformance/report.js';
import type { Engine } from './engine.js';
import type { ProfileName } from './job.js';
import type { Outcome, RunIndex } from './supervise.js';

/** What was asked for, and how far it had come when the job ended. */
export interface Asked {
  readonly profile: ProfileName;
  readonly seed: number;
  readonly suites: readonly SuiteName[];
  readonly progress: Progress | undefined;
  readonly elapsedMs: number;
  /** The program that was under way; undefined when it cannot be told. */
  programOf(run: RunIndex): Program | undefined;
}

export function reportOf(outcome: Outcome, asked: Asked): CheckReport {
  return match(outcome)
    .with({ kind: 'checked' }, ({ report }) => report)
    .with({ kind: 'not-loaded' }, ({ reason }) => inconclusive(asked, reason))
    .with({ kind: 'failed' }, ({ stack }) =>
      inconclusive(asked, `a fault of the kit, not of the implementation: ${stack}`),
    )
    .with({ kind: 'stopped' }, () => ({ ...inconclusive(asked, 'interrupted'), interrupted: true }))
    .with({ kind: 'replayed' }, () =>
      inconclusive(asked, 'a fault of the kit: a check came back as a replay'),
    )
    .otherwise(ended => unanswered(ended, asked));
}

/** The program that was under way, by the kit that made it; undefined before the first one and while one is shrunk. */
export function programUnderWay(engine: Engine): (run: RunIndex) => Program | undefined {
  return ([batchSeed, run, mode]) =>
    run < 0 ? undefined : engine.programOf(batchSeed, run, mode === 0 ? 'settled' : 'racing');
}

type Unanswered = Extract<Outcome, { kind: 'hung' | 'crashed' | 'vanished' }>;

/** The worker gave no answer. While judging that is the implementation's doing, unless the stack says otherwise. */
function unanswered(ended: Unanswered, asked: Asked): CheckReport {
  const what = describe(ended);
  if (!ended.judging) return inconclusive(asked, `the implementation could not be loaded: ${what}`);
  if (ended.kind === 'crashed' && threwInKit(ended.stack))
    return inconclusive(asked, `a fault of the kit, not of the implementation: ${what}`);
  const law = match(ended.kind)
    .with('hung', 'vanished', () => 'an implementation answers')
    .with('crashed', () => 'an implementation never crashes')
    .exhaustive();
  const program = asked.programOf(ended.run);
  const base = inconclusive(asked, what);
  if (program === undefined) {
    const when = 'while no program could be named: before the first one, or while a failing one was shrunk';
    return { ...base, verdict: 'fail', reason: `the implementation failed ${when}: ${what}` };
  }
  const finding: Finding = {
    suite: asked.progress?.suite ?? asked.suites[0] ?? 'settled',
    law,
    requirements: [],
    message: what,
    program,
    actions: program.actions.length,
    shrinks: 0,
    tail: [],
  };
  return { ...base, verdict: 'fail', findings: [finding] };
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

function inconclusive(asked: Asked, reason: string): CheckReport {
  const { progress } = asked;
  return {
    version: REPORT_VERSION,
    kit: '',
    implementation: { name: 'bundled' },
    cases: [],
    requirements: {},
    verdict: 'inconclusive',
    reason,
    seed: asked.seed,
    profile: asked.profile,
    programs: progress?.programs ?? 0,
    actions: progress?.actions ?? 0,
    elapsedMs: asked.elapsedMs,
    interrupted: false,
    suites: [],
    findings: [],
    coverage: [],
    bounds: undefined,
  };
}
