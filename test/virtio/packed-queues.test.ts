/** Both halves of a packed ring, byte for byte: what a driver half writes, what a device half writes, and what breaks either. */
import { describe, expect, it } from 'vitest';
import {
  DeviceStatus,
  EventMode,
  FeatureBit,
  PackedDeviceQueue,
  PackedDriverQueue,
  PackedFlag,
  featureSet,
  layOutPackedRing,
} from '../../src/virtio/index.js';
import type { DescriptorChain, DeviceQueue } from '../../src/virtio/index.js';
import { BASE, DiaryDevice, memoryOver } from './support.js';
import { RawPackedRing, anyRing, packedBytes, packedRing } from './packed-support.js';
import type { PackedRing } from './packed-support.js';

const { NEXT, WRITE, INDIRECT, AVAIL, USED } = PackedFlag;

function offer(
  { driver, data }: PackedRing,
  readable: number[],
  writable: number[],
  token = 0,
  table = false,
) {
  driver.begin();
  let at = data;
  for (const length of readable) {
    driver.addReadable(at, length);
    at += length;
  }
  for (const length of writable) {
    driver.addWritable(at, length);
    at += length;
  }
  return driver.commit(token, table);
}

function taken({ device }: { device: DeviceQueue }): DescriptorChain {
  const chain = device.newChain();
  expect(device.take(chain)).toBe('chain');
  return chain;
}

/** A descriptor as hexadecimal text, little-endian: addr, len, id, flags. */
function hex(addr: number, len: number, id: number, flags: number): string {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(BigInt(addr));
  bytes.writeUInt32LE(len, 8);
  bytes.writeUInt16LE(id, 12);
  bytes.writeUInt16LE(flags, 14);
  return bytes.toString('hex');
}

describe('the driver half', () => {
  it('[VQ-83] clears its areas, and what it writes is this', () => {
    const ring = packedRing({ size: 3 });
    expect(packedBytes(ring)).toEqual({
      descriptors: ['0'.repeat(32), '0'.repeat(32), '0'.repeat(32)],
      driver: '00000000',
      device: '00000000',
    });
    offer(ring, [16], [8]);
    expect(ring.driver.publish()).toBe(true);
    expect(packedBytes(ring).descriptors).toEqual([
      hex(ring.data, 16, 0, AVAIL | NEXT),
      hex(ring.data + 16, 8, 0, AVAIL | WRITE),
      '0'.repeat(32),
    ]);
    expect(ring.driver.nextAvailable).toBe(0x8002);
    ring.driver.enableInterrupts();
    expect(packedBytes(ring).driver).toBe('00800200');
    ring.driver.disableInterrupts();
    expect(packedBytes(ring).driver).toBe('00800100');
  });

  it('[VQ-84] [VQ-85] goes on from the last slot to the first within a chain, with the mark of the next lap', () => {
    const ring = packedRing({ size: 3, start: { avail: 0x8002, used: 0x8002 } });
    offer(ring, [1, 2], [3]);
    ring.driver.publish();
    expect(packedBytes(ring).descriptors).toEqual([
      hex(ring.data + 1, 2, 0, USED | NEXT),
      hex(ring.data + 3, 3, 0, USED | WRITE),
      hex(ring.data, 1, 0, AVAIL | NEXT),
    ]);
    expect(ring.driver.nextAvailable).toBe(2);
    const chain = taken(ring);
    expect([chain.head, chain.readableBytes, chain.writableBytes]).toEqual([0, 3, 3]);
    ring.device.putUsed(chain.head, 2);
    expect(packedBytes(ring).descriptors[2]).toBe(hex(ring.data, 2, 0, AVAIL | USED | WRITE));
    const element = { token: -1, written: -1 };
    expect(ring.driver.takeUsed(element)).toBe(true);
    expect(element).toEqual({ token: 0, written: 2 });
    expect([ring.device.state().nextUsed, ring.driver.state().nextUsed]).toEqual([2, 2]);
  });

  it('[VQ-86] [VQ-114] shows nothing before it publishes, whatever stands behind the first descriptor', () => {
    const ring = packedRing({ size: 8 });
    for (const token of [1, 2, 3]) offer(ring, [1, 1], [], token);
    expect(ring.device.available()).toBe(0);
    expect(ring.device.take(ring.device.newChain())).toBe('empty');
    ring.driver.publish();
    expect(ring.device.available()).toBe(3);
  });

  it('[VQ-87] [VQ-88] takes no more descriptors than are free and gives an id away once', () => {
    const ring = packedRing({ size: 5 });
    expect([offer(ring, [1, 1], [1]), offer(ring, [1], [1]), offer(ring, [1], [])]).toEqual([
      true,
      true,
      false,
    ]);
    ring.driver.publish();
    const ids = [taken(ring).head, taken(ring).head];
    expect(new Set(ids).size).toBe(2);
    expect(ring.device.take(ring.device.newChain())).toBe('empty');
    ring.device.putUsed(ids[1], 0);
    expect(ring.driver.takeUsed({ token: 0, written: 0 })).toBe(true);
    expect(ring.driver.freeDescriptors).toBe(2);
    // The room of the second chain is where the first one stood, which the device has a copy of.
    expect(offer(ring, [1], [1])).toBe(true);
    ring.driver.publish();
    expect(taken(ring).head).toBe(ids[1]);
  });

  it('[VQ-89] [VQ-90] puts a chain into a table of entries one after the other', () => {
    const ring = packedRing({ size: 4, table: 4 });
    offer(ring, [4, 4], [4], 9, true);
    ring.driver.publish();
    const [first] = packedBytes(ring).descriptors;
    expect(first.slice(16)).toBe(hex(0, 48, 0, AVAIL | INDIRECT).slice(16));
    const chain = taken(ring);
    expect([chain.readableBytes, chain.writableBytes]).toEqual([8, 4]);
    expect(ring.device.state().descriptorsInFlight).toBe(1);
  });

  it('[VQ-95] takes an element without WRITE for one of no bytes', () => {
    const ring = packedRing({ size: 2 });
    offer(ring, [], [8]);
    ring.driver.publish();
    new RawPackedRing(ring).descriptor(0, { id: 0, len: 999, flags: AVAIL | USED });
    const element = { token: -1, written: -1 };
    expect(ring.driver.takeUsed(element)).toBe(true);
    expect(element).toEqual({ token: 0, written: 0 });
  });

  it.each([
    ['an id that is not out', { id: 1, flags: AVAIL | USED }, 'used id 1 is not outstanding'],
    ['an id beyond the queue', { id: 700, flags: AVAIL | USED }, 'used id 700 is not outstanding'],
    ['a length above its room', { id: 0, len: 9, flags: AVAIL | USED | WRITE }, 'used length 9 of chain 0'],
  ])('[VQ-96] [VQ-45] gives up on %s', (_what, descriptor, message) => {
    const ring = packedRing({ size: 2 });
    offer(ring, [], [8]);
    ring.driver.publish();
    new RawPackedRing(ring).descriptor(0, descriptor);
    const element = { token: -1, written: -1 };
    expect(ring.driver.takeUsed(element)).toBe(false);
    expect(ring.driver.broken).toContain(message);
    expect([ring.driver.hasUsed(), ring.driver.enableInterrupts(), ring.driver.publish()]).toEqual([
      false,
      false,
      false,
    ]);
    expect(offer(ring, [1], [])).toBe(false);
  });

  it('[VQ-96] [VQ-115] believes no element of a chain that is not published, and none in an empty ring', () => {
    const ring = packedRing({ size: 4 });
    offer(ring, [1], []);
    new RawPackedRing(ring).descriptor(0, { id: 0, flags: AVAIL | USED });
    expect(ring.driver.takeUsed({ token: 0, written: 0 })).toBe(false);
    expect(ring.driver.broken).toContain('not outstanding');
  });

  it('starts anywhere, and nowhere where something would be outstanding', () => {
    const place = { index: 0, size: 5, ...layOutPackedRing(BASE, 5) };
    const features = { indirect: false, eventIdx: false, packed: true };
    const make = (start: { avail: number; used: number }) =>
      new PackedDriverQueue(memoryOver(new ArrayBuffer(4096)), { ...place, start }, features);
    expect(make({ avail: 4, used: 4 }).hasUsed()).toBe(false);
    expect(() => make({ avail: 4, used: 3 })).toThrow('outstanding');
    expect(() => make({ avail: 5, used: 5 })).toThrow('is not two positions');
    expect(() => new PackedDeviceQueue(memoryOver(new ArrayBuffer(64)), place, features)).toThrow(
      'not in one region',
    );
  });
});

describe('the device half', () => {
  it('[VQ-92] [VQ-94] writes one element for a chain and goes on by its length, whatever came back first', () => {
    const ring = packedRing({ size: 6 });
    offer(ring, [1, 1, 1], [], 1);
    offer(ring, [1], [1], 2);
    ring.driver.publish();
    const [first, second] = [taken(ring).head, taken(ring).head];
    ring.device.putUsed(second, 1);
    expect(packedBytes(ring).descriptors[0]).toBe(hex(ring.data, 1, second, AVAIL | USED | WRITE));
    ring.device.putUsed(first, 0);
    expect(packedBytes(ring).descriptors[2].slice(16)).toBe(hex(0, 0, first, AVAIL | USED).slice(16));
    const element = { token: -1, written: -1 };
    expect([ring.driver.takeUsed(element), element.token]).toEqual([true, 2]);
    expect([ring.driver.takeUsed(element), element.token]).toEqual([true, 1]);
    expect([ring.driver.takeUsed(element), ring.driver.freeDescriptors]).toEqual([false, 6]);
  });

  it.each([1, 2, 3, 5, 7])('[VQ-84] [VQ-92] goes round a ring of %s entries many times', size => {
    const ring = packedRing({ size });
    const element = { token: -1, written: -1 };
    for (let token = 0; token < 20 * size; token++) {
      const parts = 1 + (token % size);
      offer(
        ring,
        Array.from({ length: parts }, () => 1),
        [],
        token,
      );
      ring.driver.publish();
      ring.device.putUsed(taken(ring).head, 0);
      expect([ring.driver.takeUsed(element), element.token]).toEqual([true, token]);
    }
    expect([ring.driver.broken, ring.device.broken, ring.driver.freeDescriptors]).toEqual([
      undefined,
      undefined,
      size,
    ]);
  });

  it('[VQ-91] takes any id of 16 bits', () => {
    const ring = packedRing({ size: 2 });
    const raw = new RawPackedRing(ring);
    raw.descriptor(0, { addr: ring.data, len: 1, id: 0xffff, flags: AVAIL });
    raw.descriptor(1, { addr: ring.data, len: 1, id: 2, flags: AVAIL });
    expect([taken(ring).head, taken(ring).head]).toEqual([0xffff, 2]);
    ring.device.putUsed(0xffff, 0);
    expect(() => ring.device.putUsed(0xffff, 0)).toThrow('not in flight');
    expect(() => ring.device.putUsed(70_000, 0)).toThrow('not in flight');
  });

  it('[VQ-90] ignores all but WRITE in a table, and takes it to its last entry', () => {
    const ring = packedRing({ size: 4 });
    const raw = new RawPackedRing(ring);
    raw.descriptor(0, { addr: ring.data, len: 32, id: 1, flags: AVAIL | INDIRECT | WRITE });
    raw.descriptorAt(ring.data, { addr: ring.data, len: 5, id: 9, flags: INDIRECT });
    raw.descriptorAt(ring.data + 16, { addr: ring.data, len: 6, id: 8, flags: WRITE | USED });
    const chain = taken(ring);
    expect([chain.head, chain.readableBytes, chain.writableBytes]).toEqual([1, 5, 6]);
  });

  it.each([
    ['VQ-97', 'a chain that goes on into what is not available', [[AVAIL | NEXT], [0]], 'is not available'],
    [
      'VQ-97',
      'a chain without an end',
      [[AVAIL | NEXT], [AVAIL | NEXT], [AVAIL | NEXT]],
      'longer than the 3',
    ],
    ['VQ-99', 'INDIRECT with NEXT', [[AVAIL | INDIRECT | NEXT], [AVAIL]], 'where none is allowed'],
    ['VQ-99', 'INDIRECT behind another', [[AVAIL | NEXT], [AVAIL | INDIRECT]], 'where none is allowed'],
    [
      'VQ-52',
      'readable behind writable',
      [[AVAIL | NEXT | WRITE], [AVAIL]],
      'readable descriptor after a writable',
    ],
    ['VQ-53', 'bytes that are not there', [[AVAIL, 2 ** 40]], 'not in guest memory'],
    ['VQ-55', 'a table of odd length', [[AVAIL | INDIRECT, BASE, 17]], 'table of 17 bytes'],
    ['VQ-99', 'a table that is too long', [[AVAIL | INDIRECT, BASE, 64]], 'table of 4 entries'],
    ['VQ-55', 'a table that is not there', [[AVAIL | INDIRECT, 2 ** 40, 16]], 'not in one region'],
  ] as const)('[%s] breaks off at %s', (_id, _what, descriptors, message) => {
    const ring = packedRing({ size: 3 });
    const raw = new RawPackedRing(ring);
    for (const [slot, [flags, addr = ring.data, len = 8]] of descriptors.entries())
      raw.descriptor(slot, { addr, len, id: 0, flags });
    const chain = ring.device.newChain();
    expect(ring.device.take(chain)).toBe('broken');
    expect(ring.device.broken).toContain(message);
    expect([ring.device.take(chain), ring.device.available(), ring.device.enableNotifications()]).toEqual([
      'broken',
      0,
      false,
    ]);
  });

  it('[VQ-98] [VQ-97] breaks off at an id that is in flight and at descriptors that are', () => {
    const ring = packedRing({ size: 3 });
    const raw = new RawPackedRing(ring);
    raw.descriptor(0, { addr: ring.data, len: 1, id: 1, flags: AVAIL });
    raw.descriptor(1, { addr: ring.data, len: 1, id: 1, flags: AVAIL });
    taken(ring);
    expect(ring.device.take(ring.device.newChain())).toBe('broken');
    expect(ring.device.broken).toContain('id 1 was made available while its chain is in flight');

    const full = packedRing({ size: 1 });
    const one = new RawPackedRing(full);
    one.descriptor(0, { addr: full.data, len: 1, id: 0, flags: AVAIL });
    taken(full);
    one.descriptor(0, { addr: full.data, len: 1, id: 1, flags: USED });
    expect(full.device.take(full.device.newChain())).toBe('broken');
    expect(full.device.broken).toContain('longer than the 0 descriptors that are free');
  });

  it('[VQ-100] [VQ-102] goes by the mode of the other side, and by the position with it', () => {
    const ring = packedRing({ size: 4 });
    const raw = new RawPackedRing(ring);
    const kick = (): boolean => {
      offer(ring, [1], []);
      const notify = ring.driver.publish();
      ring.device.putUsed(taken(ring).head, 0);
      expect(ring.driver.takeUsed({ token: 0, written: 0 })).toBe(true);
      return notify;
    };
    const modes = [EventMode.ENABLE, EventMode.DISABLE, 3];
    const kicks = modes.map(mode => {
      raw.deviceEvent(0, mode);
      return kick();
    });
    expect(kicks).toEqual([true, false, true]);
    // At slot 3: not slot 3 of the next lap, but this one; then it is gone by.
    raw.deviceEvent(3, EventMode.DESC);
    expect(kick()).toBe(false);
    raw.deviceEvent(0, EventMode.DESC);
    expect([kick(), kick()]).toEqual([true, false]);
    raw.driverEvent(1, EventMode.DESC);
    expect(ring.device.interruptWanted()).toBe(true);
    raw.driverEvent(2, EventMode.DESC);
    expect([kick(), ring.device.interruptWanted()]).toEqual([false, true]);
  });

  it('[VQ-104] [VQ-105] uses no position without EVENT_IDX, and takes DESC there for ENABLE', () => {
    const ring = packedRing({ size: 4, features: { eventIdx: false } });
    ring.driver.enableInterrupts();
    ring.device.enableNotifications();
    expect([packedBytes(ring).driver, packedBytes(ring).device]).toEqual(['00000000', '00000000']);
    ring.driver.disableInterrupts();
    ring.device.disableNotifications();
    expect([packedBytes(ring).driver, packedBytes(ring).device]).toEqual(['00000100', '00000100']);
    new RawPackedRing(ring).deviceEvent(3, EventMode.DESC);
    offer(ring, [1], []);
    expect(ring.driver.publish()).toBe(true);
  });
});

describe('use in order', () => {
  it.each([false, true])(
    '[VQ-108] [VQ-109] [VQ-110] gives a batch back chain by chain, packed %s',
    packed => {
      const ring = anyRing({ size: 4, features: { packed, inOrder: true } });
      const { driver, device, data } = ring;
      for (const token of [1, 2, 3]) {
        driver.begin();
        driver.addWritable(data, token);
        driver.commit(token);
      }
      driver.publish();
      const heads = [taken(ring).head, taken(ring).head, taken(ring).head];
      expect(() => device.putUsed(heads[1], 0)).toThrow('not the oldest');
      device.putUsedUpTo(heads[2], 0);
      const got: number[][] = [];
      const element = { token: -1, written: -1 };
      while (driver.takeUsed(element)) got.push([element.token, element.written]);
      expect(got).toEqual([
        [1, 1],
        [2, 2],
        [3, 0],
      ]);
      expect([driver.outstanding, driver.freeDescriptors, driver.broken, device.inFlight]).toEqual([
        0,
        4,
        undefined,
        0,
      ]);
    },
  );

  it.each([false, true])('is not for batches when it was not negotiated, packed %s', packed => {
    const ring = anyRing({ size: 4, features: { packed } });
    ring.driver.begin();
    ring.driver.addReadable(ring.data, 1);
    ring.driver.commit(0);
    ring.driver.publish();
    const { head } = taken(ring);
    expect(() => ring.device.putUsedUpTo(head, 0)).toThrow('not in order');
  });

  it('[VQ-111] uses the descriptors of a split ring in the order of the table', () => {
    const ring = anyRing({ size: 4, features: { packed: false, inOrder: true } });
    const seen: number[] = [];
    for (let token = 0; token < 9; token++) {
      ring.driver.begin();
      ring.driver.addReadable(ring.data, 1);
      if (token % 3 === 0) ring.driver.addReadable(ring.data, 1);
      ring.driver.commit(token);
      ring.driver.publish();
      const { head } = taken(ring);
      seen.push(head);
      ring.device.putUsed(head, 0);
      ring.driver.takeUsed({ token: 0, written: 0 });
    }
    expect(seen).toEqual([0, 2, 3, 0, 2, 3, 0, 2, 3]);
  });
});

describe('a device with packed rings', () => {
  it('[VQ-79] [VQ-81] [VQ-113] [VQ-76] [VQ-75] has them for all queues, of any size, and starts anew after a reset of one', () => {
    const memory = memoryOver(new ArrayBuffer(8192));
    const features = featureSet(FeatureBit.RING_PACKED, FeatureBit.RING_RESET, FeatureBit.NOTIFICATION_DATA);
    const device = new DiaryDevice(memory, { features });
    const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK } = DeviceStatus;
    device.writeStatus(ACKNOWLEDGE | DRIVER);
    device.setDriverFeatures(features | featureSet(FeatureBit.VERSION_1));
    device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    const place = layOutPackedRing(BASE, 5);
    const ringOnly = { indirect: false, eventIdx: false, packed: true };
    const drive = () => new PackedDriverQueue(memory, { index: 0, size: 5, ...place }, ringOnly);
    let driver = drive();
    device.enableQueue(0, 5, place);
    device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    expect(device.needsResetReason).toBeUndefined();
    const exchange = (next?: number): boolean => {
      driver.begin();
      driver.addReadable(BASE + 4096, 1);
      driver.commit(0);
      driver.publish();
      device.notified(0, next);
      return driver.takeUsed({ token: 0, written: 0 });
    };
    // What a notification says is a hint, right or wrong.
    expect([exchange(driver.nextAvailable), exchange(0), exchange(0xffff), exchange()]).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(device.queueNow(0)?.position).toEqual({ avail: 0x8004, used: 0x8004 });
    const old = device.queueNow(0);
    device.resetQueue(0);
    expect([old?.broken !== undefined, device.queueNow(0)]).toEqual([true, undefined]);
    driver = drive();
    device.enableQueue(0, 5, place);
    expect([exchange(), device.queueNow(0)?.position.avail]).toEqual([true, 0x8001]);
  });

  it('goes on where another device left off', () => {
    const ring = packedRing({ size: 3 });
    offer(ring, [1], []);
    ring.driver.publish();
    ring.device.putUsed(taken(ring).head, 0);
    ring.device.stop('handed over');
    const features = { indirect: false, eventIdx: false, packed: true };
    const next = new PackedDeviceQueue(
      ring.memory,
      { ...ring.config, start: ring.device.position },
      features,
    );
    offer(ring, [1, 1, 1], []);
    expect(ring.driver.takeUsed({ token: 0, written: 0 })).toBe(true);
    expect(offer(ring, [1, 1, 1], [])).toBe(true);
    ring.driver.publish();
    next.putUsed(taken({ device: next }).head, 0);
    expect(ring.driver.takeUsed({ token: 0, written: 0 })).toBe(true);
    expect(next.position).toEqual({ avail: 0x0001, used: 0x0001 });
  });
});
