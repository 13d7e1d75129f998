/**
 * One machine of a script: every verb as a method that adds the action with its expected outcome, which is success unless
 * another one is given.
 */
import { AccessFlag } from '../../abi/index.js';
import type { Action, ActionOf } from '../program.js';

export const ALL_ACCESS = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;

/** Halves of the usual arena: where messages are sent from, and where they are put. */
export const OUT = 0;
export const IN = 32 * 1024;
/** Entries of a completion queue unless a scenario says otherwise: the most that the usual limits allow. */
export const DEFAULT_CQE = 64;

export type Expect = 'ok' | 'EINVAL' | 'ENOMEM' | 'EBUSY' | 'refused';

type Placed<A> = A extends Action ? Omit<A, 'vm'> : never;
/** An action of which the machine is known already. */
export type GuestAction = Placed<Action>;

export type WantedCompletion = NonNullable<ActionOf<'pollCq'>['expectWc']>[number];
type Caps = NonNullable<ActionOf<'createQp'>['cap']>;

/** Where a region lies in the arena, and its rights. */
export interface Place {
  readonly at?: number;
  readonly length?: number;
  readonly access?: number;
}

/** What the machines of a script write to together. */
export interface Sheet {
  readonly actions: Action[];
  readonly arenaBytes: number;
  /** Number of endpoints so far; each starts at a sequence number of its own. */
  endpoints: number;
}

/** Actions that have no outcome of their own. */
const silent: ReadonlySet<Action['op']> = new Set(['pollCq', 'waitCq', 'writeMemory', 'expectMemory']);

export class Guest {
  readonly script: Sheet;
  readonly vm: number;
  /** Work requests so far, refused ones too: the number of the next one. */
  requests = 0;
  readonly #names = new Map<string, number>();
  #hasGid = false;

  constructor(script: Sheet, vm: number) {
    this.script = script;
    this.vm = vm;
  }

  /** Machine and verb first, members without a value left out: the order in which a file reads well. */
  do(action: GuestAction): void {
    const { op, ...rest } = action;
    const judged = !('expect' in rest) && !silent.has(op);
    const members = Object.entries(judged ? { ...rest, expect: 'ok' } : rest);
    const given = Object.fromEntries(members.filter(([, value]) => value !== undefined));
    this.script.actions.push({ vm: this.vm, op, ...given } as Action);
  }

  /** The next free name of a kind: `pd0`, `pd1`. */
  name(kind: string): string {
    const number = this.#names.get(kind) ?? 0;
    this.#names.set(kind, number + 1);
    return `${kind}${number}`;
  }

  pd(expect: Expect = 'ok'): string {
    const as = this.name('pd');
    this.do({ op: 'createPd', as, expect });
    return as;
  }

  cq(cqe = DEFAULT_CQE, expect: Expect = 'ok'): string {
    const as = this.name('cq');
    this.do({ op: 'createCq', as, cqe, expect });
    return as;
  }

  /** A region; default: the whole arena with all rights. */
  mr(pd: string, place: Place = {}, expect: Expect = 'ok'): string {
    const as = this.name('mr');
    const { at = 0, access = ALL_ACCESS } = place;
    const length = place.length ?? this.script.arenaBytes - at;
    this.do({ op: 'regMr', as, pd, at, length, access, expect });
    return as;
  }

  dmaMr(pd: string, access = ALL_ACCESS, expect: Expect = 'ok'): string {
    const as = this.name('mr');
    this.do({ op: 'getDmaMr', as, pd, access, expect });
    return as;
  }

  qp(
    type: ActionOf<'createQp'>['type'],
    init: { pd: string; sendCq: string; recvCq?: string; cap?: Partial<Caps>; sigAll?: boolean },
    expect: Expect = 'ok',
  ): string {
    const as = this.name('qp');
    const { pd, sendCq, recvCq = sendCq, sigAll } = init;
    const cap = init.cap && { ...defaultCap, ...init.cap };
    this.do({ op: 'createQp', as, pd, type, sendCq, recvCq, cap, sigAll, expect });
    return as;
  }

  ah(pd: string, to: { vm: number; gid?: number; sgidIndex?: number }, expect: Expect = 'ok'): string {
    const as = this.name('ah');
    this.do({ op: 'createAh', as, pd, to: { gid: 0, ...to }, expect });
    return as;
  }

  /** Sets entry 0 of the GID table to this machine's first GID, once. */
  address(): void {
    if (!this.#hasGid) this.do({ op: 'addGid', index: 0, gid: 0 });
    this.#hasGid = true;
  }

  /** Writes the pattern `fill` to memory. */
  fill(at: number, length: number, fill: number): void {
    this.do({ op: 'writeMemory', at, length, fill });
  }

  /** Memory must hold the pattern `fill`, or the bytes given in hexadecimal, over and over. */
  holds(at: number, length: number, fill: number | string): void {
    this.do({ op: 'expectMemory', at, length, fill });
  }

  /** The completion queue must give just these completions, and have raised that many events since it was created. */
  poll(cq: string, wanted: readonly WantedCompletion[], expectEvents?: number): void {
    this.do({ op: 'pollCq', cq, expectWc: compressed(wanted), expectEvents });
  }

  /** So many events since the completion queue was created; polls nothing that should be there. */
  events(cq: string, count: number, wanted: readonly WantedCompletion[] = []): void {
    this.poll(cq, wanted, count);
  }

  arm(cq: string, solicitedOnly = false): void {
    this.do({ op: 'reqNotifyCq', cq, ...(solicitedOnly ? { solicitedOnly } : {}) });
  }
}

/** What the judge gives a queue pair whose program names no capacities. */
const defaultCap: Caps = { sendWr: 16, recvWr: 16, sendSge: 2, recvSge: 2, inline: 64 };

/** Puts equal neighbours with consecutive request numbers together as one with `times`. */
function compressed(wanted: readonly WantedCompletion[]): WantedCompletion[] {
  const entries: WantedCompletion[] = [];
  for (const next of wanted) {
    const last = entries.at(-1);
    const times = last?.times ?? 1;
    if (last !== undefined && sameBut(last, next, times)) last.times = times + 1;
    else entries.push({ ...next });
  }
  return entries;
}

function sameBut(last: WantedCompletion, next: WantedCompletion, times: number): boolean {
  const { times: _, ...first } = last;
  const wr = last.wr === undefined ? undefined : last.wr + times;
  return JSON.stringify({ ...first, wr }) === JSON.stringify({ ...next, wr: next.wr });
}
