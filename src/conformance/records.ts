/** What the judge knows of each object and work request of a run, from the verbs alone. */
import type { QpAttributes, QueuePair, CompletionQueue } from '../verbs/index.js';

interface BaseRecord {
  readonly vm: number;
  /** Symbolic name in the program. */
  readonly name: string;
  /** Dense number over all objects of this kind in the run, in creation order. */
  readonly id: number;
  readonly handle: unknown;
  /** False from the moment a destroy is accepted. */
  alive: boolean;
  /** A destroy has been called and its answer is outstanding. */
  destroying: boolean;
}

export interface PdRecord extends BaseRecord {
  readonly kind: 'pd';
}

export interface CqRecord extends BaseRecord {
  readonly kind: 'cq';
  readonly handle: CompletionQueue;
  readonly cqe: number;
  events: number;
  /** A program sleeps until the next event, of any kind or solicited. */
  sleeper: 'no' | 'solicited' | 'next';
  /** A completion may have been lost to an overrun. */
  overran: boolean;
}

export interface MrRecord extends BaseRecord {
  readonly kind: 'mr';
  readonly pd: PdRecord;
  readonly at: number;
  readonly length: number;
  readonly access: number;
  readonly dma: boolean;
  readonly lkey: number;
  readonly rkey: number;
}

export interface QpRecord extends BaseRecord {
  readonly kind: 'qp';
  readonly handle: QueuePair;
  readonly type: number;
  readonly pd: PdRecord;
  readonly sendCq: CqRecord;
  readonly recvCq: CqRecord;
  readonly sigAll: boolean;
  /** State of the last accepted modify; the queue pair may have fallen to SQE or ERR since. */
  state: number;
  /** Accepted attributes, newest value each. */
  attributes: QpAttributes;
  /** Requests posted and not known to be done, oldest first. */
  readonly sends: WrRecord[];
  readonly recvs: WrRecord[];
  /** Index of the first entry of `sends`/`recvs` that is not done; entries before it are spent. */
  sendsDone: number;
  recvsDone: number;
  /** Set once a completion of that queue had an error, until the next RESET. */
  sendFailed: boolean;
  recvFailed: boolean;
  /** Moves to RESET that were asked for and not answered. */
  resetting: number;
}

export interface AhRecord extends BaseRecord {
  readonly kind: 'ah';
  readonly pd: PdRecord;
}

export type ObjectRecord = PdRecord | CqRecord | MrRecord | QpRecord | AhRecord;

/**
 * An overrun of a completion queue puts its queue pairs into ERR, and the driver hears nothing of it: one that may be there
 * without its driver's knowledge takes posts and moves on bare metal that a driver rightly refuses.
 */
export function mayHaveFailedUnseen({ sendCq, recvCq }: QpRecord): boolean {
  return sendCq.overran || recvCq.overran;
}

/**
 * The key that a program makes up out of one that it has. Devices may count keys up, and a neighbour of a key may be another
 * region's: it goes on, step by step, to a number that no region of the run has had. Without a delta it is the key itself.
 */
export function madeUpKey(known: ReadonlySet<number>, key: number, delta: number): number {
  let made = (key + delta) >>> 0;
  while (delta !== 0 && known.has(made)) made = (made + delta) >>> 0;
  return made;
}

/** One accepted work request. */
export interface WrRecord {
  readonly wrId: number;
  readonly qp: QpRecord;
  readonly send: boolean;
  readonly opcode: number;
  readonly signaled: boolean;
  /** Dense number over the run. */
  readonly id: number;
  /** It was posted while a RESET was under way, so it may be of the life behind it, and complete before the answer is heard. */
  readonly behindReset?: boolean;
  state: 'posted' | 'completed' | 'implied' | 'discarded';
}
