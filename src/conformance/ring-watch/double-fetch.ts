/**
 * Directed tries to catch a second read: a field changes right behind its first read. What comes of the program then must be
 * what comes of it when nothing changes, or when the field changes before anybody reads it; a mixture of both, or a crash,
 * shows a field that was read twice.
 */
import { CaseBroken, CaseUnsupported } from '../cases/case.js';
import type { CaseContext, CaseEffort, ConformanceCase } from '../cases/case.js';
import type { Observation } from '../observation.js';
import type { Program } from '../program.js';
import { scenarios } from '../scenarios/index.js';
import { targets } from './fetched-fields.js';
import type { Change, RingFormat, Target } from './fetched-fields.js';
import type { RingState } from './ring-state.js';
import type { PostedChain } from './posted-chain.js';
import { Tally } from './tally.js';
import { watchProgram } from './watch-program.js';
import type { WatchedMachine } from './watched-machine.js';

export const doubleFetchCases: readonly ConformanceCase[] = (['split', 'packed'] as const).flatMap(format =>
  targets
    .filter(({ formats }) => formats?.includes(format) !== false)
    .map(target => ({
      id: `VQ/${format === 'packed' ? 'packed-double-fetch' : 'double-fetch'}/${target.slug}`,
      doc: `${target.what[0].toUpperCase()}${target.what.slice(1)} changes right behind its first read${format === 'packed' ? ', in a packed ring' : ''}, and the outcome is that of the old value or of the new one.`,
      source: 'derived',
      requirements: target.requirements,
      judges: target.judges,
      needs: format === 'packed' ? { features: ['packed'] } : {},
      long: true,
      how: { kind: 'probe', run: context => tryTarget(target, format, context) },
    })),
);

/** Chains of the queue that are tried, one at a time. */
const CHAINS = 6;

type Moment = 'never' | 'before' | 'behind';

interface Outcome {
  readonly observation: Observation | undefined;
  readonly failure: Error | undefined;
  /** Whether the field was changed: somebody read it. */
  readonly changed: boolean;
  readonly calls: number;
}

async function tryTarget(target: Target, format: RingFormat, context: CaseContext): Promise<CaseEffort> {
  const loopback = programOf('DATA/message/loopback');
  const program: Program = format === 'packed' ? { ...loopback, packed: true } : loopback;
  const effort = { runs: 0, actions: 0 };
  const run = async (chain: number, moment: Moment): Promise<Outcome> => {
    const outcome = await runWith(target, chain, moment, program, context);
    effort.runs++;
    effort.actions += outcome.calls;
    return outcome;
  };
  const never = await run(0, 'never');
  let seen = 0;
  for (let chain = 0; chain < CHAINS; chain++) {
    const behind = await run(chain, 'behind');
    if (!behind.changed) continue;
    seen++;
    if (isSame(behind, never)) continue;
    const before = await run(chain, 'before');
    if (isSame(behind, before)) continue;
    throw new CaseBroken(
      target.requirements,
      `${target.what} changed behind its first read: ${differenceOf(behind, never)}; with the new value from the start: ${differenceOf(behind, before)}`,
    );
  }
  if (seen === 0) throw new CaseUnsupported(`nobody is seen to read ${target.what}`);
  return effort;
}

function programOf(id: string): Program {
  const found = scenarios.find(scenario => scenario.id === id);
  if (found === undefined) throw new Error(`there is no scenario ${id}`);
  return found.program;
}

function isSame(a: Outcome, b: Outcome): boolean {
  if (a.failure !== undefined || b.failure !== undefined) return a.failure?.message === b.failure?.message;
  return (
    a.observation !== undefined &&
    b.observation !== undefined &&
    a.observation.difference(b.observation) === undefined
  );
}

function differenceOf(a: Outcome, b: Outcome): string {
  if (a.failure !== undefined) return a.failure.message;
  if (b.failure !== undefined) return `${b.failure.message} is expected`;
  return (b.observation && a.observation?.difference(b.observation)) ?? 'no difference';
}

/** Runs the program with the field of the n-th chain of the target's queues changed, or not. */
async function runWith(
  target: Target,
  number: number,
  moment: Moment,
  program: Program,
  { profile, implementation }: CaseContext,
): Promise<Outcome> {
  const meddler = new Meddler(target, number, moment);
  const { calls, failure, observation } = await watchProgram(program, {
    profile,
    implementation,
    tally: new Tally(),
    meddle: machine => meddler.into(machine),
  });
  return { calls, failure, observation, changed: meddler.changed };
}

class Meddler {
  readonly #target: Target;
  readonly #number: number;
  readonly #moment: Moment;
  #chains = 0;
  #change: Change | undefined;
  changed = false;

  constructor(target: Target, number: number, moment: Moment) {
    this.#target = target;
    this.#number = number;
    this.#moment = moment;
  }

  into(machine: WatchedMachine): void {
    const { judges, queue } = this.#target;
    const started = (ring: RingState, chain: PostedChain): void => {
      if (ring.kind !== queue || this.#change !== undefined) return;
      const change = this.#target.place(ring, chain);
      if (change === undefined || this.#chains++ !== this.#number) return;
      this.#change = change;
      if (this.#moment === 'before') this.#apply(machine, change);
    };
    // A device reads what was published, a driver what was returned.
    if (judges === 'device') machine.onPublished = started;
    else machine.onUsed = started;
    machine.hook = (by, what, address, length) => {
      const change = this.#change;
      if (change === undefined || by !== judges || what !== 'read') return;
      if (address >= change.address + change.length || change.address >= address + length) return;
      if (this.#moment === 'behind' && !this.changed) this.#apply(machine, change);
    };
  }

  #apply({ memory }: WatchedMachine, field: Change): void {
    const { address, length } = field;
    const bytes = new Uint8Array(length);
    memory.read(address, bytes, 0, length);
    field.change(bytes);
    memory.write(address, bytes, 0, length);
    this.changed = true;
  }
}
