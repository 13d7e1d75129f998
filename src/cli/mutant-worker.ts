/** A worker thread that hunts the mutants which it is told, one after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { detect, mutants } from '../conformance/mutants/index.js';
import type { MutantAnswer, MutantTask, MutantWorkerData } from './mutant-job.js';

const { profile, all } = workerData as MutantWorkerData;

async function hunt(task: MutantTask): Promise<MutantAnswer> {
  const mutant = mutants.find(({ id }) => id === task.id);
  if (mutant === undefined) return { kind: 'failed', task, stack: `there is no mutant ${task.id}` };
  try {
    const detection = await detect(mutant, {
      profile,
      seed: task.seed,
      quick: task.quick,
      first: task.first,
      all,
      nowMs: () => performance.now(),
      shouldStop: () => false,
    });
    return { kind: 'detected', detection };
  } catch (error) {
    return {
      kind: 'failed',
      task,
      stack: error instanceof Error ? (error.stack ?? error.message) : String(error),
    };
  }
}

parentPort?.on(
  'message',
  (task: MutantTask) => void hunt(task).then(answer => parentPort?.postMessage(answer)),
);
