/** A worker thread of a soak: does one task after the other. It may hang or die with the implementation; its crew watches it. */
import { setFlagsFromString } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { match } from 'ts-pattern';
import type { Implementation } from '../conformance/index.js';
import { runBatch, shrinkFailure, tryAgain } from '../conformance/soak/index.js';
import { Phase } from './job.js';
import { loadFactory, LoadError } from './load-module.js';
import { SoakSignal, type SoakAnswer, type SoakTask, type SoakWorkerData } from './soak-job.js';

// Worlds live for some milliseconds: see worker.ts.
setFlagsFromString('--no-allocation-site-pretenuring');

const { plan, modules, signals: shared } = workerData as SoakWorkerData;
const signals = new Int32Array(shared);

let implementation: Implementation | undefined;

async function load(): Promise<Implementation> {
  Atomics.store(signals, SoakSignal.phase, Phase.modules);
  return {
    ...(modules.driver === undefined ? {} : { driver: await loadFactory(modules.driver, 'createDriver') }),
    ...(modules.device === undefined ? {} : { device: await loadFactory(modules.device, 'createDevice') }),
  };
}

async function work(task: SoakTask): Promise<SoakAnswer> {
  implementation ??= await load();
  const judged = implementation;
  Atomics.store(signals, SoakSignal.phase, Phase.judging);
  return match(task)
    .with({ task: 'batch' }, async ({ batch, skip }): Promise<SoakAnswer> => {
      const outcome = await runBatch(plan, batch, skip, judged, beat);
      return outcome === undefined ? { kind: 'stopped' } : { kind: 'done', outcome };
    })
    .with({ task: 'shrink' }, async ({ batch, failure }): Promise<SoakAnswer> => {
      const shrunk = await shrinkFailure(plan, batch, failure, judged, beat);
      return shrunk === undefined ? { kind: 'stopped' } : { kind: 'shrunk', shrunk };
    })
    .with({ task: 'again' }, async ({ input }): Promise<SoakAnswer> => ({
      kind: 'again',
      failure: await tryAgain(input, judged),
    }))
    .exhaustive();
}

function beat(place: number): boolean {
  Atomics.store(signals, SoakSignal.place, place);
  Atomics.add(signals, SoakSignal.heartbeat, 1);
  return Atomics.load(signals, SoakSignal.stop) === 0;
}

async function answer(task: SoakTask): Promise<void> {
  let said: SoakAnswer;
  try {
    said = await work(task);
  } catch (error) {
    if (error instanceof LoadError) said = { kind: 'not-loaded', reason: error.message };
    else
      said = {
        kind: 'failed',
        stack: error instanceof Error ? (error.stack ?? error.message) : String(error),
      };
  }
  Atomics.store(signals, SoakSignal.place, -1);
  Atomics.store(signals, SoakSignal.phase, Phase.kit);
  parentPort?.postMessage(said);
}

parentPort?.on('message', (task: SoakTask) => void answer(task));
