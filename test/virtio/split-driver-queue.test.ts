/** The driver half of a split ring: chains it builds, and a device that lies. */
import { describe, expect, it } from 'vitest';
import { SplitDriverQueue, layOutSplitRing } from '../../src/virtio/index.js';
import { BASE, PAGE, RawRing, hexAt, memoryOver, ringBytes, testRing } from './support.js';
import type { TestRing } from './support.js';

function offer(ring: TestRing, token: number, parts = 1, writableBytes = 8): boolean {
  ring.driver.begin();
  for (let i = 0; i < parts - 1; i++) ring.driver.addReadable(ring.data, 8);
  ring.driver.addWritable(ring.data, writableBytes);
  return ring.driver.commit(token);
}

describe('building chains', () => {
  it('[VQ-08] clears its areas, whatever was there before', () => {
    const memory = memoryOver(new Uint8Array(2 * PAGE).fill(0xee).buffer);
    const config = { index: 0, size: 8, ...layOutSplitRing(BASE, 8) };
    new SplitDriverQueue(memory, config, { indirect: false, eventIdx: false });
    const places = [
      [config.descriptors, 16 * 8],
      [config.driver, 6 + 2 * 8],
      [config.device, 6 + 8 * 8],
    ];
    for (const [address, length] of places) expect(hexAt(memory, address, length)).toBe('00'.repeat(length));
    const [, [driver, driverBytes], [device, deviceBytes]] = places;
    const between = device - driver - driverBytes;
    expect(hexAt(memory, driver + driverBytes, between)).toBe('ee'.repeat(between));
    expect(hexAt(memory, device + deviceBytes, 64)).toBe('ee'.repeat(64));
  });

  it('[VQ-05] [VQ-06] [VQ-07] refuses to be set up where a ring may not lie', () => {
    const memory = memoryOver(new ArrayBuffer(PAGE));
    const place = layOutSplitRing(BASE, 8);
    const none = { indirect: true, eventIdx: true };
    const make = (config: object) => () =>
      new SplitDriverQueue(memory, { index: 3, size: 8, ...place, ...config }, none);
    expect(make({ size: 5 })).toThrow(/queue 3: size 5/);
    expect(make({ device: place.device + 1 })).toThrow(/queue 3: used ring/);
    expect(make({ descriptors: BASE + PAGE })).toThrow(/queue 3: descriptor table/);
    const area = { address: BASE + PAGE, entriesPerTable: 4 };
    expect(
      () => new SplitDriverQueue(memory, { index: 3, size: 8, ...place }, none, undefined, area),
    ).toThrow(RangeError);
  });

  it('[VQ-15] [VQ-30] takes chains while descriptors are free, up to one of the size of the queue', () => {
    const ring = testRing({ size: 4 });
    expect(offer(ring, 1, 4)).toBe(true);
    expect(ring.driver.freeDescriptors).toBe(0);
    expect(offer(ring, 2, 1)).toBe(false);

    const other = testRing({ size: 4, table: 8 });
    expect(offer(other, 1, 5)).toBe(false);
    other.driver.begin();
    for (let i = 0; i < 5; i++) other.driver.addReadable(other.data, 8);
    expect(other.driver.commit(1, true)).toBe(false);
    expect(other.driver.freeDescriptors).toBe(4);
    expect(offer(other, 1, 3)).toBe(true);
    expect(offer(other, 2, 2)).toBe(false);
    expect(offer(other, 3, 1)).toBe(true);
    expect(other.driver.outstanding).toBe(2);
  });

  it('forgets a chain that found no room', () => {
    const ring = testRing({ size: 2 });
    expect(offer(ring, 1, 3)).toBe(false);
    expect(offer(ring, 2, 2)).toBe(true);
    expect(ring.driver.state()).toMatchObject({ pending: 1, freeDescriptors: 0 });
  });

  it('[VQ-17] refuses a chain of more than 2^32 bytes', () => {
    const ring = testRing({ size: 4 });
    ring.driver.begin();
    ring.driver.addReadable(0, 2 ** 32 - 1);
    ring.driver.addWritable(0, 2);
    expect(ring.driver.commit(0)).toBe(false);
    ring.driver.begin();
    ring.driver.addReadable(0, 2 ** 32 - 1);
    ring.driver.addWritable(0, 1);
    expect(ring.driver.commit(0)).toBe(true);
  });

  it('[VQ-19] leaves out parts of no bytes', () => {
    const ring = testRing({ size: 4 });
    ring.driver.begin();
    ring.driver.addReadable(ring.data, 0);
    ring.driver.addReadable(ring.data, 4);
    ring.driver.addWritable(ring.data, 0);
    expect(ring.driver.commit(0)).toBe(true);
    expect(ring.driver.freeDescriptors).toBe(3);
    expect(ringBytes(ring).descriptors.slice(24, 28)).toBe('0000');
  });

  it('[VQ-14] refuses a readable part after a writable one, and a chain without parts', () => {
    const { driver } = testRing({ size: 4 });
    driver.begin();
    driver.addWritable(BASE, 4);
    expect(() => driver.addReadable(BASE, 4)).toThrow('readable part after a writable one');
    driver.begin();
    expect(() => driver.commit(0)).toThrow('no part');
  });

  it('[VQ-20] [VQ-21] [VQ-22] uses a table only when it was negotiated and asked for and the chain fits one', () => {
    const cases: [boolean, boolean, number, number][] = [
      [true, true, 3, 1],
      [true, true, 4, 4],
      [true, false, 3, 3],
      [false, true, 3, 3],
    ];
    for (const [negotiated, asked, parts, descriptors] of cases) {
      const ring = testRing({ size: 8, table: 3, features: { indirect: negotiated } });
      ring.driver.begin();
      for (let i = 0; i < parts; i++) ring.driver.addReadable(ring.data, 8);
      ring.driver.commit(0, asked);
      expect(8 - ring.driver.freeDescriptors).toBe(descriptors);
      const flags = Array.from({ length: 8 }, (_, i) =>
        parseInt(ringBytes(ring).descriptors.slice(32 * i + 24, 32 * i + 26), 16),
      );
      expect(flags.filter(value => (value & 4) !== 0)).toEqual(descriptors === 1 ? [4] : []);
    }
  });

  it('publishes all that was committed, once', () => {
    const ring = testRing({ size: 4 });
    const idx = () => new RawRing(ring).readWord(ring.config.driver + 2);
    offer(ring, 1);
    offer(ring, 2);
    expect(idx()).toBe(0);
    expect(ring.driver.publish()).toBe(true);
    expect(idx()).toBe(2);
    expect(ring.driver.publish()).toBe(false);
    expect(idx()).toBe(2);
  });
});

describe('notifying the device', () => {
  const kicked = (ring: TestRing): boolean => {
    offer(ring, 0);
    return ring.driver.publish();
  };

  it('[VQ-61] [VQ-62] goes by NO_NOTIFY without EVENT_IDX, and not by the event word', () => {
    const ring = testRing({ size: 8, features: { eventIdx: false } });
    const raw = new RawRing(ring);
    raw.availEvent(100);
    expect(kicked(ring)).toBe(true);
    raw.usedFlags(1);
    raw.availEvent(1);
    expect(kicked(ring)).toBe(false);
    raw.usedFlags(0xfffe);
    expect(kicked(ring)).toBe(true);
  });

  it('[VQ-63] [VQ-64] goes by the event word with EVENT_IDX, and not by NO_NOTIFY', () => {
    const ring = testRing({ size: 8 });
    const raw = new RawRing(ring);
    raw.usedFlags(1);
    expect(kicked(ring)).toBe(true);
    expect(kicked(ring)).toBe(false);
    raw.availEvent(3);
    expect(kicked(ring)).toBe(false);
    offer(ring, 0);
    expect(kicked(ring)).toBe(true);
    expect(kicked(ring)).toBe(false);
  });
});

describe('asking for interrupts', () => {
  it('[VQ-69] leaves the flags alone with EVENT_IDX and moves the event word', () => {
    const ring = testRing({ size: 4 });
    const raw = new RawRing(ring);
    const words = () => [raw.readWord(ring.config.driver), raw.readWord(ring.config.driver + 4 + 8)];
    const element = { token: 0, written: 0 };
    offer(ring, 1);
    ring.driver.publish();
    ring.driver.disableInterrupts();
    expect(words()).toEqual([0, 0xffff]);
    raw.used(0, 0, 0);
    raw.usedIdx(1);
    expect(ring.driver.enableInterrupts()).toBe(true);
    expect(ring.driver.takeUsed(element)).toBe(true);
    expect(ring.driver.enableInterrupts()).toBe(false);
    expect(words()).toEqual([0, 1]);
  });

  it('uses the flags without EVENT_IDX', () => {
    const ring = testRing({ size: 4, features: { eventIdx: false } });
    const flags = () => new RawRing(ring).readWord(ring.config.driver);
    ring.driver.disableInterrupts();
    expect(flags()).toBe(1);
    expect(ring.driver.enableInterrupts()).toBe(false);
    expect(flags()).toBe(0);
  });
});

describe('taking used elements', () => {
  it('[VQ-39] finds each chain by its id, in any order', () => {
    const ring = testRing({ size: 8 });
    const raw = new RawRing(ring);
    for (const token of [10, 11, 12]) offer(ring, token, 2);
    ring.driver.publish();
    raw.used(0, 4, 3);
    raw.used(1, 0, 8);
    raw.usedIdx(2);
    const element = { token: 0, written: 0 };
    expect(ring.driver.hasUsed()).toBe(true);
    expect(ring.driver.takeUsed(element)).toBe(true);
    expect(element).toEqual({ token: 12, written: 3 });
    expect(ring.driver.takeUsed(element)).toBe(true);
    expect(element).toEqual({ token: 10, written: 8 });
    expect(ring.driver.takeUsed(element)).toBe(false);
    expect(ring.driver.hasUsed()).toBe(false);
    expect(ring.driver.state()).toMatchObject({
      outstanding: 1,
      freeDescriptors: 6,
      lastUsed: 2,
      broken: undefined,
    });
  });

  it('[VQ-60] finds nothing where nothing is new', () => {
    const ring = testRing({ size: 8 });
    expect(ring.driver.takeUsed({ token: 0, written: 0 })).toBe(false);
    expect(ring.driver.broken).toBeUndefined();
  });

  it('keeps a chain apart that stays out while 65536 others pass', () => {
    const ring = testRing({ size: 2 });
    const element = { token: 0, written: 0 };
    const raw = new RawRing(ring);
    const put = (idx: number, id: number): void => {
      raw.used(idx % 2, id, 0);
      raw.usedIdx((idx + 1) & 0xffff);
    };
    offer(ring, 777);
    for (let i = 0; i < 65_536; i++) {
      offer(ring, i);
      ring.driver.publish();
      put(i, 1);
      if (!ring.driver.takeUsed(element)) throw new Error(ring.driver.broken ?? 'nothing used');
    }
    put(65_536, 0);
    expect(ring.driver.takeUsed(element)).toBe(true);
    expect(element.token).toBe(777);
  });

  /** Two chains published with heads 0 (8 writable bytes) and 2, one committed with head 4, the others free. */
  function broken(lie: (raw: RawRing) => void): TestRing {
    const ring = testRing({ size: 8 });
    for (const token of [10, 11]) offer(ring, token, 2);
    ring.driver.publish();
    offer(ring, 12, 2);
    lie(new RawRing(ring));
    return ring;
  }
  it.each([
    ['[VQ-42] an id beyond the queue', (raw: RawRing) => raw.used(0, 8, 0), /id 8 is not outstanding/],
    ['[VQ-42] an id far beyond', (raw: RawRing) => raw.used(0, 0xffff_ffff, 0), /id 4294967295/],
    ['[VQ-42] a free descriptor', (raw: RawRing) => raw.used(0, 6, 0), /id 6/],
    ['[VQ-42] the middle of a chain', (raw: RawRing) => raw.used(0, 1, 0), /id 1/],
    ['[VQ-42] a chain not yet published', (raw: RawRing) => raw.used(0, 4, 0), /id 4/],
    [
      '[VQ-43] a length above the writable part',
      (raw: RawRing) => raw.used(0, 0, 9),
      /length 9 .* 8 writable/,
    ],
  ])('calls the device broken for %s', (_, lie, message) => {
    const ring = broken(raw => {
      lie(raw);
      raw.usedIdx(1);
    });
    const element = { token: -1, written: -1 };
    expect(ring.driver.takeUsed(element)).toBe(false);
    expect(ring.driver.broken).toMatch(message);
    expect(element).toEqual({ token: -1, written: -1 });
  });

  it('[VQ-42] calls the device broken for a chain that comes back twice', () => {
    const ring = broken(raw => {
      raw.used(0, 2, 0);
      raw.used(1, 2, 0);
      raw.usedIdx(2);
    });
    const element = { token: 0, written: 0 };
    expect(ring.driver.takeUsed(element)).toBe(true);
    expect(ring.driver.takeUsed(element)).toBe(false);
    expect(ring.driver.broken).toMatch(/id 2 is not outstanding/);
  });

  it.each([3, 100, 0xffff])(
    '[VQ-44] calls the device broken when its index goes to %i with two chains out',
    idx => {
      const ring = broken(raw => raw.usedIdx(idx));
      expect(ring.driver.hasUsed()).toBe(false);
      expect(ring.driver.broken).toMatch(/2 chains outstanding/);
    },
  );

  it('[VQ-45] does nothing more once the device is broken', () => {
    const ring = broken(raw => raw.usedIdx(5));
    const element = { token: 0, written: 0 };
    expect(ring.driver.takeUsed(element)).toBe(false);
    const raw = new RawRing(ring);
    raw.used(0, 0, 0);
    raw.usedIdx(1);
    const before = ringBytes(ring).avail;
    expect(ring.driver.takeUsed(element)).toBe(false);
    expect(ring.driver.hasUsed()).toBe(false);
    expect(ring.driver.publish()).toBe(false);
    expect(offer(ring, 1)).toBe(false);
    expect(ring.driver.enableInterrupts()).toBe(false);
    expect(ringBytes(ring).avail.slice(4)).toBe(before.slice(4));
  });
});
