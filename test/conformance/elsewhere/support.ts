/** Traces for tests: recorded from programs, written by hand, and judged. */
import type { Implementation } from '../../../src/conformance/implementation.js';
import { TraceJudge } from '../../../src/conformance/elsewhere/index.js';
import type { TraceVerdict } from '../../../src/conformance/elsewhere/index.js';
import { judge } from '../../../src/conformance/judge.js';
import { limitsOf } from '../../../src/conformance/limits.js';
import type { Program } from '../../../src/conformance/program.js';
import { traceHeader, TraceRecorder } from '../../../src/conformance/trace.js';
import type { TraceEvent, TraceHeader } from '../../../src/conformance/trace.js';

export interface Recorded {
  readonly header: TraceHeader;
  readonly events: readonly TraceEvent[];
}

export async function record(program: Program, implementation?: Implementation): Promise<Recorded> {
  const recorder = new TraceRecorder();
  await judge(program, {
    profile: 'roce',
    recorder,
    ...(implementation === undefined ? {} : { implementation }),
  });
  return { header: traceHeader('roce', limitsOf(program)), events: recorder.events };
}

/** @throws TraceError */
export function judged(header: object, events: readonly object[]): TraceVerdict {
  const judging = new TraceJudge();
  for (const each of [header, ...events]) judging.line(JSON.stringify(each));
  return judging.finish();
}

/** What a trace of one point came to: its findings as `line: message`, or the line that was not understood. */
export function said(header: object, events: readonly object[]): readonly string[] {
  try {
    return judged({ vrdmaTrace: 2, ...header }, events).findings.map(
      ({ line, message }) => `${line}: ${message}`,
    );
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}
