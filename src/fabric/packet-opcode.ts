/**
 * The opcode byte of the base transport header (IBTA 9.2): transport service in bits 7:5, operation in bits 4:0. The operations from
 * 0x12 on are never sent here; they are known so that the frames of others can be read.
 */

export const PacketTransport = { RC: 0x00, UC: 0x20, UD: 0x60 } as const;

export const PacketOperation = {
  SEND_FIRST: 0x00,
  SEND_MIDDLE: 0x01,
  SEND_LAST: 0x02,
  SEND_LAST_IMM: 0x03,
  SEND_ONLY: 0x04,
  SEND_ONLY_IMM: 0x05,
  WRITE_FIRST: 0x06,
  WRITE_MIDDLE: 0x07,
  WRITE_LAST: 0x08,
  WRITE_LAST_IMM: 0x09,
  WRITE_ONLY: 0x0a,
  WRITE_ONLY_IMM: 0x0b,
  READ_REQUEST: 0x0c,
  READ_RESPONSE_FIRST: 0x0d,
  READ_RESPONSE_MIDDLE: 0x0e,
  READ_RESPONSE_LAST: 0x0f,
  READ_RESPONSE_ONLY: 0x10,
  ACKNOWLEDGE: 0x11,
  ATOMIC_ACKNOWLEDGE: 0x12,
  COMPARE_SWAP: 0x13,
  FETCH_ADD: 0x14,
  SEND_LAST_INVALIDATE: 0x16,
  SEND_ONLY_INVALIDATE: 0x17,
} as const;

export function transportOf(opcode: number): number {
  return opcode & 0xe0;
}

export function operationOf(opcode: number): number {
  return opcode & 0x1f;
}

const operationNames = new Map<number, string>(
  Object.entries(PacketOperation).map(([name, value]) => [value, name]),
);
const transportNames = new Map<number, string>(
  Object.entries(PacketTransport).map(([name, value]) => [value, name]),
);

/** Such as `RC SEND_ONLY`. */
export function packetOpcodeName(opcode: number): string {
  const transport = transportNames.get(transportOf(opcode)) ?? 'transport?';
  const operation = operationNames.get(operationOf(opcode)) ?? `0x${operationOf(opcode).toString(16)}`;
  return `${transport} ${operation}`;
}
