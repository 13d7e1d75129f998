/**
 * The request packets of one direction that were seen lately, by sequence number, and its READs. What is older than the window is not
 * known any more, and nothing is said about it.
 */
import type { Packet } from '../../fabric/index.js';
import { psnAdd, psnDistance } from './numbers.js';

const WINDOW = 512;
const READS_KEPT = 64;
const STARTS_KEPT = 8;

/** A READ request as it was sent first, and how far its responses are. */
export interface SentRead {
  readonly psn: number;
  readonly address: number;
  readonly length: number;
  readonly rkey: number;
  /** Count of its responses; 0 while the path MTU is not known. */
  count: number;
  /** Messages up to and with this one. */
  readonly messages: number;
  /** The first response that has not been sent yet, 0 .. count. */
  responded: number;
  /** Sequence numbers from which the requester has asked. */
  readonly starts: number[];
}

export class SentPackets {
  readonly #psn = new Int32Array(WINDOW).fill(-1);
  readonly #opcode = new Uint8Array(WINDOW);
  readonly #bytes = new Uint16Array(WINDOW);
  readonly #dma = new Uint32Array(WINDOW);
  readonly #rkey = new Uint32Array(WINDOW);
  readonly #address = new Float64Array(WINDOW);
  readonly #immediate = new Uint32Array(WINDOW);
  readonly #solicited = new Uint8Array(WINDOW);
  readonly #messages = new Int32Array(WINDOW);
  readonly #answers = new Int32Array(WINDOW);
  readonly #tries = new Uint8Array(WINDOW);
  /** Oldest first. */
  readonly reads: SentRead[] = [];

  /** Notes a new packet; `messages` counts those that are whole with it, `answers` the answers seen so far. */
  add(packet: Packet, messages: number, answers: number): void {
    const at = packet.psn % WINDOW;
    this.#psn[at] = packet.psn;
    this.#opcode[at] = packet.opcode;
    this.#bytes[at] = packet.payloadLength;
    this.#dma[at] = packet.dmaLength;
    this.#rkey[at] = packet.rkey;
    this.#address[at] = packet.virtualAddress;
    this.#immediate[at] = packet.immediate;
    this.#solicited[at] = packet.solicited ? 1 : 0;
    this.#messages[at] = messages;
    this.#answers[at] = answers;
    this.#tries[at] = 1;
  }

  addRead(packet: Packet, count: number, messages: number): SentRead {
    const { psn, virtualAddress: address, dmaLength: length, rkey } = packet;
    const read: SentRead = { psn, address, length, rkey, count, messages, responded: 0, starts: [psn] };
    this.reads.push(read);
    if (this.reads.length > READS_KEPT) this.reads.shift();
    return read;
  }

  knows(psn: number): boolean {
    return this.#psn[psn % WINDOW] === psn;
  }

  opcodeOf(psn: number): number | undefined {
    return this.knows(psn) ? this.#opcode[psn % WINDOW] : undefined;
  }

  /** Messages that are whole with the packet of this number; undefined when it is not known. */
  messagesAt(psn: number): number | undefined {
    const read = this.readAt(psn);
    if (read !== undefined) return read.messages;
    return this.knows(psn) ? this.#messages[psn % WINDOW] : undefined;
  }

  /** What differs between a packet that goes again and the first one of its number; undefined when nothing does. */
  difference(packet: Packet): string | undefined {
    const at = packet.psn % WINDOW;
    const fields = [
      ['opcode', packet.opcode, this.#opcode[at]],
      ['payload length', packet.payloadLength, this.#bytes[at]],
      ['address', packet.virtualAddress, this.#address[at]],
      ['key', packet.rkey, this.#rkey[at]],
      ['RETH length', packet.dmaLength, this.#dma[at]],
      ['immediate data', packet.immediate, this.#immediate[at]],
      ['solicited bit', packet.solicited ? 1 : 0, this.#solicited[at]],
    ] as const;
    const different = fields.find(([, now, before]) => now !== before);
    return different && `${different[0]} ${different[1]}, was ${different[2]}`;
  }

  /** Counts another try; returns how often the packet went since an answer was seen last. */
  tryAgain(psn: number, answers: number): number {
    const at = psn % WINDOW;
    if (this.#answers[at] !== answers) {
      this.#answers[at] = answers;
      this.#tries[at] = 0;
    }
    if (this.#tries[at] < 255) this.#tries[at]++;
    return this.#tries[at];
  }

  /** The READ whose responses have this number. */
  readAt(psn: number): SentRead | undefined {
    return this.reads.findLast(read => {
      const place = psnDistance(psn, read.psn);
      return place >= 0 && place < Math.max(1, read.count);
    });
  }

  /** The oldest READ before or at `psn` that has responses left to send. */
  unansweredUpTo(psn: number): SentRead | undefined {
    return this.reads.find(read => !answered(read) && psnDistance(psn, read.psn) >= 0);
  }
}

/** Whether every response of a READ has been sent once. */
export function answered({ count, responded }: SentRead): boolean {
  return count > 0 && responded >= count;
}

export function lastPsnOf({ psn, count }: SentRead): number {
  return psnAdd(psn, Math.max(1, count) - 1);
}

/** The requester asks from a later response on. */
export function noteStart(read: SentRead, psn: number): void {
  if (read.starts.includes(psn)) return;
  read.starts.push(psn);
  // The beginning stays; of the others the latest.
  if (read.starts.length > STARTS_KEPT) read.starts.splice(1, 1);
}
