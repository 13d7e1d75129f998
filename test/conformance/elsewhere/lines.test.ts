import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineError, Lines } from '../../../src/conformance/elsewhere/index.js';

function linesOf(chunks: readonly Uint8Array[]): [text: string, ended: boolean][] {
  const taken: [string, boolean][] = [];
  const lines = new Lines((text, ended) => void taken.push([text, ended]));
  for (const chunk of chunks) lines.push(chunk);
  lines.end();
  return taken;
}

describe('lines', () => {
  it('are the same however the bytes are cut, in the middle of a character too', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'grapheme', maxLength: 6 }).filter(text => !text.includes('\n'))),
        fc.string({ maxLength: 3 }).filter(text => !text.includes('\n')),
        fc.array(fc.nat({ max: 9 })),
        (texts, last, cuts) => {
          const bytes = Buffer.from(texts.map(text => `${text}\n`).join('') + last);
          const chunks: Uint8Array[] = [];
          let from = 0;
          for (const cut of cuts) chunks.push(bytes.subarray(from, (from += cut)));
          chunks.push(bytes.subarray(from));
          const expected = texts.map((text): [string, boolean] => [text, true]);
          expect(linesOf(chunks)).toEqual(last === '' ? expected : [...expected, [last, false]]);
        },
      ),
    );
  });

  it('a chunk that is used again by whoever reads does not change them', () => {
    const buffer = Buffer.from('{"a":');
    const taken: string[] = [];
    const lines = new Lines(text => void taken.push(text));
    lines.push(buffer);
    buffer.write('1}\n  ');
    lines.push(buffer.subarray(0, 3));
    expect(taken).toEqual(['{"a":1}']);
  });

  it('bytes that are no UTF-8 are refused, behind the lines before them', () => {
    const taken: string[] = [];
    const lines = new Lines(text => void taken.push(text));
    expect(() => lines.push(Buffer.from([0x61, 10, 0xff, 10, 0x62, 10]))).toThrow(LineError);
    expect(taken).toEqual(['a']);
  });

  it('one without an end that is too long is refused before it fills the memory', () => {
    const lines = new Lines(() => undefined);
    expect(() => {
      for (let i = 0; i < 20; i++) lines.push(Buffer.alloc(100_000, 0x61));
    }).toThrow('more than 1048576 bytes');
  });
});
