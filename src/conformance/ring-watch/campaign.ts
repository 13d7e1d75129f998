/**
 * The campaign of ring observations: generated programs, every ring of theirs watched. What comes out says for each
 * observation how often it could be looked at, what was counted, and the first breach with the shortest program that shows it.
 */
import type { CaseContext } from '../cases/case.js';
import { writeProgram } from '../generate/program-arbitrary.js';
import { simpler } from '../generate/shrink.js';
import type { ShrinkPlace } from '../generate/shrink.js';
import { MonitorBook } from '../monitors/book.js';
import type { Program } from '../program.js';
import type { ChartEvent } from '../chart-event.js';
import { MemoryPool } from '../simulated-guest.js';
import { TraceRecorder, chart } from '../trace.js';
import { observationKeys, observations } from './observations.js';
import type { ObservationKey, RingObservation } from './observations.js';
import { Tally } from './tally.js';
import { watchProgram } from './watch-program.js';

export interface ObservationOptions {
  /** Programs to run, settled and racing in turn. */
  readonly programs: number;
  /** 32 bits; everything follows from it. */
  readonly seed: number;
  /** Most actions of a program. */
  readonly actionsMax?: number;
  /** Programs tried to make a counterexample shorter; 0 leaves it as it was found. */
  readonly shrinkRunsMax?: number | undefined;
  /** End with the first program in which something failed, and make it short for the first breach alone. */
  readonly stopAtFirst?: boolean | undefined;
  /** Asked before each program; false ends the campaign. */
  readonly goOn?: (programs: number) => boolean;
}

/** A breach of an observation, so that a person sees what to mend. */
export interface ObservedBreach {
  /** One line: what was seen, and what was expected. */
  readonly message: string;
  readonly requirements: readonly string[];
  readonly program: Program;
  /** The last steps before it, oldest first. */
  readonly steps: readonly ChartEvent[];
  /** The ring as it was then, a line each. */
  readonly rings: readonly string[];
}

export interface ObservationOutcome {
  readonly observation: RingObservation;
  /** How often it could be looked at; 0 says nothing about the implementation. */
  readonly looks: number;
  /** How often it did not hold. */
  readonly breaches: number;
  /** The first time that it did not hold; of one that is only counted too. */
  readonly first: ObservedBreach | undefined;
}

export interface ObservationReport {
  readonly programs: number;
  /** Verbs calls. */
  readonly actions: number;
  /** Programs that did not come to their end; another judge says why. */
  readonly cutShort: number;
  /** By id. */
  readonly outcomes: readonly ObservationOutcome[];
}

const ACTIONS_MAX = 100;
const SHRINK_RUNS_MAX = 200;
const CHART_EVENTS = 24;

/** Throws only for a fault of the kit. */
export async function runObservations(
  context: CaseContext,
  options: ObservationOptions,
): Promise<ObservationReport> {
  return new Campaign(context, options).run();
}

class Campaign {
  readonly #context: CaseContext;
  readonly #options: ObservationOptions;
  readonly #book = new MonitorBook();
  readonly #tally = new Tally();
  readonly #memories: MemoryPool | undefined;
  readonly #first = new Map<ObservationKey, Program>();
  /** A failure was made short. */
  #explained = false;

  constructor(context: CaseContext, options: ObservationOptions) {
    this.#context = context;
    this.#options = options;
    const { driver, device, adapter } = context.implementation;
    // Somebody else's code may hold on to memory that it was given, so that memory is not used again.
    const bundled = driver === undefined && device === undefined && adapter === undefined;
    this.#memories = bundled ? new MemoryPool() : undefined;
  }

  async run(): Promise<ObservationReport> {
    const { programs, seed, goOn, stopAtFirst, actionsMax = ACTIONS_MAX } = this.#options;
    let count = 0;
    let actions = 0;
    let cutShort = 0;
    while (count < programs && goOn?.(count) !== false && !(stopAtFirst === true && this.#failed())) {
      const mode = count % 2 === 0 ? 'settled' : 'racing';
      const program = writeProgram(mix(seed, count), { mode, actionsMax });
      count++;
      const { calls, failure } = await this.#watch(program, this.#tally, this.#book);
      actions += calls;
      if (failure !== undefined) cutShort++;
      for (const key of this.#tally.breaches.keys()) if (!this.#first.has(key)) this.#first.set(key, program);
    }
    const outcomes: ObservationOutcome[] = [];
    for (const key of observationKeys) outcomes.push(await this.#outcome(key));
    return { programs: count, actions, cutShort, outcomes };
  }

  /** What is only counted fails nobody. */
  #failed(): boolean {
    return [...this.#first.keys()].some(key => observations[key].verdict === 'fail');
  }

  #watch(program: Program, tally: Tally, book?: MonitorBook, recorder?: TraceRecorder) {
    const { profile, implementation } = this.#context;
    const memories = this.#memories;
    return watchProgram(program, { profile, implementation, tally, book, recorder, memories });
  }

  async #outcome(key: ObservationKey): Promise<ObservationOutcome> {
    const observation = observations[key];
    const looks = this.#tally.looks.get(key) ?? 0;
    const breaches = this.#tally.counts.get(key) ?? 0;
    const program = this.#first.get(key);
    const first = program === undefined ? undefined : await this.#explain(key, program);
    return { observation, looks, breaches, first };
  }

  async #explain(key: ObservationKey, found: Program): Promise<ObservedBreach> {
    const { stopAtFirst } = this.#options;
    const isWanted = observations[key].verdict === 'fail' && !(stopAtFirst === true && this.#explained);
    const program = isWanted ? await this.#shortest(key, found) : found;
    this.#explained ||= isWanted;
    const tally = new Tally();
    const recorder = new TraceRecorder();
    // The chart ends with the breach, not with the program.
    let events = 0;
    tally.onBreach = broken => {
      if (broken === key && events === 0) events = recorder.events.length;
    };
    await this.#watch(program, tally, new MonitorBook(), recorder);
    const breach = tally.breaches.get(key) ?? this.#tally.breaches.get(key);
    const { requirements } = observations[key];
    return {
      message: breach?.message ?? '',
      requirements,
      program,
      steps: chart(recorder.events.slice(0, events === 0 ? undefined : events), CHART_EVENTS),
      rings: breach?.rings ?? [],
    };
  }

  /** The simplest program found within the budget that still breaks the same observation. */
  async #shortest(key: ObservationKey, found: Program): Promise<Program> {
    let left = this.#options.shrinkRunsMax ?? SHRINK_RUNS_MAX;
    let program = found;
    let place: ShrinkPlace | undefined;
    for (let shorter = true; shorter;) {
      shorter = false;
      for (const step of simpler(program, place)) {
        if (left-- <= 0) return program;
        const tally = new Tally();
        await this.#watch(step.program, tally);
        if (!tally.breaches.has(key)) continue;
        ({ program, place } = step);
        shorter = true;
        break;
      }
    }
    return program;
  }
}

/** A 31-bit seed for each program of a campaign. */
function mix(seed: number, number: number): number {
  let x = (Math.imul(seed, 0x9e3779b1) + Math.imul(number + 1, 0x85ebca6b)) | 0;
  x ^= x >>> 15;
  x = Math.imul(x, 0x2c1b3c6d);
  x ^= x >>> 12;
  return x & 0x7fff_ffff;
}
