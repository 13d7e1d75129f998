/** The answers to one direction of a reliable connection: turns them into events of the machines WIRE.ANSWERS and WIRE.READS. */
import { PacketOperation as Op, operationOf } from '../../fabric/index.js';
import type { Packet } from '../../fabric/index.js';
import type { Monitor } from '../../statemachines/index.js';
import { psnAdd, psnDistance } from './numbers.js';
import { responsesOf } from './path-mtu.js';
import type { Requests } from './requests.js';
import { answered, lastPsnOf } from './sent-packets.js';
import type { SentRead } from './sent-packets.js';
import { eventsOf } from './tables.js';
import type { WireSink } from './tables.js';

const RECEIVER_NOT_READY = 1;
const NAK = 3;
const NAK_SEQUENCE = 0x60;
const NAK_REMOTE_OPERATION = 0x63;

export class Answers {
  readonly #requests: Requests;
  readonly #monitor: Monitor;
  readonly #reads: Monitor;
  readonly #key: number;
  readonly #sink: WireSink;
  readonly #event: (name: string) => number;
  readonly #readEvent: (name: string) => number;
  /** The packet that a NAK asked for last. */
  #gapPsn = -1;
  #notReadyPsn = -1;
  /** The READ that is being answered, and its next response. */
  #run: { readonly read: SentRead; psn: number } | undefined;
  /** Messages that the responder had carried out before the first packet seen, as far as it shows: between the two, from `#base`. */
  #base = -1;
  #baseLow = 0;
  #baseHigh = 0;
  #acknowledged = 0;

  constructor(requests: Requests, monitor: Monitor, reads: Monitor, key: number, sink: WireSink) {
    this.#requests = requests;
    this.#monitor = monitor;
    this.#reads = reads;
    this.#key = key;
    this.#sink = sink;
    this.#event = eventsOf(monitor);
    this.#readEvent = eventsOf(reads);
    monitor.open(key);
    reads.open(key);
  }

  take(packet: Packet): void {
    const { psn } = packet;
    const { firstPsn, highest } = this.#requests;
    if (psnDistance(psn, firstPsn) < 0)
      return this.#sink.unjudged('an answer to what was sent before the first frame seen');
    if (psnDistance(psn, highest) > 0)
      return this.#tell('UNSENT', () => `psn ${psn}, the last one sent is ${highest}`);
    const operation = operationOf(packet.opcode);
    if (operation === Op.ACKNOWLEDGE) this.#acknowledge(packet);
    else if (operation === Op.ATOMIC_ACKNOWLEDGE) this.#atomic(packet);
    else this.#response(packet, operation);
  }

  #acknowledge(packet: Packet): void {
    const kind = (packet.syndrome >>> 5) & 3;
    const before = psnAdd(packet.psn, -1);
    const through = kind === 0 ? packet.psn : before;
    if (this.#aheadOfRead(through)) return;
    const name = this.#acknowledgeEvent(packet, kind);
    if (name === undefined) return;
    if (!this.#countFits(packet.msn, through)) return;
    this.#tell(name, () => `psn ${packet.psn}, acknowledged up to ${this.#requests.vouched}`);
    this.#vouch(through);
  }

  /** Undefined when nothing is to be judged. */
  #acknowledgeEvent({ psn, syndrome }: Packet, kind: number): string | undefined {
    const beyond = psnDistance(psn, this.#requests.vouched);
    if (kind === 0) {
      // Repeated packets that ask for nothing get nothing; the network may have doubled one that asks.
      if (++this.#acknowledged > this.#requests.asked && beyond === 0)
        this.#sink.lenient('DATA-77', `psn ${psn}: more acknowledgements than were asked for`);
      if (beyond === 0) return 'ACK_AGAIN';
      return beyond > 0 ? 'ACK_NEW' : 'ACK_BACKWARD';
    }
    if (kind === RECEIVER_NOT_READY) {
      if (beyond <= 0) return 'NAK_OF_DONE';
      this.#notReadyPsn = psn;
      return this.#needsReceive(psn) ? 'RECEIVER_NOT_READY' : 'NOT_READY_FOR_WRITE';
    }
    if (kind !== NAK || syndrome > NAK_REMOTE_OPERATION) {
      this.#sink.unjudged(`an answer with the reserved syndrome 0x${syndrome.toString(16)}`);
      return undefined;
    }
    if (syndrome === NAK_SEQUENCE) return this.#gapEvent(psn, beyond);
    return beyond > 0 || this.#requests.sent.readAt(psn) !== undefined ? 'REFUSAL' : 'NAK_OF_DONE';
  }

  #gapEvent(psn: number, beyond: number): string {
    const { sent, highest } = this.#requests;
    if (beyond <= 0) return 'NAK_OF_DONE';
    // Something behind it must have come.
    if (psnDistance(psn, highest) >= 0) return 'UNSENT';
    // A READ may have come and been dropped for want of room for it.
    const again = psn === this.#gapPsn && sent.readAt(psn) === undefined;
    if (psn === this.#notReadyPsn)
      this.#sink.lenient('DATA-76', `a sequence error for psn ${psn} behind receiver not ready`);
    this.#gapPsn = psn;
    return again ? 'GAP_NAK_AGAIN' : 'GAP_NAK';
  }

  #needsReceive(psn: number): boolean {
    const opcode = this.#requests.sent.opcodeOf(psn);
    if (opcode === undefined) return true;
    const operation = operationOf(opcode);
    const write = operation >= Op.WRITE_FIRST && operation <= Op.WRITE_ONLY_IMM;
    if (write) return operation === Op.WRITE_LAST_IMM || operation === Op.WRITE_ONLY_IMM;
    return operation <= Op.SEND_ONLY_IMM || operation >= Op.SEND_LAST_INVALIDATE;
  }

  #atomic(packet: Packet): void {
    const { psn } = packet;
    const opcode = this.#requests.sent.opcodeOf(psn);
    if (opcode === undefined) return this.#sink.unjudged('an answer to a packet older than what is kept');
    const operation = operationOf(opcode);
    if (operation !== Op.COMPARE_SWAP && operation !== Op.FETCH_ADD)
      return this.#tell('WRONG_KIND', () => `an atomic acknowledge for psn ${psn}, which was no atomic`);
    if (this.#aheadOfRead(psn) || !this.#countFits(packet.msn, psn)) return;
    this.#responded(psn);
  }

  #response(packet: Packet, operation: number): void {
    const { psn } = packet;
    const { sent, mtus } = this.#requests;
    const read = sent.readAt(psn) ?? this.#requests.openRead;
    if (read === undefined) {
      if (!sent.knows(psn)) return this.#sink.unjudged('an answer to a packet older than what is kept');
      return this.#tell('WRONG_KIND', () => `a READ response for psn ${psn}, which was no READ`);
    }
    const older = sent.unansweredUpTo(psnAdd(read.psn, -1));
    if (older !== undefined) return this.#tellAhead(psn, older);
    const ends = operation === Op.READ_RESPONSE_LAST || operation === Op.READ_RESPONSE_ONLY;
    const place = psnDistance(psn, read.psn);
    // Full packets tell the path MTU, and with it how many responses there are.
    const bytes = packet.payloadLength;
    const fits = ends
      ? mtus.narrow(mtu => place === responsesOf(read.length, mtu) - 1 && bytes === read.length - place * mtu)
      : mtus.isFull(bytes) && mtus.narrow(mtu => place < responsesOf(read.length, mtu) - 1);
    this.#requests.settle();
    if (!fits) return this.#tellRead('WRONG_SIZE', () => this.#sizeText(packet, read, place));
    if (packet.opcode !== Op.READ_RESPONSE_MIDDLE && !this.#countFits(packet.msn, psn)) return;
    this.#tellRead(
      this.#readEventOf(operation, psn, read),
      () => `psn ${psn} of the READ at psn ${read.psn}`,
    );
    this.#run = ends ? undefined : { read, psn: psnAdd(psn, 1) };
    read.responded = Math.max(read.responded, place + 1);
    this.#responded(psn);
  }

  #readEventOf(operation: number, psn: number, read: SentRead): string {
    const begins = operation === Op.READ_RESPONSE_FIRST || operation === Op.READ_RESPONSE_ONLY;
    const name = ['FIRST', 'MIDDLE', 'LAST', 'ONLY'][operation - Op.READ_RESPONSE_FIRST];
    const asked = read.starts.includes(psn);
    if (begins) return asked ? name : 'OUT_OF_PLACE';
    if (this.#run?.read === read && this.#run.psn === psn) return name;
    if (!asked) return 'OUT_OF_PLACE';
    this.#sink.lenient('DATA-89', `the answer to a READ that came again begins with ${name}, psn ${psn}`);
    return `${name}_AGAIN`;
  }

  #sizeText({ payloadLength }: Packet, read: SentRead, place: number): string {
    return `${payloadLength} bytes in response ${place} of a READ of ${read.length} bytes, path MTU ${this.#requests.mtus.text}`;
  }

  #responded(psn: number): void {
    const isNew = psnDistance(psn, this.#requests.vouched) > 0;
    this.#tell(isNew ? 'RESPONSE_NEW' : 'RESPONSE_AGAIN', () => `psn ${psn}`);
    this.#vouch(psn);
  }

  /** Whether a READ up to `psn` still has responses to be sent; that is broken then. */
  #aheadOfRead(psn: number): boolean {
    const read = this.#requests.sent.unansweredUpTo(psn);
    if (read === undefined) return false;
    this.#tellAhead(psn, read);
    return true;
  }

  #tellAhead(psn: number, read: SentRead): void {
    this.#tell(
      'AHEAD_OF_READ',
      () =>
        `an answer up to psn ${psn}; the READ at psn ${read.psn}..${answered(read) ? '' : lastPsnOf(read)} has sent ${read.responded} responses`,
    );
  }

  /**
   * Whether a count of messages can be: at least those whole up to `through` are done, at most those that were sent. What the responder
   * had done before is not known, and narrowed down.
   */
  #countFits(msn: number, through: number): boolean {
    const { sent, messages, firstPsn } = this.#requests;
    const least = psnDistance(through, firstPsn) < 0 ? 0 : sent.messagesAt(through);
    if (least === undefined) return true;
    if (this.#base < 0) {
      this.#base = psnAdd(msn, -least);
      this.#baseLow = least - messages;
      this.#baseHigh = 0;
      return true;
    }
    const low = psnDistance(psnAdd(msn, -messages), this.#base);
    const high = psnDistance(psnAdd(msn, -least), this.#base);
    const newLow = Math.max(low, this.#baseLow);
    const newHigh = Math.min(high, this.#baseHigh);
    if (newLow <= newHigh) {
      this.#baseLow = newLow;
      this.#baseHigh = newHigh;
      return true;
    }
    this.#tell('WRONG_COUNT', () => {
      const from = psnAdd(this.#base, this.#baseLow + least);
      const to = psnAdd(this.#base, this.#baseHigh + messages);
      return `msn ${msn}, expected ${from === to ? from : `${from} to ${to}`}`;
    });
    return false;
  }

  #vouch(psn: number): void {
    if (psnDistance(psn, this.#requests.vouched) > 0) this.#requests.vouched = psn;
  }

  #tell(name: string, detail: () => string): void {
    this.#sink.event(this.#monitor, this.#key, this.#event(name), detail);
  }

  #tellRead(name: string, detail: () => string): void {
    this.#sink.event(this.#reads, this.#key, this.#readEvent(name), detail);
  }
}
