/** What is kept of a chain that is out: its parts, what it held, what was read and written of it, and up to where. */
import { describe, expect, it } from 'vitest';
import { PostedChain } from '../../../src/conformance/ring-watch/posted-chain.js';
import { DescriptorFlag, GuestMemory } from '../../../src/virtio/index.js';

const { NEXT, WRITE, INDIRECT } = DescriptorFlag;
const BASE = 0x10_0000;
const BYTES = 4 << 20;
/** Bytes of a string of which each one is followed. */
const FOLLOWED = 1 << 20;
const SIZE = 8;
const TABLE = BASE;
const BUFFERS = BASE + 0x1000;

class Memory extends GuestMemory {
  readonly bytes = new Uint8Array(BYTES);
  constructor() {
    super();
    this.addRegion(BASE, this.bytes);
  }

  descriptor(at: number, address: number, length: number, flags = 0, table = TABLE): void {
    const bytes = new DataView(this.bytes.buffer, table - BASE + 16 * at);
    bytes.setBigUint64(0, BigInt(address), true);
    bytes.setUint32(8, length, true);
    bytes.setUint16(12, flags, true);
    bytes.setUint16(14, at + 1, true);
  }

  /** A chain from descriptor 0 on: readable parts of these lengths, then writable ones, one behind the other with gaps of 64 bytes. */
  chain(readable: readonly number[], writable: readonly number[]): number[] {
    const addresses: number[] = [];
    let address = BUFFERS;
    const all = [...readable, ...writable];
    for (const [i, length] of all.entries()) {
      const flags = (i < readable.length ? 0 : WRITE) | (i + 1 < all.length ? NEXT : 0);
      this.descriptor(i, address, length, flags);
      addresses.push(address);
      address += length + 64;
    }
    return addresses;
  }

  set(address: number, ...values: readonly number[]): void {
    this.bytes.set(values, address - BASE);
  }
}

const filled = (memory: GuestMemory, chain = new PostedChain(0)): PostedChain => {
  expect(chain.fill(memory, TABLE, SIZE, true)).toBeUndefined();
  return chain;
};

describe('a chain that is out', () => {
  it('holds what its readable parts held, part by part, to the last byte of memory', () => {
    const memory = new Memory();
    memory.descriptor(0, BASE + BYTES - 8, 8, NEXT);
    memory.descriptor(1, BUFFERS, 20, NEXT);
    memory.descriptor(2, BUFFERS + 100, 4, WRITE);
    memory.bytes.fill(7, BYTES - 8);
    memory.set(BUFFERS, ...Array.from({ length: 20 }, (_, i) => i));
    const chain = filled(memory);
    expect([...chain.readable.subarray(0, 28)]).toEqual([
      ...Array.from({ length: 8 }, () => 7),
      ...Array.from({ length: 20 }, (_, i) => i),
    ]);
    expect([chain.readableBytes, chain.writableBytes, chain.followed, chain.prefix]).toEqual([28, 4, 28, 0]);
  });

  it('says which readable byte has changed, of those that are asked for', () => {
    const memory = new Memory();
    const [first, second] = memory.chain([20, 20], [20]);
    const chain = filled(memory);
    expect(chain.changedReadable(memory)).toBeUndefined();
    expect(chain.changedReadable(memory, 3, 5)).toBeUndefined();
    memory.set(second + 17, 1);
    expect(chain.changedReadable(memory)).toBe(37);
    expect(chain.changedReadable(memory, 25, 37)).toBeUndefined();
    expect(chain.changedReadable(memory, 25, 38)).toBe(37);
    expect(chain.changedReadable(memory, 0, 20)).toBeUndefined();
    expect(chain.changedReadable(memory, 38, 40)).toBeUndefined();
    memory.set(first + 19, 1);
    expect(chain.changedReadable(memory)).toBe(19);
    expect(chain.changedReadable(memory, 17, 19)).toBeUndefined();
    // Behind the part there is something else.
    memory.set(first + 19, 0);
    memory.set(second + 17, 0);
    memory.set(first + 20, 9, 9, 9, 9);
    expect(chain.changedReadable(memory)).toBeUndefined();
  });

  it('says which byte of its table has changed', () => {
    const memory = new Memory();
    const table = BUFFERS + 0x800;
    memory.descriptor(0, BUFFERS, 8, NEXT, table);
    memory.descriptor(1, BUFFERS + 64, 8, 0, table);
    memory.descriptor(0, table, 32, INDIRECT);
    const chain = filled(memory);
    expect(chain.changedTable(memory)).toBeUndefined();
    memory.set(table + 24, 9);
    expect(chain.changedTable(memory)).toBe(24);
    memory.set(table + 3, 9);
    expect(chain.changedTable(memory)).toBe(3);
    expect([chain.readTable(0, 16), chain.readTable(16, 32), chain.readTable(31, 32)]).toEqual([
      false,
      false,
      true,
    ]);
    // A new life begins with nothing read.
    memory.set(table + 3, 0);
    memory.set(table + 24, 8);
    expect(filled(memory, chain).readTable(0, 32)).toBe(false);
  });

  it('counts what is written from the first byte on, and nothing of the life before', () => {
    const memory = new Memory();
    memory.chain([], [8, 8]);
    const chain = filled(memory);
    chain.wrote(8, 16);
    expect(chain.prefix).toBe(0);
    chain.wrote(0, 7);
    expect(chain.prefix).toBe(7);
    chain.wrote(7, 8);
    expect(chain.prefix).toBe(16);
    memory.chain([], [8]);
    filled(memory, chain).wrote(0, 8);
    expect(chain.prefix).toBe(8);
  });

  it('gives the writable bytes that came back, as many as are asked for', () => {
    const memory = new Memory();
    const [, first, second] = memory.chain([4], [4, 4, 4]);
    const chain = filled(memory);
    memory.set(first, 1, 2, 3, 4, 99);
    memory.set(second, 5, 6, 7, 8, 99);
    expect([...chain.copyWritable(memory, 6)]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...chain.copyWritable(memory, 4)]).toEqual([1, 2, 3, 4]);
    expect([...chain.copyWritable(memory, 100)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0]);
  });

  it('is followed up to a megabyte in each direction; what is behind counts as written', () => {
    const memory = new Memory();
    const [, tail] = memory.chain([FOLLOWED - 4, 16], [FOLLOWED, 16]);
    memory.set(tail, 1, 2, 3, 4, 5);
    const chain = filled(memory);
    expect([chain.readableBytes, chain.followed]).toEqual([FOLLOWED + 12, FOLLOWED]);
    expect([...chain.readable.subarray(FOLLOWED - 4, FOLLOWED)]).toEqual([1, 2, 3, 4]);
    memory.set(tail + 4, 9);
    expect(chain.changedReadable(memory)).toBeUndefined();
    memory.set(tail + 3, 9);
    expect(chain.changedReadable(memory)).toBe(FOLLOWED - 1);
    expect([chain.fetch(FOLLOWED - 1, FOLLOWED + 1), chain.fetch(FOLLOWED, FOLLOWED + 1)]).toEqual([
      false,
      false,
    ]);
    chain.wrote(0, FOLLOWED - 1);
    expect(chain.prefix).toBe(FOLLOWED - 1);
    chain.wrote(FOLLOWED - 1, FOLLOWED);
    expect(chain.prefix).toBe(FOLLOWED + 16);
  });

  it('[VQ-17] has at most 2^32 bytes', () => {
    const memory = new (class extends Memory {
      override contains(): boolean {
        return true;
      }
    })();
    const half = 2 ** 31;
    memory.descriptor(0, BUFFERS, half, WRITE | NEXT);
    memory.descriptor(1, BUFFERS, half, WRITE);
    expect(filled(memory).writableBytes).toBe(2 ** 32);
    memory.descriptor(0, BUFFERS, 1, NEXT);
    memory.descriptor(1, BUFFERS, half, WRITE | NEXT);
    memory.descriptor(2, BUFFERS, half, WRITE);
    expect(new PostedChain(0).fill(memory, TABLE, SIZE, true)).toEqual({
      breaks: 'chainShape',
      message: 'it has more than 2^32 bytes',
    });
  });
});
