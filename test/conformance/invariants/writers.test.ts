/** The record of who may be writing where, held against one that keeps every byte by itself. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Writers } from '../../../src/conformance/invariants/writers.js';

const BYTES = 64;

const change = fc.record({
  at: fc.integer({ min: -8, max: BYTES + 8 }),
  length: fc.nat(BYTES),
  by: fc.integer({ min: -1, max: 1 }),
});

describe('who may be writing where', () => {
  // Law: whatever was changed, each byte says what a record of its own would say, and neighbours called alike are.
  it('[DATA-37] is known for every byte', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), changes => {
        const writers = new Writers(BYTES);
        const bytes = Array.from({ length: BYTES }, () => ({ count: 0, changed: 0 }));
        changes.forEach(({ at, length, by }, i) => {
          writers.change(at, length, by, i + 1);
          for (const byte of bytes.slice(Math.max(0, at), Math.max(0, at + length))) {
            byte.count += by;
            byte.changed = i + 1;
          }
        });
        const times = changes.map((_, i) => i + 1);
        const wrong = bytes.flatMap(({ count, changed }, at) => {
          const said = times.every(
            time =>
              writers.one(at, time) === (count === 1 && changed === time) &&
              writers.none(at, time) === (count === 0 && changed <= time),
          );
          const alike = bytes.slice(at, at + writers.alike(at));
          const same = alike.every(byte => byte.count === count && byte.changed === changed);
          return said && same && alike.length > 0 ? [] : [at];
        });
        expect(wrong).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  it('is not changed by a change of no bytes, nor are its stretches', () => {
    const writers = new Writers(BYTES);
    for (const [at, length] of [
      [8, 0],
      [8, -4],
      [-8, 8],
      [-8, 3],
      [BYTES, 8],
      [BYTES + 4, 8],
    ])
      writers.change(at, length, 1, 1);
    expect([writers.alike(0), writers.none(0, 0), writers.none(BYTES - 1, 0)]).toEqual([BYTES, true, true]);
  });

  it('is told of the longest stretch, up to the byte at which it is another and to the end', () => {
    const writers = new Writers(BYTES);
    writers.change(10, 10, 1, 1);
    writers.change(15, 5, 1, 2);
    writers.change(60, 4, 0, 3);
    expect([0, 9, 10, 14, 15, 20, 60, 63].map(at => writers.alike(at))).toEqual([10, 1, 5, 1, 5, 40, 4, 1]);
    expect([14, 15, 19, 20].map(at => [writers.one(at, 1), writers.one(at, 2), writers.none(at, 9)])).toEqual(
      [
        [true, false, false],
        [false, false, false],
        [false, false, false],
        [false, false, true],
      ],
    );
    expect([writers.none(60, 2), writers.none(60, 3), writers.none(60, 4)]).toEqual([false, true, true]);
  });

  it('is not known outside the memory', () => {
    const writers = new Writers(BYTES);
    for (const at of [-1, BYTES]) expect([writers.one(at, 1), writers.none(at, 9)]).toEqual([false, false]);
    writers.change(-10, BYTES + 20, 1, 1);
    for (const at of [-1, BYTES]) expect([writers.one(at, 1), writers.none(at, 9)]).toEqual([false, false]);
    expect([writers.alike(-3), writers.alike(BYTES), writers.alike(BYTES - 2)]).toEqual([3, Infinity, 2]);
  });
});
