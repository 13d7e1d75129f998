/**
 * What the RC requester does with what comes back: acknowledges, NAKs, read responses (IBTA 9.7).
 * An answer vouches for all requests before the one it names; a read is vouched for only by its own responses.
 */
import { WcStatus, WrOpcode } from '../abi/index.js';
import { operationOf, PacketOperation } from '../fabric/index.js';
import type { Packet } from '../fabric/index.js';
import { psnAdd, psnDistance } from './psn.js';
import type { QueuePair } from './queue-pair.js';
import type { RetryCounters } from './retry.js';
import { nakStatus, Syndrome, syndromeKind, SyndromeKind } from './syndrome.js';
import type { SendSlot } from './work-queue.js';

const { ACKNOWLEDGE, READ_RESPONSE_LAST, READ_RESPONSE_ONLY } = PacketOperation;

/** A requester, as what comes back acts on it. */
export interface Answered {
  readonly qp: QueuePair;
  readonly retry: RetryCounters;
  /** First sequence number that was never sent. */
  readonly sentPsn: number;
  /** Oldest sequence number that is not acknowledged. */
  ackPsn: number;
  /** A receiver was not ready, and the time that it named is not over. */
  readonly waitingRnr: boolean;
  /** Completes the oldest request, all of which is acknowledged. */
  completeOldest(slot: SendSlot): void;
  /** The peer's answer was worked in: go on from the oldest packet it has not got, and watch the time again. */
  answered(): void;
  /** A packet was lost: sends again from the oldest unacknowledged one, if a try is left. */
  repeat(): void;
  /** The receiver was not ready: waits for the time it named, then sends again. */
  waitForReceiver(timerCode: number): void;
  restoreRetries(): void;
}

export function receiveResponse(requester: Answered, packet: Packet): void {
  // What names a packet that is acknowledged already, or was never sent, is stale.
  if (psnDistance(packet.psn, requester.ackPsn) < 0) return;
  if (psnDistance(packet.psn, requester.sentPsn) >= 0) return;
  if (operationOf(packet.opcode) === ACKNOWLEDGE) receiveAcknowledge(requester, packet);
  else receiveReadResponse(requester, packet);
}

function receiveAcknowledge(requester: Answered, packet: Packet): void {
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

function receiveReadResponse(requester: Answered, packet: Packet): void {
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
function acknowledgeBefore(requester: Answered, psn: number): boolean {
  if (psn === requester.ackPsn) return requester.qp.sending;
  return acknowledgeThrough(requester, psnAdd(psn, -1));
}

/**
 * Completes the requests whose last packet is not after `psn`, oldest first. A read in between whose responses have not
 * come means that they were lost: it is asked for again (an implied NAK) [DATA-80].
 */
function acknowledgeThrough(requester: Answered, psn: number): boolean {
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

function impliedNak(requester: Answered): void {
  if (!requester.retry.repeating && !requester.waitingRnr) requester.repeat();
  requester.answered();
}
