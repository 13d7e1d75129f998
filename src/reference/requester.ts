/**
 * The requester of RC (IBTA 9.7): sends requests in order, keeps them until the peer has acknowledged them, repeats what
 * was lost (requester-responses.ts hands in what came back), and completes them in order.
 */
import { QpState, SendFlag, WcStatus, WrOpcode } from '../abi/index.js';
import { PacketOperation, Timer } from '../fabric/index.js';
import type { Packet } from '../fabric/index.js';
import { psnAdd, psnDistance } from './psn.js';
import type { Requester } from './qp-halves.js';
import type { QueuePair } from './queue-pair.js';
import { fillRequestPacket, localFault } from './request-packet.js';
import { receiveResponse } from './requester-responses.js';
import type { Answered } from './requester-responses.js';
import {
  ackTimeoutNs,
  endlessRnrNs,
  PACKET_BURST,
  RetryCounters,
  RNR_RETRY_ENDLESS,
  rnrTimerNs,
} from './retry.js';
import { packetCount } from './segmentation.js';
import type { SendSlot } from './work-queue.js';

/** Sequence numbers in flight at most; a read counts all its responses, and one read may exceed the window alone. */
const PSN_WINDOW = 256;

/** An acknowledge is asked for in the last packet of a message and in every 32nd. */
const ACK_EVERY_PACKETS = 32;

export class RcRequester implements Requester, Answered {
  /** First sequence number that no request has. */
  newPsn = 0;
  sentPsn = 0;
  ackPsn = 0;
  /** Position behind the last request that has sequence numbers. */
  started = 0;
  readonly retry = new RetryCounters();
  readonly qp: QueuePair;

  /** The next packet to go: of which request, which sequence number. Repeating moves them back. */
  #nextPosition = 0;
  #nextPsn = 0;
  #readsOutstanding = 0;
  #waitingRnr = false;
  readonly #ackTimer: Timer;
  readonly #rnrTimer: Timer;
  readonly #linkTimer: Timer;

  constructor(qp: QueuePair) {
    this.qp = qp;
    this.#ackTimer = new Timer({ run: () => this.#timeOut() });
    this.#rnrTimer = new Timer({ run: () => this.#endRnrWait() });
    this.#linkTimer = new Timer({ run: () => qp.kick() });
  }

  setPsn(psn: number): void {
    this.newPsn = psn;
    this.sentPsn = psn;
    this.ackPsn = psn;
    this.#nextPsn = psn;
    this.restoreRetries();
  }

  /** Whether packets were sent that the peer has not acknowledged. */
  get unacknowledged(): boolean {
    return this.ackPsn !== this.sentPsn;
  }

  get waitingRnr(): boolean {
    return this.#waitingRnr;
  }

  receive(packet: Packet): void {
    receiveResponse(this, packet);
  }

  work(): boolean {
    for (let packets = 0; packets < PACKET_BURST; packets++) if (!this.#workOnce()) return false;
    return true;
  }

  stop(): void {
    const { scheduler } = this.qp.context;
    scheduler.cancel(this.#ackTimer);
    scheduler.cancel(this.#rnrTimer);
    scheduler.cancel(this.#linkTimer);
    this.#waitingRnr = false;
    this.#readsOutstanding = 0;
    this.#nextPosition = this.qp.sendQueue.tail;
    this.started = this.qp.sendQueue.tail;
    this.ackPsn = this.newPsn;
    this.sentPsn = this.newPsn;
    this.#nextPsn = this.newPsn;
  }

  retriesChanged(): void {
    this.restoreRetries();
  }

  restoreRetries(): void {
    this.retry.restore(this.qp.values.retryCnt, this.qp.values.rnrRetry);
  }

  completeOldest(slot: SendSlot): void {
    if (slot.opcode === WrOpcode.RDMA_READ) this.#readsOutstanding--;
    this.ackPsn = psnAdd(slot.lastPsn, 1);
    this.qp.completeSend(WcStatus.SUCCESS);
  }

  answered(): void {
    if (!this.qp.sending) return;
    if (psnDistance(this.#nextPsn, this.ackPsn) < 0) this.#goTo(this.ackPsn);
    if (this.unacknowledged && !this.#waitingRnr) this.#armAckTimer();
    else this.qp.context.scheduler.cancel(this.#ackTimer);
    if (this.#nextPosition < this.qp.sendQueue.tail) this.qp.kick();
  }

  repeat(): void {
    if (this.retry.retryLeft === 0) return this.qp.failSend(WcStatus.RETRY_EXC_ERR);
    this.retry.retryLeft--;
    this.retry.repeating = true;
    this.#goTo(this.ackPsn);
    this.#armAckTimer();
    this.qp.kick();
  }

  waitForReceiver(timerCode: number): void {
    const { retry, qp } = this;
    if (this.#waitingRnr) return;
    const endless = qp.values.rnrRetry === RNR_RETRY_ENDLESS;
    // Without end, nothing is ever spent.
    if (retry.rnrLeft === 0) return qp.failSend(WcStatus.RNR_RETRY_EXC_ERR);
    if (!endless) retry.rnrLeft--;
    this.#waitingRnr = true;
    retry.repeating = false;
    this.#goTo(this.ackPsn);
    qp.context.scheduler.cancel(this.#ackTimer);
    const wait = endless ? endlessRnrNs(timerCode, retry.rnrWaits) : rnrTimerNs(timerCode);
    retry.rnrWaits++;
    qp.context.scheduler.arm(this.#rnrTimer, wait, endless ? 'endless' : 'timer');
  }

  /** Sends one packet, or starts what can start. False when nothing can be done now. */
  #workOnce(): boolean {
    const { qp } = this;
    const { sendQueue } = qp;
    if (this.#waitingRnr || !qp.sending || this.#nextPosition === sendQueue.tail) return false;
    const slot = sendQueue.at(this.#nextPosition);
    if (this.#nextPosition === this.started && !this.#start(slot)) return false;
    if (slot.localStatus !== WcStatus.SUCCESS) {
      // It completes when everything before it has.
      if (this.#nextPosition === sendQueue.head) qp.failSend(slot.localStatus);
      return false;
    }
    const inFlight = psnDistance(this.#nextPsn, this.ackPsn);
    if (inFlight >= PSN_WINDOW) return false;
    const wait = qp.sender.linkWaitNs;
    if (wait > 0) {
      qp.context.scheduler.arm(this.#linkTimer, wait, 'wire');
      return false;
    }
    if (slot.opcode === WrOpcode.RDMA_READ) this.#sendRead(slot);
    else if (!this.#sendData(slot)) return true;
    if (psnDistance(this.#nextPsn, this.sentPsn) > 0) this.sentPsn = this.#nextPsn;
    if (!this.#ackTimer.armed) this.#armAckTimer();
    return true;
  }

  /** Gives a request its sequence numbers, if it may start. */
  #start(slot: SendSlot): boolean {
    const { qp } = this;
    if (qp.state !== QpState.RTS) return false;
    if ((slot.flags & SendFlag.FENCE) !== 0 && this.#readsOutstanding > 0) return false;
    const read = slot.opcode === WrOpcode.RDMA_READ;
    if (read && qp.values.maxRdAtomic === 0) slot.localStatus = WcStatus.LOC_QP_OP_ERR;
    else if (read && this.#readsOutstanding >= qp.values.maxRdAtomic) return false;
    slot.localStatus = localFault(qp, slot);
    slot.firstPsn = this.newPsn;
    this.started = this.#nextPosition + 1;
    if (slot.localStatus !== WcStatus.SUCCESS) return true;
    const packets = packetCount(slot.length, qp.mtuBytes);
    slot.lastPsn = psnAdd(this.newPsn, packets - 1);
    this.newPsn = psnAdd(this.newPsn, packets);
    if (read) this.#readsOutstanding++;
    return true;
  }

  /** A repeated read asks only for what has not come yet: address advanced, length reduced [DATA-80]. */
  #sendRead(slot: SendSlot): void {
    const { qp } = this;
    const offset = psnDistance(this.#nextPsn, slot.firstPsn) * qp.mtuBytes;
    const packet = qp.sender.newPacket(PacketOperation.READ_REQUEST, this.#nextPsn);
    packet.virtualAddress = slot.remoteAddress + offset;
    packet.rkey = slot.rkey;
    packet.dmaLength = slot.length - offset;
    packet.ackRequest = true;
    this.#nextPsn = psnAdd(slot.lastPsn, 1);
    this.#nextPosition++;
    qp.sender.sendRequest(packet, qp.values.ahAttr, qp.values.destQpNum);
  }

  /** False when the request turned out to be faulty. */
  #sendData(slot: SendSlot): boolean {
    const { qp } = this;
    const packetIndex = psnDistance(this.#nextPsn, slot.firstPsn);
    const packet = fillRequestPacket(qp, slot, packetIndex * qp.mtuBytes, this.#nextPsn);
    if (packet === undefined) {
      slot.localStatus = WcStatus.LOC_PROT_ERR;
      return false;
    }
    const last = this.#nextPsn === slot.lastPsn;
    packet.ackRequest = last || packetIndex % ACK_EVERY_PACKETS === ACK_EVERY_PACKETS - 1;
    this.#nextPsn = psnAdd(this.#nextPsn, 1);
    if (last) this.#nextPosition++;
    qp.sender.sendRequest(packet, qp.values.ahAttr, qp.values.destQpNum);
    return true;
  }

  /** Makes `psn`, which is unacknowledged or new, the next to be sent. */
  #goTo(psn: number): void {
    const { sendQueue } = this.qp;
    let position = sendQueue.head;
    while (position < this.started && !holds(sendQueue.at(position), psn)) position++;
    this.#nextPosition = position;
    this.#nextPsn = psn;
  }

  #armAckTimer(): void {
    const { timeout } = this.qp.values;
    if (timeout > 0) this.qp.context.scheduler.arm(this.#ackTimer, ackTimeoutNs(timeout), 'timer');
  }

  #timeOut(): void {
    this.qp.context.counters.timeouts++;
    this.repeat();
  }

  #endRnrWait(): void {
    this.#waitingRnr = false;
    this.qp.kick();
  }
}

/** Whether sequence number `psn` is one of the request's; a request that failed before it was sent stops every search. */
function holds(slot: SendSlot, psn: number): boolean {
  return slot.localStatus !== WcStatus.SUCCESS || psnDistance(psn, slot.lastPsn) <= 0;
}
