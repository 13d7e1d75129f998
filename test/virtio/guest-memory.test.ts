/** Guest memory: what is inside and what is outside, over every kind of buffer. */
import { describe, expect, it } from 'vitest';
import { GuestMemory } from '../../src/virtio/index.js';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe.each([
  ['an ArrayBuffer', () => new ArrayBuffer(64)],
  ['a SharedArrayBuffer', () => new SharedArrayBuffer(64)],
  ['part of an external buffer', () => new Uint8Array(new ArrayBuffer(128), 32, 64)],
])('guest memory over %s', (_, makeBuffer) => {
  it('reads back what was written, from the first byte to the last', () => {
    const memory = new GuestMemory();
    memory.addRegion(0x1000, makeBuffer());
    const back = new Uint8Array(5);
    for (const at of [0x1000, 0x101d, 0x1040 - 3]) {
      expect(memory.write(at, bytes(9, 1, 2, 3, 9), 1, 3)).toBe(true);
      expect(memory.read(at, back, 1, 3)).toBe(true);
      expect([...back]).toEqual([0, 1, 2, 3, 0]);
    }
  });

  it('[VQ-58] refuses what is not wholly inside and moves nothing', () => {
    const memory = new GuestMemory();
    const buffer = makeBuffer();
    memory.addRegion(0x1000, buffer);
    const target = new Uint8Array(200).fill(7);
    const outside: [number, number][] = [
      [0xfff, 1],
      [0xfff, 2],
      [0x1040, 1],
      [0x103f, 2],
      [0x1000, 65],
      [NaN, 1],
      [-1, 1],
      [Infinity, 1],
      [2 ** 53, 1],
      [2 ** 64, 1],
      [0x1000 + 0.5, 1],
      [0x1000, NaN],
      [0x1000, -1],
    ];
    for (const [address, length] of outside) {
      expect(memory.contains(address, length), `${address}, ${length}`).toBe(false);
      expect(memory.read(address, target, 0, length)).toBe(false);
      expect(memory.write(address, target, 0, length)).toBe(false);
      expect(memory.window(address, length)).toBeUndefined();
    }
    expect(target.every(value => value === 7)).toBe(true);
    const content = new Uint8Array(64);
    memory.read(0x1000, content, 0, 64);
    expect(content.every(value => value === 0)).toBe(true);
  });
});

describe('guest memory of several regions', () => {
  function threeRegions(): GuestMemory {
    const memory = new GuestMemory();
    memory.addRegion(0x2000, new ArrayBuffer(16));
    memory.addRegion(0x1000, new ArrayBuffer(16));
    memory.addRegion(0x1010, new SharedArrayBuffer(16));
    return memory;
  }

  it('lists them by address', () => {
    expect(threeRegions().regions.map(region => region.address)).toEqual([0x1000, 0x1010, 0x2000]);
  });

  it('moves bytes across regions that touch, and not across a hole', () => {
    const memory = threeRegions();
    const source = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
    const target = new Uint8Array(32);
    expect(memory.write(0x1000, source, 0, 32)).toBe(true);
    expect(memory.read(0x1000, target, 0, 32)).toBe(true);
    expect(target).toEqual(source);
    expect(memory.contains(0x1008, 24)).toBe(true);
    expect(memory.contains(0x1008, 25)).toBe(false);
    expect(memory.write(0x1008, new Uint8Array(25), 0, 25)).toBe(false);
    expect(memory.read(0x1000, target, 0, 32)).toBe(true);
    expect(target).toEqual(source);
  });

  it('has no window across regions', () => {
    expect(threeRegions().window(0x1008, 16)).toBeUndefined();
    expect(threeRegions().window(0x1008, 8)).toBeDefined();
  });

  it('contains no bytes at any address', () => {
    const memory = threeRegions();
    for (const address of [0, 0x1000, 0x1020, 0x5000]) expect(memory.contains(address, 0)).toBe(true);
  });

  it('refuses a region that overlaps, is empty, lies beyond 2^53 or is not aligned', () => {
    const memory = threeRegions();
    const refused: [number, ArrayBufferLike | Uint8Array, RegExp][] = [
      [0x1008, new ArrayBuffer(8), /overlaps/],
      [0x0ff8, new ArrayBuffer(16), /overlaps/],
      [0x0ff8, new ArrayBuffer(0x3000), /overlaps/],
      [0x3000, new ArrayBuffer(0), /empty/],
      [2 ** 53 - 8, new ArrayBuffer(16), /2\^53/],
      [-8, new ArrayBuffer(16), /2\^53/],
      [NaN, new ArrayBuffer(16), /2\^53/],
      [0x3004, new ArrayBuffer(16), /multiples of 8/],
      [0x3000, new Uint8Array(new ArrayBuffer(16), 4), /multiples of 8/],
    ];
    for (const [address, buffer, message] of refused) {
      expect(() => memory.addRegion(address, buffer)).toThrow(message);
    }
    expect(memory.regions.length).toBe(3);
    memory.addRegion(0x1020, new ArrayBuffer(8));
    expect(memory.contains(0x1000, 0x28)).toBe(true);
  });
});

describe('a window', () => {
  it('reads and writes little-endian words at its offset', () => {
    const memory = new GuestMemory();
    memory.addRegion(0, new ArrayBuffer(64));
    const window = memory.window(8, 32);
    if (window === undefined) throw new Error('no window');
    window.set64(0, 0x12_3456_789a_bcde);
    window.set32(8, 0xdead_beef);
    window.set16(12, 0xabcd);
    window.store16(14, 0x1234);
    const back = new Uint8Array(16);
    memory.read(8, back, 0, 16);
    expect(Buffer.from(back).toString('hex')).toBe('debc9a7856341200efbeaddecdab3412');
    expect(window.get64(0)).toBe(0x12_3456_789a_bcde);
    expect(window.get32(8)).toBe(0xdead_beef);
    expect(window.get16(12)).toBe(0xabcd);
    expect(window.load16(14)).toBe(0x1234);
    window.zero(8, 8);
    expect(window.get32(8)).toBe(0);
    expect(window.get64(0)).toBe(0x12_3456_789a_bcde);
  });

  it('gives a 64-bit value that is too large as one that no memory contains', () => {
    const memory = new GuestMemory();
    memory.addRegion(0, new ArrayBuffer(64));
    memory.write(0, new Uint8Array(8).fill(0xff), 0, 8);
    const address = memory.window(0, 8)?.get64(0) ?? 0;
    expect(memory.contains(address, 1)).toBe(false);
  });
});

describe('a region that is taken out', () => {
  it('is found no more, not even at the place of the last access, and leaves the others', () => {
    const memory = new GuestMemory();
    memory.addRegion(0, new ArrayBuffer(64));
    memory.addRegion(64, new ArrayBuffer(64));
    const window = memory.window(64, 8);
    expect(memory.read(64, new Uint8Array(8), 0, 8)).toBe(true);
    memory.removeRegion(64);
    expect(memory.read(64, new Uint8Array(8), 0, 8)).toBe(false);
    expect(memory.write(60, new Uint8Array(8), 0, 8)).toBe(false);
    expect(memory.window(64, 8)).toBeUndefined();
    expect(memory.regions).toEqual([{ address: 0, length: 64 }]);
    expect(window?.load16(0)).toBe(0);
    memory.addRegion(64, new ArrayBuffer(8));
    expect(memory.contains(0, 72)).toBe(true);
    expect(() => memory.removeRegion(8)).toThrow('no region starts at 0x8');
  });
});
