/**
 * A session of a soak: hands batches to a crew that may work on many at a time, and takes what came of them in the order of
 * the batches. So the state after n batches is the same however many work, and however often somebody stopped in between.
 */
import { match } from 'ts-pattern';
import { inputsOf, modeAt } from './batch.js';
import type { Batch, SoakInput, SoakMode, SoakPlan } from './batch.js';
import { shapeOf, symptomOf, worthShrinking } from './kind.js';
import type { BatchOutcome, PlacedFailure } from './run-batch.js';
import type { Shrunk } from './shrink.js';
import { totalsOf } from './state.js';
import type { SoakFinding, SoakState } from './state.js';
import type { Failure } from './trial.js';

/** A worker hung, crashed or vanished; `place` is that of the input under way, -1 for none that can be named. */
export interface Died {
  readonly kind: 'died';
  readonly place: number;
  readonly failure: Failure;
}
/** Somebody wants the soak to end. */
export interface Stopped {
  readonly kind: 'stopped';
}

/** Who does the work, wherever that is. */
export interface SoakCrew {
  run(
    batch: Batch,
    skip: readonly number[],
  ): Promise<{ readonly kind: 'done'; readonly outcome: BatchOutcome } | Died | Stopped>;
  shrink(
    batch: Batch,
    failure: PlacedFailure,
  ): Promise<{ readonly kind: 'shrunk'; readonly shrunk: Shrunk } | Died | Stopped>;
}

export interface SessionOptions {
  readonly modes: readonly SoakMode[];
  /** Batches that are given to the crew at a time. */
  readonly inFlight: number;
  /** Batches to do in this session; without it they go on until `goOn` says no. */
  readonly batches?: number | undefined;
  /** Asked before each batch is given out. */
  goOn(): boolean;
  /** Writes a new kind of finding and returns the name of its file. */
  save(input: SoakInput, failure: Failure): string;
  onFinding(finding: SoakFinding): void;
  /** A batch has been taken up in the state. */
  onBatch(state: SoakState): void;
}

/** Deaths of workers in one batch after which the rest of it is left alone: a hang may cost seconds. */
const DEATHS_MAX = 4;
/** Kinds of findings, and symptoms, that are kept apart; an implementation with more of them needs no longer list. */
const FINDINGS_MAX = 500;
const SYMPTOMS_MAX = 2000;

/** Returns the state in which the session has ended. */
export async function soak(start: SoakState, crew: SoakCrew, options: SessionOptions): Promise<SoakState> {
  return new Session(start, crew, options).run();
}

type Tried =
  | { readonly kind: 'done'; readonly outcome: BatchOutcome; readonly deaths: readonly PlacedFailure[] }
  | Stopped;

class Session {
  readonly #crew: SoakCrew;
  readonly #options: SessionOptions;
  readonly #plan: SoakPlan;
  /** Number of the next batch of each mode that is given out; those before it are done or in flight. */
  readonly #next: Record<SoakMode, number>;
  #state: SoakState;
  #given: number;
  #left: number;

  constructor(start: SoakState, crew: SoakCrew, options: SessionOptions) {
    this.#crew = crew;
    this.#options = options;
    this.#plan = start;
    this.#state = start;
    const { modes } = start;
    this.#next = {
      settled: modes.settled.batches,
      racing: modes.racing.batches,
      rings: modes.rings.batches,
      'hostile-driver': modes['hostile-driver'].batches,
      'hostile-device': modes['hostile-device'].batches,
    };
    this.#given = totalsOf(start).batches;
    this.#left = options.batches ?? Number.POSITIVE_INFINITY;
  }

  async run(): Promise<SoakState> {
    const inFlight: { readonly batch: Batch; readonly tried: Promise<Tried> }[] = [];
    for (;;) {
      while (inFlight.length < this.#options.inFlight && this.#left > 0 && this.#options.goOn()) {
        const batch = this.#give();
        const tried = this.#try(batch);
        // It is looked at when its turn comes; until then a rejection is nobody's.
        tried.catch(() => undefined);
        inFlight.push({ batch, tried });
      }
      const oldest = inFlight.shift();
      if (oldest === undefined) return this.#state;
      const tried = await oldest.tried;
      const state = tried.kind === 'done' ? await this.#settled(oldest.batch, tried) : undefined;
      if (state === undefined) return this.#state;
      this.#state = state;
      this.#options.onBatch(state);
    }
  }

  #give(): Batch {
    const mode = modeAt(this.#given++, this.#options.modes);
    this.#left--;
    return { mode, number: this.#next[mode]++ };
  }

  /** Tries a batch, without the inputs that workers died of. */
  async #try(batch: Batch): Promise<Tried> {
    const deaths: PlacedFailure[] = [];
    for (;;) {
      const answer = await this.#crew.run(
        batch,
        deaths.map(({ place }) => place),
      );
      if (answer.kind === 'stopped') return answer;
      if (answer.kind === 'done') return { ...answer, deaths };
      deaths.push({ ...answer.failure, place: Math.max(0, answer.place) });
      if (answer.place >= 0 && deaths.length < DEATHS_MAX) continue;
      const outcome = { programs: 0, calls: 0, hostileInputs: 0, unsupported: 0, failures: [] };
      return { kind: 'done', outcome, deaths };
    }
  }

  /** The state with a batch in it; undefined when somebody stopped before its failures were made small. */
  async #settled(
    batch: Batch,
    { outcome, deaths }: Tried & { kind: 'done' },
  ): Promise<SoakState | undefined> {
    const before = this.#state;
    const totals = before.modes[batch.mode];
    const { programs, calls, hostileInputs, unsupported, failures } = outcome;
    const draft: SoakState = {
      ...before,
      modes: {
        ...before.modes,
        [batch.mode]: {
          batches: totals.batches + 1,
          programs: totals.programs + programs,
          calls: totals.calls + calls,
          hostileInputs: totals.hostileInputs + hostileInputs,
          unsupported: totals.unsupported + unsupported,
        },
      },
    };
    if (failures.length + deaths.length === 0) return draft;
    const ledger = structuredClone(draft);
    const found: SoakFinding[] = [];
    for (const failure of deaths) this.#note(ledger, batch, failure, undefined, found);
    for (const failure of failures) {
      const seen = (ledger.symptoms[symptomOf(failure)]?.seen ?? 0) + 1;
      if (!worthShrinking(seen)) countAgain(ledger, symptomOf(failure));
      else {
        const answer = await this.#crew.shrink(batch, failure);
        if (answer.kind === 'stopped') return undefined;
        const shrunk = answer.kind === 'shrunk' ? answer.shrunk : undefined;
        this.#note(ledger, batch, failure, shrunk, found);
      }
    }
    for (const finding of found) this.#options.onFinding(finding);
    return ledger;
  }

  /** Puts a failure to its kind, or begins a new one. `shrunk` is undefined when nobody could try it again. */
  #note(
    ledger: SoakState,
    batch: Batch,
    { place, ...failure }: PlacedFailure,
    shrunk: Shrunk | undefined,
    found: SoakFinding[],
  ): void {
    const symptom = symptomOf(failure);
    const { law, requirements, message } = shrunk?.failure ?? failure;
    const shape = match(shrunk)
      .with(undefined, () => `(as found) ${symptom}`)
      .with({ again: false }, () => `(not again) ${symptom}`)
      .otherwise(({ input }) => shapeOf(input));
    let at = ledger.findings.findIndex(known => known.law === law && known.shape === shape);
    if (at >= 0) ledger.findings[at].count++;
    else {
      if (ledger.findings.length >= FINDINGS_MAX) return;
      const input = shrunk?.input ?? inputsOf(this.#plan, batch)[place];
      const finding = {
        law,
        requirements: [...requirements],
        message,
        shape,
        mode: batch.mode,
        profile: input.profile,
        batch: batch.number,
        place,
        shrinks: shrunk?.shrinks ?? 0,
        count: 1,
        file: this.#options.save(input, { law, requirements, message }),
      };
      at = ledger.findings.push(finding) - 1;
      found.push(finding);
    }
    const known = ledger.symptoms[symptom];
    if (known !== undefined) known.seen++;
    else if (Object.keys(ledger.symptoms).length < SYMPTOMS_MAX)
      ledger.symptoms[symptom] = { seen: 1, finding: at };
  }
}

/** One more failure of a symptom that is well known. */
function countAgain(ledger: SoakState, symptom: string): void {
  const known = ledger.symptoms[symptom];
  if (known === undefined) return;
  known.seen++;
  ledger.findings[known.finding].count++;
}
