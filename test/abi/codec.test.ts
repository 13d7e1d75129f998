/**
 * Laws of the codecs, over every struct and configuration:
 * - what was encoded decodes to the same value;
 * - the content of reserved bytes never shows in a decoded value, and is zero after an encode;
 * - encode and decode touch the struct's own bytes and nothing beside them;
 * - decodeInto writes into the value it is given and makes no new object.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  INLINE_DATA_MAX,
  addGidCommand,
  allStructs,
  le64,
  modifyQpCommand,
  profiles,
  readLe64,
  regUserMrCommand,
  struct,
  writeLe64,
} from '../../src/abi/index.js';
import type { Field, Struct } from '../../src/abi/index.js';
import { bytesOf, viewOf } from './bytes.js';

type AnyStruct = Struct<Record<string, unknown>>;
const configs = [profiles.roce.config, profiles.rdma.config];
const tables: readonly AnyStruct[] = [...allStructs, ...configs];

const scalarMax = { u8: 0xff, le16: 0xffff, le32: 0xffff_ffff, le64: Number.MAX_SAFE_INTEGER };

function valueOfField(field: Field): fc.Arbitrary<unknown> {
  if (typeof field.type !== 'string') return valueOf(field.type);
  if (field.count > 1) return fc.uint8Array({ minLength: field.count, maxLength: field.count });
  return fc.nat({ max: scalarMax[field.type] });
}

function valueOf(table: AnyStruct): fc.Arbitrary<Record<string, unknown>> {
  const carried = table.fields.filter(field => !field.reserved && !field.flexible);
  return fc.record(Object.fromEntries(carried.map(field => [field.name, valueOfField(field)])));
}

/** Marks every reserved byte of a struct, nested ones too. */
function reservedBytes(table: AnyStruct, base = 0, marks = new Uint8Array(table.size)): Uint8Array {
  for (const field of table.fields) {
    const at = base + field.offset;
    if (field.reserved) marks.fill(1, at, at + field.size);
    else if (typeof field.type !== 'string') reservedBytes(field.type, at, marks);
  }
  return marks;
}

const tableAndValue = fc.constantFrom(...tables).chain(table =>
  fc.record({
    table: fc.constant(table),
    value: valueOf(table),
    garbage: fc.uint8Array({ minLength: table.size, maxLength: table.size }),
  }),
);

describe('codecs of all structs', () => {
  it('[OVR-01] [OVR-02] decode what they encoded', () => {
    fc.assert(
      fc.property(tableAndValue, ({ table, value }) => {
        expect(table.decode(viewOf(bytesOf(table, value)), 0)).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  it('[OVR-07] [OVR-08] never show the content of reserved bytes in a value', () => {
    fc.assert(
      fc.property(tableAndValue, ({ table, value, garbage }) => {
        const marks = reservedBytes(table);
        const soiled = bytesOf(table, value).map((byte, i) => (marks[i] === 1 ? garbage[i] : byte));
        expect(table.decode(viewOf(soiled), 0)).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  it('[OVR-05] [OVR-06] write zero to every reserved byte, whatever was there', () => {
    fc.assert(
      fc.property(tableAndValue, ({ table, value, garbage }) => {
        const bytes = garbage.slice();
        table.encode(viewOf(bytes), 0, value);
        const marks = reservedBytes(table);
        expect(bytes.filter((_, i) => marks[i] === 1).every(byte => byte === 0)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('write no byte outside the struct', () => {
    fc.assert(
      fc.property(tableAndValue, fc.nat({ max: 9 }), ({ table, value }, offset) => {
        const bytes = new Uint8Array(offset + table.size + 9).fill(0xa5);
        table.encode(viewOf(bytes), offset, value);
        expect(bytes.subarray(0, offset).every(byte => byte === 0xa5)).toBe(true);
        expect(bytes.subarray(offset + table.size).every(byte => byte === 0xa5)).toBe(true);
        expect(table.decode(viewOf(bytes), offset)).toEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  it.each(tables.map(table => [table.name, table] as const))(
    'decode %s into the given value and its own parts',
    (_, table) => {
      const target = table.zero();
      const parts = Object.entries(target).filter(([, part]) => typeof part === 'object');
      const bytes = new Uint8Array(table.size).fill(0x11);
      expect(table.decodeInto(viewOf(bytes), 0, target)).toBe(target);
      for (const [name, part] of parts) expect(target[name]).toBe(part);
      expect(target).toEqual(table.decode(viewOf(bytes), 0));
    },
  );

  it('keep the parts of a nested part in place too', () => {
    const target = modifyQpCommand.zero();
    const { dgid } = target.ah_attr.grh;
    modifyQpCommand.decodeInto(viewOf(new Uint8Array(modifyQpCommand.size).fill(7)), 0, target);
    expect(target.ah_attr.grh.dgid).toBe(dgid);
    expect(dgid[0]).toBe(7);
  });

  it('refuse a view that is too short, by name and number, before the first byte moves', () => {
    const bytes = new Uint8Array(addGidCommand.size).fill(0xa5);
    const encode = () => addGidCommand.encode(viewOf(bytes), 1, addGidCommand.zero());
    expect(encode).toThrow(
      new RangeError('virtio_rdma_cmd_add_gid: 24 bytes at offset 1 do not fit in 24 bytes'),
    );
    expect(bytes.every(byte => byte === 0xa5)).toBe(true);
    expect(() => addGidCommand.decode(viewOf(bytes.subarray(1)), 0)).toThrow(RangeError);
    expect(() => addGidCommand.decode(viewOf(bytes), -1)).toThrow(RangeError);
  });
});

describe('64-bit numbers', () => {
  const view = viewOf(new Uint8Array(8));

  it('are exact up to 2^53 - 1', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), value => {
        writeLe64(view, 0, value);
        expect(view.getBigUint64(0, true)).toBe(BigInt(value));
        expect(readLe64(view, 0)).toBe(value);
      }),
    );
  });

  it('stay above every valid address when they are larger, there and back', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }), value => {
        view.setBigUint64(0, value, true);
        const read = readLe64(view, 0);
        expect(read).toBeGreaterThan(Number.MAX_SAFE_INTEGER);
        writeLe64(view, 0, read);
        expect(view.getBigUint64(0, true)).toBeGreaterThan(BigInt(Number.MAX_SAFE_INTEGER));
      }),
    );
  });

  it('do not turn the largest one into zero', () => {
    view.setBigUint64(0, 2n ** 64n - 1n, true);
    writeLe64(view, 0, readLe64(view, 0));
    expect(view.getBigUint64(0, true)).toBe(2n ** 64n - 1n);
  });
});

describe('tables', () => {
  it('leave 512 bytes for inline data', () => {
    expect(INLINE_DATA_MAX).toBe(512);
  });

  it('place a flexible member at the end and count it as nothing', () => {
    expect(regUserMrCommand.size).toBe(32);
    const pages = regUserMrCommand.fields.find(field => field.flexible);
    expect(pages).toMatchObject({ name: 'pages', offset: 32, size: 0 });
  });

  it('give a struct made elsewhere the same codec', () => {
    const pair = struct('pair', 'Two numbers', { first: le64('1st'), second: le64('2nd') });
    expect(pair.decode(viewOf(bytesOf(pair, { first: 1, second: 2 })), 0)).toEqual({ first: 1, second: 2 });
  });
});
