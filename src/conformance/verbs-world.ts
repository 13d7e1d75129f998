/**
 * What a run and its judges need of a world: machines that offer verbs and hold the program's memory. The kit's own worlds
 * offer more; of a world in another process there is no more to be had.
 */
import type { Scheduler } from '../fabric/index.js';
import type { QueuePair, RecvWorkRequest, SendWorkRequest, Verbs, VerbsError } from '../verbs/index.js';
import type { Arena } from './arena.js';
import type { Outside } from './outside.js';

/** What came of a list of requests: those before the first that was refused are posted, those behind it were not tried. */
export interface PostedList {
  readonly posted: number;
  /** Why the request number `posted` was refused; undefined when none was. */
  readonly refused: VerbsError | undefined;
}

/** Posts lists of requests in one call, where a call for each would cost more than the posting. */
export interface ListPosting {
  postSends(qp: QueuePair, requests: readonly SendWorkRequest[]): PostedList;
  postRecvs(qp: QueuePair, requests: readonly RecvWorkRequest[]): PostedList;
}

export interface VerbsMachine {
  readonly vm: number;
  readonly verbs: Verbs;
  readonly guest: Arena;
  /** Address, as the device sees it, of an arena byte. */
  dmaAddress(at: number): number;
  /** Undefined where one call for each request costs no more. */
  readonly lists?: ListPosting | undefined;
  /** Of the machine's HCA; undefined where it is out of sight. */
  readonly function?: { readonly counters: { readonly completions: number } } | undefined;
}

export interface VerbsWorld {
  readonly machines: readonly VerbsMachine[];
  /** Steps the kit's own parties; its choices say when a racing program goes on. */
  readonly scheduler: Scheduler;
  /** Parties that the scheduler does not step. */
  readonly outside: Outside | undefined;
  /** Runs until nothing moves, as far as the scheduler can see. */
  runUntilQuiet(stepsMax: number, endless: (steps: number) => Error): void;
  /** Keeps what went wrong outside any call; it surfaces at the next step of the run. */
  fail(error: unknown): void;
  /** Surfaces a failure kept by {@link fail}. */
  check(): void;
  /** The world is over: gives its machines' memory back. */
  release(): void;
}
