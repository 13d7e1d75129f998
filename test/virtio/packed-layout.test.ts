/** The layout of packed rings and the arithmetic of positions, held against counting slot by slot. */
import { describe, expect, it } from 'vitest';
import {
  GuestMemory,
  PACKED_START,
  advance,
  availableMark,
  isAvailable,
  isPosition,
  isUsed,
  layOutPackedRing,
  packedQueueFault,
  packedRingBytes,
  positionPassed,
  slotOf,
  usedMark,
} from '../../src/virtio/index.js';

describe('a packed ring in memory', () => {
  it.each([1, 2, 3, 5, 7, 100, 32767, 32768])('[VQ-81] [VQ-82] lays out a ring of %s', size => {
    const at = layOutPackedRing(0x1_0000, size);
    expect(at).toEqual({ descriptors: 0x1_0000, driver: 0x1_0000 + 16 * size, device: 0x1_0004 + 16 * size });
    const memory = new GuestMemory();
    memory.addRegion(0x1_0000, new ArrayBuffer(packedRingBytes(size)));
    expect(packedQueueFault(memory, { index: 0, size, ...at })).toBeUndefined();
  });

  it('[VQ-09] [VQ-81] [VQ-82] says what is wrong with a set-up', () => {
    const memory = new GuestMemory();
    memory.addRegion(0x1000, new ArrayBuffer(4096));
    const good = { index: 0, size: 5, ...layOutPackedRing(0x1000, 5) };
    const fault = (change: object) => packedQueueFault(memory, { ...good, ...change });
    expect(fault({})).toBeUndefined();
    for (const size of [0, -1, 1.5, 32769, NaN]) expect(fault({ size })).toContain('is not in 1..32768');
    expect(fault({ descriptors: 0x1008 })).toContain('multiple of 16');
    expect(fault({ driver: 0x1002 })).toContain('driver event structure at 4098 is not a multiple of 4');
    expect(fault({ device: 0x1002 })).toContain('device event structure');
    expect(fault({ descriptors: 0x1ff0 })).toContain('not in one region');
    expect(fault({ start: { avail: 0x8005, used: 0x8000 } })).toContain('is not two positions');
    expect(fault({ start: { avail: 0x8004, used: 0x0003 } })).toBeUndefined();
    for (const base of [8, NaN]) expect(() => layOutPackedRing(base, 4)).toThrow('multiple of 16');
  });
});

describe('positions', () => {
  it('[VQ-84] [VQ-92] change the counter whenever they go by the last slot, also after a whole lap', () => {
    expect(advance(PACKED_START, 4, 5)).toBe(0x8004);
    expect(advance(0x8004, 1, 5)).toBe(0);
    expect(advance(0x8000, 5, 5)).toBe(0);
    expect(advance(0x0003, 4, 5)).toBe(0x8002);
    expect(advance(0x0000, 1, 1)).toBe(0x8000);
    expect(advance(0xffff, 1, 32768)).toBe(0);
  });

  it('[VQ-85] [VQ-93] mark available and used descriptors of each lap', () => {
    expect([availableMark(0x8002), usedMark(0x8002)]).toEqual([0x0080, 0x8080]);
    expect([availableMark(0x0002), usedMark(0x0002)]).toEqual([0x8000, 0]);
    for (const position of [0x8001, 0x0001]) {
      const other = position ^ 0x8000;
      expect(isAvailable(availableMark(position) | 7, position)).toBe(true);
      expect(isUsed(usedMark(position) | 2, position)).toBe(true);
      for (const flags of [availableMark(other), usedMark(other), usedMark(position)])
        expect(isAvailable(flags, position)).toBe(false);
      for (const flags of [usedMark(other), availableMark(other), availableMark(position)])
        expect(isUsed(flags, position)).toBe(false);
    }
    // Of a ring that was cleared nothing is available, and nothing is used in the first lap.
    expect([isAvailable(0, PACKED_START), isUsed(0, PACKED_START)]).toEqual([false, false]);
  });

  it.each([1, 2, 3, 5, 8])('[VQ-100] [VQ-102] are passed as counting says, size %s', size => {
    const all = Array.from(
      { length: 2 * size },
      (_, i) => advance(PACKED_START, i % size, size) ^ (i >= size ? 0x8000 : 0),
    );
    for (const old of all) {
      const passed = new Set<number>();
      let now = old;
      for (let moved = 0; moved <= 3 * size; moved++) {
        for (const event of all)
          expect([size, old, moved, event, positionPassed(event, now, moved, size)]).toEqual([
            size,
            old,
            moved,
            event,
            passed.has(event),
          ]);
        passed.add(now);
        now = advance(now, 1, size);
      }
    }
  });

  it('count as passed outside the ring, and are no positions', () => {
    expect(positionPassed(0x8005, 0x8001, 1, 5)).toBe(true);
    expect(positionPassed(0x8005, 0x8001, 0, 5)).toBe(false);
    expect([0x8004, 0x8005, -1, 0x1_0000, 1.5].map(each => isPosition(each, 5))).toEqual([
      true,
      false,
      false,
      false,
      false,
    ]);
    expect(slotOf(0x8004)).toBe(4);
  });
});
