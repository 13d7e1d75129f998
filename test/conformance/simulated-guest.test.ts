/** The simulated guest: DMA memory without leaks or overlaps, a scattered arena, and two views of it that agree. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ARENA_BASE, GUEST_BASE, PAGE_BYTES, SimulatedGuest } from '../../src/conformance/simulated-guest.js';
import type { DmaBuffer } from '../../src/driver/index.js';
import { Scheduler, firstChoice } from '../../src/fabric/index.js';

const ARENA_BYTES = 16 * PAGE_BYTES;
const DMA_BYTES = 8 * PAGE_BYTES;

function guest(scatterSeed = 3): SimulatedGuest {
  const scheduler = new Scheduler(firstChoice);
  return new SimulatedGuest({
    scheduler,
    memoryBytes: ARENA_BYTES + DMA_BYTES,
    arenaBytes: ARENA_BYTES,
    scatterSeed,
  });
}

describe('DMA memory', () => {
  // Law: buffers never overlap, keep their alignment and what is written to them, and when all are freed, in whatever
  // order, all memory is there again in one piece.
  it('is handed out without overlap and comes back whole', () => {
    const sizes = fc.record({ bytes: fc.integer({ min: 1, max: 3000 }), shift: fc.nat(8), free: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(sizes, { maxLength: 40 }), script => {
        const machine = guest();
        const held: { buffer: DmaBuffer; mark: number }[] = [];
        const release = (at: number): void => {
          for (const { buffer, mark } of held.splice(at, 1)) {
            expect(buffer.bytes.every(byte => byte === mark)).toBe(true);
            machine.freeDma(buffer);
          }
        };
        for (const [i, { bytes, shift, free }] of script.entries()) {
          if (free < held.length) release(free);
          let buffer: DmaBuffer;
          try {
            buffer = machine.allocDma(bytes, 2 ** shift);
          } catch {
            release(0);
            continue;
          }
          expect(buffer.address % 2 ** shift).toBe(0);
          expect([buffer.bytes.length, buffer.view.byteLength]).toEqual([bytes, bytes]);
          expect(machine.memory.contains(buffer.address, bytes)).toBe(true);
          buffer.bytes.fill((i + 1) & 0xff);
          held.push({ buffer, mark: (i + 1) & 0xff });
        }
        expect(machine.dmaBytesInUse).toBe(held.reduce((sum, { buffer }) => sum + buffer.bytes.length, 0));
        while (held.length > 0) release(0);
        expect(machine.dmaBytesInUse).toBe(0);
        machine.freeDma(machine.allocDma(DMA_BYTES, 1));
      }),
    );
  });

  it('lies in guest memory at the address that it names', () => {
    const machine = guest();
    const buffer = machine.allocDma(100, 16);
    buffer.view.setUint32(8, 0x01020304, true);
    const seen = new Uint8Array(4);
    expect(machine.memory.read(buffer.address + 8, seen, 0, 4)).toBe(true);
    expect([...seen]).toEqual([4, 3, 2, 1]);
    expect(buffer.address).toBeGreaterThanOrEqual(GUEST_BASE);
  });

  it('runs out with ENOMEM, spoils what is freed, and takes nothing back twice', () => {
    const machine = guest();
    expect(() => machine.allocDma(DMA_BYTES + 1, 1)).toThrow(/ENOMEM/);
    const buffer = machine.allocDma(64, 1);
    machine.freeDma(buffer);
    expect(buffer.bytes.every(byte => byte === 0xdb)).toBe(true);
    expect(() => machine.freeDma(buffer)).toThrow(/not allocated/);
  });
});

describe('the arena', () => {
  it('has every page once, elsewhere than its neighbours, the same for the same seed', () => {
    const places = (seed: number): number[] => {
      const machine = guest(seed);
      return Array.from({ length: 16 }, (_, page) => machine.translate(ARENA_BASE + page * PAGE_BYTES));
    };
    const pages = places(3);
    expect(new Set(pages).size).toBe(16);
    expect(pages.every(place => place >= GUEST_BASE + DMA_BYTES && place % PAGE_BYTES === 0)).toBe(true);
    const neighbours = pages.filter((place, i) => pages[i + 1] === place + PAGE_BYTES).length;
    expect(neighbours).toBeLessThan(8);
    expect(places(3)).toEqual(pages);
    expect(places(4)).not.toEqual(pages);
  });

  it('is not mapped outside itself', () => {
    const machine = guest();
    expect(machine.translate(ARENA_BASE + ARENA_BYTES - 1) % PAGE_BYTES).toBe(PAGE_BYTES - 1);
    for (const address of [0, ARENA_BASE - 1, ARENA_BASE + ARENA_BYTES, Number.NaN]) {
      expect(() => machine.translate(address)).toThrow(/EFAULT/);
    }
  });

  // Law: the program's view, the flat view at virtual addresses and guest memory at translated addresses are one memory.
  it('is one memory in all its views', () => {
    const place = fc.record({
      at: fc.nat(ARENA_BYTES),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 9000 }),
    });
    fc.assert(
      fc.property(place, fc.boolean(), ({ at, bytes }, flat) => {
        const machine = guest();
        const memory = machine.flatMemory();
        const inside = at + bytes.length <= ARENA_BYTES;
        const target = new Uint8Array(bytes.length);
        expect(memory.write(ARENA_BASE + at, bytes, 0, bytes.length)).toBe(inside);
        if (!inside) {
          expect(memory.read(ARENA_BASE + at, target, 0, bytes.length)).toBe(false);
          expect(() => machine.readArena(at, bytes.length)).toThrow(/arena/);
          expect(() => machine.writeArena(at, bytes)).toThrow(/arena/);
          return;
        }
        if (!flat) machine.writeArena(at, bytes);
        expect(machine.readArena(at, bytes.length)).toEqual(bytes);
        expect(memory.read(ARENA_BASE + at, target, 0, bytes.length)).toBe(true);
        expect(target).toEqual(bytes);
        const whole = new Uint8Array(ARENA_BYTES);
        machine.snapshotArena(whole);
        expect(whole.subarray(at, at + bytes.length)).toEqual(bytes);
        const one = new Uint8Array(1);
        machine.memory.read(machine.translate(ARENA_BASE + at + bytes.length - 1), one, 0, 1);
        expect(one[0]).toBe(bytes.at(-1));
      }),
      { numRuns: 60 },
    );
  });

  it('refuses sizes that are no whole pages, and an arena that leaves no DMA memory', () => {
    const scheduler = new Scheduler(firstChoice);
    const make = (memoryBytes: number, arenaBytes: number) => () =>
      new SimulatedGuest({ scheduler, memoryBytes, arenaBytes, scatterSeed: 1 });
    expect(make(8192, 100)).toThrow(/arenaBytes/);
    expect(make(10_000, 4096)).toThrow(/memoryBytes/);
    expect(make(4096, 4096)).toThrow(/no DMA memory/);
  });
});
