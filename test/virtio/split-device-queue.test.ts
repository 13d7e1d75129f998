/** The device half of a split ring: every way to lay out a chain, and every way to break the rules. */
import { describe, expect, it } from 'vitest';
import { SplitDeviceQueue } from '../../src/virtio/index.js';
import type { DescriptorChain } from '../../src/virtio/index.js';
import { BASE, RawRing, ringBytes, testRing } from './support.js';
import type { TestRing } from './support.js';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

interface Rig extends TestRing {
  readonly raw: RawRing;
  readonly chain: DescriptorChain;
  take(): string;
  /** Descriptor `index` of the table at `data + 0x1000`. */
  tableEntry(index: number, addr: number, len: number, flags?: number, next?: number): void;
  readable(): string;
}

function rig(size = 4, features: { indirect?: boolean; eventIdx?: boolean } = {}): Rig {
  const ring = testRing({ size, features });
  const raw = new RawRing(ring);
  const chain = ring.device.newChain();
  const text = new TextEncoder().encode('abcdefghijklmnopqrstuvwxyz');
  ring.memory.write(ring.data, text, 0, text.length);
  return {
    ...ring,
    raw,
    chain,
    take: () => ring.device.take(chain),
    tableEntry: (index, addr, len, flags = 0, next = 0) =>
      raw.descriptorAt(ring.data + 0x1000 + 16 * index, { addr, len, flags, next }),
    readable: () => {
      const bytes = new Uint8Array(chain.readableBytes);
      return new TextDecoder().decode(bytes.subarray(0, chain.copyReadable(0, bytes, 0, bytes.length)));
    },
  };
}

describe('taking a chain', () => {
  it('[VQ-13] gives one message however it is cut into descriptors', () => {
    const cuts: [number, number][][] = [
      [[0, 6]],
      [
        [0, 1],
        [1, 5],
      ],
      [
        [0, 3],
        [3, 0],
        [3, 2],
        [5, 1],
      ],
    ];
    for (const cut of cuts) {
      const r = rig(8);
      const parts = [
        ...cut.map(([at, len]) => [r.data + at, len, 0]),
        [r.data + 64, 2, WRITE],
        [r.data + 66, 3, WRITE],
      ];
      parts.forEach(([addr, len, flags], i) =>
        r.raw.descriptor(i, { addr, len, flags: flags | (i < parts.length - 1 ? NEXT : 0), next: i + 1 }),
      );
      r.raw.offer(0);
      expect(r.take()).toBe('chain');
      expect([r.chain.head, r.chain.readableBytes, r.chain.writableBytes]).toEqual([0, 6, 5]);
      expect(r.readable()).toBe('abcdef');
      const some = new Uint8Array(4);
      expect(r.chain.copyReadable(2, some, 1, 2)).toBe(2);
      expect(new TextDecoder().decode(some)).toBe('\0cd\0');
      expect(r.chain.copyReadable(4, some, 0, 4)).toBe(2);
      expect(r.chain.copyReadable(6, some, 0, 4)).toBe(0);
      expect(r.chain.copyReadable(9, some, 0, 4)).toBe(0);
      expect(r.chain.writeWritable(1, new TextEncoder().encode('XYZ'), 0, 3)).toBe(3);
      expect(r.chain.writeWritable(4, new TextEncoder().encode('123'), 0, 3)).toBe(1);
      const written = new Uint8Array(7);
      r.memory.read(r.data + 63, written, 0, 7);
      expect(new TextDecoder().decode(written)).toBe('\0\0XYZ1\0');
    }
  });

  it('[VQ-16] takes a chain as long as the queue, in any order of descriptors', () => {
    const r = rig(4);
    const order = [2, 0, 3, 1];
    order.forEach((at, i) =>
      r.raw.descriptor(at, { addr: r.data + i, len: 1, flags: i < 3 ? NEXT : 0, next: order[i + 1] ?? 99 }),
    );
    r.raw.offer(2);
    expect(r.take()).toBe('chain');
    expect(r.chain.head).toBe(2);
    expect(r.readable()).toBe('abcd');
  });

  it('[VQ-18] counts no byte of a descriptor of length 0 and does not mind where it points', () => {
    const r = rig();
    r.raw.descriptor(0, { addr: 2 ** 60, len: 0, flags: NEXT, next: 1 });
    r.raw.descriptor(1, { addr: r.data, len: 2, flags: NEXT, next: 2 });
    r.raw.descriptor(2, { addr: 0, len: 0, flags: WRITE });
    r.raw.offer(0);
    expect(r.take()).toBe('chain');
    expect([r.chain.readableBytes, r.chain.writableBytes]).toEqual([2, 0]);
    expect(r.readable()).toBe('ab');
    r.raw.descriptor(3, { addr: 0, len: 0 });
    r.raw.offer(3);
    expect(r.take()).toBe('chain');
    expect([r.chain.readableBytes, r.chain.writableBytes]).toEqual([0, 0]);
  });

  it('[VQ-31] takes chains in the order of the ring, and says when there is none', () => {
    const r = rig();
    expect(r.take()).toBe('empty');
    for (const head of [3, 0, 2]) {
      r.raw.descriptor(head, { addr: r.data, len: 1 });
      r.raw.offer(head);
    }
    expect(r.device.available()).toBe(3);
    const heads = Array.from({ length: 3 }, () => (r.take(), r.chain.head));
    expect(heads).toEqual([3, 0, 2]);
    expect(r.take()).toBe('empty');
    expect(r.device.inFlight).toBe(3);
  });

  it('fills only chains that a device queue made', () => {
    const r = rig();
    const other: DescriptorChain = {
      head: 0,
      readableBytes: 0,
      writableBytes: 0,
      copyReadable: () => 0,
      writeWritable: () => 0,
      copyTo: () => 0,
    };
    expect(() => r.device.take(other)).toThrow(TypeError);
  });
});

describe('indirect tables', () => {
  it('[VQ-25] follows next from entry to entry, from entry 0 on', () => {
    const r = rig();
    r.tableEntry(0, r.data, 2, NEXT, 3);
    r.tableEntry(3, r.data + 4, 2, NEXT, 1);
    r.tableEntry(1, r.data + 64, 5, WRITE, 7);
    r.raw.descriptor(1, { addr: r.data + 0x1000, len: 64, flags: INDIRECT });
    r.raw.offer(1);
    expect(r.take()).toBe('chain');
    expect([r.chain.head, r.chain.writableBytes]).toEqual([1, 5]);
    expect(r.readable()).toBe('abef');
  });

  it('[VQ-23] ignores WRITE on the descriptor that names the table', () => {
    const r = rig();
    r.tableEntry(0, r.data, 3);
    r.raw.descriptor(0, { addr: r.data + 0x1000, len: 16, flags: INDIRECT | WRITE });
    r.raw.offer(0);
    expect(r.take()).toBe('chain');
    expect(r.readable()).toBe('abc');
  });

  it('[VQ-24] goes on in a table after descriptors of the ring', () => {
    const r = rig();
    r.raw.descriptor(0, { addr: r.data, len: 1, flags: NEXT, next: 2 });
    r.raw.descriptor(2, { addr: r.data + 0x1000, len: 32, flags: INDIRECT });
    r.tableEntry(0, r.data + 1, 2, NEXT, 1);
    r.tableEntry(1, r.data + 64, 4, WRITE);
    r.raw.offer(0);
    expect(r.take()).toBe('chain');
    expect(r.readable()).toBe('abc');
    expect(r.chain.writableBytes).toBe(4);
  });

  it('[VQ-26] [VQ-50] takes a table of as many entries as the queue has, and one more not', () => {
    for (const [entries, result] of [
      [4, 'chain'],
      [5, 'broken'],
    ] as const) {
      const r = rig(4);
      for (let i = 0; i < entries; i++) r.tableEntry(i, r.data + i, 1, i < entries - 1 ? NEXT : 0, i + 1);
      r.raw.descriptor(0, { addr: r.data + 0x1000, len: 16 * entries, flags: INDIRECT });
      r.raw.offer(0);
      expect(r.take()).toBe(result);
    }
  });

  it('[VQ-27] reads a table at any alignment', () => {
    const r = rig();
    r.raw.descriptorAt(r.data + 0x1003, { addr: r.data, len: 3 });
    r.raw.descriptor(0, { addr: r.data + 0x1003, len: 16, flags: INDIRECT });
    r.raw.offer(0);
    expect(r.take()).toBe('chain');
    expect(r.readable()).toBe('abc');
  });
});

describe('a broken ring', () => {
  const faults: [string, (r: Rig) => void, RegExp][] = [
    ['[VQ-47] a head that is the size of the queue', r => r.raw.offer(4), /head 4 is out of range/],
    ['[VQ-47] a head far out', r => r.raw.offer(0xffff), /head 65535/],
    [
      '[VQ-49] a next beyond the ring',
      r => r.raw.descriptor(0, { addr: r.data, len: 1, flags: NEXT, next: 4 }),
      /next 4/,
    ],
    [
      '[VQ-50] a chain that is its own next',
      r => r.raw.descriptor(0, { addr: r.data, len: 1, flags: NEXT }),
      /loop/,
    ],
    [
      '[VQ-50] a loop of descriptors of no length',
      r => r.raw.descriptor(0, { addr: 0, len: 0, flags: NEXT }),
      /loop/,
    ],
    ['[VQ-51] more than 2^32 bytes', r => hugeChain(r), /more than 4294967296 bytes/],
    [
      '[VQ-52] a readable descriptor after a writable one',
      r => readableLast(r, 4),
      /readable descriptor after/,
    ],
    ['[VQ-52] the same with descriptors of no length', r => readableLast(r, 0), /readable descriptor after/],
    ['[VQ-53] bytes at address 0', r => r.raw.descriptor(0, { addr: 0, len: 1 }), /not in guest memory/],
    [
      '[VQ-53] bytes across the end',
      r => r.raw.descriptor(0, { addr: r.end - 3, len: 4 }),
      /not in guest memory/,
    ],
    [
      '[VQ-53] an address of 2^63',
      r => r.raw.descriptor(0, { addr: 2 ** 63, len: 1 }),
      /not in guest memory/,
    ],
    [
      '[VQ-53] bytes that wrap at 2^64',
      r => r.raw.descriptor(0, { addr: 2 ** 64 - 2 ** 11, len: 0xffff_ffff }),
      /not in/,
    ],
    [
      '[VQ-54] INDIRECT together with NEXT',
      r => indirect(r, { flags: INDIRECT | NEXT, next: 1 }),
      /INDIRECT and NEXT/,
    ],
    ['[VQ-54] a table within a table', r => nested(r), /none is allowed/],
    ['[VQ-55] a table of no entries', r => indirect(r, { len: 0 }), /table of 0 bytes/],
    ['[VQ-55] a table of a broken length', r => indirect(r, { len: 24 }), /table of 24 bytes/],
    ['[VQ-55] a table outside memory', r => indirect(r, { addr: r.end - 16, len: 32 }), /not in one region/],
    [
      '[VQ-49] a next beyond the table',
      r => indirect(r, { len: 16 }, NEXT, 1),
      /next 1 is out of range; 1 entries/,
    ],
    ['[VQ-50] a loop in a table', r => indirect(r, { len: 16 }, NEXT, 0), /loop/],
  ];

  function indirect(
    r: Rig,
    change: { addr?: number; len?: number; flags?: number; next?: number },
    flags = 0,
    next = 0,
  ): void {
    r.tableEntry(0, r.data, 1, flags, next);
    r.raw.descriptor(0, { addr: r.data + 0x1000, len: 16, flags: INDIRECT, ...change });
  }
  function nested(r: Rig): void {
    indirect(r, { len: 32 }, INDIRECT);
    r.tableEntry(0, r.data + 0x1010, 16, INDIRECT);
    r.tableEntry(1, r.data, 1);
  }
  function readableLast(r: Rig, len: number): void {
    r.raw.descriptor(0, { addr: r.data, len, flags: WRITE | NEXT, next: 1 });
    r.raw.descriptor(1, { addr: r.data, len });
  }
  function hugeChain(r: Rig): void {
    // Guest memory of 2^32 bytes is not at hand, so parts overlap: their sum is what counts.
    const big = r.end - r.data;
    const count = Math.floor(2 ** 32 / big) + 1;
    for (let i = 0; i < count; i++)
      r.raw.descriptor(i, { addr: r.data, len: big, flags: i < count - 1 ? NEXT : 0, next: i + 1 });
  }

  it.each(faults)('is %s', (name, fault, message) => {
    const r = name.includes('2^32 bytes') ? bigRig() : rig();
    fault(r);
    if (!name.includes('head')) r.raw.offer(0);
    const before = ringBytes(r);
    expect(r.take()).toBe('broken');
    expect(r.device.broken).toMatch(message);
    expect(r.take()).toBe('broken');
    expect(r.device.available()).toBe(0);
    expect(r.device.interruptWanted()).toBe(false);
    expect(r.device.enableNotifications()).toBe(false);
    r.device.disableNotifications();
    r.device.putUsed(0, 0);
    expect(ringBytes(r)).toEqual(before);
  });

  function bigRig(): Rig {
    const ring = testRing({ size: 32_768, dataBytes: 1 << 20 });
    const raw = new RawRing(ring);
    const chain = ring.device.newChain();
    return {
      ...ring,
      raw,
      chain,
      take: () => ring.device.take(chain),
      tableEntry: () => undefined,
      readable: () => '',
    };
  }

  it('[VQ-51] is not one of exactly 2^32 bytes', () => {
    const r = bigRig();
    const part = 1 << 20;
    for (let i = 0; i < 4096; i++)
      r.raw.descriptor(i, { addr: r.data, len: part, flags: i < 4095 ? NEXT : 0, next: i + 1 });
    r.raw.offer(0);
    expect(r.take()).toBe('chain');
    expect(r.chain.readableBytes).toBe(2 ** 32);
  });

  it('[VQ-54] is INDIRECT without the feature', () => {
    const r = rig(4, { indirect: false });
    r.tableEntry(0, r.data, 1);
    r.raw.descriptor(0, { addr: r.data + 0x1000, len: 16, flags: INDIRECT });
    r.raw.offer(0);
    expect(r.take()).toBe('broken');
  });

  it('[VQ-48] is a head that is in flight already; back in the ring it is welcome', () => {
    const r = rig();
    r.raw.descriptor(1, { addr: r.data, len: 1 });
    r.raw.offer(1);
    expect(r.take()).toBe('chain');
    r.device.putUsed(1, 0);
    r.raw.offer(1);
    expect(r.take()).toBe('chain');
    r.raw.offer(1);
    expect(r.take()).toBe('broken');
    expect(r.device.broken).toMatch(/head 1 .* in flight/);
  });

  it.each([
    [0, 5],
    [0, 0x8000],
    [0, 0xffff],
    [3, 5],
  ])('[VQ-56] is an index that passes too much: %i in flight, index %i, size 4', (inFlight, idx) => {
    const r = rig(4);
    for (let head = 0; head < inFlight; head++) {
      r.raw.descriptor(head, { addr: r.data, len: 1 });
      r.raw.offer(head);
      expect(r.take()).toBe('chain');
    }
    r.raw.availIdx(idx);
    expect(r.device.available()).toBe(0);
    expect(r.device.broken).toMatch(/available index/);
    expect(r.take()).toBe('broken');
  });

  it('[VQ-56] is not an index that passes exactly the size of the queue', () => {
    const r = rig(4);
    r.raw.availIdx(4);
    expect(r.device.available()).toBe(4);
    expect(r.device.broken).toBeUndefined();
  });
});

describe('returning chains', () => {
  function taken(size = 4, features = {}): Rig {
    const r = rig(size, features);
    for (let head = 0; head < size; head++) {
      r.raw.descriptor(head, { addr: r.data, len: 4, flags: WRITE });
      r.raw.offer(head);
      expect(r.take()).toBe('chain');
    }
    return r;
  }

  it('[VQ-35] refuses a chain that is not in flight: it would come back twice', () => {
    const r = taken();
    r.device.putUsed(2, 4);
    for (const head of [2, 4, -1, NaN]) expect(() => r.device.putUsed(head, 0)).toThrow(RangeError);
    expect(r.device.inFlight).toBe(3);
    expect(r.raw.readWord(r.config.device + 2)).toBe(1);
  });

  it('[VQ-65] [VQ-66] goes by NO_INTERRUPT without EVENT_IDX, once a batch', () => {
    const r = taken(4, { eventIdx: false });
    expect(r.device.interruptWanted()).toBe(false);
    r.raw.usedEvent(77);
    r.device.putUsed(0, 0);
    r.device.putUsed(1, 0);
    expect(r.device.interruptWanted()).toBe(true);
    expect(r.device.interruptWanted()).toBe(false);
    r.raw.availFlags(1);
    r.raw.usedEvent(2);
    r.device.putUsed(2, 0);
    expect(r.device.interruptWanted()).toBe(false);
    r.raw.availFlags(0xfffe);
    r.device.putUsed(3, 0);
    expect(r.device.interruptWanted()).toBe(true);
  });

  it('[VQ-67] [VQ-68] goes by the event word with EVENT_IDX, from the first decision on', () => {
    const r = taken(8);
    r.raw.availFlags(1);
    r.raw.usedEvent(500);
    r.device.putUsed(0, 0);
    expect(r.device.interruptWanted()).toBe(false);
    r.device.putUsed(1, 0);
    expect(r.device.interruptWanted()).toBe(false);
    r.raw.usedEvent(3);
    r.device.putUsed(2, 0);
    expect(r.device.interruptWanted()).toBe(false);
    for (const head of [3, 4]) r.device.putUsed(head, 0);
    expect(r.device.interruptWanted()).toBe(true);
    r.device.putUsed(5, 0);
    expect(r.device.interruptWanted()).toBe(false);
    expect(r.device.state()).toEqual({
      size: 8,
      nextAvail: 8,
      usedIdx: 6,
      inFlight: 2,
      signalledUsed: 6,
      broken: undefined,
    });
  });

  it('[VQ-67] interrupts when 65536 elements went by without a decision', () => {
    const ring = testRing({ size: 1 });
    const chain = ring.device.newChain();
    const element = { token: 0, written: 0 };
    const pass = (): void => {
      ring.driver.begin();
      ring.driver.addReadable(ring.data, 1);
      ring.driver.commit(0);
      ring.driver.publish();
      ring.device.take(chain);
      ring.device.putUsed(chain.head, 0);
      ring.driver.takeUsed(element);
    };
    pass();
    ring.device.interruptWanted();
    for (let i = 0; i < 65_536; i++) pass();
    expect(ring.device.interruptWanted()).toBe(true);
  });
});

describe('asking for notifications', () => {
  it('[VQ-70] leaves the flags alone with EVENT_IDX and moves the event word', () => {
    const r = rig(4);
    const words = () => [r.raw.readWord(r.config.device), r.raw.readWord(r.config.device + 4 + 32)];
    r.device.disableNotifications();
    expect(words()).toEqual([0, 0xffff]);
    r.raw.descriptor(0, { addr: r.data, len: 1 });
    r.raw.offer(0);
    expect(r.device.enableNotifications()).toBe(true);
    expect(r.take()).toBe('chain');
    expect(r.device.enableNotifications()).toBe(false);
    expect(words()).toEqual([0, 1]);
  });

  it('uses the flags without EVENT_IDX', () => {
    const r = rig(4, { eventIdx: false });
    const flags = () => r.raw.readWord(r.config.device);
    r.device.disableNotifications();
    expect(flags()).toBe(1);
    expect(r.device.enableNotifications()).toBe(false);
    expect(flags()).toBe(0);
  });
});

describe('set-up', () => {
  it('refuses a ring that is badly placed', () => {
    const ring = testRing({ size: 4 });
    const features = { indirect: false, eventIdx: false };
    const make = (change: object) => () =>
      new SplitDeviceQueue(ring.memory, { ...ring.config, ...change }, features);
    expect(make({ size: 12 })).toThrow(/queue 5: size 12/);
    expect(make({ driver: BASE + 1 })).toThrow(/queue 5: available ring/);
    expect(make({ device: ring.end })).toThrow(/queue 5: used ring/);
  });

  it('does nothing after it was stopped', () => {
    const r = rig();
    r.raw.descriptor(0, { addr: r.data, len: 1 });
    r.raw.offer(0);
    r.take();
    const before = ringBytes(r);
    r.device.stop('reset');
    r.device.putUsed(0, 0);
    expect([r.take(), r.device.available(), r.device.interruptWanted()]).toEqual(['broken', 0, false]);
    expect(ringBytes(r)).toEqual(before);
  });
});
