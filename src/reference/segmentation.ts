/**
 * How a message becomes packets [DATA-73]: one ONLY packet up to the path MTU, else FIRST, MIDDLEs and LAST, where
 * all but the last are exactly one MTU long. The immediate travels in the last or only packet.
 */
import { WrOpcode } from '../abi/index.js';
import { PacketOperation } from '../fabric/index.js';

/** Packets of a message; a zero-length message is one packet. */
export function packetCount(length: number, mtu: number): number {
  return length <= mtu ? 1 : Math.ceil(length / mtu);
}

/** Operation of the packet that starts at `first` and ends at `last` (or not) of a SEND or WRITE. */
export function requestOperation(opcode: WrOpcode, first: boolean, last: boolean): number {
  const send = opcode === WrOpcode.SEND || opcode === WrOpcode.SEND_WITH_IMM;
  const base = send ? PacketOperation.SEND_FIRST : PacketOperation.WRITE_FIRST;
  if (!last) return first ? base : base + 1;
  const immediate = opcode === WrOpcode.SEND_WITH_IMM || opcode === WrOpcode.RDMA_WRITE_WITH_IMM ? 1 : 0;
  return (first ? base + 4 : base + 2) + immediate;
}

/** Operation of a read response packet. */
export function responseOperation(first: boolean, last: boolean): number {
  if (first) return last ? PacketOperation.READ_RESPONSE_ONLY : PacketOperation.READ_RESPONSE_FIRST;
  return last ? PacketOperation.READ_RESPONSE_LAST : PacketOperation.READ_RESPONSE_MIDDLE;
}

const { SEND_ONLY_IMM, WRITE_FIRST, WRITE_ONLY_IMM } = PacketOperation;

/** The parts of SEND and WRITE operations 0x00..0x0b. */
export function isSend(operation: number): boolean {
  return operation <= SEND_ONLY_IMM;
}
export function isWrite(operation: number): boolean {
  return operation >= WRITE_FIRST && operation <= WRITE_ONLY_IMM;
}
/** FIRST or ONLY. */
export function startsMessage(operation: number): boolean {
  const part = operation % 6;
  return part === 0 || part >= 4;
}
/** LAST or ONLY. */
export function endsMessage(operation: number): boolean {
  return operation % 6 >= 2;
}
export function hasImmediate(operation: number): boolean {
  const part = operation % 6;
  return part === 3 || part === 5;
}
