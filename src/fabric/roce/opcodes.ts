/**
 * What follows the base transport header, for each opcode byte (IBTA 9.2, table 38; the values in packet-opcode.ts).
 */
import { PacketOperation as Op, PacketTransport, packetOpcodeName } from '../packet-opcode.js';
import type { WireHeader } from './fields.js';
import { aeth, atomicAckEth, atomicEth, deth, ieth, immDt, reth } from './headers.js';

/** How many bytes of payload an opcode has: none, exactly the path MTU, 1 to the path MTU, or 0 to it. */
export type PayloadRule = 'none' | 'full' | 'some' | 'any';

export interface OpcodeLayout {
  readonly name: string;
  readonly payload: PayloadRule;
  /** The headers behind the BTH, in wire order. */
  readonly headers: readonly WireHeader[];
  /** Their bytes together. */
  readonly bytes: number;
  /** Bytes from the end of the BTH to each; -1 where the opcode does not have it. */
  readonly deth: number;
  readonly reth: number;
  readonly atomicEth: number;
  readonly aeth: number;
  readonly atomicAckEth: number;
  readonly immDt: number;
  readonly ieth: number;
}

type Row = readonly [operation: number, payload: PayloadRule, ...headers: WireHeader[]];

const unreliableRows: readonly Row[] = [
  [Op.SEND_FIRST, 'full'],
  [Op.SEND_MIDDLE, 'full'],
  [Op.SEND_LAST, 'some'],
  [Op.SEND_LAST_IMM, 'some', immDt],
  [Op.SEND_ONLY, 'any'],
  [Op.SEND_ONLY_IMM, 'any', immDt],
  [Op.WRITE_FIRST, 'full', reth],
  [Op.WRITE_MIDDLE, 'full'],
  [Op.WRITE_LAST, 'some'],
  [Op.WRITE_LAST_IMM, 'some', immDt],
  [Op.WRITE_ONLY, 'any', reth],
  [Op.WRITE_ONLY_IMM, 'any', reth, immDt],
];

const reliableRows: readonly Row[] = [
  ...unreliableRows,
  [Op.READ_REQUEST, 'none', reth],
  [Op.READ_RESPONSE_FIRST, 'full', aeth],
  [Op.READ_RESPONSE_MIDDLE, 'full'],
  [Op.READ_RESPONSE_LAST, 'some', aeth],
  [Op.READ_RESPONSE_ONLY, 'any', aeth],
  [Op.ACKNOWLEDGE, 'none', aeth],
  [Op.ATOMIC_ACKNOWLEDGE, 'none', aeth, atomicAckEth],
  [Op.COMPARE_SWAP, 'none', atomicEth],
  [Op.FETCH_ADD, 'none', atomicEth],
  [Op.SEND_LAST_INVALIDATE, 'some', ieth],
  [Op.SEND_ONLY_INVALIDATE, 'any', ieth],
];

const datagramRows: readonly Row[] = [
  [Op.SEND_ONLY, 'any', deth],
  [Op.SEND_ONLY_IMM, 'any', deth, immDt],
];

function layoutOf(transport: number, [operation, payload, ...headers]: Row): OpcodeLayout {
  const place = (header: WireHeader): number => {
    const index = headers.indexOf(header);
    return index < 0 ? -1 : bytesOf(headers.slice(0, index));
  };
  return {
    name: packetOpcodeName(transport | operation),
    payload,
    headers,
    bytes: bytesOf(headers),
    deth: place(deth),
    reth: place(reth),
    atomicEth: place(atomicEth),
    aeth: place(aeth),
    atomicAckEth: place(atomicAckEth),
    immDt: place(immDt),
    ieth: place(ieth),
  };
}

function bytesOf(headers: readonly WireHeader[]): number {
  return headers.reduce((sum, header) => sum + header.size, 0);
}

/** By opcode byte; undefined for one that RoCE v2 or this system does not have. */
const layouts: readonly (OpcodeLayout | undefined)[] = (() => {
  const table: (OpcodeLayout | undefined)[] = Array.from({ length: 256 }, () => undefined);
  for (const row of reliableRows) table[PacketTransport.RC | row[0]] = layoutOf(PacketTransport.RC, row);
  for (const row of unreliableRows) table[PacketTransport.UC | row[0]] = layoutOf(PacketTransport.UC, row);
  for (const row of datagramRows) table[PacketTransport.UD | row[0]] = layoutOf(PacketTransport.UD, row);
  return table;
})();

/** What follows the BTH of an opcode byte 0..255; undefined when it is none of RC, UC or UD. */
export function opcodeLayout(opcode: number): OpcodeLayout | undefined {
  return layouts[opcode];
}

/** Every opcode byte that has a layout, ascending. */
export const knownOpcodes: readonly number[] = layouts.flatMap((layout, opcode) =>
  layout === undefined ? [] : [opcode],
);
