/**
 * Struct tables: one declarative table per struct gives its size, its offsets, its TypeScript type, its
 * documentation and its encoder and decoder. Everything is little-endian whatever the host is.
 *
 * Reserved and padding fields are part of the layout and of no value: they are written as zero and never read.
 */

export type ScalarType = 'u8' | 'le16' | 'le32' | 'le64';

const scalarSize: Record<ScalarType, number> = { u8: 1, le16: 2, le32: 4, le64: 8 };

/** One field as written in a table. `T` is the type of the field's value. */
export interface FieldSpec<T> {
  readonly type: ScalarType | Struct<Record<string, unknown>>;
  /** Elements in the field; 1 for a plain field. */
  readonly count: number;
  /** A flexible array member: it begins at the end of the fixed part and has no size of its own. */
  readonly flexible: boolean;
  readonly reserved: boolean;
  readonly doc: string;
  /** Carries the value type; never present at run time. */
  readonly value?: T;
}

/** A field with its place in the struct. */
export interface Field {
  readonly name: string;
  readonly type: ScalarType | Struct<Record<string, unknown>>;
  readonly count: number;
  readonly flexible: boolean;
  readonly reserved: boolean;
  readonly doc: string;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  /** Bytes of the whole field, all elements; 0 for a flexible array. */
  readonly size: number;
}

function scalar(type: ScalarType) {
  return (doc: string): FieldSpec<number> => ({ type, count: 1, flexible: false, reserved: false, doc });
}

export const u8 = scalar('u8');
export const le16 = scalar('le16');
export const le32 = scalar('le32');
/**
 * A 64-bit number, held as a JavaScript number. Exact up to 2^53 - 1; a larger value decodes to a number that is
 * too large for any address or length in this system and is refused wherever one is checked.
 */
export const le64 = scalar('le64');

/** A fixed run of bytes, such as a GID or a MAC address. */
export function bytes(count: number, doc: string): FieldSpec<Uint8Array> {
  return { type: 'u8', count, flexible: false, reserved: false, doc };
}

/** A nested struct. */
export function nested<V extends Record<string, unknown>>(type: Struct<V>, doc: string): FieldSpec<V> {
  return { type, count: 1, flexible: false, reserved: false, doc };
}

/** A flexible array at the end of a struct. Its elements are read and written by the caller. */
export function flexible(
  type: ScalarType | Struct<Record<string, unknown>>,
  doc: string,
): FieldSpec<undefined> {
  return { type, count: 0, flexible: true, reserved: false, doc };
}

/** Padding, reserved space or fields of somebody else: zero when written, ignored when read. */
export function reserved(type: ScalarType, count = 1, doc = 'zero'): FieldSpec<undefined> {
  return { type, count, flexible: false, reserved: true, doc };
}

/** Space that other structs overlay (a union); part of the layout, of no value here. */
export function overlay(count: number, doc: string): FieldSpec<undefined> {
  return { type: 'u8', count, flexible: false, reserved: true, doc };
}

type FieldSpecs = Record<string, FieldSpec<unknown>>;
type ValueKeys<F extends FieldSpecs> = {
  [K in keyof F]: F[K] extends FieldSpec<infer T> ? (undefined extends T ? never : K) : never;
}[keyof F];
/** The value of a struct: every field that is not reserved, flexible or an overlay. */
export type ValueOf<F extends FieldSpecs> = {
  [K in ValueKeys<F>]: F[K] extends FieldSpec<infer T> ? T : never;
};
/** The decoded value of a struct table. */
export type StructValue<S> = S extends Struct<infer V> ? V : never;

/** A struct's layout with its codec. Made by {@link struct}. */
export interface Struct<V, Names extends string = string> {
  readonly name: string;
  readonly doc: string;
  /** Bytes of the fixed part. */
  readonly size: number;
  readonly fields: readonly Field[];
  /** Offset of each field, in bytes, for code that reads single fields in place. */
  readonly offsets: Readonly<Record<Names, number>>;
  /** A value with every field zero. */
  zero(): V;
  /** Writes the whole fixed part at `offset`, reserved fields as zero. Throws RangeError when it does not fit. */
  encode(view: DataView, offset: number, value: Readonly<V>): void;
  /** Reads into an existing value; allocates nothing. Throws RangeError when the view is too short. */
  decodeInto(view: DataView, offset: number, target: V): V;
  /** Reads into a new value. */
  decode(view: DataView, offset: number): V;
}

/** Lays out the fields in the order written, each at the next byte; the table states its own padding. */
export function struct<F extends FieldSpecs>(
  name: string,
  doc: string,
  specs: F,
): Struct<ValueOf<F>, keyof F & string> {
  const fields: Field[] = [];
  let size = 0;
  for (const [fieldName, spec] of Object.entries(specs)) {
    const elementSize = typeof spec.type === 'string' ? scalarSize[spec.type] : spec.type.size;
    const { type, count, flexible: isFlexible, reserved: isReserved, doc: fieldDoc } = spec;
    const fieldSize = isFlexible ? 0 : elementSize * count;
    fields.push({
      name: fieldName,
      type,
      count,
      flexible: isFlexible,
      reserved: isReserved,
      doc: fieldDoc,
      offset: size,
      size: fieldSize,
    });
    size += fieldSize;
  }
  const codec = new StructCodec(name, doc, size, fields);
  return codec as unknown as Struct<ValueOf<F>, keyof F & string>;
}

class StructCodec implements Struct<Record<string, unknown>> {
  readonly name: string;
  readonly doc: string;
  readonly size: number;
  readonly fields: readonly Field[];
  readonly offsets: Readonly<Record<string, number>>;
  /** Every field that has a value, as zero. */
  readonly #empty: Readonly<Record<string, unknown>>;
  /** Those of them that are structs or bytes, which no two values share. */
  readonly #composed: readonly Field[];

  constructor(name: string, doc: string, size: number, fields: readonly Field[]) {
    this.name = name;
    this.doc = doc;
    this.size = size;
    this.fields = fields;
    this.offsets = Object.fromEntries(fields.map(field => [field.name, field.offset]));
    const valued = fields.filter(field => !field.reserved && !field.flexible);
    this.#empty = Object.fromEntries(valued.map(field => [field.name, 0]));
    this.#composed = valued.filter(field => typeof field.type !== 'string' || field.count > 1);
  }

  /** A copy of one that has all fields: many times faster than to add them one by one. */
  zero(): Record<string, unknown> {
    const value = { ...this.#empty };
    for (const { name, type, count } of this.#composed)
      value[name] = typeof type === 'string' ? new Uint8Array(count) : type.zero();
    return value;
  }

  encode(view: DataView, offset: number, value: Readonly<Record<string, unknown>>): void {
    this.#requireRoom(view, offset);
    for (const field of this.fields) {
      const at = offset + field.offset;
      if (field.flexible) continue;
      if (field.reserved) zeroFill(view, at, field.size);
      else if (typeof field.type !== 'string') {
        field.type.encode(view, at, value[field.name] as Record<string, unknown>);
      } else if (field.count === 1) writeScalar(view, at, field.type, value[field.name] as number);
      else writeBytes(view, at, value[field.name] as Uint8Array, field.count);
    }
  }

  decodeInto(view: DataView, offset: number, target: Record<string, unknown>): Record<string, unknown> {
    this.#requireRoom(view, offset);
    for (const field of this.fields) {
      const at = offset + field.offset;
      if (field.flexible || field.reserved) continue;
      if (typeof field.type !== 'string') {
        field.type.decodeInto(view, at, target[field.name] as Record<string, unknown>);
      } else if (field.count === 1) target[field.name] = readScalar(view, at, field.type);
      else readBytes(view, at, target[field.name] as Uint8Array, field.count);
    }
    return target;
  }

  decode(view: DataView, offset: number): Record<string, unknown> {
    this.#requireRoom(view, offset);
    const value: Record<string, unknown> = {};
    for (const field of this.fields) {
      if (field.reserved || field.flexible) continue;
      const at = offset + field.offset;
      if (typeof field.type !== 'string') value[field.name] = field.type.decode(view, at);
      else if (field.count === 1) value[field.name] = readScalar(view, at, field.type);
      else value[field.name] = readBytes(view, at, new Uint8Array(field.count), field.count);
    }
    return value;
  }

  /** Refuses before the first byte moves, so that nothing is ever half written. */
  #requireRoom(view: DataView, offset: number): void {
    if (offset >= 0 && offset + this.size <= view.byteLength) return;
    throw new RangeError(
      `${this.name}: ${this.size} bytes at offset ${offset} do not fit in ${view.byteLength} bytes`,
    );
  }
}

function zeroFill(view: DataView, offset: number, size: number): void {
  let at = offset;
  const end = offset + size;
  for (; end - at >= 8; at += 8) view.setFloat64(at, 0);
  for (; at < end; at++) view.setUint8(at, 0);
}

function writeBytes(view: DataView, offset: number, value: Uint8Array, count: number): void {
  for (let i = 0; i < count; i++) view.setUint8(offset + i, value[i]);
}

function readBytes(view: DataView, offset: number, target: Uint8Array, count: number): Uint8Array {
  for (let i = 0; i < count; i++) target[i] = view.getUint8(offset + i);
  return target;
}

function writeScalar(view: DataView, offset: number, type: ScalarType, value: number): void {
  switch (type) {
    case 'u8':
      view.setUint8(offset, value);
      break;
    case 'le16':
      view.setUint16(offset, value, true);
      break;
    case 'le32':
      view.setUint32(offset, value, true);
      break;
    case 'le64':
      writeLe64(view, offset, value);
      break;
  }
}

function readScalar(view: DataView, offset: number, type: ScalarType): number {
  switch (type) {
    case 'u8':
      return view.getUint8(offset);
    case 'le16':
      return view.getUint16(offset, true);
    case 'le32':
      return view.getUint32(offset, true);
    case 'le64':
      return readLe64(view, offset);
  }
}

/**
 * Writes a number in 0..2^53-1 as eight little-endian bytes. One that {@link readLe64} rounded is written rounded, and
 * one that was rounded up to 2^64 as the largest 64-bit number, never as a small one.
 */
export function writeLe64(view: DataView, offset: number, value: number): void {
  const tooLarge = value >= 0x1_0000_0000_0000_0000;
  view.setUint32(offset, tooLarge ? 0xffff_ffff : value % 0x1_0000_0000, true);
  view.setUint32(offset + 4, tooLarge ? 0xffff_ffff : Math.floor(value / 0x1_0000_0000), true);
}

/** Reads eight little-endian bytes; exact up to 2^53 - 1. A larger one is rounded, to 2^53 or more. */
export function readLe64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}
