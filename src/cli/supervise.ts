/**
 * Runs a job in a worker thread and never waits for it in vain: a worker that gives no sign of life is ended, one that
 * dies is reported, and an interrupt stops it at the next run.
 */
import { Worker } from 'node:worker_threads';
import { match } from 'ts-pattern';
import type { CaseResult } from '../conformance/cases/case-report.js';
import type { CheckReport, Finding, Progress } from '../conformance/report.js';
import type { ReplayReport } from './engine.js';
import type { Io } from './io.js';
import { endAgent } from './load-agent.js';
import {
  RUN_INDEX_LENGTH,
  Phase,
  Signal,
  SIGNALS,
  type Job,
  type Modules,
  type WorkerData,
  type WorkerMessage,
} from './job.js';
import { Starvation } from './starvation.js';

/** What was under way: a program by the seed and number of its batch and its mode, or a case by its place; -1 for none. */
export type RunIndex = readonly [batchSeed: number, run: number, mode: number, place: number];

/** How a job ended. `judging` is false while the implementation's modules were still being loaded. */
export type Outcome =
  | { readonly kind: 'checked'; readonly report: CheckReport }
  | { readonly kind: 'replayed'; readonly report: ReplayReport }
  | { readonly kind: 'not-loaded'; readonly reason: string }
  | { readonly kind: 'failed'; readonly stack: string }
  /** No sign of life for `ms`. */
  | { readonly kind: 'hung'; readonly ms: number; readonly judging: boolean; readonly run: RunIndex }
  /** An exception that nobody caught. */
  | { readonly kind: 'crashed'; readonly stack: string; readonly judging: boolean; readonly run: RunIndex }
  /** The thread ended without an answer: `process.exit`, or a promise that nothing can settle any more. */
  | { readonly kind: 'vanished'; readonly code: number; readonly judging: boolean; readonly run: RunIndex }
  /** Interrupted, and it did not stop by itself. */
  | { readonly kind: 'stopped' };

export interface Supervision {
  readonly io: Io;
  readonly workerUrl: URL;
  readonly engineUrl: URL;
  readonly modules: Modules;
  /** Milliseconds without a sign of life after which the implementation counts as hanging. */
  readonly hangMs: number;
  onProgress(progress: Progress): void;
  onCase(result: CaseResult): void;
  onFinding(finding: Finding): void;
  onInterrupt(): void;
  /** The device that was started for the job has to be started again. */
  restartDevice?(hung: boolean): void;
}

/** In place of the number of a program or the place of a case. */
const NONE = -1;
const TICK_MS = 100;
/** How long an interrupted worker may go on. */
const GRACE_MS = 3000;

export async function supervise(job: Job, supervision: Supervision): Promise<Outcome> {
  const { io } = supervision;
  const signals = new Int32Array(new SharedArrayBuffer(4 * SIGNALS));
  const runIndex = new Int32Array(new SharedArrayBuffer(4 * RUN_INDEX_LENGTH));
  runIndex.set([0, NONE, 0, NONE]);
  const worker = startWorker(job, supervision, signals, runIndex);
  const where = () => ({
    judging: Atomics.load(signals, Signal.phase) === Phase.judging,
    run: [runIndex[0] >>> 0, runIndex[1], runIndex[2], runIndex[3]] as const,
  });

  let settle: (outcome: Outcome) => void = () => {};
  const outcome = new Promise<Outcome>(resolve => (settle = resolve));
  const watchdog = watch(signals, runIndex, supervision, ms => settle({ kind: 'hung', ms, ...where() }));
  let interrupts = 0;
  const graceTimers: NodeJS.Timeout[] = [];
  const stopListening = io.onInterrupt(() => {
    interrupts++;
    Atomics.store(signals, Signal.stop, 1);
    if (interrupts > 1) settle({ kind: 'stopped' });
    else {
      supervision.onInterrupt();
      graceTimers.push(setTimeout(() => settle({ kind: 'stopped' }), GRACE_MS));
    }
  });
  worker.on('message', (message: WorkerMessage) =>
    match(message)
      .with({ kind: 'progress' }, ({ progress }) => supervision.onProgress(progress))
      .with({ kind: 'case' }, ({ result }) => supervision.onCase(result))
      .with({ kind: 'finding' }, ({ finding }) => supervision.onFinding(finding))
      .with({ kind: 'restart-device' }, ({ hung }) => supervision.restartDevice?.(hung))
      .otherwise(answer => settle(answer)),
  );
  worker.on('error', (error: unknown) => settle({ kind: 'crashed', stack: stackOf(error), ...where() }));
  worker.on('exit', code => settle({ kind: 'vanished', code, ...where() }));

  try {
    return await outcome;
  } finally {
    clearInterval(watchdog);
    for (const timer of graceTimers) clearTimeout(timer);
    stopListening();
    // A worker that waits for an agent goes on, and can be ended, once the agent is gone.
    endAgent(signals);
    await worker.terminate();
    endAgent(signals);
  }
}

function startWorker(job: Job, supervision: Supervision, signals: Int32Array, runIndex: Int32Array): Worker {
  const workerData: WorkerData = {
    job,
    modules: supervision.modules,
    engineUrl: supervision.engineUrl.href,
    signals: signals.buffer as SharedArrayBuffer,
    runIndex: runIndex.buffer as SharedArrayBuffer,
  };
  // What the implementation prints must not mix with the report on standard output.
  const worker = new Worker(supervision.workerUrl, { workerData, stdout: true, stderr: true, execArgv: [] });
  worker.stdout.on('data', chunk => supervision.io.err(String(chunk)));
  worker.stderr.on('data', chunk => supervision.io.err(String(chunk)));
  return worker;
}

/** Calls `hung` once nothing in the shared arrays has changed for `hangMs`. Time in which the machine slept, or gave us no processor, does not count. */
function watch(
  signals: Int32Array,
  runIndex: Int32Array,
  { hangMs, io }: Supervision,
  hung: (ms: number) => void,
): NodeJS.Timeout {
  const state = () => `${signals.join()} ${runIndex.join()}`;
  let last = state();
  let lastTickMs = io.nowMs();
  let stillMs = 0;
  const starvation = new Starvation();
  return setInterval(() => {
    const nowMs = io.nowMs();
    const passedMs = starvation.turnOf(Math.min(nowMs - lastTickMs, 5 * TICK_MS));
    lastTickMs = nowMs;
    const now = state();
    const watched = Atomics.load(signals, Signal.phase) !== Phase.kit;
    stillMs = watched && now === last ? stillMs + passedMs : 0;
    last = now;
    if (stillMs >= hangMs) hung(stillMs);
  }, TICK_MS);
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? `${error.name}: ${error.message}`) : String(error);
}
