/** Bytes of answers and completions, sound and otherwise. */
import { cqReq } from '../../../abi/index.js';
import type { Struct, StructValue } from '../../../abi/index.js';

export function bytesOf<V>(layout: Struct<V>, value: Readonly<V>): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  layout.encode(new DataView(bytes.buffer), 0, value);
  return bytes;
}

/** Little-endian 32-bit numbers, one behind the other. */
export function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value, true);
  return bytes;
}

export type CompletionFields = StructValue<typeof cqReq>;

/** The 48 bytes of a completion; what is not named is zero. `imm_data` is the number that its four bytes are in network order. */
export function completionBytes(fields: Partial<CompletionFields>): Uint8Array {
  const bytes = bytesOf(cqReq, { ...cqReq.zero(), ...fields });
  new DataView(bytes.buffer).setUint32(cqReq.offsets.imm_data, fields.imm_data ?? 0, false);
  return bytes;
}

export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
