/**
 * A queue pair: state, attributes and two work queues. The requester half sends what stands in the send queue; the
 * responder half answers a peer and fills receives. Both act in small steps, as one task of the scheduler.
 */
import { AccessFlag, QpState, QpType, SendFlag, WcFlag, WcOpcode, WcStatus, WrOpcode } from '../abi/index.js';
import { pathMtuBytes } from '../abi/index.js';
import { transportOf } from '../fabric/index.js';
import type { Packet, Task } from '../fabric/index.js';
import type { QpCap, QpInit } from '../verbs/index.js';
import type { CompletionQueue, CqUser } from './completion-queue.js';
import type { HcaQp, HcaQpOwner } from './hca.js';
import type { FunctionContext } from './function-context.js';
import { PacketSender } from './packet-sender.js';
import type { Halves, Requester, Responder } from './qp-halves.js';
import { initialValues } from './qp-values.js';
import type { QpValues } from './qp-values.js';
import type { ProtectionDomain } from './protection-domain.js';
import { RecvQueue, SendQueue } from './work-queue.js';
import type { SendSlot } from './work-queue.js';

/** Only the status counts in a completion with an error; the opcode is zero then [CQ-26]. */
const NO_OPCODE = WcOpcode.SEND;

/** Completions that one step of a flush writes. */
const FLUSH_BURST = 64;

export class QueuePair implements HcaQp, CqUser {
  readonly kind = 'hca-qp';
  readonly context: FunctionContext;
  readonly qpNum: number;
  readonly type: QpType;
  readonly cap: QpCap;
  readonly sqSigAll: boolean;
  readonly pd: ProtectionDomain;
  readonly sendCq: CompletionQueue;
  readonly recvCq: CompletionQueue;
  readonly sendQueue: SendQueue;
  readonly recvQueue: RecvQueue;
  readonly sender: PacketSender;
  readonly requester: Requester;
  readonly responder: Responder;
  readonly values: QpValues = initialValues();
  state: QpState = QpState.RESET;
  draining = false;
  destroyed = false;
  readonly #owner: HcaQpOwner;
  readonly #task: Task = { run: () => this.#step() };
  #posted = false;

  constructor(
    context: FunctionContext,
    qpNum: number,
    pd: ProtectionDomain,
    init: QpInit<CompletionQueue>,
    owner: HcaQpOwner,
    halvesOf: (qp: QueuePair) => Halves,
  ) {
    const { cap } = init;
    this.context = context;
    this.qpNum = qpNum;
    this.type = init.type;
    this.cap = { ...cap };
    this.sqSigAll = init.sqSigAll;
    this.pd = pd;
    this.sendCq = init.sendCq;
    this.recvCq = init.recvCq;
    this.#owner = owner;
    const { keys } = context;
    this.sendQueue = new SendQueue(cap.maxSendWr, cap.maxSendSge, cap.maxInlineData, keys, pd);
    this.recvQueue = new RecvQueue(cap.maxRecvWr, cap.maxRecvSge, keys, pd);
    this.sender = new PacketSender(this);
    ({ requester: this.requester, responder: this.responder } = halvesOf(this));
  }

  get isRc(): boolean {
    return this.type === QpType.RC;
  }

  /** Bytes of the largest payload: the path MTU, or for datagrams what the port carries. */
  get mtuBytes(): number {
    const connected = this.type === QpType.RC || this.type === QpType.UC;
    return pathMtuBytes(connected ? this.values.pathMtu : this.context.port.activeMtu);
  }

  get allowsRemoteWrite(): boolean {
    return (this.values.qpAccessFlags & AccessFlag.REMOTE_WRITE) !== 0;
  }
  get allowsRemoteRead(): boolean {
    return (this.values.qpAccessFlags & AccessFlag.REMOTE_READ) !== 0;
  }

  /** Whether requests of a peer are taken. */
  get receiving(): boolean {
    return this.state >= QpState.RTR && this.state <= QpState.SQE;
  }

  /** Whether the requester works on requests that have started. */
  get sending(): boolean {
    return this.state === QpState.RTS || this.state === QpState.SQD;
  }

  /** There may be something to do: a step follows. */
  kick(): void {
    if (this.#posted || this.destroyed) return;
    this.#posted = true;
    this.context.scheduler.post(this.#task);
  }

  /**
   * Completes the oldest send. Every status but SUCCESS is written whether the request was signaled or not (IBTA
   * 10.7.3.1). Anything may have changed when this returns: the owner is called.
   */
  completeSend(status: WcStatus): void {
    const slot = this.sendQueue.at(this.sendQueue.head);
    const { wrId, cookie, length, opcode } = slot;
    const signaled = this.sqSigAll || (slot.flags & SendFlag.SIGNALED) !== 0;
    this.sendQueue.head++;
    if (this.draining && this.sendQueue.head >= this.requester.started) this.draining = false;
    this.#owner.sendRetired(this, cookie);
    if (status !== WcStatus.SUCCESS) this.sendCq.add(wrId, status, NO_OPCODE, this.qpNum, 0, 0, 0, 0, true);
    else if (signaled) {
      const read = opcode === WrOpcode.RDMA_READ;
      this.sendCq.add(wrId, status, sendOpcode(slot.opcode), this.qpNum, read ? length : 0, 0, 0, 0, false);
    }
  }

  /** Completes the oldest receive without success. */
  failReceive(status: WcStatus): void {
    const slot = this.recvQueue.at(this.recvQueue.head);
    const { wrId, cookie } = slot;
    this.recvQueue.head++;
    this.#owner.recvRetired(this, cookie);
    this.recvCq.add(wrId, status, NO_OPCODE, this.qpNum, 0, 0, 0, 0, true);
  }

  /** Completes the oldest receive with what `packet`, the last of its message, says. */
  completeReceive(opcode: WcOpcode, byteLen: number, packet: Packet, withImmediate: boolean): void {
    const slot = this.recvQueue.at(this.recvQueue.head);
    const { wrId, cookie } = slot;
    const datagram = this.type === QpType.UD || this.type === QpType.GSI;
    const flags = (datagram ? WcFlag.GRH : 0) | (withImmediate ? WcFlag.WITH_IMM : 0);
    const immediate = withImmediate ? packet.immediate : 0;
    const sourceQpn = datagram ? packet.sourceQpn : 0;
    const { solicited } = packet;
    this.recvQueue.head++;
    this.#owner.recvRetired(this, cookie);
    const { SUCCESS } = WcStatus;
    this.recvCq.add(wrId, SUCCESS, opcode, this.qpNum, byteLen, immediate, sourceQpn, flags, solicited);
  }

  /** The oldest send failed: it completes so, then RC is in error altogether, UC and UD only on the send side. */
  failSend(status: WcStatus): void {
    this.requester.stop();
    if (this.isRc) this.enterError();
    else {
      this.state = QpState.SQE;
      this.draining = false;
    }
    this.completeSend(status);
    this.kick();
  }

  /** The responder refused a request: in error, and the receive in use, if any, completes first. */
  failReceiver(status: WcStatus | undefined): void {
    this.enterError();
    if (status !== undefined) this.failReceive(status);
  }

  /** Everything that is queued, and everything posted from here on, completes WR_FLUSH_ERR in later steps. */
  enterError(): boolean {
    if (this.state === QpState.ERR || this.state === QpState.RESET) return false;
    this.state = QpState.ERR;
    this.draining = false;
    this.requester.stop();
    this.responder.stop();
    this.kick();
    return true;
  }

  /** Retires all requests without completions and forgets everything, numbers and attributes too. */
  enterReset(): void {
    this.state = QpState.RESET;
    this.draining = false;
    this.requester.stop();
    this.responder.stop();
    this.requester.setPsn(0);
    this.responder.expectedPsn = 0;
    this.sender.clear();
    Object.assign(this.values, initialValues());
    this.#discard();
  }

  /** Stops for ever: retires all requests, in silence if `owner` is not to be told. */
  destroy(tellOwner: boolean): void {
    this.destroyed = true;
    this.state = QpState.RESET;
    this.requester.stop();
    this.responder.stop();
    if (tellOwner) this.#discard();
  }

  /** Flushes the send queue at once, before SQE is left. */
  flushSends(): void {
    while (!this.sendQueue.empty) this.completeSend(WcStatus.WR_FLUSH_ERR);
  }

  /** A packet of the peer has arrived, and the state allows it. */
  receive(packet: Packet, isResponse: boolean): void {
    if (isResponse) this.requester.receive(packet);
    else this.responder.receive(packet);
  }

  /** Whether the packet's transport service is this queue pair's. */
  speaks(packet: Packet): boolean {
    return transportOf(packet.opcode) === this.sender.transport;
  }

  /** Connected queue pairs take packets of their peer only. */
  knowsSender(packet: Packet): boolean {
    if (this.type !== QpType.RC && this.type !== QpType.UC) return true;
    const { ahAttr, destQpNum } = this.values;
    return ahAttr !== undefined && packet.sourceGid === ahAttr.dgid && packet.sourceQpn === destQpNum;
  }

  #step(): void {
    this.#posted = false;
    if (this.destroyed) return;
    let more = false;
    if (this.state === QpState.ERR) more = this.#flush();
    else {
      if (this.receiving && this.responder.work()) more = true;
      if (this.state === QpState.SQE) more = this.#flushSome() || more;
      else if (this.sending && this.requester.work()) more = true;
    }
    if (more) this.kick();
  }

  #flushSome(): boolean {
    for (let i = 0; i < FLUSH_BURST && !this.sendQueue.empty; i++) this.completeSend(WcStatus.WR_FLUSH_ERR);
    return !this.sendQueue.empty;
  }

  #flush(): boolean {
    const more = this.#flushSome();
    for (let i = 0; i < FLUSH_BURST && !this.recvQueue.empty; i++) this.failReceive(WcStatus.WR_FLUSH_ERR);
    return more || !this.recvQueue.empty;
  }

  #discard(): void {
    const { sendQueue, recvQueue } = this;
    while (!sendQueue.empty) {
      const { cookie } = sendQueue.at(sendQueue.head++);
      this.#owner.sendRetired(this, cookie);
    }
    while (!recvQueue.empty) {
      const { cookie } = recvQueue.at(recvQueue.head++);
      this.#owner.recvRetired(this, cookie);
    }
  }
}

function sendOpcode(opcode: SendSlot['opcode']): WcOpcode {
  switch (opcode) {
    case WrOpcode.RDMA_READ:
      return WcOpcode.RDMA_READ;
    case WrOpcode.RDMA_WRITE:
    case WrOpcode.RDMA_WRITE_WITH_IMM:
      return WcOpcode.RDMA_WRITE;
    default:
      return WcOpcode.SEND;
  }
}
