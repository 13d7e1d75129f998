/**
 * What the RC requester does with what comes back: acknowledges, NAKs, read responses (IBTA 9.7).
 * An answer vouches for all requests before the one it names; a read is vouched for only by its own responses.
 */
import { WcStatus, WrOpcode } from '../abi/index.js';
import { operationOf, PacketOperation } from '../fabric/index.js';
import type { Packet } from '../fabric/index.js';
import { psnAdd, psnDistance } from './psn.js';
import type { RcRequester } from './requester.js';
import { nakStatus, Syndrome, syndromeKind, SyndromeKind } from './syndrome.js';
import type { SendSlot } from './work-queue.js';

const { ACKNOWLEDGE, READ_RESPONSE_LAST, READ_RESPONSE_ONLY } = PacketOperation;

export function receiveResponse(requester: RcRequester, packet: Packet): void {
  // What names a packet that is acknowledged already, or was never sent, is stale.
  if (psnDistance(packet.psn, requester.ackPsn) < 0) return;
  if (psnDistance(packet.psn, requester.sentPsn) >= 0) return;
  if (operationOf(packet.opcode) === ACKNOWLEDGE) receiveAcknowledge(requester, packet);
  else receiveReadResponse(requester, packet);
}

function receiveAcknowledge(requester: RcRequester, packet: Packet): void {
  const { psn, syndrome } = packet;
  switch (syndromeKind(syndrome)) {
    case SyndromeKind.ACK:
      if (acknowledgeThrough(requester, psn)) requester.answered();
      return;
    case SyndromeKind.RNR_NAK:
      if (!acknowledgeBefore(requester, psn)) return;
      requester.waitForReceiver(syndrome & 31);
      return requester.answered();
    case SyndromeKind.NAK:
      if (!acknowledgeBefore(requester, psn)) return;
      if (syndrome === Syndrome.NAK_SEQUENCE) {
        if (!requester.retry.repeating && !requester.waitingRnr) requester.repeat();
        return requester.answered();
      }
      return requester.qp.failSend(nakStatus(syndrome));
    default:
      // A reserved kind of syndrome says nothing.
      return;
  }
}

function receiveReadResponse(requester: RcRequester, packet: Packet): void {
  const { qp } = requester;
  const { psn, payloadLength } = packet;
  if (!acknowledgeBefore(requester, psn)) return;
  const { sendQueue } = qp;
  const slot = sendQueue.at(sendQueue.head);
  if (slot.opcode !== WrOpcode.RDMA_READ) return qp.failSend(WcStatus.BAD_RESP_ERR);
  const offset = psnDistance(psn, slot.firstPsn) * qp.mtuBytes;
  const rest = slot.length - offset;
  const last = psn === slot.lastPsn;
  if (endsRead(packet.opcode) !== last) return qp.failSend(WcStatus.BAD_RESP_ERR);
  if (payloadLength !== (last ? rest : qp.mtuBytes)) return qp.failSend(WcStatus.LOC_LEN_ERR);
  if (!sendQueue.sges.scatter(slot.index, offset, packet.payload, payloadLength))
    return qp.failSend(WcStatus.LOC_PROT_ERR);
  requester.restoreRetries();
  requester.ackPsn = psnAdd(psn, 1);
  if (last) requester.completeOldest(slot);
  requester.answered();
}

function endsRead(opcode: number): boolean {
  const operation = operationOf(opcode);
  return operation === READ_RESPONSE_LAST || operation === READ_RESPONSE_ONLY;
}

/** Acknowledges everything before `psn`. False when the answer ends there: a read is missing, or the queue has failed. */
function acknowledgeBefore(requester: RcRequester, psn: number): boolean {
  if (psn === requester.ackPsn) return requester.qp.sending;
  return acknowledgeThrough(requester, psnAdd(psn, -1));
}

/**
 * Completes the requests whose last packet is not after `psn`, oldest first. A read in between whose responses have not
 * come means that they were lost: it is asked for again (an implied NAK) [DATA-80].
 */
function acknowledgeThrough(requester: RcRequester, psn: number): boolean {
  const { qp } = requester;
  const { sendQueue } = qp;
  while (psnDistance(psn, requester.ackPsn) >= 0) {
    const slot = sendQueue.at(sendQueue.head);
    if (slot.opcode === WrOpcode.RDMA_READ) {
      impliedNak(requester);
      return false;
    }
    requester.restoreRetries();
    if (!lastAcknowledged(slot, psn)) {
      requester.ackPsn = psnAdd(psn, 1);
      return true;
    }
    requester.completeOldest(slot);
    if (!qp.sending) return false;
  }
  return true;
}

function lastAcknowledged(slot: SendSlot, psn: number): boolean {
  return slot.localStatus === WcStatus.SUCCESS && psnDistance(psn, slot.lastPsn) >= 0;
}

function impliedNak(requester: RcRequester): void {
  if (!requester.retry.repeating && !requester.waitingRnr) requester.repeat();
  requester.answered();
}
