/** Byte helpers of the ABI tests. */
import type { Struct } from '../../src/abi/index.js';

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

/** The encoding of a value, over memory that was full of ones. */
export function bytesOf<V>(struct: Struct<V>, value: V): Uint8Array {
  const bytes = new Uint8Array(struct.size).fill(0xff);
  struct.encode(viewOf(bytes), 0, value);
  return bytes;
}
