/** Times and counts of repeating: the acknowledge time-out, the receiver-not-ready wait, and their counters. */

/** Packets that one step of a queue pair's half sends at most. */
export const PACKET_BURST = 16;

/** Nanoseconds of the acknowledge time-out code 1..31: 4.096 us times 2^code. Code 0 means no time-out. */
export function ackTimeoutNs(code: number): number {
  return ackTimeouts[code];
}

/** Indexed by code; asked for with nearly every packet. */
const ackTimeouts = Array.from({ length: 32 }, (_, code) => 4096 * 2 ** code);

/** Units of 10 us of each receiver-not-ready timer code [DATA-69]. Code 0 is the longest wait. */
const rnrTimerUnits = [
  65536, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072,
  4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152,
];

/** Nanoseconds that a requester waits after a receiver-not-ready NAK with timer code 0..31. */
export function rnrTimerNs(code: number): number {
  return rnrTimerUnits[code & 31] * 10_000;
}

/** `rnr_retry` 7 means without end; a `retry_cnt` of 7 means seven. */
export const RNR_RETRY_ENDLESS = 7;

/**
 * The wait of a receiver-not-ready retry without end. The timer code is a least time, so one that stays in vain waits
 * longer and longer: the first 16 waits are nominal, then they double up to 256 times the nominal one.
 */
export function endlessRnrNs(code: number, waitsInVain: number): number {
  const doublings = Math.min(8, Math.max(0, waitsInVain - 16));
  return rnrTimerNs(code) * 2 ** doublings;
}

/** Credit of tries, restored whenever the peer acknowledges something new. */
export class RetryCounters {
  retryLeft = 0;
  rnrLeft = 0;
  /** Receiver-not-ready waits since something new was acknowledged. */
  rnrWaits = 0;
  /** A repetition is under way; another NAK does not start a second one, only a time-out does. */
  repeating = false;

  restore(retryCnt: number, rnrRetry: number): void {
    this.retryLeft = retryCnt;
    this.rnrLeft = rnrRetry;
    this.rnrWaits = 0;
    this.repeating = false;
  }
}
