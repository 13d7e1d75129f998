/** Frames for people: one line, or every field of every header. */
import { GidNames, addressText } from './addresses.js';
import type { WireHeader } from './fields.js';
import type { RoceFrame } from './frame.js';
import {
  bth,
  ethernet,
  ipv4,
  ipv6,
  udp,
  IPV4_DESTINATION_AT,
  IPV4_SOURCE_AT,
  IPV6_DESTINATION_AT,
  IPV6_SOURCE_AT,
} from './headers.js';

const NAK_NAMES = [
  'sequence error',
  'invalid request',
  'remote access',
  'remote operation',
  'invalid RD request',
];

/** Such as `ACK`, `receiver not ready 12` or `NAK sequence error`. */
export function syndromeText(syndrome: number): string {
  const value = syndrome & 31;
  switch (syndrome >>> 5) {
    case 0:
      return value === 31 ? 'ACK' : `ACK, credit code ${value}`;
    case 1:
      return `receiver not ready ${value}`;
    case 3:
      return `NAK ${NAK_NAMES[value] ?? `code ${value}`}`;
    default:
      return `reserved syndrome 0x${syndrome.toString(16)}`;
  }
}

/** One line, such as `10.0.0.1 > 10.0.0.2  RC SEND_ONLY qp 18 psn 1, 5 bytes, ack`. A frame that is no RoCE v2 gives its reason. */
export function frameLine(frame: RoceFrame, names = new GidNames()): string {
  if (frame.kind !== 'roce') return `${frame.kind}: ${frame.problem}`;
  const { isIpv6, ipAt, data, layout } = frame;
  const ends = isIpv6 ? [IPV6_SOURCE_AT, IPV6_DESTINATION_AT] : [IPV4_SOURCE_AT, IPV4_DESTINATION_AT];
  const [from, to] = ends.map(at => addressText(names.nameOf(data, ipAt + at, isIpv6 ? 16 : 4)));
  const parts = [`${frame.payloadLength} bytes`];
  if (layout.aeth >= 0) parts.push(`${syndromeText(frame.syndrome)}, msn ${frame.msn}`);
  if (layout.reth >= 0) parts.push(`${frame.dmaLength} at 0x${frame.virtualAddress.toString(16)}`);
  if (layout.deth >= 0) parts.push(`from qp ${frame.sourceQpn}`);
  if (frame.ackRequest) parts.push('ack');
  return `${from} > ${to}  ${layout.name} qp ${frame.destQpn} psn ${frame.psn}, ${parts.join(', ')}`;
}

/** Every header of a frame with the values of its fields, one header a line; then payload and ICRC. */
export function frameFields(frame: RoceFrame): string[] {
  if (frame.kind !== 'roce' && frame.kind !== 'unknown') return [`${frame.kind}: ${frame.problem}`];
  const { data, ipAt, udpAt, bthAt, layout } = frame;
  const lines = [
    headerLine(ethernet, data, ipAt - ethernet.size),
    headerLine(frame.isIpv6 ? ipv6 : ipv4, data, ipAt),
    headerLine(udp, data, udpAt),
    headerLine(bth, data, bthAt),
  ];
  let at = bthAt + bth.size;
  for (const header of layout.headers) {
    lines.push(headerLine(header, data, at));
    at += header.size;
  }
  const right =
    frame.icrc === frame.icrcExpected ? 'right' : `wrong, expected 0x${hex(frame.icrcExpected, 8)}`;
  lines.push(`payload    ${frame.payloadLength} bytes, pad ${frame.padCount}`);
  lines.push(`ICRC       0x${hex(frame.icrc, 8)}, ${right}`);
  return lines;
}

function headerLine({ name, fields }: WireHeader, data: Uint8Array, at: number): string {
  const values = Object.entries(fields).map(([field, spec]) => {
    const value = spec.get(data, at);
    return `${field} ${spec.bits > 8 ? `0x${value.toString(16)}` : value}`;
  });
  return `${name.padEnd(10)} ${values.join(', ')}`;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}
