/** Where the bytes of a split ring stand. */
import { describe, expect, it } from 'vitest';
import {
  GuestMemory,
  availEventOffset,
  availRingBytes,
  descriptorTableBytes,
  isSplitQueueSize,
  layOutSplitRing,
  needsEvent,
  splitQueueFault,
  splitRingBytes,
  usedEventOffset,
  usedRingBytes,
} from '../../src/virtio/index.js';
import { BASE, RawRing, hexAt, ringBytes, testRing } from './support.js';

const sizes = Array.from({ length: 16 }, (_, i) => 2 ** i);

describe('layout of the split ring', () => {
  it('[VQ-06] gives the areas their sizes and alignments without overlap, for every size', () => {
    for (const size of sizes) {
      const at = layOutSplitRing(0x1_0000, size);
      expect(descriptorTableBytes(size)).toBe(16 * size);
      expect(availRingBytes(size)).toBe(6 + 2 * size);
      expect(usedRingBytes(size)).toBe(6 + 8 * size);
      expect(usedEventOffset(size)).toBe(availRingBytes(size) - 2);
      expect(availEventOffset(size)).toBe(usedRingBytes(size) - 2);
      expect([at.descriptors % 16, at.driver % 2, at.device % 4]).toEqual([0, 0, 0]);
      expect(at.descriptors + descriptorTableBytes(size)).toBeLessThanOrEqual(at.driver);
      expect(at.driver + availRingBytes(size)).toBeLessThanOrEqual(at.device);
      expect(at.device + usedRingBytes(size)).toBe(0x1_0000 + splitRingBytes(size));
    }
  });

  it('refuses a base that is not a multiple of 16', () => {
    for (const base of [8, NaN]) expect(() => layOutSplitRing(base, 4)).toThrow('multiple of 16');
  });

  it('[VQ-05] [VQ-12] knows the sizes that a queue may have', () => {
    expect(Array.from({ length: 70_000 }, (_, i) => i).filter(isSplitQueueSize)).toEqual(sizes);
    for (const size of [NaN, 2.5, -4, 2 ** 33]) expect(isSplitQueueSize(size)).toBe(false);
  });

  it('[VQ-07] [VQ-09] names what is wrong with the place of a queue', () => {
    const memory = new GuestMemory();
    memory.addRegion(0x1000, new ArrayBuffer(0x1000));
    const good = { index: 0, size: 4, ...layOutSplitRing(0x1000, 4) };
    expect(splitQueueFault(memory, good)).toBeUndefined();
    const faults: [object, RegExp][] = [
      [{ size: 3 }, /size 3 is not a power of two/],
      [{ descriptors: 0x1008 }, /descriptor table .* multiple of 16/],
      [{ driver: 0x1101 }, /available ring .* multiple of 2/],
      [{ device: 0x1102 }, /used ring .* multiple of 4/],
      [{ descriptors: 0x1fd0 }, /descriptor table .* guest memory/],
      [{ driver: 0x2000 }, /available ring .* guest memory/],
      [{ device: 0x0ffc }, /used ring .* guest memory/],
      [{ device: NaN }, /used ring/],
      [{ descriptors: 2 ** 60 }, /descriptor table/],
    ];
    for (const [change, message] of faults)
      expect(splitQueueFault(memory, { ...good, ...change })).toMatch(message);
  });
});

describe('the notification threshold', () => {
  it('[VQ-63] [VQ-67] is passed exactly when its entry is one of those gone by, also over the wrap', () => {
    for (const start of [0, 7, 65_530, 65_535]) {
      for (let moved = 0; moved <= 9; moved++) {
        const passed = new Set(Array.from({ length: moved }, (_, i) => (start + i) & 0xffff));
        for (let event = -12; event < 24; event++) {
          const word = (start + event) & 0xffff;
          expect(needsEvent(word, (start + moved) & 0xffff, start), `${start}+${moved}, ${word}`).toBe(
            passed.has(word),
          );
        }
      }
    }
  });
});

describe('bytes of a ring', () => {
  it('[VQ-28] [VQ-36] hold a direct chain and its return', () => {
    const ring = testRing({ size: 4, features: { eventIdx: false } });
    ring.driver.begin();
    ring.driver.addReadable(0x1_2345_6789, 0x10);
    ring.driver.addReadable(0x1000, 0x20);
    ring.driver.addWritable(0x2000, 0x30);
    expect(ring.driver.commit(1)).toBe(true);
    expect(ring.driver.publish()).toBe(true);
    expect(ringBytes(ring)).toEqual({
      descriptors:
        '89674523010000001000000001000100' +
        '00100000000000002000000001000200' +
        '00200000000000003000000002000000' +
        '00'.repeat(16),
      avail: '0000' + '0100' + '0000' + '0000' + '0000' + '0000' + '0000',
      used: '00'.repeat(38),
    });
  });

  it('hold an indirect chain as one descriptor and a table', () => {
    const ring = testRing({ size: 2, table: 2 });
    const tables = BASE + 4096;
    for (const address of [0x1000, 0x3000]) {
      ring.driver.begin();
      ring.driver.addReadable(address, 5);
      ring.driver.addWritable(address + 0x1000, 6);
      expect(ring.driver.commit(0, true)).toBe(true);
    }
    ring.driver.publish();
    expect(ringBytes(ring)).toEqual({
      descriptors:
        '0010040000000000' + '20000000' + '0400' + '0000' + '2010040000000000' + '20000000' + '0400' + '0000',
      avail: '0000' + '0200' + '0000' + '0100' + '0000',
      used: '00'.repeat(22),
    });
    expect(hexAt(ring.memory, tables, 64)).toBe(
      '00100000000000000500000001000100' +
        '00200000000000000600000002000000' +
        '00300000000000000500000001000100' +
        '00400000000000000600000002000000',
    );
  });

  it('hold what a device half writes', () => {
    const ring = testRing({ size: 2, features: { eventIdx: false } });
    const raw = new RawRing(ring);
    raw.descriptor(1, { addr: ring.data, len: 8, flags: 2 });
    raw.offer(1);
    const chain = ring.device.newChain();
    expect(ring.device.take(chain)).toBe('chain');
    ring.device.disableNotifications();
    ring.device.putUsed(1, 7);
    expect(ringBytes(ring).used).toBe('0100' + '0100' + '01000000' + '07000000' + '00'.repeat(8) + '0000');
  });
});
