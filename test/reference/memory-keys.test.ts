/** Regions and keys: page lists, ranges, rights, reuse. */
import { describe, expect, it } from 'vitest';
import { WrOpcode } from '../../src/abi/index.js';
import { FULL_ACCESS, limits, LOCAL_WRITE, Pair, REMOTE_READ, REMOTE_WRITE, sameBytes } from './pair.js';

const PAGE = 4096;

function paged(
  pair: Pair,
  pages: readonly number[],
  change: Partial<Record<'iova' | 'length' | 'access', number>> = {},
) {
  const { a } = pair;
  const init = { access: FULL_ACCESS, iova: 0x10_0000_0123, length: 10_000, ...change };
  return a.fn.registerMr(a.pd, {
    ...init,
    memory: a.memory,
    pageBytes: PAGE,
    pages: Float64Array.from(pages),
  });
}

describe('a region with a page list', () => {
  it('[CTRL-67] [MEM-05] has each byte in the page that the list names, from its first byte to its last', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    // Byte 0 is at offset 0x123 of page 9; 10,000 bytes from there end in the third page.
    const mr = paged(pair, [9 * PAGE, 3 * PAGE, 7 * PAGE]);
    a.memory.fill(0, 16 * PAGE, 1);
    const expected = new Uint8Array(10_000);
    for (let i = 0; i < 10_000; i++) {
      const offset = 0x123 + i;
      expected[i] = a.memory.bytes[[9, 3, 7][Math.floor(offset / PAGE)] * PAGE + (offset % PAGE)];
    }
    b.recv(qb, 1, [b.sge(0, 10_000)]);
    a.send(qa, 1, { sges: [a.sge(0x10_0000_0123, 10_000, mr.lkey)] });
    const target = { remoteAddr: 0, rkey: b.mr.rkey };
    a.send(qa, 2, {
      opcode: WrOpcode.RDMA_WRITE,
      sges: [a.sge(0x10_0000_0123 + 9999, 1, mr.lkey)],
      ...target,
    });
    pair.settle();
    expect(a.sends()).toEqual([
      [1, 'SUCCESS'],
      [2, 'SUCCESS'],
    ]);
    expect(b.memory.bytes[0]).toBe(expected[9999]);
    expect(sameBytes(b.memory.slice(1, 9999), expected.subarray(1))).toBe(true);
  });

  it('[MEM-05] is written byte by byte where the list says, and nowhere else', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [, qb] = pair.rc();
    const mr = paged(pair, [9 * PAGE, 3 * PAGE, 7 * PAGE]);
    b.memory.fill(0, 6000, 1);
    const target = { remoteAddr: 0x10_0000_0123 + 2000, rkey: mr.rkey };
    b.send(qb, 1, { opcode: WrOpcode.RDMA_WRITE, sges: [b.sge(0, 6000)], ...target });
    pair.settle();
    const expected = new Uint8Array(a.memory.bytes.length);
    for (let i = 0; i < 6000; i++) {
      const offset = 0x123 + 2000 + i;
      expected[[9, 3, 7][Math.floor(offset / PAGE)] * PAGE + (offset % PAGE)] = b.memory.bytes[i];
    }
    expect(sameBytes(a.memory.bytes, expected)).toBe(true);
  });

  it('[MEM-04] keeps the list that it was given', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    const pages = Float64Array.from([PAGE]);
    const init = { access: 0, iova: 0, length: 8, memory: a.memory, pageBytes: PAGE, pages };
    const mr = a.fn.registerMr(a.pd, init);
    pages[0] = 2 * PAGE;
    a.memory.fill(PAGE, 8, 5);
    b.recv(qb, 1, [b.sge(0, 8)]);
    a.send(qa, 1, { sges: [a.sge(0, 8, mr.lkey)] });
    pair.settle();
    expect(b.memory.slice(0, 8)).toEqual(a.memory.slice(PAGE, 8));
  });

  it.each([
    ['[CTRL-60] fewer pages than it needs', [0, PAGE], {}],
    ['[CTRL-61] more pages than it needs', [0, PAGE, 2 * PAGE, 3 * PAGE], {}],
    ['[CTRL-63] a page that is not aligned', [0, PAGE + 1, 2 * PAGE], {}],
    ['[CTRL-64] a page behind the memory', [0, PAGE, 1 << 18], {}],
    ['[CTRL-56] no length', [], { length: 0 }],
    ['[CTRL-57] more than max_mr_size', [0], { length: limits.attributes.maxMrSizeBytes + 1 }],
    ['[CTRL-58] a range that wraps', [0], { iova: Number.MAX_SAFE_INTEGER, length: 2 }],
    ['[CTRL-55] REMOTE_WRITE without LOCAL_WRITE', [0, PAGE, 2 * PAGE], { access: REMOTE_WRITE }],
    ['[CTRL-54] an unknown right', [0, PAGE, 2 * PAGE], { access: 8 }],
  ])('is refused with %s, and leaves nothing behind', (_what, pages, change) => {
    const pair = new Pair();
    const before = pair.a.register(0, 1, 0).lkey;
    expect(() => paged(pair, pages, change)).toThrow('EINVAL');
    expect(pair.a.register(0, 1, 0).lkey >>> 8).toBe((before >>> 8) + 1);
  });
});

describe('keys', () => {
  it('[RST-27] [OVR-09] do not come back for 255 registrations of their slot', () => {
    const pair = new Pair();
    const seen = new Set<number>();
    for (let i = 0; i < 255; i++) {
      const mr = pair.a.register(0, 1, FULL_ACCESS);
      expect(seen.has(mr.lkey)).toBe(false);
      expect(mr.lkey).not.toBe(0);
      seen.add(mr.lkey);
      pair.a.fn.deregisterMr(mr);
    }
  });

  it('[RST-28] [CTRL-68] differ between living regions; the remote one is 0 without remote rights', () => {
    const pair = new Pair();
    const regions = [0, LOCAL_WRITE, REMOTE_READ, FULL_ACCESS].map(access => pair.a.register(0, 1, access));
    expect(new Set(regions.map(mr => mr.lkey)).size).toBe(4);
    expect(regions.map(mr => mr.rkey !== 0)).toEqual([false, false, true, true]);
  });

  it('[RST-22] [RST-23] [RST-24] are as many as the limit says', () => {
    const pair = new Pair();
    const { a } = pair;
    const regions = Array.from({ length: limits.attributes.maxMr - 1 }, () => a.register(0, 1, 0));
    expect(() => a.register(0, 1, 0)).toThrow('ENOMEM');
    a.fn.deregisterMr(regions[5]);
    expect(() => a.fn.deregisterMr(regions[5])).toThrow('EINVAL');
    expect(() => a.register(0, 1, 0)).not.toThrow();
  });

  it('[MEM-27] [MEM-12] open a region that was registered after the request was posted', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    const first = b.register(0, 10, LOCAL_WRITE);
    b.fn.deregisterMr(first);
    const coming = (first.lkey & ~0xff) | ((first.lkey + 1) & 0xff);
    b.recv(qb, 1, [b.sge(0, 10, coming)]);
    expect(b.register(0, 10, LOCAL_WRITE).lkey).toBe(coming);
    a.send(qa, 1, { sges: [a.sge(0, 10)] });
    pair.settle();
    expect(b.recvs()).toEqual([[1, 'SUCCESS']]);
  });

  it('[ISO-03] [ISO-04] of another function open nothing', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    const only = a.register(0, 100, FULL_ACCESS);
    expect(b.mr.lkey).toBe(a.mr.lkey);
    b.recv(qb, 1, [b.sge(0, 100, only.lkey)]);
    a.send(qa, 1, { sges: [a.sge(0, 1)] });
    pair.settle();
    expect(b.recvs()).toEqual([[1, 'LOC_PROT_ERR']]);
  });
});

describe('ranges and rights', () => {
  it('[MEM-14] [MEM-19] gather needs no right at all, of the region or of the queue pair', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ qpAccessFlags: 0 });
    b.recv(qb, 1, [b.sge(0, 10)]);
    a.send(qa, 1, { sges: [a.sge(0, 10, a.register(0, 10, 0).lkey)] });
    pair.settle();
    expect([a.sends(), b.recvs()]).toEqual([[[1, 'SUCCESS']], [[1, 'SUCCESS']]]);
  });

  it('[MEM-18] [MEM-20] a remote access may take the whole region', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa] = pair.rc();
    const written = b.register(333, 77, LOCAL_WRITE | REMOTE_WRITE);
    const readable = b.register(333, 77, REMOTE_READ);
    const whole = { sges: [a.sge(0, 77)], remoteAddr: 333 };
    a.send(qa, 1, { opcode: WrOpcode.RDMA_WRITE, ...whole, rkey: written.rkey });
    a.send(qa, 2, { opcode: WrOpcode.RDMA_READ, ...whole, rkey: readable.rkey });
    pair.settle();
    expect(a.sends()).toEqual([
      [1, 'SUCCESS'],
      [2, 'SUCCESS'],
    ]);
  });

  it('[MEM-22] an element that is not in its region fails though the message needs only a part that is', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    b.recv(qb, 1, [b.sge(0, 100, b.register(0, 50, LOCAL_WRITE).lkey)]);
    a.send(qa, 1, { sges: [a.sge(0, 10)] });
    pair.settle();
    expect(b.recvs()).toEqual([[1, 'LOC_PROT_ERR']]);
  });

  it('[MEM-25] [MEM-26] elements may be in different regions, one element may not', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    const [low, high] = [a.register(0, 50, 0), a.register(50, 50, 0)];
    for (let i = 1; i <= 2; i++) b.recv(qb, i, [b.sge(0, 100)]);
    a.send(qa, 1, { sges: [a.sge(0, 50, low.lkey), a.sge(50, 50, high.lkey)] });
    a.send(qa, 2, { sges: [a.sge(0, 100, low.lkey)] });
    pair.settle();
    expect(a.sends()).toEqual([
      [1, 'SUCCESS'],
      [2, 'LOC_PROT_ERR'],
    ]);
  });

  it('[MEM-08] a region over all addresses fails where there is no memory', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa] = pair.rc();
    const all = b.register(0, 2 ** 50, FULL_ACCESS);
    const end = b.memory.bytes.length;
    const request = { opcode: WrOpcode.RDMA_WRITE, sges: [a.sge(0, 100)], rkey: all.rkey };
    a.send(qa, 1, { ...request, remoteAddr: end - 100 });
    a.send(qa, 2, { ...request, remoteAddr: end - 99 });
    pair.settle();
    expect(a.sends()).toEqual([
      [1, 'SUCCESS'],
      [2, 'REM_ACCESS_ERR'],
    ]);
  });
});
