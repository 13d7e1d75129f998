/** The record of who may be writing where, held against one that keeps every byte by itself. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Writers } from '../../src/conformance/invariants/writers.js';

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
        const says = (at: number) =>
          changes.map((_, i) => [writers.one(at, i + 1), writers.none(at, i + 1)] as const);
        for (const [at, { count, changed }] of bytes.entries()) {
          expect(says(at)).toEqual(
            changes.map((_, i) => [count === 1 && changed === i + 1, count === 0 && changed <= i + 1]),
          );
          const alike = writers.alike(at);
          expect(alike).toBeGreaterThan(0);
          for (let k = at; k < at + alike; k++) expect(bytes[k]).toEqual(bytes[at]);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('is not known outside the memory', () => {
    const writers = new Writers(BYTES);
    writers.change(-10, BYTES + 20, 1, 1);
    for (const at of [-1, BYTES]) expect([writers.one(at, 1), writers.none(at, 9)]).toEqual([false, false]);
    expect([writers.alike(-3), writers.alike(BYTES), writers.alike(BYTES - 2)]).toEqual([3, Infinity, 2]);
  });
});
