/**
 * The worker thread that judges: it loads the implementation, runs the kit and posts what comes of it. It may hang or die
 * with the implementation; `supervise.ts` watches it.
 */
import { setFlagsFromString } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { match } from 'ts-pattern';
import type { CheckReport, Implementation, StartFault, VhostUserDevice } from '../conformance/index.js';
import type { Engine } from './engine.js';
import { DeviceWatch } from './device-watch.js';
import {
  Phase,
  Signal,
  type CheckJob,
  type Job,
  type Modules,
  type Peer,
  type WorkerData,
  type WorkerMessage,
} from './job.js';
import { loadAgent } from './load-agent.js';
import { loadFactory, LoadError } from './load-module.js';

// A world lives for some milliseconds. V8 takes what it meets of one in a collection for long-lived and makes what follows in
// its old space, where the worlds of many programs stay until a full collection: without that guess a check is half as fast again.
setFlagsFromString('--no-allocation-site-pretenuring');

const data = workerData as WorkerData;
const signals = new Int32Array(data.signals);

/** Programs tried to make a finding about a device outside shorter. */
const OUTSIDE_SHRINK_RUNS_MAX = 300;
/** Cases that may fail on a device on which the first driver did not start: each may wait for an answer that never comes. */
const STARTLESS_FAILURES_MAX = 8;

async function work(): Promise<WorkerMessage> {
  const { job, modules } = data;
  const engine = (await import(data.engineUrl)) as Engine;
  Atomics.store(signals, Signal.phase, Phase.modules);
  let implementation: Implementation;
  let gone = (): boolean => false;
  let startFault: StartFault | undefined;
  let close = (): void => {};
  try {
    const agent = modules.agent && loadAgent(engine, modules.agent, signals);
    if (agent !== undefined) close = () => agent.close();
    implementation = agent?.implementation ?? (await load(modules));
    if (modules.peer !== undefined) {
      const peer = await connect(engine, job, modules.peer);
      implementation = { ...implementation, ...peer.implementation };
      gone = () => peer.gone;
      ({ startFault } = peer);
      close = () => peer.close();
    }
  } catch (error) {
    if (error instanceof LoadError || isPeerUnusable(error))
      return { kind: 'not-loaded', reason: error.message };
    throw error;
  }
  Atomics.store(signals, Signal.phase, Phase.judging);
  const work = match(job)
    .with({ task: 'check' }, async checkJob =>
      startFault === undefined
        ? checked(await check(engine, checkJob, implementation, gone))
        : checkStartless(engine, checkJob, implementation, gone, startFault),
    )
    .with({ task: 'replay' }, async ({ program, profile, capture }) => ({
      kind: 'replayed' as const,
      report: await engine.replay(program, { profile, implementation, capture }),
    }))
    .exhaustive();
  return work.finally(() => close());
}

async function load(modules: Modules): Promise<Implementation> {
  return {
    ...(modules.driver === undefined ? {} : { driver: await loadFactory(modules.driver, 'createDriver') }),
    ...(modules.device === undefined ? {} : { device: await loadFactory(modules.device, 'createDevice') }),
  };
}

function isPeerUnusable(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && error.code === 'ERR_PEER_UNUSABLE';
}

async function connect(engine: Engine, job: Job, { path, options, started }: Peer): Promise<VhostUserDevice> {
  const watch =
    started === undefined
      ? undefined
      : new DeviceWatch(started, hung => post({ kind: 'restart-device', hung }));
  return engine.vhostUserDevice({
    profile: job.profile,
    path,
    options,
    beat,
    ...(watch === undefined
      ? {}
      : { restart: hung => watch.restart(hung), afterFault: () => watch.howItEnded() }),
  });
}

function beat(): void {
  Atomics.add(signals, Signal.heartbeat, 1);
}

function checked(report: CheckReport): WorkerMessage {
  return { kind: 'checked', report };
}

/** Asks a device on which the first driver did not start what it takes to name what is wrong with it. */
async function checkStartless(
  engine: Engine,
  job: CheckJob,
  implementation: Implementation,
  gone: () => boolean,
  { finding, worthAsking }: StartFault,
): Promise<WorkerMessage> {
  post({ kind: 'finding', finding });
  let failures = 0;
  const suites = job.suites.filter(suite => worthAsking && (suite === 'probes' || suite === 'scenarios'));
  const enough = (): boolean => failures >= STARTLESS_FAILURES_MAX;
  const report = await check(
    engine,
    { ...job, suites },
    implementation,
    () => gone() || enough(),
    grade => void (failures += grade === 'fail' ? 1 : 0),
  );
  const asked = worthAsking ? `the rest was not asked after ${failures} failures` : 'nothing more was asked';
  const reason = report.reason ?? `no driver started on the device; ${asked}`;
  const interrupted = report.interrupted && !enough();
  const findings = [finding, ...report.findings];
  return checked({ ...report, verdict: 'fail', reason, interrupted, findings });
}

function check(
  engine: Engine,
  job: CheckJob,
  implementation: Implementation,
  enough: () => boolean,
  graded: (grade: string) => void = () => undefined,
): Promise<CheckReport> {
  return engine.check({
    ...implementation,
    profile: job.profile,
    seed: job.seed,
    suites: job.suites,
    cases: job.cases && new Set(job.cases),
    done: new Set(job.done),
    runs: job.runs,
    timeMs: job.timeMs,
    nowMs() {
      beat();
      return performance.now();
    },
    onProgress(progress) {
      beat();
      post({ kind: 'progress', progress });
    },
    onCase(result) {
      beat();
      graded(result.grade);
      post({ kind: 'case', result });
    },
    onFinding(finding) {
      post({ kind: 'finding', finding });
    },
    shouldStop() {
      beat();
      return Atomics.load(signals, Signal.stop) === 1 || enough();
    },
    runIndex: new Int32Array(data.runIndex),
    // Each try of a device that crashes starts it again.
    ...(implementation.outsideDevice === undefined ? {} : { shrinkRunsMax: OUTSIDE_SHRINK_RUNS_MAX }),
  });
}

function post(message: WorkerMessage): void {
  parentPort?.postMessage(message);
}

try {
  post(await work());
} catch (error) {
  post({ kind: 'failed', stack: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
