/**
 * Tables of network headers: big-endian fields, some of them a few bits wide. One table a header gives its size, its
 * offsets, its documentation, its reader and its writer.
 */

/** One field. `get` and `set` work in place; `at` is where the header begins. Nothing is checked: who calls knows the bounds. */
export class WireField {
  readonly doc: string;
  /** Bytes from the start of the header to the word that holds the field. */
  readonly byte: number;
  /** Bytes of that word: 1, 2, 3, 4 or 8. */
  readonly bytes: number;
  /** Of the word, how far the field's lowest bit is from the word's lowest. */
  readonly shift: number;
  readonly bits: number;
  readonly #mask: number;

  constructor(doc: string, byte: number, bytes: number, shift: number, bits: number) {
    this.doc = doc;
    this.byte = byte;
    this.bytes = bytes;
    this.shift = shift;
    this.bits = bits;
    this.#mask = bits >= 32 ? 0xffff_ffff : (1 << bits) - 1;
  }

  /** The value; 64-bit fields are exact up to 2^53 - 1 and rounded beyond, as in the ABI tables. */
  get(data: Uint8Array, at: number): number {
    const from = at + this.byte;
    if (this.bytes === 8) return word(data, from, 4) * 0x1_0000_0000 + word(data, from + 4, 4);
    return ((word(data, from, this.bytes) >>> this.shift) & this.#mask) >>> 0;
  }

  /** Writes the field and leaves its neighbours in the word as they are. A value that is too large is cut off. */
  set(data: Uint8Array, at: number, value: number): void {
    const from = at + this.byte;
    if (this.bytes === 8) return putLong(data, from, value);
    const kept = word(data, from, this.bytes) & ~(this.#mask << this.shift);
    putWord(data, from, this.bytes, kept | ((value & this.#mask) << this.shift));
  }
}

function word(data: Uint8Array, from: number, bytes: number): number {
  let value = 0;
  for (let i = 0; i < bytes; i++) value = (value << 8) | data[from + i];
  return value >>> 0;
}

function putWord(data: Uint8Array, from: number, bytes: number, value: number): void {
  for (let i = bytes - 1, rest = value; i >= 0; i--, rest >>>= 8) data[from + i] = rest & 0xff;
}

/** One that was rounded up to 2^64 is written as the largest 64-bit number. */
function putLong(data: Uint8Array, from: number, value: number): void {
  const tooLarge = value >= 0x1_0000_0000_0000_0000;
  putWord(data, from, 4, tooLarge ? 0xffff_ffff : Math.floor(value / 0x1_0000_0000));
  putWord(data, from + 4, 4, tooLarge ? 0xffff_ffff : value % 0x1_0000_0000);
}

export const u8 = (byte: number, doc: string): WireField => new WireField(doc, byte, 1, 0, 8);
export const u16 = (byte: number, doc: string): WireField => new WireField(doc, byte, 2, 0, 16);
export const u24 = (byte: number, doc: string): WireField => new WireField(doc, byte, 3, 0, 24);
export const u32 = (byte: number, doc: string): WireField => new WireField(doc, byte, 4, 0, 32);
export const u64 = (byte: number, doc: string): WireField => new WireField(doc, byte, 8, 0, 64);
/** `bits` bits of the `bytes` bytes at `byte`, the lowest `shift` above the word's lowest. */
export const bits = (byte: number, bytes: number, shift: number, width: number, doc: string): WireField =>
  new WireField(doc, byte, bytes, shift, width);

/** A header: its name as the field has it, its bytes, its fields by name in wire order. */
export interface WireHeader<Names extends string = string> {
  readonly name: string;
  readonly doc: string;
  readonly size: number;
  readonly fields: Readonly<Record<Names, WireField>>;
}

/** Declares a header. Throws when a field reaches beyond its size. */
export function header<const F extends Record<string, WireField>>(
  name: string,
  doc: string,
  size: number,
  fields: F,
): WireHeader<keyof F & string> & { readonly fields: F } {
  for (const [fieldName, field] of Object.entries(fields)) {
    if (field.byte + field.bytes > size || field.shift + field.bits > 8 * field.bytes)
      throw new Error(`${name}.${fieldName} lies beyond the ${size} bytes of the header`);
  }
  return { name, doc, size, fields };
}
