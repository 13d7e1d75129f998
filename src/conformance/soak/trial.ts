/** Tries one input against an implementation, and says which laws it broke. */
import { match } from 'ts-pattern';
import { CaseBroken, CaseUnsupported } from '../cases/case.js';
import type { CaseContext } from '../cases/case.js';
import { AttackGround } from '../hostile/driver/index.js';
import { runAttack } from '../hostile/device/index.js';
import type { Implementation } from '../implementation.js';
import { judge } from '../judge.js';
import { LawBroken, laws } from '../laws.js';
import { MonitorBook } from '../monitors/book.js';
import type { Program } from '../program.js';
import { observations } from '../ring-watch/observations.js';
import { Tally } from '../ring-watch/tally.js';
import { watchProgram } from '../ring-watch/watch-program.js';
import { MemoryPool } from '../simulated-guest.js';
import type { SoakInput } from './batch.js';

/** A law that an input broke. */
export interface Failure {
  /** Name of the law, of a ring observation, or the requirements that an attack broke; failures are told apart by it. */
  readonly law: string;
  readonly requirements: readonly string[];
  /** What was seen, and what was expected. */
  readonly message: string;
}

/** What came of one input. */
export interface Trial {
  /** Verbs calls. */
  readonly calls: number;
  readonly hostileInputs: number;
  /** The implementation does not offer what the input needs. */
  readonly unsupported: boolean;
  readonly failures: readonly Failure[];
}

/** Not a law of implementations: the judge itself must be able to judge whatever comes. */
export const KIT_FAULT = 'the kit judges whatever it is given';

const nothing: Trial = { calls: 0, hostileInputs: 0, unsupported: false, failures: [] };

export class Trials {
  readonly #implementation: Implementation;
  /** Memory is used again where nobody but the kit has seen it. */
  readonly #memories: MemoryPool | undefined;
  /** Begins anew with each program. */
  readonly #book = new MonitorBook();
  #ground: AttackGround | undefined;
  #groundProfile = '';

  constructor(implementation: Implementation) {
    this.#implementation = implementation;
    this.#memories = isBundled(implementation) ? new MemoryPool() : undefined;
  }

  /**
   * Never throws: what the kit itself does wrong is a failure too.
   * @param sought the only law that matters, while a finding is made smaller
   */
  async try(input: SoakInput, sought?: string): Promise<Trial> {
    try {
      const trial = await match(input)
        .with({ mode: 'settled' }, { mode: 'racing' }, async ({ program }) =>
          this.#judge(input, program, sought),
        )
        .with({ mode: 'rings' }, async ({ program }) => this.#watch(input, program))
        .with({ mode: 'hostile-driver' }, async ({ attacks }) => {
          let hostileInputs = 0;
          const ground = this.#groundOf(input);
          for (const attack of attacks) hostileInputs += ground.attack(attack).inputs;
          return { ...nothing, hostileInputs };
        })
        .with({ mode: 'hostile-device' }, async ({ attacks }) => {
          let hostileInputs = 0;
          for (const attack of attacks)
            hostileInputs += (await runAttack(attack, this.#context(input))).actions;
          return { ...nothing, hostileInputs };
        })
        .exhaustive();
      if (trial.failures.length > 0) this.startOver();
      return trial;
    } catch (error) {
      this.startOver();
      if (error instanceof CaseUnsupported) return { ...nothing, unsupported: true };
      return { ...nothing, failures: [failureOf(error, input)] };
    }
  }

  /** The next input meets a world that nobody has used. */
  startOver(): void {
    this.#ground = undefined;
  }

  async #judge({ profile }: SoakInput, program: Program, sought: string | undefined): Promise<Trial> {
    const implementation = isBundled(this.#implementation) ? undefined : this.#implementation;
    const { broken, calls } = await judge(program, {
      profile,
      book: this.#book,
      ...(implementation === undefined ? {} : { implementation }),
      ...(sought === undefined ? {} : { sought }),
    });
    return { ...nothing, calls, failures: broken === undefined ? [] : [lawFailure(broken)] };
  }

  /** A program that does not come to its end is a failure in the other modes; here the rings are judged up to there. */
  async #watch({ profile }: SoakInput, program: Program): Promise<Trial> {
    const tally = new Tally();
    const implementation = this.#implementation;
    const [book, memories] = [this.#book, this.#memories];
    const { calls } = await watchProgram(program, { profile, implementation, tally, book, memories });
    const failures = [...tally.breaches.values()]
      .filter(({ key }) => observations[key].verdict === 'fail')
      .map(({ key, message }) => ({
        law: `ring observation ${observations[key].id}`,
        requirements: observations[key].requirements,
        message,
      }));
    return { ...nothing, calls, failures };
  }

  /** A world that has seen attacks before, for as long as nothing was broken in it. */
  #groundOf(input: SoakInput): AttackGround {
    if (this.#ground === undefined || this.#groundProfile !== input.profile) {
      this.#ground = new AttackGround(this.#context(input));
      this.#groundProfile = input.profile;
    }
    return this.#ground;
  }

  #context({ profile }: SoakInput): CaseContext {
    return { profile, implementation: this.#implementation, seed: 1 };
  }
}

function isBundled({ driver, device, adapter, network }: Implementation): boolean {
  return driver === undefined && device === undefined && adapter === undefined && network === undefined;
}

function failureOf(error: unknown, { mode }: SoakInput): Failure {
  if (error instanceof CaseBroken) {
    const { requirements, message } = error;
    return { law: requirements.join(' '), requirements, message };
  }
  if (error instanceof LawBroken) return lawFailure(error);
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  // A program's judge catches all that an implementation throws, so what comes out of it is its own.
  if (mode !== 'hostile-driver' && mode !== 'hostile-device')
    return { law: KIT_FAULT, requirements: [], message };
  const { name, requirements } = laws.neverCrashes;
  return { law: name, requirements, message };
}

function lawFailure({ law, requirements, message }: LawBroken): Failure {
  return { law, requirements, message };
}
