/**
 * The invariant CRC of a RoCE v2 packet (IBTA annex A17.3.3): the CRC-32 of Ethernet over eight bytes of ones, then the packet from the IP
 * header to the pad with ones in place of what routers may change. It is sent least significant byte first.
 */

const POLYNOMIAL = 0xedb8_8320;

/** State after the eight bytes of ones that stand for the link header that is not there. */
const AFTER_LINK_HEADER = 0xdebb_20e3;

/** Eight tables of 256: row k advances a byte by k more bytes of zero. */
const tables = ((): Int32Array => {
  const rows = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
    rows[byte] = crc;
  }
  for (let at = 256; at < rows.length; at++) rows[at] = (rows[at - 256] >>> 8) ^ rows[rows[at - 256] & 255];
  return rows;
})();

/** The CRC of `data[from..to)`; `ipv6` tells the two layouts apart, `bthAt` is where the BTH begins. */
export function icrcOf(data: Uint8Array, from: number, bthAt: number, to: number, ipv6: boolean): number {
  // The headers byte by byte, since some of them count as ones; the rest in strides.
  let crc = AFTER_LINK_HEADER;
  for (let at = from; at < bthAt + 5; at++) {
    const value = data[at] | onesAt(at - from, at - bthAt, ipv6);
    crc = (crc >>> 8) ^ tables[(crc ^ value) & 255];
  }
  return ~advance(crc, data, bthAt + 5, to) >>> 0;
}

/** The bits of a byte that count as ones; `ip` and `bth` are its distance from the two headers. */
function onesAt(ip: number, bth: number, ipv6: boolean): number {
  if (bth === 4) return 0xff;
  if (bth === -2 || bth === -1) return 0xff;
  if (!ipv6) return ip === 1 || ip === 8 || ip === 10 || ip === 11 ? 0xff : 0;
  if (ip === 0) return 0x0f;
  return (ip >= 1 && ip <= 3) || ip === 7 ? 0xff : 0;
}

function advance(state: number, data: Uint8Array, from: number, to: number): number {
  let crc = state;
  let at = from;
  for (; at + 8 <= to; at += 8) {
    const low = crc ^ (data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24));
    crc =
      tables[1792 + (low & 255)] ^
      tables[1536 + ((low >>> 8) & 255)] ^
      tables[1280 + ((low >>> 16) & 255)] ^
      tables[1024 + (low >>> 24)] ^
      tables[768 + data[at + 4]] ^
      tables[512 + data[at + 5]] ^
      tables[256 + data[at + 6]] ^
      tables[data[at + 7]];
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ tables[(crc ^ data[at]) & 255];
  return crc;
}
