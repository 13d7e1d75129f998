/** Hand-written packets between two queue pairs, for tests of the judge on the wire. */
import { Packet, PacketOperation, PacketTransport } from '../../../src/fabric/index.js';
import { WireJudge } from '../../../src/conformance/wire/index.js';
import type { WireJudgeOptions, WireReport } from '../../../src/conformance/wire/index.js';

export const HERE = { gid: '00000000000000000000ffff0a000001', qpn: 17 };
export const THERE = { gid: '00000000000000000000ffff0a000002', qpn: 18 };

export type Operation = keyof typeof PacketOperation;
export type Fields = Partial<Omit<Packet, 'payload' | 'arrival' | 'copyFrom' | 'wireBytes'>>;

function packet(
  transport: number,
  operation: Operation,
  from: typeof HERE,
  to: typeof HERE,
  fields: Fields,
): Packet {
  return Object.assign(new Packet(() => undefined), {
    opcode: transport | PacketOperation[operation],
    sourceGid: from.gid,
    sourceQpn: from.qpn,
    destinationGid: to.gid,
    destQpn: to.qpn,
    ackRequest: true,
    ...fields,
  });
}

/** A request from here, of RC. */
export const request = (
  operation: Operation,
  psn: number,
  payloadLength: number,
  fields: Fields = {},
): Packet => packet(PacketTransport.RC, operation, HERE, THERE, { psn, payloadLength, ...fields });

export const uc = (operation: Operation, psn: number, payloadLength: number, fields: Fields = {}): Packet =>
  packet(PacketTransport.UC, operation, HERE, THERE, { psn, payloadLength, ...fields });

export const ud = (psn: number): Packet =>
  packet(PacketTransport.UD, 'SEND_ONLY', HERE, THERE, { psn, payloadLength: 10 });

/** A READ of `dmaLength` bytes at `virtualAddress`. */
export const read = (psn: number, dmaLength: number, virtualAddress = 4096): Packet =>
  request('READ_REQUEST', psn, 0, { dmaLength, virtualAddress, rkey: 7 });

/** An acknowledgement or NAK from there. */
export const ack = (psn: number, msn: number, syndrome = 0x1f): Packet =>
  packet(PacketTransport.RC, 'ACKNOWLEDGE', THERE, HERE, { psn, msn, syndrome, ackRequest: false });

export const SEQUENCE_ERROR = 0x60;
export const INVALID_REQUEST = 0x61;
export const NOT_READY = 0x2c;

/** A READ response from there. */
export const response = (
  part: 'FIRST' | 'MIDDLE' | 'LAST' | 'ONLY',
  psn: number,
  payloadLength: number,
  msn = 1,
): Packet =>
  packet(PacketTransport.RC, `READ_RESPONSE_${part}`, THERE, HERE, {
    psn,
    payloadLength,
    msn,
    syndrome: 0x1f,
    ackRequest: false,
  });

export const atomicAck = (psn: number, msn: number): Packet =>
  packet(PacketTransport.RC, 'ATOMIC_ACKNOWLEDGE', THERE, HERE, {
    psn,
    msn,
    syndrome: 0x1f,
    ackRequest: false,
  });

export function judged(packets: readonly Packet[], options: WireJudgeOptions = {}): WireReport {
  const judge = new WireJudge(options);
  for (const each of packets) judge.take(each);
  return judge.report();
}
