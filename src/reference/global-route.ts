/**
 * The 40 bytes before a datagram in its receive: the network header that carried it. For IPv6 addresses that is the IPv6
 * header; for IPv4-mapped ones it is 20 bytes of zero, then the IPv4 header (RoCEv2 annex A17.4.5.1).
 */
import type { Packet } from '../fabric/index.js';

export const GRH_BYTES = 40;

const IPV4_MAPPED = '00000000000000000000ffff';
const UDP = 17;
/** Ethernet 14 and IPv6 40 bytes come before what the IPv6 header counts. */
const BEFORE_IPV6_PAYLOAD = 14 + 40;
const IPV4_HEADER_BYTES = 20;

export function writeGlobalRoute(packet: Packet, target: Uint8Array): void {
  target.fill(0);
  const payloadBytes = packet.wireBytes - BEFORE_IPV6_PAYLOAD;
  if (packet.destinationGid.startsWith(IPV4_MAPPED)) writeIpv4(packet, payloadBytes, target);
  else writeIpv6(packet, payloadBytes, target);
}

function writeIpv6(packet: Packet, payloadBytes: number, target: Uint8Array): void {
  target[0] = 0x60 | (packet.trafficClass >>> 4);
  target[1] = ((packet.trafficClass & 15) << 4) | (packet.flowLabel >>> 16);
  put16(target, 2, packet.flowLabel & 0xffff);
  put16(target, 4, payloadBytes);
  target[6] = UDP;
  target[7] = packet.hopLimit;
  putGid(target, 8, packet.sourceGid, 0);
  putGid(target, 24, packet.destinationGid, 0);
}

function writeIpv4(packet: Packet, payloadBytes: number, target: Uint8Array): void {
  const base = GRH_BYTES - IPV4_HEADER_BYTES;
  target[base] = 0x45;
  target[base + 1] = packet.trafficClass;
  put16(target, base + 2, IPV4_HEADER_BYTES + payloadBytes);
  target[base + 6] = 0x40;
  target[base + 8] = packet.hopLimit;
  target[base + 9] = UDP;
  putGid(target, base + 12, packet.sourceGid, IPV4_MAPPED.length);
  putGid(target, base + 16, packet.destinationGid, IPV4_MAPPED.length);
  put16(target, base + 10, headerChecksum(target, base));
}

function headerChecksum(target: Uint8Array, base: number): number {
  let sum = 0;
  for (let i = 0; i < IPV4_HEADER_BYTES; i += 2) sum += (target[base + i] << 8) | target[base + i + 1];
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~(sum + (sum >>> 16)) & 0xffff;
}

function put16(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 8;
  target[at + 1] = value & 0xff;
}

/** Writes the hexadecimal digits of `gid` from digit `from` on as bytes. */
function putGid(target: Uint8Array, at: number, gid: string, from: number): void {
  for (let digit = from; digit < 32; digit += 2)
    target[at + (digit - from) / 2] = (hexDigit(gid, digit) << 4) | hexDigit(gid, digit + 1);
}

/** `gid` holds lower-case hexadecimal digits. */
function hexDigit(gid: string, at: number): number {
  const code = gid.charCodeAt(at);
  return code >= 97 ? code - 87 : code - 48;
}
