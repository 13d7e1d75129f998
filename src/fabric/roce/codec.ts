/**
 * Between the packet record and the bytes of a frame. What is not on the wire (the source queue pair of a connection, the count of
 * transmissions, the flow label over IPv4) is neither written nor read.
 */
import { PAYLOAD_BYTES_MAX } from '../packet.js';
import type { Packet } from '../packet.js';
import { IPV4_MAPPED_PREFIX, isIpv4Gid, putGid } from './addresses.js';
import type { GidNames } from './addresses.js';
import type { RoceFrame } from './frame.js';
import * as wire from './headers.js';
import { icrcOf } from './icrc.js';
import { opcodeLayout } from './opcodes.js';
import type { OpcodeLayout } from './opcodes.js';

const { ethernet, ipv4, ipv6, udp, bth, deth, reth, aeth, immDt } = wire;

/** Bytes of the largest frame: IPv6, the headers of a write with immediate, 4096 bytes of payload. */
export const FRAME_BYTES_MAX =
  ethernet.size +
  ipv6.size +
  udp.size +
  bth.size +
  reth.size +
  immDt.size +
  PAYLOAD_BYTES_MAX +
  wire.ICRC_BYTES;

const IPV4_WORDS = ipv4.size / 4;
const DONT_FRAGMENT = 2;

/**
 * Writes the frame of a packet at the start of `target` and returns its bytes. MAC addresses are made from the GIDs. Throws RangeError when
 * the opcode has no layout, the GIDs are of two families, or the frame does not fit.
 */
export function emitFrame(packet: Packet, target: Uint8Array, identification = 0): number {
  const layout = opcodeLayout(packet.opcode);
  const isIpv6 = !isIpv4Gid(packet.destinationGid);
  if (layout === undefined) throw new RangeError(`opcode 0x${packet.opcode.toString(16)} has no frame`);
  if (isIpv6 === isIpv4Gid(packet.sourceGid))
    throw new RangeError(`no frame goes from ${packet.sourceGid} to ${packet.destinationGid}: one is IPv4`);
  const pad = -packet.payloadLength & 3;
  const udpBytes = udp.size + bth.size + layout.bytes + packet.payloadLength + pad + wire.ICRC_BYTES;
  const udpAt = ethernet.size + (isIpv6 ? ipv6.size : ipv4.size);
  const end = udpAt + udpBytes;
  if (end > target.length) throw new RangeError(`a frame of ${end} bytes does not fit in ${target.length}`);
  target.fill(0, 0, udpAt + udp.size + bth.size + layout.bytes);
  putEthernet(packet, target, isIpv6);
  if (isIpv6) putIpv6(packet, target, udpBytes);
  else putIpv4(packet, target, udpBytes, identification);
  udp.fields.sourcePort.set(target, udpAt, sourcePort(packet));
  udp.fields.destinationPort.set(target, udpAt, wire.ROCE_PORT);
  udp.fields.length.set(target, udpAt, udpBytes);
  const bthAt = udpAt + udp.size;
  putTransport(packet, target, bthAt, pad, layout);
  const payloadAt = bthAt + bth.size + layout.bytes;
  for (let i = 0; i < packet.payloadLength; i++) target[payloadAt + i] = packet.payload[i];
  target.fill(0, payloadAt + packet.payloadLength, payloadAt + packet.payloadLength + pad);
  putIcrc(target, ethernet.size, bthAt, end - wire.ICRC_BYTES, isIpv6);
  return end;
}

/** Puts the right ICRC at `icrcAt`, for a frame that was changed on purpose. */
export function putIcrc(
  target: Uint8Array,
  ipAt: number,
  bthAt: number,
  icrcAt: number,
  isIpv6: boolean,
): void {
  const icrc = icrcOf(target, ipAt, bthAt, icrcAt, isIpv6);
  for (let i = 0; i < wire.ICRC_BYTES; i++) target[icrcAt + i] = (icrc >>> (8 * i)) & 0xff;
}

/** Locally administered addresses that end in the last four bytes of the GID. */
function putEthernet(packet: Packet, target: Uint8Array, isIpv6: boolean): void {
  putGid(target, 2, packet.destinationGid, 24);
  putGid(target, 8, packet.sourceGid, 24);
  target[0] = 0x02;
  target[6] = 0x02;
  ethernet.fields.type.set(target, 0, isIpv6 ? wire.ETHERTYPE_IPV6 : wire.ETHERTYPE_IPV4);
}

function putIpv4(packet: Packet, target: Uint8Array, udpBytes: number, identification: number): void {
  const at = ethernet.size;
  const { fields } = ipv4;
  fields.version.set(target, at, 4);
  fields.headerWords.set(target, at, IPV4_WORDS);
  fields.trafficClass.set(target, at, packet.trafficClass);
  fields.totalLength.set(target, at, ipv4.size + udpBytes);
  fields.identification.set(target, at, identification);
  fields.flags.set(target, at, DONT_FRAGMENT);
  fields.hopLimit.set(target, at, packet.hopLimit);
  fields.protocol.set(target, at, wire.PROTOCOL_UDP);
  putGid(target, at + wire.IPV4_SOURCE_AT, packet.sourceGid, IPV4_MAPPED_PREFIX.length);
  putGid(target, at + wire.IPV4_DESTINATION_AT, packet.destinationGid, IPV4_MAPPED_PREFIX.length);
  fields.checksum.set(target, at, ipv4Checksum(target, at));
}

function putIpv6(packet: Packet, target: Uint8Array, udpBytes: number): void {
  const at = ethernet.size;
  const { fields } = ipv6;
  fields.version.set(target, at, 6);
  fields.trafficClass.set(target, at, packet.trafficClass);
  fields.flowLabel.set(target, at, packet.flowLabel);
  fields.payloadLength.set(target, at, udpBytes);
  fields.nextHeader.set(target, at, wire.PROTOCOL_UDP);
  fields.hopLimit.set(target, at, packet.hopLimit);
  putGid(target, at + wire.IPV6_SOURCE_AT, packet.sourceGid, 0);
  putGid(target, at + wire.IPV6_DESTINATION_AT, packet.destinationGid, 0);
}

/** Of the 20 bytes of an IPv4 header whose checksum field is zero. */
function ipv4Checksum(data: Uint8Array, at: number): number {
  let sum = 0;
  for (let i = 0; i < ipv4.size; i += 2) sum += (data[at + i] << 8) | data[at + i + 1];
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~(sum + (sum >>> 16)) & 0xffff;
}

/** 0xc000..0xffff: the flow label folded, or for label 0 something that is the same for all packets of a connection's direction. */
function sourcePort({ flowLabel, destQpn, sourceQpn }: Packet): number {
  const label =
    flowLabel === 0 ? Math.imul(destQpn + 1, 0x9e37) ^ Math.imul(sourceQpn + 1, 0x79b9) : flowLabel;
  return 0xc000 | ((label ^ (label >>> 14)) & 0x3fff);
}

function putTransport(
  packet: Packet,
  target: Uint8Array,
  at: number,
  pad: number,
  layout: OpcodeLayout,
): void {
  const { fields } = bth;
  fields.opcode.set(target, at, packet.opcode);
  fields.solicited.set(target, at, packet.solicited ? 1 : 0);
  fields.padCount.set(target, at, pad);
  fields.partitionKey.set(target, at, packet.partitionKey);
  fields.destQpn.set(target, at, packet.destQpn);
  fields.ackRequest.set(target, at, packet.ackRequest ? 1 : 0);
  fields.psn.set(target, at, packet.psn);
  const behind = at + bth.size;
  if (layout.deth >= 0) {
    deth.fields.qkey.set(target, behind + layout.deth, packet.qkey);
    deth.fields.sourceQpn.set(target, behind + layout.deth, packet.sourceQpn);
  }
  if (layout.reth >= 0) {
    reth.fields.virtualAddress.set(target, behind + layout.reth, packet.virtualAddress);
    reth.fields.rkey.set(target, behind + layout.reth, packet.rkey);
    reth.fields.dmaLength.set(target, behind + layout.reth, packet.dmaLength);
  }
  if (layout.aeth >= 0) {
    aeth.fields.syndrome.set(target, behind + layout.aeth, packet.syndrome);
    aeth.fields.msn.set(target, behind + layout.aeth, packet.msn);
  }
  if (layout.immDt >= 0) immDt.fields.immediate.set(target, behind + layout.immDt, packet.immediate);
}

/**
 * Reads a frame that was decoded as `roce` into a packet record; fields that the opcode does not have become 0. False when the payload is
 * longer than any path MTU: then the record holds the headers and its first 4096 bytes.
 */
export function readFrame(frame: RoceFrame, names: GidNames, packet: Packet): boolean {
  const { data, ipAt, isIpv6, layout } = frame;
  const bytes = isIpv6 ? wire.IPV6_ADDRESS_BYTES : wire.IPV4_ADDRESS_BYTES;
  packet.sourceGid = names.nameOf(data, ipAt + (isIpv6 ? wire.IPV6_SOURCE_AT : wire.IPV4_SOURCE_AT), bytes);
  const destinationAt = ipAt + (isIpv6 ? wire.IPV6_DESTINATION_AT : wire.IPV4_DESTINATION_AT);
  packet.destinationGid = names.nameOf(data, destinationAt, bytes);
  packet.flowLabel = isIpv6 ? ipv6.fields.flowLabel.get(data, ipAt) : 0;
  packet.trafficClass = (isIpv6 ? ipv6 : ipv4).fields.trafficClass.get(data, ipAt);
  packet.hopLimit = (isIpv6 ? ipv6 : ipv4).fields.hopLimit.get(data, ipAt);
  packet.opcode = frame.opcode;
  packet.solicited = frame.solicited;
  packet.partitionKey = frame.partitionKey;
  packet.destQpn = frame.destQpn;
  packet.ackRequest = frame.ackRequest;
  packet.psn = frame.psn;
  packet.qkey = frame.qkey;
  packet.sourceQpn = frame.sourceQpn;
  packet.virtualAddress = frame.virtualAddress;
  packet.rkey = frame.rkey;
  packet.dmaLength = layout.reth < 0 ? 0 : frame.dmaLength;
  packet.syndrome = frame.syndrome;
  packet.msn = frame.msn;
  packet.immediate = frame.immediate;
  packet.transmission = 0;
  packet.payloadLength = Math.min(frame.payloadLength, PAYLOAD_BYTES_MAX);
  packet.payload.set(data.subarray(frame.payloadAt, frame.payloadAt + packet.payloadLength));
  return frame.payloadLength <= PAYLOAD_BYTES_MAX;
}
