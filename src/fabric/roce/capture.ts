/** What leaves the ports of a simulated network, as a capture that tcpdump, tshark and `vrdma wire` read. */
import type { Packet } from '../packet.js';
import { emitFrame, FRAME_BYTES_MAX } from './codec.js';
import { pcapFileHeader, pcapRecord } from './pcap.js';

export class WireCapture {
  readonly #records: Uint8Array[] = [];
  readonly #frame = new Uint8Array(FRAME_BYTES_MAX);
  /** Packets that have no frame: their addresses are of two families, or their opcode is unknown. */
  leftOut = 0;

  get frames(): number {
    return this.#records.length;
  }

  /** Notes a packet that leaves at `timeNs`. It is only read. */
  take(packet: Packet, timeNs: number): void {
    try {
      const bytes = emitFrame(packet, this.#frame, this.frames & 0xffff);
      this.#records.push(pcapRecord(this.#frame.subarray(0, bytes), timeNs));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.leftOut++;
    }
  }

  /** The capture file as it is by now. */
  file(): Uint8Array {
    const parts = [pcapFileHeader(), ...this.#records];
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}
