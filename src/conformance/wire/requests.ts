/** The request packets of one direction of a reliable connection: turns numbers into events of the machine WIRE.REQUESTS. */
import type { Packet } from '../../fabric/index.js';
import type { Monitor } from '../../statemachines/index.js';
import { MessageBytes } from './message.js';
import { psnAdd, psnDistance } from './numbers.js';
import { PathMtus, responsesOf } from './path-mtu.js';
import { SentPackets, lastPsnOf, noteStart } from './sent-packets.js';
import type { SentRead } from './sent-packets.js';
import { beginsAnew, endsMessage, eventsOf, startsMessage } from './tables.js';
import type { WireSink } from './tables.js';

/** Largest retry_cnt, and the first transmission. */
const TRIES_MAX = 8;

export class Requests {
  readonly sent = new SentPackets();
  readonly mtus = new PathMtus();
  /** The first sequence number that was seen. */
  readonly firstPsn: number;
  /** Behind the newest one sent. */
  next: number;
  /** Messages that are whole, from the first packet seen on. */
  messages = 0;
  /** A READ whose count of responses is not known yet. */
  openRead: SentRead | undefined;
  /** Answers seen, and how far they vouch; told by the answers' side. */
  answersSeen = 0;
  /** Packets that asked for an acknowledgement. */
  asked = 0;
  vouched: number;

  readonly #monitor: Monitor;
  readonly #key: number;
  readonly #sink: WireSink;
  readonly #event: (name: string) => number;
  readonly #bytes = new MessageBytes();
  /** Behind the packet that was sent last. */
  #cursor: number;
  #begun = false;

  constructor(monitor: Monitor, key: number, sink: WireSink, first: Packet) {
    this.#monitor = monitor;
    this.#key = key;
    this.#sink = sink;
    this.#event = eventsOf(monitor);
    this.firstPsn = first.psn;
    this.next = first.psn;
    this.#cursor = first.psn;
    this.vouched = psnAdd(first.psn, -1);
    monitor.open(key);
  }

  /** The last number that a request has had; with a READ of unknown size, the last that it may have had. */
  get highest(): number {
    const read = this.openRead;
    if (read === undefined) return psnAdd(this.next, -1);
    return psnAdd(read.psn, Math.max(...this.mtus.all().map(mtu => responsesOf(read.length, mtu))) - 1);
  }

  /** Whether a packet can only be the first of a new connection with the same numbers. */
  isOfNewConnection({ psn }: Packet, part: string): boolean {
    return beginsAnew(part, psn, this.next);
  }

  take(packet: Packet, part: string): void {
    if (packet.ackRequest) this.asked++;
    if (!this.#begun) this.#join(part);
    this.#begun = true;
    if (this.openRead !== undefined && this.#takeBehindOpenRead(this.openRead, packet, part)) return;
    const fresh = psnDistance(packet.psn, this.next);
    if (fresh > 0) this.#gap(packet, this.next);
    else if (fresh === 0) this.#takeNew(packet, part);
    else this.#takeAgain(packet, part);
  }

  /** The count of a READ's responses once only one path MTU is left for it. */
  settle(): void {
    const read = this.openRead;
    if (read === undefined) return;
    const counts = new Set(this.mtus.all().map(mtu => responsesOf(read.length, mtu)));
    if (counts.size > 1) return;
    const [count] = counts;
    read.count = count;
    this.openRead = undefined;
    this.next = psnAdd(read.psn, count);
    this.#cursor = this.next;
  }

  #join(part: string): void {
    if (startsMessage(part)) return;
    this.#tell(part.startsWith('SEND') ? 'JOIN_SEND' : 'JOIN_WRITE');
  }

  #takeNew(packet: Packet, part: string): void {
    if (this.#cursor !== packet.psn && psnDistance(this.vouched, packet.psn) < -1)
      return this.#gap(packet, this.#cursor);
    const fault = this.#bytes.take(packet, part, this.mtus);
    if (fault !== undefined) return this.#tell(fault.event, () => fault.detail);
    this.settle();
    if (endsMessage(part)) this.messages++;
    this.sent.add(packet, this.messages, this.answersSeen);
    this.#tell(part, () => `psn ${packet.psn}`);
    this.next = psnAdd(packet.psn, 1);
    this.#cursor = this.next;
    if (part !== 'READ') return;
    this.openRead = this.sent.addRead(packet, 0, this.messages);
    this.settle();
  }

  /** The next request tells how many numbers a READ took, if nothing else did. True when the packet is dealt with. */
  #takeBehindOpenRead(read: SentRead, packet: Packet, part: string): boolean {
    this.settle();
    const distance = psnDistance(packet.psn, read.psn);
    if (this.openRead === undefined || distance <= 0) return false;
    const isPart = part === 'READ' && endsTogether(read, packet);
    if (isPart && this.mtus.all().some(mtu => distance < responsesOf(read.length, mtu))) {
      this.#takeAgain(packet, part);
      return true;
    }
    const told = this.mtus.narrow(mtu => responsesOf(read.length, mtu) === distance);
    if (told) this.settle();
    else this.#gap(packet, psnAdd(this.highest, 1));
    return !told;
  }

  #takeAgain(packet: Packet, part: string): void {
    const { psn } = packet;
    const read = this.sent.readAt(psn) ?? this.#openReadAt(psn);
    if (read !== undefined) {
      const fault = part === 'READ' ? this.#readPartFault(read, packet) : `${part} in place of a READ`;
      if (fault !== undefined)
        return this.#tell(part === 'READ' ? 'WRONG_READ_PART' : 'CHANGED', () => fault);
      noteStart(read, psn);
    } else if (!this.sent.knows(psn))
      this.#sink.unjudged('a repeated packet that is older than what is kept');
    else {
      const difference = this.sent.difference(packet);
      if (difference !== undefined) return this.#tell('CHANGED', () => `psn ${psn}: ${difference}`);
    }
    if (read !== undefined && read === this.openRead) return this.#tell('GO_BACK', () => `psn ${psn}`);
    const place = psnDistance(psn, this.#cursor);
    if (place > 0 && psnDistance(this.vouched, psn) < -1) return this.#gap(packet, this.#cursor);
    this.#tell(place < 0 ? 'GO_BACK' : 'GO_ON', () => `psn ${psn}`);
    this.#cursor = read === undefined ? psnAdd(psn, 1) : psnAdd(lastPsnOf(read), 1);
    if (!this.sent.knows(psn)) return;
    const tries = this.sent.tryAgain(psn, this.answersSeen);
    if (tries > TRIES_MAX)
      this.#tell('TOO_OFTEN', () => `psn ${psn} for the ${tries}th time without an answer`);
  }

  #openReadAt(psn: number): SentRead | undefined {
    const read = this.openRead;
    return read !== undefined && psnDistance(psn, read.psn) >= 0 ? read : undefined;
  }

  /** A READ that goes again asks for all of it or for what is behind the first responses. */
  #readPartFault(read: SentRead, packet: Packet): string | undefined {
    const place = psnDistance(packet.psn, read.psn);
    const fits = (mtu: number): boolean =>
      packet.virtualAddress === read.address + place * mtu && packet.dmaLength === read.length - place * mtu;
    const right = place === 0 ? fits(0) : this.mtus.all().some(fits);
    if (right && packet.rkey === read.rkey) return undefined;
    return `psn ${packet.psn}: ${packet.dmaLength} bytes at 0x${packet.virtualAddress.toString(16)} of a READ of ${read.length} bytes at 0x${read.address.toString(16)}, psn ${read.psn}`;
  }

  #gap({ psn }: Packet, expected: number): void {
    this.#tell('GAP', () => `psn ${psn}, expected ${expected}`);
  }

  #tell(name: string, detail?: () => string): void {
    this.#sink.event(this.#monitor, this.#key, this.#event(name), detail);
  }
}

function endsTogether(read: SentRead, { virtualAddress, dmaLength }: Packet): boolean {
  return virtualAddress > read.address && virtualAddress + dmaLength === read.address + read.length;
}
