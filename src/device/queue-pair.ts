/** A queue pair bound to its two virtqueues: requests go from the rings to the HCA, and back when they are done. */
import { QpState, QpType, WcStatus, pathMtuBytes } from '../abi/index.js';
import type { HcaPd, HcaQp, HcaQpOwner } from '../reference/hca.js';
import { VerbsError } from '../verbs/index.js';
import type { QpAttributes, QpCap } from '../verbs/index.js';
import type { DescriptorChain } from '../virtio/index.js';
import type { CompletionQueueBinding } from './completion-queue.js';
import type { DeviceContext } from './context.js';
import { RequestQueue } from './request-queue.js';
import type { RequestTools } from './request-queue.js';

export interface QueuePairInit {
  readonly qpn: number;
  readonly pd: HcaPd;
  readonly type: QpType;
  readonly sqSigAll: boolean;
  readonly sendCq: CompletionQueueBinding;
  readonly recvCq: CompletionQueueBinding;
  readonly cap: QpCap;
}

export class QueuePairBinding implements HcaQpOwner {
  readonly qpn: number;
  readonly sendCq: CompletionQueueBinding;
  readonly recvCq: CompletionQueueBinding;
  readonly hcaQp: HcaQp;
  readonly sendQueue: SendQueue;
  readonly recvQueue: RecvQueue;
  readonly #context: DeviceContext;

  /** Creates the HCA's queue pair; throws the HCA's VerbsError when it refuses. */
  constructor(context: DeviceContext, tools: RequestTools, init: QueuePairInit) {
    const { qpn, pd, type, sqSigAll, sendCq, recvCq, cap } = init;
    this.#context = context;
    this.qpn = qpn;
    this.sendCq = sendCq;
    this.recvCq = recvCq;
    const hcaInit = { type, sqSigAll, sendCq: sendCq.hcaCq, recvCq: recvCq.hcaCq, cap };
    const qp = context.hca.createQp(pd, hcaInit, this, qpn);
    const shape = { cap: qp.cap, datagrams: type === QpType.UD || type === QpType.GSI };
    this.hcaQp = qp;
    this.sendQueue = new SendQueue(context, {
      qp,
      shape,
      tools,
      index: context.queueMap.sq(qpn),
      capacity: qp.cap.maxSendWr,
      readFrom: QpState.RTS,
    });
    this.recvQueue = new RecvQueue(context, {
      qp,
      shape,
      tools,
      index: context.queueMap.rq(qpn),
      capacity: qp.cap.maxRecvWr,
      readFrom: QpState.INIT,
    });
  }

  sendRetired(_qp: HcaQp, cookie: number): void {
    this.sendQueue.retired(cookie);
  }

  recvRetired(_qp: HcaQp, cookie: number): void {
    this.recvQueue.retired(cookie);
    this.sendQueue.stateMayHaveChanged();
  }

  /**
   * Changes attributes; throws the HCA's VerbsError, having changed nothing, when it refuses. Requests that were made
   * available before count as posted in the old state.
   */
  modify(attributes: QpAttributes): void {
    const sendsLeft = this.sendQueue.readAvailable();
    const recvsLeft = this.recvQueue.readAvailable();
    this.#context.hca.modifyQp(this.hcaQp, attributes);
    const state = attributes.qpState;
    if (state === undefined) return;
    if (state === QpState.RESET) this.#discard(sendsLeft, recvsLeft);
    this.sendQueue.setState(state);
    this.recvQueue.setState(state);
  }

  /** Destroys the HCA's queue pair and returns all chains. */
  destroy(): void {
    this.#context.hca.destroyQp(this.hcaQp);
    this.#discard();
    this.close();
  }

  /** Forgets the rings; the HCA's queue pair is gone. */
  close(): void {
    this.sendQueue.close();
    this.recvQueue.close();
  }

  /** The completion queue overran, which puts the queue pair into ERR. */
  completionQueueOverran(): void {
    this.sendQueue.stateMayHaveChanged();
    this.recvQueue.stateMayHaveChanged();
  }

  /** What was completed before is delivered before the answer, so that the number can be used again without confusion. */
  #discard(sends?: number, recvs?: number): void {
    this.sendQueue.discardUnread(sends);
    this.recvQueue.discardUnread(recvs);
    this.sendCq.deliverAll();
    this.recvCq.deliverAll();
  }
}

class SendQueue extends RequestQueue {
  protected override post(chain: DescriptorChain): void {
    const { hca } = this.context;
    const { decoder, findAh } = this.tools;
    const { head } = chain;
    const sound = decoder.decodeSend(chain, this.shape, findAh);
    this.noteId(decoder.send.wrId);
    if (!sound) {
      hca.postFaultySend(this.qp, decoder.send.wrId, WcStatus.LOC_QP_OP_ERR, head);
      return;
    }
    try {
      hca.postSend(this.qp, decoder.send, head);
    } catch (error) {
      if (!(error instanceof VerbsError)) throw error;
      hca.postFaultySend(this.qp, decoder.send.wrId, this.#faultStatus(), head);
    }
  }

  /** Why the HCA refused a well-formed request: its length, or its kind. */
  #faultStatus(): WcStatus {
    const { port } = this.context.hca;
    const longest = this.shape.datagrams ? pathMtuBytes(port.activeMtu) : port.maxMsgSizeBytes;
    return this.tools.decoder.payloadBytes > longest ? WcStatus.LOC_LEN_ERR : WcStatus.LOC_QP_OP_ERR;
  }
}

class RecvQueue extends RequestQueue {
  protected override post(chain: DescriptorChain): void {
    const { hca } = this.context;
    const { decoder } = this.tools;
    const { head } = chain;
    const sound = decoder.decodeRecv(chain, this.shape);
    this.noteId(decoder.recv.wrId);
    if (!sound) {
      hca.postFaultyRecv(this.qp, decoder.recv.wrId, WcStatus.LOC_QP_OP_ERR, head);
      return;
    }
    try {
      hca.postRecv(this.qp, decoder.recv, head);
    } catch (error) {
      if (!(error instanceof VerbsError)) throw error;
      hca.postFaultyRecv(this.qp, decoder.recv.wrId, WcStatus.LOC_QP_OP_ERR, head);
    }
  }
}
