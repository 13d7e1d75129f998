/** Packet sequence numbers: 24 bits, compared in a circle of which each half is "before" or "after" [DATA-74]. */

const PSN_MASK = 0xff_ffff;

export function psnMask(psn: number): number {
  return psn & PSN_MASK;
}

export function psnAdd(psn: number, count: number): number {
  return (psn + count) & PSN_MASK;
}

/** How far `a` lies after `b`: -2^23 .. 2^23-1, negative when before. */
export function psnDistance(a: number, b: number): number {
  return ((a - b) << 8) >> 8;
}

/** Counts how often each recent sequence number was sent, for the fabric's faults and the counters. */
export class TransmissionCounts {
  /** By the low bits of the number; made for the first packet. */
  #recent: Sent | undefined;

  /** Times that `psn` was sent before, at most 255. */
  next(psn: number): number {
    const { psns, counts } = (this.#recent ??= new Sent());
    const at = psn & 255;
    if (psns[at] !== psn) {
      psns[at] = psn;
      counts[at] = 0;
      return 0;
    }
    if (counts[at] < 255) counts[at]++;
    return counts[at];
  }

  clear(): void {
    this.#recent = undefined;
  }
}

class Sent {
  readonly psns = new Int32Array(256).fill(-1);
  readonly counts = new Uint8Array(256);
}
