/**
 * Law: every accepted work request completes exactly once, or is discarded by RESET or destroy; an unsignaled send that
 * succeeds completes by implication; nothing completes that was not posted. Completions of one queue come in posting order,
 * on the right completion queue, with the right opcode, and on RC nothing succeeds behind an error.
 */
import { QpState, QpType, WcOpcode, WcStatus, WrOpcode, wcStatuses } from '../../abi/index.js';
import type { WorkCompletion } from '../../verbs/index.js';
import { LawBroken, laws } from '../laws.js';
import { RunObserver } from '../observer.js';
import type { CqRecord, ObjectRecord, QpRecord, WrRecord } from '../records.js';

const completionOpcode: Record<number, number> = {
  [WrOpcode.SEND]: WcOpcode.SEND,
  [WrOpcode.SEND_WITH_IMM]: WcOpcode.SEND,
  [WrOpcode.RDMA_WRITE]: WcOpcode.RDMA_WRITE,
  [WrOpcode.RDMA_WRITE_WITH_IMM]: WcOpcode.RDMA_WRITE,
  [WrOpcode.RDMA_READ]: WcOpcode.RDMA_READ,
};

export class ExactlyOnce extends RunObserver {
  /**
   * Requests whose completion has not been polled, per completion queue; above its capacity an overrun is possible. Those
   * that a RESET discarded stay counted, since their completions may be in the queue already.
   */
  readonly #inFlight = new Map<CqRecord, number>();
  readonly #qps: QpRecord[] = [];

  override created(object: ObjectRecord): void {
    if (object.kind === 'qp') this.#qps.push(object);
  }

  override posted(request: WrRecord): void {
    const cq = request.send ? request.qp.sendCq : request.qp.recvCq;
    const count = (this.#inFlight.get(cq) ?? 0) + 1;
    this.#inFlight.set(cq, count);
    if (count > cq.cqe) cq.overran = true;
  }

  override completed(cq: CqRecord, completion: WorkCompletion, request: WrRecord | undefined): void {
    if (request === undefined) {
      throw new LawBroken(
        laws.completesOnce,
        `completion of request ${completion.wrId} on ${cq.name} of machine ${cq.vm}, which was never posted`,
      );
    }
    this.#settleCount(cq, 1);
    this.#place(cq, completion, request);
    if (request.state === 'discarded') {
      // It completed before the queue pair was reset or destroyed and stayed in the completion queue.
      request.state = 'completed';
      return;
    }
    if (request.state !== 'posted')
      throw new LawBroken(laws.completesOnce, `${what(request)} completed again (${request.state} before)`);
    // What comes before a request of the life behind a reset, and whether anything failed, is known with the answer alone.
    if (request.behindReset !== true) {
      this.#passEarlier(cq, request);
      this.#afterError(completion, request);
    }
    request.state = 'completed';
  }

  #place(cq: CqRecord, completion: WorkCompletion, request: WrRecord): void {
    const { qp } = request;
    const wanted = request.send ? qp.sendCq : qp.recvCq;
    if (cq !== wanted)
      throw new LawBroken(
        laws.completesInPlace,
        `${what(request)} completed on ${cq.name} instead of ${wanted.name}`,
      );
    if (completion.qpNum !== qp.handle.qpNum) {
      throw new LawBroken(
        laws.completesInPlace,
        `${what(request)} completed with queue pair number ${completion.qpNum} instead of ${qp.handle.qpNum}`,
      );
    }
    if (completion.status !== WcStatus.SUCCESS) return;
    if (request.send && !request.signaled)
      throw new LawBroken(laws.completesOnce, `${what(request)} is unsignaled and completed with success`);
    const right = request.send
      ? completion.opcode === completionOpcode[request.opcode]
      : completion.opcode === WcOpcode.RECV || completion.opcode === WcOpcode.RECV_RDMA_WITH_IMM;
    if (!right)
      throw new LawBroken(
        laws.completesInPlace,
        `${what(request)} completed with opcode ${completion.opcode}`,
      );
  }

  /** All requests before this one are done by now: unsignaled sends by implication, others must have completed. */
  #passEarlier(cq: CqRecord, request: WrRecord): void {
    const { qp, send } = request;
    const list = send ? qp.sends : qp.recvs;
    let done = send ? qp.sendsDone : qp.recvsDone;
    for (; done < list.length && list[done] !== request; done++) {
      const earlier = list[done];
      if (earlier.state !== 'posted') continue;
      if (earlier.send && !earlier.signaled) {
        earlier.state = 'implied';
        this.#settleCount(cq, 1);
      } else
        throw new LawBroken(
          laws.completesInOrder,
          `${what(request)} completed before request ${earlier.wrId} of the same queue`,
        );
    }
    done++;
    if (done > 512) {
      list.splice(0, done);
      done = 0;
    }
    if (send) qp.sendsDone = done;
    else qp.recvsDone = done;
  }

  #afterError(completion: WorkCompletion, request: WrRecord): void {
    const { qp, send } = request;
    const failed = send ? qp.sendFailed : qp.recvFailed;
    if (completion.status !== WcStatus.SUCCESS) {
      if (failed && qp.type === QpType.RC && completion.status !== WcStatus.WR_FLUSH_ERR) {
        throw new LawBroken(
          laws.flushesTheRest,
          `${what(request)} came behind an error with ${wcStatuses.nameOf(completion.status)} instead of WR_FLUSH_ERR`,
        );
      }
      if (send) qp.sendFailed = true;
      else qp.recvFailed = true;
    } else if (failed && qp.type === QpType.RC) {
      throw new LawBroken(laws.flushesTheRest, `${what(request)} succeeded behind an error`);
    }
  }

  #settleCount(cq: CqRecord, count: number): void {
    this.#inFlight.set(cq, (this.#inFlight.get(cq) ?? 0) - count);
  }

  override ended(): void {
    for (const qp of this.#qps) {
      const left = this.#leftOver(qp);
      if (left === undefined) continue;
      throw new LawBroken(
        laws.completesOnce,
        `${what(left)}, never completed although nothing is left to happen`,
      );
    }
  }

  override owes(): boolean {
    return this.#qps.some(qp => this.#leftOver(qp) !== undefined);
  }

  /** The first request that has to complete and has not. */
  #leftOver(qp: QpRecord): WrRecord | undefined {
    if (!qp.alive) return undefined;
    const inError = qp.state === QpState.ERR || (qp.type === QpType.RC && (qp.sendFailed || qp.recvFailed));
    const flushed = new Set<boolean>();
    if (inError) flushed.add(true).add(false);
    for (const request of [...qp.sends.slice(qp.sendsDone), ...qp.recvs.slice(qp.recvsDone)]) {
      if (request.state !== 'posted') continue;
      const cq = request.send ? qp.sendCq : qp.recvCq;
      if (cq.overran || qp.sendCq.overran || qp.recvCq.overran) continue;
      // An unsignaled send that is left over may have succeeded in silence.
      if (request.send && !request.signaled) continue;
      if (flushed.has(request.send) || (request.send && !mayWaitForEver(qp))) return request;
    }
    return undefined;
  }
}

function what({ wrId, qp }: WrRecord): string {
  return `request ${wrId} of ${qp.name}, machine ${qp.vm}`;
}

/** Sends that may rightly be outstanding when nothing moves: held by SQD, or waiting without end for a peer. */
function mayWaitForEver(qp: QpRecord): boolean {
  if (qp.state === QpState.SQD) return true;
  if (qp.type !== QpType.RC) return false;
  return qp.attributes.rnrRetry === 7 || qp.attributes.timeout === 0;
}
