/** Runs one saved program again, with everything that can be seen of it. */
import { WireCapture } from '../fabric/index.js';
import { judge } from './judge.js';
import type { JudgeOptions } from './judge.js';
import { programSchema, PROGRAM_VERSION } from './program.js';
import type { Program } from './program.js';
import { actionLine } from './script.js';
import type { ChartEvent } from './chart-event.js';
import type { Finding } from './report.js';
import { limitsOf } from './limits.js';
import { TraceRecorder, chart, traceHeader, traceToText } from './trace.js';

export interface ReplayStep {
  readonly index: number;
  readonly text: string;
  /** Arrows seen from this action up to the next. */
  readonly events: readonly ChartEvent[];
}

export interface ReplayReport {
  readonly verdict: 'pass' | 'fail';
  readonly finding: Finding | undefined;
  readonly steps: readonly ReplayStep[];
  /** The whole trace as JSON Lines. */
  readonly trace: string;
  /** What left the ports of the network, where that was asked for. */
  readonly capture: ReplayCapture | undefined;
}

export interface ReplayCapture {
  /** A pcap file. */
  readonly file: Uint8Array;
  readonly frames: number;
  /** Packets for which there is no frame, such as one between an IPv4 and an IPv6 address. */
  readonly leftOut: number;
}

export interface ReplayOptions extends JudgeOptions {
  /** Whether a capture is wanted. */
  readonly capture?: boolean;
}

export async function replay(program: Program, options: ReplayOptions): Promise<ReplayReport> {
  const capture = options.capture === true ? new WireCapture() : undefined;
  const recorder = new TraceRecorder(capture);
  const { broken } = await judge(program, { ...options, recorder });
  const { events } = recorder;
  const finding: Finding | undefined = broken && {
    suite: program.mode,
    law: broken.law,
    requirements: broken.requirements,
    message: broken.message,
    program,
    actions: program.actions.length,
    shrinks: 0,
    tail: chart(events, 24),
  };
  return {
    verdict: broken === undefined ? 'pass' : 'fail',
    finding,
    steps: stepsOf(program, recorder),
    trace: traceToText(
      traceHeader(
        options.profile,
        options.limits ?? limitsOf(program, options.implementation?.outsideDevice),
      ),
      events,
    ),
    capture: capture && { file: capture.file(), frames: capture.frames, leftOut: capture.leftOut },
  };
}

function stepsOf(program: Program, { events, starts }: TraceRecorder): ReplayStep[] {
  const steps = program.actions.map((action, index) => ({
    index,
    text: actionLine(action),
    events: [] as readonly ChartEvent[],
  }));
  for (const [i, { action, at }] of starts.entries())
    steps[action].events = chart(events.slice(at, starts.at(i + 1)?.at), Number.POSITIVE_INFINITY);
  return steps;
}

export interface ProgramIssue {
  /** Place in the document, such as `actions[3].qp`. */
  readonly path: string;
  readonly message: string;
}

/** A program file that cannot be used: what is wrong, where. */
export class ProgramError extends Error {
  readonly issues: readonly ProgramIssue[];
  /** The version the file was written for, when it is newer than this kit. */
  readonly newerVersion: number | undefined;

  constructor(message: string, issues: readonly ProgramIssue[], newerVersion?: number) {
    super(message);
    this.name = 'ProgramError';
    this.issues = issues;
    this.newerVersion = newerVersion;
  }
}

/** Reads a program, bare or as the `program` member of a saved finding. */
export function parseProgram(text: string, fileName: string): Program {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ProgramError(`${fileName} is not JSON: ${reason}`, [{ path: '', message: reason }]);
  }
  const saved = isRecord(document) && 'program' in document ? document : undefined;
  const wrapped = saved !== undefined;
  const candidate = saved === undefined ? document : saved.program;
  const version = isRecord(candidate) ? candidate.version : undefined;
  if (typeof version === 'number' && version > PROGRAM_VERSION) {
    throw new ProgramError(
      `${fileName} is a program of version ${version}; this kit reads up to version ${PROGRAM_VERSION}: use a newer vrdma`,
      [],
      version,
    );
  }
  const parsed = programSchema.safeParse(candidate);
  if (parsed.success) return checkMachines(parsed.data, fileName);
  const issues = parsed.error.issues.map(issue => ({
    path: pathText(wrapped ? ['program', ...issue.path] : issue.path),
    message: issue.message,
  }));
  throw new ProgramError(
    `${fileName} is not a verbs program: ${issues[0].path}: ${issues[0].message}`,
    issues,
  );
}

function checkMachines(program: Program, fileName: string): Program {
  const index = program.actions.findIndex(action => action.vm >= program.hosts.length);
  if (index < 0) return program;
  const message = `machine ${program.actions[index].vm} does not exist; expected one of 0..${program.hosts.length - 1}`;
  throw new ProgramError(`${fileName} is not a verbs program: actions[${index}].vm: ${message}`, [
    { path: `actions[${index}].vm`, message },
  ]);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i === 0 ? '' : '.'}${String(part)}`))
    .join('');
}
