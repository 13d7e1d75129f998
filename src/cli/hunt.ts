/** Runs hunts on worker threads, one a core, until all are done or somebody stops them. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Detection } from '../conformance/mutants/detect.js';
import type { MutantAnswer, MutantTask, MutantWorkerData } from './mutant-job.js';

export interface HuntOptions {
  readonly workerUrl: URL;
  readonly data: MutantWorkerData;
  readonly tasks: readonly MutantTask[];
  /** Returns what is to be hunted because of it, before all that waits. */
  onDetected(detection: Detection): readonly MutantTask[];
  /** Calls back once when the hunts are to end. */
  onStop(stop: () => void): void;
}

/** Longest that one hunt may take, on a busy machine too; a mutant that lives longer has stopped the kit itself. */
const HUNT_MS_MAX = 1_800_000;

/** Resolves true when every task was done. Rejects when the kit is at fault. */
export async function hunt(options: HuntOptions): Promise<boolean> {
  const { workerUrl, data, tasks } = options;
  const waiting = tasks.slice();
  let stopped = false;
  const stops: (() => void)[] = [];
  options.onStop(() => {
    stopped = true;
    for (const stop of stops) stop();
  });
  const one = async (): Promise<void> => {
    const worker = new Worker(workerUrl, { workerData: data, execArgv: [] });
    try {
      for (let task = waiting.shift(); task !== undefined && !stopped; task = waiting.shift()) {
        const answer = await ask(worker, task, stop => stops.push(stop));
        if (answer === 'stopped') return;
        if (answer.kind === 'failed') throw new Error(`${answer.task.id}: ${answer.stack}`);
        waiting.unshift(...options.onDetected(answer.detection));
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), tasks.length) }, one));
  return !stopped;
}

function ask(
  worker: Worker,
  task: MutantTask,
  onStop: (stop: () => void) => void,
): Promise<MutantAnswer | 'stopped'> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`${task.id}: no answer within ${HUNT_MS_MAX / 1000} s`)),
      HUNT_MS_MAX,
    );
    const done = (answer: MutantAnswer | 'stopped'): void => {
      clearTimeout(late);
      resolve(answer);
    };
    worker.removeAllListeners();
    worker.on('message', done);
    worker.on('error', (error: unknown) => {
      clearTimeout(late);
      reject(error instanceof Error ? error : new Error(String(error)));
    });
    onStop(() => done('stopped'));
    worker.postMessage(task);
  });
}
