/** Packet sequence numbers as the judge compares them: 24 bits in a circle, each half of which is before or after [DATA-74]. */

export const psnAdd = (psn: number, count: number): number => (psn + count) & 0xff_ffff;

/** How far `a` lies behind `b`: -2^23 .. 2^23-1, negative when before. Also for message counts. */
export const psnDistance = (a: number, b: number): number => ((a - b) << 8) >> 8;
