/** A packet as a case sees it: copied when it left, since the fabric uses its records again. */
import { PacketOperation, operationOf, packetOpcodeName, transportOf } from '../../../fabric/index.js';
import type { Packet } from '../../../fabric/index.js';

/** What a forger may choose. */
export type PacketFields = Pick<
  Packet,
  | 'sourceGid'
  | 'destinationGid'
  | 'opcode'
  | 'destQpn'
  | 'sourceQpn'
  | 'psn'
  | 'ackRequest'
  | 'syndrome'
  | 'virtualAddress'
  | 'rkey'
  | 'dmaLength'
  | 'payloadLength'
>;

export interface WirePacket extends Readonly<PacketFields> {
  /** Virtual time at which it left. */
  readonly atNs: number;
  /** Sent by the case itself, not by what is judged. */
  readonly forged: boolean;
  readonly payload: Uint8Array;
}

export function wirePacketOf(packet: Packet, atNs: number, forged: boolean): WirePacket {
  return {
    sourceGid: packet.sourceGid,
    destinationGid: packet.destinationGid,
    opcode: packet.opcode,
    destQpn: packet.destQpn,
    sourceQpn: packet.sourceQpn,
    psn: packet.psn,
    ackRequest: packet.ackRequest,
    syndrome: packet.syndrome,
    virtualAddress: packet.virtualAddress,
    rkey: packet.rkey,
    dmaLength: packet.dmaLength,
    payloadLength: packet.payloadLength,
    atNs,
    forged,
    payload: packet.payload.slice(0, packet.payloadLength),
  };
}

type Operation = keyof typeof PacketOperation;
type Selector = (packet: WirePacket) => boolean;

/** Packets of these operations, on any service. */
export function is(...names: readonly Operation[]): Selector {
  return ({ opcode }) => names.some(name => PacketOperation[name] === operationOf(opcode));
}

export const isAcknowledge = is('ACKNOWLEDGE');

/** A part of a SEND or RDMA_WRITE, or an RDMA_READ: what a requester sends. */
export const isRequest: Selector = ({ opcode }) => operationOf(opcode) <= PacketOperation.READ_REQUEST;

export const isReadResponse = is(
  'READ_RESPONSE_FIRST',
  'READ_RESPONSE_MIDDLE',
  'READ_RESPONSE_LAST',
  'READ_RESPONSE_ONLY',
);

/** Kinds and codes of a syndrome, the byte that says what an acknowledgement acknowledges (IBTA 9.7.5.2.1). */
export const ACK = 0x1f;
export const RNR_NAK = 0x20;

/** `SEND_ONLY 5`, `ACK 5`, `NAK of sequence error 0`; UC and UD say so. */
export function textOf({ opcode, psn, syndrome }: WirePacket): string {
  if (operationOf(opcode) === PacketOperation.ACKNOWLEDGE) return `${syndromeText(syndrome)} ${psn}`;
  const name = packetOpcodeName(opcode);
  return `${transportOf(opcode) === 0 ? name.slice(name.indexOf(' ') + 1) : name} ${psn}`;
}

function syndromeText(syndrome: number): string {
  if (syndrome >>> 5 === 0) return 'ACK';
  if (syndrome >>> 5 === 1) return 'RNR NAK';
  return syndrome >>> 5 === 3 ? `NAK of ${nakCodes[syndrome & 31] ?? 'a reserved code'}` : 'reserved answer';
}

const nakCodes = ['sequence error', 'invalid request', 'remote access', 'remote operation'];
