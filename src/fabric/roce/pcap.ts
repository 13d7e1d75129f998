/**
 * Capture files of the classic pcap format with Ethernet frames: what tcpdump, tshark and Wireshark read and write. A file is a header of 24
 * bytes, then records of 16 bytes and a frame.
 */

const MAGIC_MICROSECONDS = 0xa1b2_c3d4;
const MAGIC_NANOSECONDS = 0xa1b2_3c4d;
const MAGIC_PCAPNG = 0x0a0d_0d0a;
const LINK_ETHERNET = 1;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
/** The largest frame that a record may hold. */
export const PCAP_FRAME_BYTES_MAX = 262_144;

/** The header of a file whose times are in nanoseconds. */
export function pcapFileHeader(): Uint8Array {
  const bytes = new Uint8Array(FILE_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC_NANOSECONDS, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, PCAP_FRAME_BYTES_MAX, true);
  view.setUint32(20, LINK_ETHERNET, true);
  return bytes;
}

/** One record: its header and a copy of the frame. `timeNs` counts from 1970 or from any other start, 0..2^53-1. */
export function pcapRecord(frame: Uint8Array, timeNs: number): Uint8Array {
  const bytes = new Uint8Array(RECORD_HEADER_BYTES + frame.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(timeNs / 1e9), true);
  view.setUint32(4, timeNs % 1e9, true);
  view.setUint32(8, frame.length, true);
  view.setUint32(12, frame.length, true);
  bytes.set(frame, RECORD_HEADER_BYTES);
  return bytes;
}

export interface CapturedFrame {
  /** 1 for the first, as capture tools count. */
  readonly number: number;
  /** Nanoseconds after the first frame of the file. */
  readonly timeNs: number;
  /** Lent until the next call of `push`. */
  readonly data: Uint8Array;
  /** The frame was longer than what was kept of it. */
  readonly cut: boolean;
}

/** A capture that cannot be read: where and why, in one sentence. */
export class PcapError extends Error {
  override readonly name = 'PcapError';
}

/** Reads a capture piece by piece; memory is bounded by the largest frame. */
export class PcapReader {
  #rest = new Uint8Array(0);
  #header: { readonly little: boolean; readonly nsPerFraction: number } | undefined;
  #number = 0;
  #startSeconds = 0;
  #startNs = 0;
  #consumed = 0;

  /** Takes the next bytes of the file and returns the frames that are whole now. Throws {@link PcapError}. */
  push(bytes: Uint8Array): CapturedFrame[] {
    const data = join(this.#rest, bytes);
    let at = 0;
    if (this.#header === undefined) {
      if (data.length < FILE_HEADER_BYTES) {
        this.#rest = data.slice();
        return [];
      }
      this.#header = fileHeader(data);
      at = FILE_HEADER_BYTES;
    }
    const frames: CapturedFrame[] = [];
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    while (data.length - at >= RECORD_HEADER_BYTES) {
      const kept = view.getUint32(at + 8, this.#header.little);
      if (kept > PCAP_FRAME_BYTES_MAX)
        throw new PcapError(
          `byte ${this.#consumed + at}: frame ${this.#number + 1} has ${kept} bytes; a frame has at most ${PCAP_FRAME_BYTES_MAX}: the file is damaged`,
        );
      if (data.length - at < RECORD_HEADER_BYTES + kept) break;
      frames.push(this.#record(view, data, at, kept, this.#header));
      at += RECORD_HEADER_BYTES + kept;
    }
    this.#consumed += at;
    this.#rest = data.slice(at);
    return frames;
  }

  /** The file is over. Throws {@link PcapError} when it ends in the middle of something. */
  end(): void {
    if (this.#header === undefined)
      throw new PcapError(
        `${this.#rest.length} bytes are no capture: the header of a pcap file has ${FILE_HEADER_BYTES}`,
      );
    if (this.#rest.length > 0)
      throw new PcapError(
        `byte ${this.#consumed}: the file ends within frame ${this.#number + 1}; it was cut off, or is still being written`,
      );
  }

  #record(
    view: DataView,
    data: Uint8Array,
    at: number,
    kept: number,
    { little, nsPerFraction }: { readonly little: boolean; readonly nsPerFraction: number },
  ): CapturedFrame {
    const seconds = view.getUint32(at, little);
    const fractionNs = view.getUint32(at + 4, little) * nsPerFraction;
    if (this.#number === 0) {
      this.#startSeconds = seconds;
      this.#startNs = fractionNs;
    }
    this.#number++;
    return {
      number: this.#number,
      timeNs: (seconds - this.#startSeconds) * 1e9 + fractionNs - this.#startNs,
      data: data.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + kept),
      cut: kept < view.getUint32(at + 12, little),
    };
  }
}

function fileHeader(data: Uint8Array): { readonly little: boolean; readonly nsPerFraction: number } {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (const little of [true, false]) {
    const magic = view.getUint32(0, little);
    if (magic === MAGIC_PCAPNG)
      throw new PcapError('a pcapng file; only classic pcap is read: editcap -F pcap IN OUT makes one of it');
    if (magic !== MAGIC_MICROSECONDS && magic !== MAGIC_NANOSECONDS) continue;
    const link = view.getUint32(20, little) & 0xffff;
    if (link !== LINK_ETHERNET)
      throw new PcapError(`link type ${link}; only Ethernet (1) is read: capture on an Ethernet interface`);
    return { little, nsPerFraction: magic === MAGIC_NANOSECONDS ? 1 : 1000 };
  }
  throw new PcapError('no pcap file: it begins with none of the magic numbers');
}

function join(rest: Uint8Array, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(rest.length + bytes.length);
  joined.set(rest);
  joined.set(bytes, rest.length);
  return joined;
}
