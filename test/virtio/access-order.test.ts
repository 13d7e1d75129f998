/** In which order and how often each side touches the ring. */
import { describe, expect, it } from 'vitest';
import { BASE, RawRing, memoryOver, testRing } from './support.js';
import type { TestRing } from './support.js';
import { SpyMemory } from './spy-memory.js';
import type { Access } from './spy-memory.js';

interface Watched {
  readonly ring: TestRing;
  /** What an action accessed, as `kind part`, the part being a field of the ring. */
  during(action: () => void): string[];
}

function watched(eventIdx: boolean, size = 4): Watched {
  const log: Access[] = [];
  const spy = { before: (access: Access) => void log.push(access) };
  const ring = testRing({
    size,
    features: { eventIdx },
    views: buffer => ({ driver: new SpyMemory(buffer, BASE, spy), device: new SpyMemory(buffer, BASE, spy) }),
  });
  const { descriptors, driver, device } = ring.config;
  const part = (address: number): string => {
    if (address >= ring.data) return 'table';
    if (address === device) return 'used flags';
    if (address === device + 2) return 'used idx';
    if (address === device + 4 + 8 * size) return 'avail_event';
    if (address > device) return 'used element';
    if (address === driver) return 'avail flags';
    if (address === driver + 2) return 'avail idx';
    if (address === driver + 4 + 2 * size) return 'used_event';
    return address > driver ? 'avail slot' : `descriptor ${Math.floor((address - descriptors) / 16)}`;
  };
  return {
    ring,
    during: action => {
      log.length = 0;
      action();
      return log.map(access => `${access.kind} ${part(access.address)}`);
    },
  };
}

function offer({ driver, data }: TestRing): void {
  driver.begin();
  driver.addReadable(data, 4);
  driver.addWritable(data + 64, 4);
  driver.commit(0);
}

describe.each([
  [false, 'used flags', 'avail flags'],
  [true, 'avail_event', 'used_event'],
])('with EVENT_IDX %s', (eventIdx, deviceWish, driverWish) => {
  it('[VQ-28] [VQ-71] the driver writes chain and slot, then the index, then looks for the wish of the device', () => {
    const { ring, during } = watched(eventIdx);
    const committed = during(() => offer(ring));
    expect(committed.every(access => /^set (descriptor|avail slot)/.test(access))).toBe(true);
    expect(committed.length).toBe(9);
    expect(during(() => ring.driver.publish())).toEqual(['store16 avail idx', `load16 ${deviceWish}`]);
  });

  it('[VQ-34] [VQ-32] the device reads the index, then the slot, then each descriptor once and in one access', () => {
    const { ring, during } = watched(eventIdx);
    offer(ring);
    ring.driver.publish();
    const chain = ring.device.newChain();
    expect(during(() => ring.device.take(chain))).toEqual([
      'load16 avail idx',
      'get avail slot',
      'get descriptor 0',
      'get descriptor 1',
    ]);
    const later = during(() => {
      chain.copyReadable(0, new Uint8Array(4), 0, 4);
      chain.writeWritable(0, new Uint8Array(4), 0, 4);
    });
    expect(later).toEqual([]);
  });

  it('[VQ-36] [VQ-72] the device writes the element, then the index, then looks for the wish of the driver', () => {
    const { ring, during } = watched(eventIdx);
    offer(ring);
    ring.driver.publish();
    const chain = ring.device.newChain();
    ring.device.take(chain);
    expect(during(() => ring.device.putUsed(chain.head, 4))).toEqual([
      'set used element',
      'store16 used idx',
    ]);
    expect(during(() => ring.device.interruptWanted())).toEqual([`load16 ${driverWish}`]);
  });

  it('[VQ-41] the driver reads the index, then the element, each field once', () => {
    const { ring, during } = watched(eventIdx);
    offer(ring);
    ring.driver.publish();
    const chain = ring.device.newChain();
    ring.device.take(chain);
    ring.device.putUsed(chain.head, 4);
    expect(during(() => ring.driver.takeUsed({ token: 0, written: 0 }))).toEqual([
      'load16 used idx',
      'get used element',
      'get used element',
    ]);
  });

  it('[VQ-73] [VQ-74] a side that asks for notifications writes its wish, then reads the index again', () => {
    const { ring, during } = watched(eventIdx);
    expect(during(() => ring.device.enableNotifications())).toEqual([
      `store16 ${deviceWish}`,
      'load16 avail idx',
    ]);
    expect(during(() => ring.driver.enableInterrupts())).toEqual([
      `store16 ${driverWish}`,
      'load16 used idx',
    ]);
  });
});

describe('memory that changes under the feet of the device', () => {
  /** A chain of three descriptors, the last in a table; the driver spoils each field as soon as it was read. */
  function spoiledAfterRead(): TestRing {
    const spoil = true;
    const ring = testRing({
      size: 8,
      views: buffer => ({
        driver: memoryOver(buffer),
        device: new SpyMemory(buffer, BASE, {
          after: ({ kind, address, bytes }) => {
            if (spoil && kind === 'get')
              new Uint8Array(buffer).fill(0xff, address - BASE, address - BASE + bytes);
          },
        }),
      }),
    });
    const raw = new RawRing(ring);
    raw.descriptor(0, { addr: ring.data, len: 3, flags: 1, next: 2 });
    raw.descriptor(2, { addr: ring.data + 0x1000, len: 32, flags: 4 });
    raw.descriptorAt(ring.data + 0x1000, { addr: ring.data + 3, len: 2, flags: 1, next: 1 });
    raw.descriptorAt(ring.data + 0x1010, { addr: ring.data + 64, len: 5, flags: 2 });
    ring.memory.write(ring.data, new TextEncoder().encode('abcdefgh'), 0, 8);
    raw.offer(0);
    return ring;
  }

  it('[VQ-32] has no effect on a chain that was taken', () => {
    const ring = spoiledAfterRead();
    const chain = ring.device.newChain();
    expect(ring.device.take(chain)).toBe('chain');
    expect([chain.head, chain.readableBytes, chain.writableBytes]).toEqual([0, 5, 5]);
    const text = new Uint8Array(5);
    expect(chain.copyReadable(0, text, 0, 5)).toBe(5);
    expect(new TextDecoder().decode(text)).toBe('abcde');
    expect(chain.writeWritable(0, Uint8Array.of(1, 2, 3, 4, 5, 6), 0, 6)).toBe(5);
    expect(ring.device.putUsed(chain.head, 5)).toBeUndefined();
  });
});

describe('work for one chain', () => {
  it.each([1, 2, 64, 1024])(
    '[VQ-57] is bounded by the size of the queue, %i, for every kind of loop',
    size => {
      const shapes: ((ring: TestRing, raw: RawRing) => void)[] = [
        ({ data }, raw) => raw.descriptor(0, { addr: data, len: 1, flags: 1, next: 0 }),
        ({ data }, raw) => {
          for (let i = 0; i < size; i++)
            raw.descriptor(i, { addr: data, len: 0, flags: 1, next: (i + 1) % size });
        },
        ({ data }, raw) => {
          raw.descriptor(0, { addr: data + 0x1000, len: 32, flags: 4 });
          raw.descriptorAt(data + 0x1000, { addr: data, len: 1, flags: 1, next: 1 });
          raw.descriptorAt(data + 0x1010, { addr: data, len: 1, flags: 1, next: 0 });
        },
      ];
      for (const shape of shapes) {
        let reads = 0;
        const ring = testRing({
          size,
          views: buffer => ({
            driver: memoryOver(buffer),
            device: new SpyMemory(buffer, BASE, { before: () => void reads++ }),
          }),
        });
        const raw = new RawRing(ring);
        shape(ring, raw);
        raw.offer(0);
        expect(ring.device.take(ring.device.newChain())).toBe('broken');
        expect(reads).toBeLessThanOrEqual(2 + 4 * (size + 1));
      }
    },
  );
});
