/**
 * A completion queue: first in, first out, of a fixed capacity, with one-shot arming. A completion that finds it full is
 * lost; the queue then takes nothing any more and its queue pairs go to the error state.
 */
import { WcStatus } from '../abi/index.js';
import type { WcOpcode } from '../abi/index.js';
import { emptyCompletion } from '../verbs/index.js';
import type { WorkCompletion } from '../verbs/index.js';
import type { Counters } from './counters.js';
import type { HcaCq, HcaCqOwner } from './hca.js';

/** A queue pair as its completion queues see it. */
export interface CqUser {
  /** Goes to ERR. False when it is there already, or in RESET. */
  enterError(): boolean;
}

export class CompletionQueue implements HcaCq {
  readonly kind = 'hca-cq';
  readonly cqe: number;
  readonly users = new Set<CqUser>();
  readonly #owner: HcaCqOwner;
  readonly #counters: Counters;
  readonly #ring: WorkCompletion[] = [];
  #head = 0;
  #count = 0;
  #armed: 'no' | 'solicited' | 'any' = 'no';
  #overrun = false;

  constructor(cqe: number, owner: HcaCqOwner, counters: Counters) {
    this.cqe = cqe;
    this.#owner = owner;
    this.#counters = counters;
  }

  get overrun(): boolean {
    return this.#overrun;
  }

  /** Arms for one event. Arming for any completion is never narrowed to solicited ones. */
  arm(solicitedOnly: boolean): void {
    if (!solicitedOnly) this.#armed = 'any';
    else if (this.#armed === 'no') this.#armed = 'solicited';
  }

  /** Adds a completion. The owner is called from here; nothing of the caller may be half done. */
  add(
    wrId: number,
    status: WcStatus,
    opcode: WcOpcode,
    qpNum: number,
    byteLen: number,
    immData: number,
    srcQp: number,
    wcFlags: number,
    solicited: boolean,
  ): void {
    if (this.#overrun || this.#count + this.#owner.unconsumed(this) >= this.cqe) return this.#lose();
    const entry = this.#newest();
    entry.wrId = wrId;
    entry.status = status;
    entry.opcode = opcode;
    entry.vendorErr = 0;
    entry.byteLen = byteLen;
    entry.immData = immData;
    entry.qpNum = qpNum;
    entry.srcQp = srcQp;
    entry.wcFlags = wcFlags;
    this.#count++;
    this.#counters.completions++;
    const counts = solicited || status !== WcStatus.SUCCESS;
    const raise = this.#armed === 'any' || (this.#armed === 'solicited' && counts);
    if (raise) this.#armed = 'no';
    this.#owner.completionAdded(this, entry, counts);
    if (raise) this.#owner.eventRaised(this);
  }

  /** Takes up to `max` completions, oldest first. */
  poll(completions: WorkCompletion[], max: number): number {
    const taken = Math.min(max, this.#count);
    for (let i = 0; i < taken; i++) {
      if (i === completions.length) completions.push(emptyCompletion());
      copyCompletion(this.#ring[this.#head], completions[i]);
      this.#head = this.#head + 1 === this.cqe ? 0 : this.#head + 1;
    }
    this.#count -= taken;
    return taken;
  }

  /** The ring's entry behind the newest; entries are made as they are first needed. */
  #newest(): WorkCompletion {
    let at = this.#head + this.#count;
    if (at >= this.cqe) at -= this.cqe;
    if (at === this.#ring.length) this.#ring.push(emptyCompletion());
    return this.#ring[at];
  }

  /**
   * A completion is lost: nothing is added any more. A queue pair that was in RESET when the queue overran comes to grief
   * with its first completion.
   */
  #lose(): void {
    let news = !this.#overrun;
    this.#overrun = true;
    for (const user of this.users) if (user.enterError()) news = true;
    if (news) this.#owner.overran(this);
  }
}

function copyCompletion(from: WorkCompletion, to: WorkCompletion): void {
  to.wrId = from.wrId;
  to.status = from.status;
  to.opcode = from.opcode;
  to.vendorErr = from.vendorErr;
  to.byteLen = from.byteLen;
  to.immData = from.immData;
  to.qpNum = from.qpNum;
  to.srcQp = from.srcQp;
  to.wcFlags = from.wcFlags;
}
