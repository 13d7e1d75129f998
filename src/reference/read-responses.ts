/**
 * RDMA READ at the responder [DATA-64, DATA-78]: the requests that were accepted, in order, and their response
 * packets, a few a step. A record stays after its last response, so that a repeated request can be answered again from
 * memory.
 */
import { AccessFlag } from '../abi/index.js';
import type { Packet } from '../fabric/index.js';
import { psnAdd, psnDistance } from './psn.js';
import type { QueuePair } from './queue-pair.js';
import { packetCount, responseOperation } from './segmentation.js';
import { Syndrome } from './syndrome.js';

class ReadRecord {
  used = false;
  /** Has responses left to send. */
  pending = false;
  firstPsn = 0;
  lastPsn = 0;
  address = 0;
  length = 0;
  rkey = 0;
  /** Next response to send, and the one that the latest request began with. */
  nextPsn = 0;
  beganPsn = 0;
}

export class ReadResponses {
  readonly #qp: QueuePair;
  readonly #records: ReadRecord[];
  #newest = 0;
  /** Records with responses left, oldest first. */
  readonly #pending: ReadRecord[] = [];

  constructor(qp: QueuePair) {
    this.#qp = qp;
    const count = Math.max(1, qp.context.attributes.maxQpRdAtom);
    this.#records = Array.from({ length: count }, () => new ReadRecord());
  }

  get idle(): boolean {
    return this.#pending.length === 0;
  }

  clear(): void {
    for (const record of this.#records) record.used = record.pending = false;
    this.#pending.length = 0;
  }

  /** Takes a new read. Returns the count of its responses, 0 when every record is still busy. */
  accept(packet: Packet): number {
    const record = this.#records[this.#newest];
    if (record.pending) return 0;
    this.#newest = (this.#newest + 1) % this.#records.length;
    const packets = packetCount(packet.dmaLength, this.#qp.mtuBytes);
    record.used = true;
    record.firstPsn = packet.psn;
    record.lastPsn = psnAdd(packet.psn, packets - 1);
    record.address = packet.virtualAddress;
    record.length = packet.dmaLength;
    record.rkey = packet.rkey;
    this.#answerFrom(record, packet.psn);
    return packets;
  }

  /** A read that was accepted before comes again, as a whole or from a later response on. Else it is ignored. */
  replay(packet: Packet): void {
    const mtu = this.#qp.mtuBytes;
    for (const record of this.#records) {
      if (!record.used) continue;
      const index = psnDistance(packet.psn, record.firstPsn);
      if (index < 0 || psnDistance(packet.psn, record.lastPsn) > 0) continue;
      const offset = index * mtu;
      const same =
        packet.rkey === record.rkey &&
        packet.virtualAddress === record.address + offset &&
        packet.dmaLength === record.length - offset;
      if (same && !(record.pending && psnDistance(packet.psn, record.nextPsn) >= 0))
        this.#answerFrom(record, packet.psn);
      return;
    }
  }

  /** Sends the next response packet. False when its memory may not be read any more: the caller refuses it. */
  sendNext(msn: number): boolean {
    const qp = this.#qp;
    const record = this.#pending[0];
    const mtu = qp.mtuBytes;
    const psn = record.nextPsn;
    const offset = psnDistance(psn, record.firstPsn) * mtu;
    const last = psn === record.lastPsn;
    const length = last ? record.length - offset : mtu;
    const packet = qp.sender.newPacket(responseOperation(psn === record.beganPsn, last), psn);
    if (length > 0 && !this.#read(record, offset, length, packet)) {
      qp.context.fabric.recycle(packet);
      return false;
    }
    packet.payloadLength = length;
    packet.syndrome = Syndrome.ACK;
    packet.msn = msn;
    record.nextPsn = psnAdd(psn, 1);
    if (last) {
      record.pending = false;
      this.#pending.shift();
    }
    qp.sender.sendResponse(packet);
    return true;
  }

  /** Sequence number of the next response. */
  get nextPsn(): number {
    return this.#pending[0].nextPsn;
  }

  #answerFrom(record: ReadRecord, psn: number): void {
    record.nextPsn = psn;
    record.beganPsn = psn;
    if (!record.pending) this.#pending.push(record);
    record.pending = true;
  }

  /** The key is looked up for each packet: the region may be gone, and after that nothing of it may be read. */
  #read(record: ReadRecord, offset: number, length: number, packet: Packet): boolean {
    const { context, pd } = this.#qp;
    const region = context.keys.remote(
      record.rkey,
      pd,
      record.address,
      record.length,
      AccessFlag.REMOTE_READ,
    );
    return region?.read(record.address + offset, packet.payload, 0, length) ?? false;
  }
}
