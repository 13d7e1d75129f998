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
  readonly #psns = new Int32Array(256).fill(-1);
  readonly #counts = new Uint8Array(256);

  /** Times that `psn` was sent before, at most 255. */
  next(psn: number): number {
    const at = psn & 255;
    if (this.#psns[at] !== psn) {
      this.#psns[at] = psn;
      this.#counts[at] = 0;
      return 0;
    }
    if (this.#counts[at] < 255) this.#counts[at]++;
    return this.#counts[at];
  }

  clear(): void {
    this.#psns.fill(-1);
  }
}
