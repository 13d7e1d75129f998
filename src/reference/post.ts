/** Posting: what is refused at once, and how a request is copied into its queue. */
import { QpState, QpType, SendFlag, WcStatus, WrOpcode } from '../abi/index.js';
import { VerbsError, opcodeFits } from '../verbs/index.js';
import type { Errno, RecvWorkRequest, SendWorkRequest } from '../verbs/index.js';
import { AddressHandle } from './address-handle.js';
import type { HcaAh } from './hca.js';
import type { QueuePair } from './queue-pair.js';
import type { RecvSlot, SendSlot } from './work-queue.js';

const KNOWN_FLAGS = SendFlag.FENCE | SendFlag.SIGNALED | SendFlag.SOLICITED | SendFlag.INLINE;

/** Throws EINVAL (state, then content) or ENOMEM (queue full); these are looked at in this order. */
export function postSend(qp: QueuePair, request: SendWorkRequest<HcaAh>, cookie: number): void {
  const { ah } = request;
  const datagram = isDatagram(qp);
  checkSendState(qp);
  const length = checkSend(qp, request);
  const slot = takeSendSlot(qp, request.wrId, cookie);
  slot.opcode = request.opcode;
  slot.flags = request.sendFlags;
  slot.length = length;
  slot.immediate = (request.immData ?? 0) >>> 0;
  slot.remoteAddress = request.remoteAddr ?? 0;
  slot.rkey = (request.rkey ?? 0) >>> 0;
  slot.address = undefined;
  if ((slot.flags & SendFlag.INLINE) === 0) qp.sendQueue.sges.set(slot.index, request.sges);
  else if (request.inlineData !== undefined) qp.sendQueue.setInline(slot, request.inlineData);
  if (datagram) {
    slot.remoteQpn = (request.remoteQpn ?? 0) & 0xff_ffff;
    slot.remoteQkey = (request.remoteQkey ?? 0) >>> 0;
    // A handle that is gone, or of another domain, is found when the request is executed.
    if (ah instanceof AddressHandle && !ah.destroyed && ah.pd === qp.pd) slot.address = ah.attributes;
    else slot.localStatus = WcStatus.LOC_QP_OP_ERR;
  }
  finishSend(qp);
}

/** A request found malformed by whoever carried it: it completes with `status` when its turn comes. */
export function postFaultySend(qp: QueuePair, wrId: number, status: WcStatus, cookie: number): void {
  checkSendState(qp);
  const slot = takeSendSlot(qp, wrId, cookie);
  slot.opcode = WrOpcode.SEND;
  slot.flags = 0;
  slot.length = 0;
  slot.address = undefined;
  slot.localStatus = status;
  finishSend(qp);
}

export function postRecv(qp: QueuePair, request: RecvWorkRequest, cookie: number): void {
  checkRecvState(qp);
  if (request.sges.length > qp.cap.maxRecvSge)
    refuse('EINVAL', 'postRecv', 'more scatter elements than max_recv_sge');
  const slot = takeRecvSlot(qp, request.wrId, cookie);
  slot.capacity = qp.recvQueue.sges.set(slot.index, request.sges);
  finishRecv(qp);
}

export function postFaultyRecv(qp: QueuePair, wrId: number, status: WcStatus, cookie: number): void {
  checkRecvState(qp);
  const slot = takeRecvSlot(qp, wrId, cookie);
  slot.capacity = 0;
  slot.localStatus = status;
  finishRecv(qp);
}

/** Bytes of the message, or a refusal. */
function checkSend(qp: QueuePair, request: SendWorkRequest<HcaAh>): number {
  const { opcode, sendFlags, sges } = request;
  const read = opcode === WrOpcode.RDMA_READ;
  if (!opcodeFits(qp.type, opcode)) refuse('EINVAL', 'postSend', `opcode ${opcode} does not exist for it`);
  if ((sendFlags & ~KNOWN_FLAGS) !== 0) refuse('EINVAL', 'postSend', 'unknown bits in send_flags');
  if (read && qp.values.maxRdAtomic === 0) refuse('EINVAL', 'postSend', 'a read with max_rd_atomic 0');
  let length = 0;
  if ((sendFlags & SendFlag.INLINE) !== 0) {
    length = request.inlineData?.length ?? 0;
    if (read) refuse('EINVAL', 'postSend', 'a read cannot be inline');
    if (length > qp.cap.maxInlineData) refuse('EINVAL', 'postSend', 'more inline data than max_inline_data');
  } else {
    const most = read ? Math.min(qp.cap.maxSendSge, qp.context.attributes.maxSgeRd) : qp.cap.maxSendSge;
    if (sges.length > most) refuse('EINVAL', 'postSend', `${sges.length} list elements, at most ${most}`);
    for (let i = 0; i < sges.length; i++) length += sges[i].length;
  }
  if (isDatagram(qp)) {
    if (request.ah === undefined) refuse('EINVAL', 'postSend', 'a datagram without address handle');
    if (length > qp.mtuBytes) refuse('EINVAL', 'postSend', `a datagram of ${length} bytes is above the MTU`);
  }
  return length;
}

function isDatagram(qp: QueuePair): boolean {
  return qp.type === QpType.UD || qp.type === QpType.GSI;
}

function checkSendState(qp: QueuePair): void {
  if (qp.state < QpState.RTS) refuse('EINVAL', 'postSend', 'the queue pair is in RESET, INIT or RTR');
}

function checkRecvState(qp: QueuePair): void {
  if (qp.state === QpState.RESET) refuse('EINVAL', 'postRecv', 'the queue pair is in RESET');
}

function takeSendSlot(qp: QueuePair, wrId: number, cookie: number): SendSlot {
  if (qp.sendQueue.full) refuse('ENOMEM', 'postSend', 'max_send_wr requests are queued already');
  const slot = qp.sendQueue.at(qp.sendQueue.tail);
  slot.wrId = wrId;
  slot.cookie = cookie;
  slot.localStatus = WcStatus.SUCCESS;
  return slot;
}

function takeRecvSlot(qp: QueuePair, wrId: number, cookie: number): RecvSlot {
  if (qp.recvQueue.full) refuse('ENOMEM', 'postRecv', 'max_recv_wr receives are queued already');
  const slot = qp.recvQueue.at(qp.recvQueue.tail);
  slot.wrId = wrId;
  slot.cookie = cookie;
  slot.localStatus = WcStatus.SUCCESS;
  return slot;
}

function finishSend(qp: QueuePair): void {
  qp.sendQueue.tail++;
  qp.context.counters.sendRequests++;
  qp.kick();
}

function finishRecv(qp: QueuePair): void {
  qp.recvQueue.tail++;
  qp.context.counters.recvRequests++;
  if (qp.state === QpState.ERR) qp.kick();
}

function refuse(errno: Errno, verb: string, detail: string): never {
  throw new VerbsError(errno, verb, detail);
}
