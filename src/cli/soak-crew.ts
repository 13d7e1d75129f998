/**
 * The worker threads of a soak. A task is given to the first that is free; one that hangs, crashes or vanishes is started
 * again, and what it was doing is told.
 */
import { Worker } from 'node:worker_threads';
import { KIT_FAULT } from '../conformance/soak/index.js';
import type { Died, Failure, SoakCrew, SoakInput, SoakPlan, Stopped } from '../conformance/soak/index.js';
import { CliError, ExitCode } from './exit-code.js';
import type { Io } from './io.js';
import { Phase, type Modules } from './job.js';
import { crashOf, describe } from './outcome-report.js';
import { SOAK_SIGNALS, SoakSignal } from './soak-job.js';
import type { SoakAnswer, SoakTask, SoakWorkerData } from './soak-job.js';
import { Starvation } from './starvation.js';

export interface CrewOptions {
  readonly io: Io;
  readonly workerUrl: URL;
  readonly workers: number;
  readonly plan: SoakPlan;
  readonly modules: Modules;
  /** Milliseconds without a sign of life after which the implementation counts as hanging. */
  readonly hangMs: number;
  /** A worker has died and will be started again. */
  onDeath(message: string): void;
}

type Ended = Exclude<SoakAnswer, { kind: 'not-loaded' | 'failed' }> | Died;
type Death =
  | { readonly kind: 'hung'; readonly ms: number }
  | { readonly kind: 'crashed'; readonly stack: string }
  | { readonly kind: 'vanished'; readonly code: number };

const TICK_MS = 100;

export class ThreadCrew implements SoakCrew {
  readonly #options: CrewOptions;
  readonly #hands: Hand[];
  readonly #free: Hand[];
  readonly #waiting: ((hand: Hand) => void)[] = [];
  readonly #watchdog: NodeJS.Timeout;
  #stopped = false;

  constructor(options: CrewOptions) {
    this.#options = options;
    this.#hands = Array.from({ length: options.workers }, () => new Hand(options));
    this.#free = this.#hands.slice();
    let lastMs = options.io.nowMs();
    const starvation = new Starvation();
    this.#watchdog = setInterval(() => {
      const nowMs = options.io.nowMs();
      // Time in which the machine slept, or gave us no processor, does not count.
      const passedMs = starvation.turnOf(Math.min(nowMs - lastMs, 5 * TICK_MS));
      lastMs = nowMs;
      for (const hand of this.#hands) hand.tick(passedMs);
    }, TICK_MS);
  }

  async run(...[batch, skip]: Parameters<SoakCrew['run']>): ReturnType<SoakCrew['run']> {
    const answer = await this.#ask({ task: 'batch', batch, skip });
    if (answer.kind === 'done' || answer.kind === 'died' || answer.kind === 'stopped') return answer;
    throw misplaced(answer);
  }

  async shrink(...[batch, failure]: Parameters<SoakCrew['shrink']>): ReturnType<SoakCrew['shrink']> {
    const answer = await this.#ask({ task: 'shrink', batch, failure });
    if (answer.kind === 'shrunk' || answer.kind === 'died' || answer.kind === 'stopped') return answer;
    throw misplaced(answer);
  }

  /** What a saved finding breaks now; undefined when it breaks nothing. */
  async again(input: SoakInput): Promise<Failure | Stopped | undefined> {
    const answer = await this.#ask({ task: 'again', input });
    if (answer.kind === 'again' || answer.kind === 'died') return answer.failure;
    if (answer.kind === 'stopped') return answer;
    throw misplaced(answer);
  }

  /** Lets the inputs under way end, and nothing more. */
  stop(): void {
    this.#stopped = true;
    for (const hand of this.#hands) hand.stop();
  }

  /** Ends the threads, wherever they are. */
  async close(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#watchdog);
    await Promise.all(this.#hands.map(async hand => hand.end()));
  }

  async #ask(task: SoakTask): Promise<Ended> {
    const hand = this.#free.shift() ?? (await new Promise<Hand>(resolve => void this.#waiting.push(resolve)));
    try {
      if (this.#stopped) return { kind: 'stopped' };
      const ended = await hand.do(task);
      if (ended.kind === 'died') this.#options.onDeath(ended.failure.message.split('\n')[0]);
      return ended;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(hand);
      else next(hand);
    }
  }
}

/** One worker thread, which is there from its first task on. */
class Hand {
  readonly #options: CrewOptions;
  readonly #signals = new Int32Array(new SharedArrayBuffer(4 * SOAK_SIGNALS));
  #worker: Worker | undefined;
  #settle: ((ended: SoakAnswer | Death) => void) | undefined;
  #heard = 0;
  #stillMs = 0;

  constructor(options: CrewOptions) {
    this.#options = options;
  }

  async do(task: SoakTask): Promise<Ended> {
    this.#worker ??= this.#start();
    this.#stillMs = 0;
    const asked = new Promise<SoakAnswer | Death>(resolve => (this.#settle = resolve));
    this.#worker.postMessage(task);
    const ended = await asked;
    this.#settle = undefined;
    switch (ended.kind) {
      case 'done':
      case 'shrunk':
      case 'again':
      case 'stopped':
        return ended;
      case 'not-loaded':
        throw new CliError(ExitCode.couldNotJudge, ended.reason);
      case 'failed':
        throw new CliError(
          ExitCode.couldNotJudge,
          `a fault of the kit, not of the implementation: ${ended.stack}`,
        );
      case 'hung':
      case 'crashed':
      case 'vanished':
        return this.#died(ended);
    }
  }

  stop(): void {
    Atomics.store(this.#signals, SoakSignal.stop, 1);
  }

  /** Looks for a sign of life. */
  tick(passedMs: number): void {
    const heard = Atomics.load(this.#signals, SoakSignal.heartbeat);
    const watched = Atomics.load(this.#signals, SoakSignal.phase) !== Phase.kit;
    this.#stillMs = watched && heard === this.#heard ? this.#stillMs + passedMs : 0;
    this.#heard = heard;
    if (this.#stillMs >= this.#options.hangMs) this.#settle?.({ kind: 'hung', ms: this.#stillMs });
  }

  async end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#settle?.({ kind: 'stopped' });
    await worker?.terminate();
  }

  /** Notes what was under way; the next task is for a new thread. */
  async #died(death: Death): Promise<Died> {
    const place = Atomics.load(this.#signals, SoakSignal.place);
    const judging = Atomics.load(this.#signals, SoakSignal.phase) === Phase.judging;
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
    const outcome = { ...death, judging, run: [0, place, 0, -1] as const };
    if (!judging)
      throw new CliError(
        ExitCode.couldNotJudge,
        `the implementation could not be loaded: ${describe(outcome)}`,
      );
    const crash = crashOf(outcome);
    const failure =
      crash === undefined
        ? { law: KIT_FAULT, requirements: [], message: describe(outcome) }
        : { law: crash.law, requirements: crash.requirements, message: crash.message };
    return { kind: 'died', place, failure };
  }

  #start(): Worker {
    const { io, plan, modules, workerUrl } = this.#options;
    Atomics.store(this.#signals, SoakSignal.phase, Phase.kit);
    Atomics.store(this.#signals, SoakSignal.place, -1);
    const workerData: SoakWorkerData = { plan, modules, signals: this.#signals.buffer };
    const worker = new Worker(workerUrl, { workerData, stdout: true, stderr: true, execArgv: [] });
    // What the implementation prints must not mix with the report on standard output.
    worker.stdout.on('data', chunk => io.err(String(chunk)));
    worker.stderr.on('data', chunk => io.err(String(chunk)));
    const settle = (ended: SoakAnswer | Death): void => {
      if (worker === this.#worker) this.#settle?.(ended);
    };
    worker.on('message', (answer: SoakAnswer) => settle(answer));
    worker.on('error', (error: unknown) => settle({ kind: 'crashed', stack: stackOf(error) }));
    worker.on('exit', code => settle({ kind: 'vanished', code }));
    // Between two tasks nobody waits: what died there is replaced at the next one.
    worker.on('exit', () => {
      if (worker === this.#worker && this.#settle === undefined) this.#worker = undefined;
    });
    return worker;
  }
}

function misplaced({ kind }: Ended): Error {
  return new Error(`a worker of the soak answered '${kind}', which was not asked`);
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? `${error.name}: ${error.message}`) : String(error);
}
