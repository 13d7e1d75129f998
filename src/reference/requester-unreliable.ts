/**
 * The requester of UC and UD: packets go out once and a request is complete when its last packet has left. Nothing comes
 * back.
 */
import { QpState, QpType, WcStatus } from '../abi/index.js';
import { Timer } from '../fabric/index.js';
import type { Packet } from '../fabric/index.js';
import { fillRequestPacket, localFault } from './request-packet.js';
import { psnAdd } from './psn.js';
import type { Requester } from './qp-halves.js';
import type { QueuePair } from './queue-pair.js';
import { PACKET_BURST } from './retry.js';

/** With this bit in the request's Q_Key the queue pair's own key is sent instead [DATA-54]. */
const CONTROLLED_QKEY_BIT = 0x8000_0000;

export class UnreliableRequester implements Requester {
  newPsn = 0;
  started = 0;
  readonly #qp: QueuePair;
  readonly #linkTimer: Timer;
  /** Bytes of the oldest request that were sent already. */
  #offset = 0;

  constructor(qp: QueuePair) {
    this.#qp = qp;
    this.#linkTimer = new Timer({ run: () => qp.kick() });
  }

  setPsn(psn: number): void {
    this.newPsn = psn;
  }

  work(): boolean {
    const qp = this.#qp;
    const { sendQueue } = qp;
    for (let packets = 0; packets < PACKET_BURST; packets++) {
      if (!qp.sending || sendQueue.empty) return false;
      if (sendQueue.head >= this.started && !this.#start()) return false;
      const wait = qp.sender.linkWaitNs;
      if (wait > 0) {
        qp.context.scheduler.arm(this.#linkTimer, wait, 'wire');
        return false;
      }
      this.#sendPacket();
    }
    return !sendQueue.empty;
  }

  receive(): void {
    // UC and UD have no responses.
  }

  retriesChanged(): void {
    // Nothing is ever repeated.
  }

  stop(): void {
    this.#offset = 0;
    this.started = this.#qp.sendQueue.tail;
    this.#qp.context.scheduler.cancel(this.#linkTimer);
  }

  #start(): boolean {
    const qp = this.#qp;
    if (qp.state !== QpState.RTS) return false;
    const slot = qp.sendQueue.at(qp.sendQueue.head);
    this.started = qp.sendQueue.head + 1;
    this.#offset = 0;
    const fault = localFault(qp, slot);
    if (fault === WcStatus.SUCCESS) return true;
    qp.failSend(fault);
    return false;
  }

  #sendPacket(): void {
    const qp = this.#qp;
    const slot = qp.sendQueue.at(qp.sendQueue.head);
    const packet = fillRequestPacket(qp, slot, this.#offset, this.newPsn);
    if (packet === undefined) return qp.failSend(WcStatus.LOC_PROT_ERR);
    this.newPsn = psnAdd(this.newPsn, 1);
    this.#offset += packet.payloadLength;
    const last = this.#offset === slot.length;
    this.#address(packet);
    if (last && qp.sending) qp.completeSend(WcStatus.SUCCESS);
  }

  #address(packet: Packet): void {
    const qp = this.#qp;
    const slot = qp.sendQueue.at(qp.sendQueue.head);
    if (qp.type === QpType.UC) return qp.sender.sendRequest(packet, qp.values.ahAttr, qp.values.destQpNum);
    packet.qkey = (slot.remoteQkey & CONTROLLED_QKEY_BIT) !== 0 ? qp.values.qkey : slot.remoteQkey;
    qp.sender.sendRequest(packet, slot.address, slot.remoteQpn);
  }
}
