/** GIDs as the packet record has them, 32 hexadecimal digits, and as addresses in a frame. */

/** What a GID begins with that stands for an IPv4 address. */
export const IPV4_MAPPED_PREFIX = '00000000000000000000ffff';

export function isIpv4Gid(gid: string): boolean {
  return gid.startsWith(IPV4_MAPPED_PREFIX);
}

/** Writes the hexadecimal digits of `gid` from digit `digit` on as bytes. */
export function putGid(data: Uint8Array, at: number, gid: string, digit: number): void {
  for (let from = digit, to = at; from < 32; from += 2, to++)
    data[to] = (hexDigit(gid, from) << 4) | hexDigit(gid, from + 1);
}

/** `gid` holds lower-case hexadecimal digits. */
function hexDigit(gid: string, at: number): number {
  const code = gid.charCodeAt(at);
  return (code >= 97 ? code - 87 : code - 48) & 15;
}

/** How many addresses are remembered: enough for the ends of a few connections, few enough to look through. */
const REMEMBERED = 16;

interface Known {
  readonly bytes: Uint8Array;
  readonly gid: string;
}

/** Turns addresses into GIDs. The latest ones are remembered, so that a connection costs no text for each packet. */
export class GidNames {
  readonly #known: Known[] = [];
  #next = 0;

  /** The GID of the 4 or 16 address bytes at `at`. */
  nameOf(data: Uint8Array, at: number, bytes: 4 | 16): string {
    for (const known of this.#known)
      if (known.bytes.length === bytes && same(known.bytes, data, at)) return known.gid;
    const address = data.slice(at, at + bytes);
    const digits = Array.from(address, byte => byte.toString(16).padStart(2, '0')).join('');
    const gid = bytes === 4 ? IPV4_MAPPED_PREFIX + digits : digits;
    this.#known[this.#next] = { bytes: address, gid };
    this.#next = (this.#next + 1) % REMEMBERED;
    return gid;
  }
}

function same(known: Uint8Array, data: Uint8Array, at: number): boolean {
  for (let i = 0; i < known.length; i++) if (known[i] !== data[at + i]) return false;
  return true;
}

/** Such as `10.0.0.1` or `fe80:0:0:0:0:0:0:1`. */
export function addressText(gid: string): string {
  if (!isIpv4Gid(gid))
    return Array.from({ length: 8 }, (_, i) =>
      Number.parseInt(gid.slice(4 * i, 4 * i + 4), 16).toString(16),
    ).join(':');
  return [24, 26, 28, 30].map(from => Number.parseInt(gid.slice(from, from + 2), 16)).join('.');
}
