/**
 * Posting sends. A request is checked, written into the next slot of the queue pair's request memory and published; nothing
 * is allocated. A slot is free again when the device has returned its chain.
 */
import {
  QpState,
  QpType,
  SendFlag,
  WrOpcode,
  pathMtuBytes,
  sendFlags,
  sge,
  sqReq,
  wrRdma,
  wrUd,
  writeLe64,
} from '../abi/index.js';
import { VerbsError, opcodeFits } from '../verbs/index.js';
import type { QueuePair, SendWorkRequest } from '../verbs/index.js';
import { isNatural, isU32, refuse } from './checks.js';
import type { DriverContext } from './context.js';
import { DriverAh, claimQp } from './objects.js';
import type { DriverQp } from './objects.js';
import type { DmaBuffer } from './guest-os.js';
import type { Session } from './session.js';
import { reclaim } from './reclaim.js';
import { checkElements, writeElements } from './request-elements.js';

const VERB = 'postSend';
/** No device gives an address handle this number. */
const NO_ADDRESS = 0xffff_ffff;
const { offsets } = sqReq;
const KNOWN_FLAGS = sendFlags.names.reduce((mask, name) => mask | sendFlags.values[name], 0);

export function postSend(context: DriverContext, handle: QueuePair, request: SendWorkRequest): void {
  const { session } = context;
  const qp = claimQp(session, VERB, handle);
  checkState(qp);
  const datagram = qp.type === QpType.UD || qp.type === QpType.GSI;
  const bytes = checkRequest(context, qp, request, datagram);
  const { send } = qp;
  const { queue } = send;
  if (queue.outstanding >= send.slots) {
    const fault = reclaim(send);
    if (fault !== undefined) throw session.fault(VERB, fault);
    if (queue.outstanding >= send.slots)
      throw new VerbsError('ENOMEM', VERB, `all ${send.slots} requests are outstanding`);
  }
  const slot = send.next;
  const at = slot * send.stride;
  const address = datagram ? addressNumber(session, request.ah) : undefined;
  const length = writeRequest(send.memory, at, request, address);
  queue.begin();
  queue.addReadable(send.memory.address + at, length);
  if (!queue.commit(slot))
    throw session.fault(VERB, queue.broken ?? `queue ${queue.index} has no room for a request`);
  send.next = slot + 1 === send.slots ? 0 : slot + 1;
  send.log.push(request.wrId, bytes);
  if (queue.publish()) session.notify(queue);
}

/** The device may have moved the queue pair on to SQE or ERR; there it flushes what is posted. */
function checkState(qp: DriverQp): void {
  const { state } = qp;
  if (state === QpState.RESET || state === QpState.INIT || state === QpState.RTR || qp.resetting > 0) {
    throw refuse(VERB, `queue pair ${qp.number} is in state ${state}`);
  }
}

/** Throws EINVAL for what no device could do. Returns the bytes that the request moves. */
function checkRequest(
  { session, limits }: DriverContext,
  qp: DriverQp,
  request: SendWorkRequest,
  datagram: boolean,
): number {
  const { opcode, sendFlags: flags } = request;
  if (!opcodeFits(qp.type, opcode)) throw refuse(VERB, `opcode ${opcode} on a queue pair of type ${qp.type}`);
  if ((flags & ~KNOWN_FLAGS) !== 0) throw refuse(VERB, `send flags ${flags} have unknown bits`);
  if (!isNatural(request.wrId)) throw refuse(VERB, `wrId ${request.wrId}`);
  const inline = (flags & SendFlag.INLINE) !== 0;
  const read = opcode === WrOpcode.RDMA_READ;
  if (read && qp.maxRdAtomic === 0) throw refuse(VERB, 'a read on a queue pair whose maxRdAtomic is 0');
  const most = read ? Math.min(qp.cap.maxSendSge, limits.maxSgeRd) : qp.cap.maxSendSge;
  const bytes = inline ? checkInline(qp, request) : checkElements(VERB, request.sges, most);
  if (datagram) checkDatagram(session, request, bytes);
  else if (!isNatural(request.remoteAddr ?? 0) || !isU32(request.rkey ?? 0)) {
    throw refuse(VERB, `remoteAddr ${request.remoteAddr} or rkey ${request.rkey} does not fit its field`);
  }
  if (!isU32(request.immData ?? 0)) throw refuse(VERB, `immData ${request.immData}`);
  return bytes;
}

function checkInline(qp: DriverQp, request: SendWorkRequest): number {
  if (request.opcode === WrOpcode.RDMA_READ) throw refuse(VERB, 'a read has no inline data');
  const length = request.inlineData?.length ?? 0;
  if (length > qp.cap.maxInlineData) {
    throw refuse(VERB, `${length} inline bytes, at most ${qp.cap.maxInlineData}`);
  }
  return length;
}

function checkDatagram(session: Session, request: SendWorkRequest, bytes: number): void {
  const { ah, remoteQpn, remoteQkey } = request;
  if (ah === undefined) throw refuse(VERB, 'a datagram needs an address handle');
  if (!isU32(remoteQpn ?? 0) || !isU32(remoteQkey ?? 0)) {
    throw refuse(VERB, `remoteQpn ${remoteQpn} or remoteQkey ${remoteQkey} does not fit its field`);
  }
  const mtu = pathMtuBytes(session.activeMtu);
  if (bytes > mtu) throw refuse(VERB, `a datagram of ${bytes} bytes, at most ${mtu}`);
}

/** A handle that is destroyed or none of ours: its number may be another's by now, so the request names nobody. */
function addressNumber(session: Session, ah: SendWorkRequest['ah']): number {
  return ah instanceof DriverAh && ah.session === session && ah.alive ? ah.number : NO_ADDRESS;
}

/**
 * Writes the request at `at`; reserved fields were zeroed when the memory was taken. `address` is there for a datagram.
 * Returns its length.
 */
function writeRequest(
  { view, bytes }: DmaBuffer,
  at: number,
  request: SendWorkRequest,
  address: number | undefined,
): number {
  writeLe64(view, at + offsets.wr_id, request.wrId);
  view.setUint8(at + offsets.opcode, request.opcode);
  view.setUint8(at + offsets.send_flags, request.sendFlags);
  view.setUint32(at + offsets.imm_data, request.immData ?? 0, false);
  if (address !== undefined) {
    const wr = at + offsets.wr;
    view.setUint32(wr + wrUd.offsets.remote_qpn, request.remoteQpn ?? 0, true);
    view.setUint32(wr + wrUd.offsets.remote_qkey, request.remoteQkey ?? 0, true);
    view.setUint32(wr + wrUd.offsets.ah, address, true);
  } else {
    writeLe64(view, at + offsets.wr + wrRdma.offsets.remote_addr, request.remoteAddr ?? 0);
    view.setUint32(at + offsets.wr + wrRdma.offsets.rkey, request.rkey ?? 0, true);
  }
  if ((request.sendFlags & SendFlag.INLINE) !== 0) {
    const length = request.inlineData?.length ?? 0;
    if (request.inlineData !== undefined) bytes.set(request.inlineData, at + offsets.inline_data);
    view.setUint32(at + offsets.num_sge, length, true);
    return sqReq.size;
  }
  view.setUint32(at + offsets.num_sge, request.sges.length, true);
  writeElements(view, at + sqReq.size, request.sges);
  return sqReq.size + request.sges.length * sge.size;
}
