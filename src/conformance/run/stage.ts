/**
 * What the actions of one run share: the world, the names, the judges, the observation, and the two ways in which an action
 * ends, at once or with the answer of a control verb.
 */
import { VerbsError, emptyCompletion } from '../../verbs/index.js';
import type { WorkCompletion } from '../../verbs/index.js';
import { unexpected } from '../expectations.js';
import { LawBroken, laws } from '../laws.js';
import { Observation } from '../observation.js';
import type { Expected } from '../outside.js';
import type { RunObserver } from '../observer.js';
import type { Action, Program } from '../program.js';
import type { CqRecord, WrRecord } from '../records.js';
import type { VerbsWorld } from '../verbs-world.js';
import { Names } from './names.js';

export class Stage {
  readonly program: Program;
  readonly world: VerbsWorld;
  readonly observers: readonly RunObserver[];
  readonly observation = new Observation();
  readonly names: Names;
  /** Per machine, by `wrId`; undefined where a post was refused. */
  readonly requests: (WrRecord | undefined)[][];
  /** Keys of all regions that there have been. */
  readonly keys = new Set<number>();
  /** Numbers for the next object of each kind. */
  readonly counts = { pd: 0, cq: 0, mr: 0, qp: 0, ah: 0, wr: 0 };
  readonly cqs: CqRecord[] = [];
  /** Completion queues whose sleepers wake at the end of the action. */
  readonly woken = new Set<CqRecord>();
  /** Scratch for polls. */
  readonly completions: WorkCompletion[] = Array.from({ length: 64 }, emptyCompletion);
  /** Control verbs that have not settled. */
  pending = 0;
  /** Verbs calls made, posts counted one by one. */
  calls = 0;

  constructor(program: Program, world: VerbsWorld, observers: readonly RunObserver[]) {
    this.program = program;
    this.world = world;
    this.observers = observers;
    this.names = new Names(program.hosts.length);
    this.requests = program.hosts.map(() => []);
  }

  /** Calls a control verb, and when it settles notes the outcome and tells the judges. */
  control<T>(
    index: number,
    action: Action,
    call: () => Promise<T>,
    accepted?: (value: T) => void,
    refused?: (errno: string) => void,
  ): void {
    this.calls++;
    this.pending++;
    for (const observer of this.observers) observer.called(index, action);
    let settled = false;
    const settle = (): void => {
      if (settled) throw new LawBroken(laws.answersOnce, `${action.op} settled twice`);
      settled = true;
      this.pending--;
    };
    started(call)
      .then(
        value => {
          settle();
          this.end(index, action, undefined);
          accepted?.(value);
        },
        (error: unknown) => {
          settle();
          const errno = errnoOf(error, action.op);
          this.end(index, action, errno);
          refused?.(errno);
        },
      )
      .catch((error: unknown) => this.world.fail(error));
  }

  /** The action came to its end: told to the judges, noted for the comparison, held against what the program expects. */
  end(index: number, action: Action, errno: string | undefined): void {
    for (const observer of this.observers) observer.actionEnded(index, action, errno);
    const post = action.op === 'postSend' || action.op === 'postRecv';
    // The wire knows one error for all commands, so control verbs compare as done or refused.
    this.observation.note(index, action.op, errno === undefined ? 'ok' : post ? errno : 'refused');
    const expected = 'expect' in action ? action.expect : undefined;
    if (expected === undefined) return;
    const agrees = expected === 'refused' ? errno !== undefined : expected === (errno ?? 'ok');
    if (!agrees) throw unexpected(index, `${action.op} came to ${errno ?? 'ok'}`, expected);
  }

  /** How far things have come. */
  mark(): Expected {
    const { machines } = this.world;
    return {
      completions: machines.map(machine => machine.function?.counters.completions ?? 0),
      events: this.seenEvents(),
    };
  }

  /** Completion events so far, by machine. */
  readonly seenEvents = (): readonly number[] => {
    const events = this.world.machines.map(() => 0);
    for (const cq of this.cqs) events[cq.vm] += cq.events;
    return events;
  };

  /** The action cannot be done: what it names was never there. */
  skip(index: number, action: Action): void {
    this.observation.note(index, action.op, 'skipped');
    if ('expect' in action && action.expect !== undefined) {
      throw unexpected(index, `${action.op} was skipped: what it names does not exist`, action.expect);
    }
  }
}

function started<T>(call: () => Promise<T>): Promise<T> {
  try {
    return Promise.resolve(call());
  } catch (error) {
    return Promise.reject(error);
  }
}

/** The errno of a refusal; anything that is not an error of verbs is a crash of the implementation. */
export function errnoOf(error: unknown, verb: string): string {
  if (error instanceof LawBroken) throw error;
  const errno = error instanceof VerbsError ? error.errno : (error as { errno?: unknown } | undefined)?.errno;
  if (errno === 'EIO')
    throw new LawBroken(laws.getsAlong, `${verb}: the driver gave the device up: ${String(error)}`);
  if (typeof errno === 'string') return errno;
  throw new LawBroken(laws.neverCrashes, `${verb} threw ${String(error)}`);
}
