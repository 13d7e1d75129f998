/** Every struct against the published layout: offsets, sizes, golden bytes. The oracle is read, never generated from src. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { allStructs, commandHeader, ackHeader, wrRdma, wrUd } from '../../src/abi/index.js';
import type { Field, Struct } from '../../src/abi/index.js';
import { bytesOf, hex, viewOf } from './bytes.js';

interface OracleField {
  readonly name: string;
  readonly type: string;
  readonly offset: number;
  readonly count?: number | 'flex';
}
interface OracleStruct {
  readonly size: number;
  readonly fields: readonly OracleField[];
}
interface Oracle {
  readonly structs: Readonly<Record<string, OracleStruct>>;
}

const oracle = JSON.parse(
  readFileSync(new URL('../oracles/roce-abi.json', import.meta.url), 'utf8'),
) as Oracle;

/** Parts that the publication describes in words, not as structs of their own. */
const inWords = new Set([commandHeader.name, ackHeader.name, wrRdma.name, wrUd.name]);

function structNamed(name: string): Struct<Record<string, unknown>> {
  const found = allStructs.find(candidate => candidate.name === name);
  if (found === undefined) throw new Error(`no struct ${name} in src/abi`);
  return found;
}

function typeName(field: Field): string {
  return typeof field.type === 'string' ? field.type : field.type.name;
}

const scalarBytes: Readonly<Record<string, number>> = { u8: 1, le16: 2, le32: 4, le64: 8 };

/** Reserved by the publication, or laid over by another struct: of no value. */
const valueless = /^(padding|reserved\d?|wr|inline_data)$/;

/**
 * Distinct bytes for every field of a published struct, and the value that must give them: the byte at offset n is
 * n + 1, so that a field at a wrong offset, of a wrong width or in the wrong byte order cannot go unseen. The two highest
 * bytes of a le64 are zero, since 2^53 - 1 is the largest number held exactly.
 */
function golden(name: string, base: number, target: Uint8Array): Record<string, unknown> {
  const value: Record<string, unknown> = {};
  for (const field of oracle.structs[name].fields) {
    if (field.count === 'flex' || valueless.test(field.name)) continue;
    const at = base + field.offset;
    const count = field.count ?? 1;
    const width = scalarBytes[field.type];
    if (width === undefined) value[field.name] = golden(field.type, at, target);
    else if (count > 1) {
      for (let i = 0; i < count; i++) target[at + i] = (at + i + 1) & 0xff;
      value[field.name] = target.slice(at, at + count);
    } else {
      let number = 0;
      for (let i = Math.min(width, 6) - 1; i >= 0; i--) {
        target[at + i] = (at + i + 1) & 0xff;
        number = number * 256 + target[at + i];
      }
      value[field.name] = number;
    }
  }
  return value;
}

describe('published layout', () => {
  it('[OVR-03] [OVR-04] knows every published struct and no other', () => {
    const ours = allStructs.map(struct => struct.name).filter(name => !inWords.has(name));
    expect(ours.toSorted()).toEqual(Object.keys(oracle.structs).toSorted());
  });

  describe.each(Object.entries(oracle.structs))('%s', (name, published) => {
    const struct = structNamed(name);

    it('[OVR-03] [OVR-04] has every field at its published offset, with its type and count', () => {
      const ours = struct.fields.map(field => ({
        name: field.name,
        type: typeName(field),
        offset: field.offset,
        count: field.flexible ? 'flex' : field.count,
      }));
      const theirs = published.fields.map(({ name: fieldName, type, offset, count }) => ({
        name: fieldName,
        type,
        offset,
        count: count ?? 1,
      }));
      expect(ours).toEqual(theirs);
      expect(struct.offsets).toEqual(Object.fromEntries(theirs.map(field => [field.name, field.offset])));
      expect(struct.size).toBe(published.size);
    });

    it('[OVR-01] [OVR-02] encodes and decodes its golden bytes, little-endian', () => {
      const expected = new Uint8Array(published.size);
      const value = golden(name, 0, expected);
      expect(hex(bytesOf(struct, value))).toBe(hex(expected));
      expect(struct.decode(viewOf(expected), 0)).toEqual(value);
    });
  });
});
