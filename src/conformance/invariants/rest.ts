/**
 * Law: when nothing moves any more, no queue holds a chain that its device should have taken: no command waits, no send of a
 * queue pair that may send, no receive of one that may receive, unless the queue pair holds all the requests it may hold.
 */
import { QpState } from '../../abi/index.js';
import type { QueueMap } from '../../abi/index.js';
import { LawBroken, laws } from '../laws.js';
import { RunObserver } from '../observer.js';
import type { ObjectRecord, QpRecord } from '../records.js';

/** What is known of the rings of a machine. */
export interface RingCounts {
  /** Chains that were made available and not taken. */
  unread(queue: number): number;
  /** Chains taken and not returned. */
  held(queue: number): number;
}

export class NothingWaits extends RunObserver {
  readonly #rings: ReadonlyMap<number, RingCounts>;
  readonly #queues: QueueMap;
  readonly #qps: QpRecord[] = [];

  /** `rings` by machine. */
  constructor(rings: ReadonlyMap<number, RingCounts>, queues: QueueMap) {
    super();
    this.#rings = rings;
    this.#queues = queues;
  }

  override created(object: ObjectRecord): void {
    if (object.kind === 'qp') this.#qps.push(object);
  }

  override ended(): void {
    for (const [vm, rings] of this.#rings) {
      const waiting = rings.unread(this.#queues.control);
      if (waiting > 0) throw waits(vm, `${waiting} command(s) in the control queue`);
    }
    for (const qp of this.#qps) if (qp.alive) this.#checkQueuePair(qp);
  }

  #checkQueuePair(qp: QpRecord): void {
    const rings = this.#rings.get(qp.vm);
    if (rings === undefined) return;
    const { qpNum, cap } = qp.handle;
    const sends = this.#queues.sq(qpNum);
    if (qp.state >= QpState.RTS && rings.unread(sends) > 0 && rings.held(sends) < cap.maxSendWr)
      throw waits(qp.vm, `${rings.unread(sends)} send(s) of ${qp.name}`);
    const receives = this.#queues.rq(qpNum);
    if (qp.state >= QpState.INIT && rings.unread(receives) > 0 && rings.held(receives) < cap.maxRecvWr)
      throw waits(qp.vm, `${rings.unread(receives)} receive(s) of ${qp.name}`);
  }
}

function waits(vm: number, what: string): LawBroken {
  return new LawBroken(laws.takesWhatIsThere, `machine ${vm}: ${what} wait and nothing is left to happen`);
}
