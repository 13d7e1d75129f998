/** What a driver does to a packed ring, observation by observation: what holds, and the smallest history that breaks it. */
import { describe, expect, it } from 'vitest';
import { breaks, fill, holds, judged, look } from './bench.js';
import type { History } from './bench.js';
import { AVAIL, INDIRECT, NEXT, PackedRing, USED, WRITE, r, w } from './packed-ring.js';
import { PackedState } from '../../../src/conformance/ring-watch/packed-state.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<PackedRing>[]): void =>
  judged(key, options => new PackedRing(options), ...histories);
const inOrder = { features: { inOrder: true } };
const [ENABLE, DISABLE] = [0, 1];
/** A position: a slot in the first lap, or in the second. */
const lap2 = (slot: number): number => slot;
/** A chain that is taken and given back, and not seen by the driver yet. */
const back = (ring: PackedRing, id: number): void => {
  ring.post(id, r(8));
  ring.take();
  ring.give(id);
};

on(
  'ownership',
  holds('a descriptor that is written over in its own words, and one that is nobody’s', 6, ring => {
    ring.post(0, r(8), w(8));
    ring.driver.flags(0, AVAIL | NEXT);
    ring.driver.flags(1, AVAIL | WRITE);
    ring.driver.element(2, 3, 9);
  }),
  holds('descriptors that are back, where its looks are not seen', 3, ring => {
    back(ring, 0);
    ring.driver.flags(0, 0);
  }),
  holds('descriptors that are back and taken back', 4, ring => {
    ring.roundTrips(1);
    ring.driver.element(0, 3, 9);
  }),
  breaks('one that the device has', 'descriptor 1 was changed while the device has it', ring => {
    ring.post(0, r(8), w(8));
    ring.driver.element(1, 0, 9);
  }),
  breaks(
    'one that was written, and not its neighbour',
    'descriptor 1 was changed while the device has it',
    ring => {
      ring.post(0, r(8));
      ring.post(1, r(8));
      ring.unseen.ring.set16(16, 0x77);
      ring.driver.flags(0, AVAIL);
      ring.driver.flags(1, AVAIL);
    },
  ),
  breaks(
    'one that is told of once for each change',
    ['descriptor 0 was changed while the device has it', 'descriptor 0 was changed while the device has it'],
    ring => {
      ring.post(0, r(8));
      ring.driver.element(0, 1, 8);
      ring.driver.element(0, 1, 9);
    },
  ),
  breaks(
    'several at once, over the end of the ring',
    ['descriptor 0 was changed while the device has it', 'descriptor 1 was changed while the device has it'],
    ring => {
      ring.roundTrips(3);
      ring.post(0, r(8), r(8), r(8));
      fill(ring.driver.memory, ring.at.descriptors + 15 + 0, 2, 1);
    },
  ),
  breaks('one that is back and not taken back', 'descriptor 0 was changed while the device has it', ring => {
    ring.driver.readFlags(0);
    back(ring, 0);
    ring.driver.flags(0, 0);
  }),
  breaks(
    'a table of a chain that is out, and one that changed unseen',
    [
      'byte 8 of the table of chain 0 was changed while the device has it',
      'the table of chain 0 changed while the device had it',
    ],
    ring => {
      const table = indirect(ring, 0, 1);
      fill(ring.driver.memory, table + 8, 1);
      ring.take();
      ring.give(0);
    },
  ),
  breaks(
    'a descriptor that changed unseen shows when its chain comes back',
    'descriptor 1 of chain 0 changed while the device had it',
    ring => {
      ring.post(0, r(8), w(8));
      ring.take();
      ring.unseen.element(1, 0, 9);
      ring.give(0);
    },
  ),
);

describe('RING-04 a table', () => {
  it('is the driver’s again when its chain is back, and may be written over in its own words before', () => {
    const ring = new PackedRing({});
    const table = indirect(ring, 0, 1);
    const looks = ring.bench.looks('ownership');
    fill(ring.driver.memory, table + 9, 1, 0);
    expect(ring.bench.looks('ownership')).toBe(looks + 1);
    ring.take();
    ring.give(0);
    fill(ring.driver.memory, table, 16);
    expect(ring.bench.looks('ownership')).toBe(looks + 2);
    expect(ring.bench.breaches).toEqual([]);
  });
});

on(
  'requestBytes',
  holds(
    'bytes that are written over with themselves, writable ones, and those of a chain that is back',
    2,
    ring => {
      ring.post(0, r(8), w(8));
      fill(ring.driver.memory, ring.buffer(0), 8, 0);
      fill(ring.driver.memory, ring.buffer(1), 8);
      ring.take();
      ring.give(0);
      fill(ring.driver.memory, ring.buffer(0), 8);
    },
  ),
  breaks('a byte of the second part', 'byte 11 of chain 0 was changed while the device has it', ring => {
    ring.post(0, r(8), r(8));
    fill(ring.unseen.memory, ring.buffer(0) + 6, 1);
    fill(ring.driver.memory, ring.buffer(1) + 3, 2);
  }),
  breaks('a byte that changed unseen', 'byte 5 of chain 0 changed while the device had it', ring => {
    ring.post(0, r(8));
    fill(ring.unseen.memory, ring.buffer(0) + 5, 1);
    ring.take();
    ring.give(0);
  }),
);

on(
  'usedRing',
  holds('each write of the driver is looked at', 4, ring => {
    ring.post(0, r(8), w(8));
    fill(ring.driver.memory, ring.buffer(1), 8);
    ring.driver.driverWish(DISABLE);
  }),
  breaks('the device’s wish', "the driver wrote bytes 2..3 of the device's event structure", ring =>
    ring.driver.deviceWish(ENABLE),
  ),
);

on(
  'usedOrder',
  holds('an element behind its flags', 2, ring => {
    back(ring, 0);
    ring.takeBack();
  }),
  holds('of no interest when its looks at the flags are not seen', 0, ring => {
    back(ring, 0);
    ring.driver.readId(0);
  }),
  holds('in two reads, and what is not there yet or no longer', 2, ring => {
    back(ring, 0);
    ring.driver.readFlags(0);
    ring.driver.readLength(0);
    ring.driver.readId(0);
    ring.driver.readBytes(0, 0, 8);
    ring.driver.readId(2);
  }),
  holds('all of a slot at once is a look whether there is something', 0, ring => {
    ring.post(0, r(8));
    ring.driver.readBytes(0, 0, 16);
  }),
  breaks('an element before its flags', 'used element 0 was read before the flags that show it', ring => {
    ring.driver.readFlags(0);
    back(ring, 0);
    ring.driver.readId(0);
  }),
  breaks('flags that did not show it yet', 'used element 0 was read before the flags that show it', ring => {
    ring.post(0, r(8));
    ring.driver.readFlags(0);
    ring.take();
    ring.give(0);
    ring.driver.readId(0);
  }),
  breaks('the flags of another slot', 'used element 1 was read before the flags that show it', ring => {
    ring.roundTrips(1);
    back(ring, 0);
    ring.driver.readFlags(0);
    ring.driver.readId(1);
  }),
  breaks(
    'a descriptor that is not back',
    'descriptor 1 was read as a used element before it shows as one',
    ring => {
      ring.roundTrips(1);
      ring.post(0, r(8));
      ring.driver.readFlags(1);
      ring.driver.readLength(1);
    },
  ),
);

on(
  'driverDoubleFetch',
  holds('each field once', 4, ring => ring.roundTrips(2)),
  holds('flags as often as it likes, and the addresses, which are no part of an element', 0, ring => {
    ring.driver.readFlags(0);
    ring.driver.readFlags(0);
    ring.driver.readBytes(0, 0, 8);
    ring.driver.readDeviceWish();
  }),
  holds('its own areas are its own', 0, ring => {
    ring.post(0, r(16));
    look(ring.driver.memory, ring.buffer(0), 16);
    ring.driver.readDriverWish();
  }),
  breaks('a length again that came behind the id', 'used element 0 was read twice', ring => {
    back(ring, 0);
    ring.driver.readFlags(0);
    ring.driver.readId(0);
    ring.driver.readLength(0);
    ring.driver.readLength(0);
  }),
  breaks('a length again', 'used element 0 was read twice', ring => {
    back(ring, 0);
    ring.takeBack();
    ring.driver.readLength(0);
  }),
);

describe('[VQ-91] [VQ-92] what a driver of a packed ring has taken', () => {
  const consumed = ({ bench }: PackedRing, act: () => void): readonly string[] =>
    bench.toldBy(act).filter(each => !each.startsWith('interrupt'));

  it('is known by the id that it reads; the length alone says nothing', () => {
    const ring = new PackedRing({});
    back(ring, 7);
    ring.driver.readFlags(0);
    expect(consumed(ring, () => ring.driver.readLength(0))).toEqual([]);
    expect(consumed(ring, () => ring.driver.readBytes(0, 12, 1))).toEqual(['consumed 0 0']);
    expect(consumed(ring, () => ring.driver.readId(1))).toEqual([]);
    back(ring, 8);
    ring.driver.readFlags(1);
    // From the flags of the slot before up to the length of this one.
    expect(consumed(ring, () => ring.driver.readBytes(0, 14, 14))).toEqual([]);
    expect(consumed(ring, () => ring.driver.readBytes(1, 12, 1))).toEqual(['consumed 0 0']);
    expect(ring.bench.breaches).toEqual([]);
  });

  it('is all that came back when it says that it has looked, and what it has published is seen then', () => {
    const ring = new PackedRing({});
    back(ring, 0);
    back(ring, 1);
    ring.unseen.descriptor(2, ring.buffer(2), 8, 2, AVAIL);
    expect(consumed(ring, () => ring.bench.machine.looked())).toEqual([
      'available 2 8 0',
      'consumed 0 0',
      'consumed 1 0',
    ]);
    expect(consumed(ring, () => ring.bench.machine.looked())).toEqual([]);
  });

  it('is a whole batch when its element stands for one', () => {
    const ring = new PackedRing(inOrder);
    ring.post(0, r(8), r(8));
    ring.post(1, r(8));
    ring.take(2);
    ring.give(1, 0, 0);
    expect(consumed(ring, () => ring.takeBack())).toEqual(['consumed 0 0', 'consumed 1 0']);
    back(ring, 2);
    expect(consumed(ring, () => ring.takeBack())).toEqual(['consumed 2 0']);
    expect(ring.bench.breaches).toEqual([]);
  });

  it('goes by the id in its last descriptor', () => {
    const ring = new PackedRing({});
    ring.driver.descriptor(1, ring.buffer(1), 8, 2, AVAIL);
    ring.driver.descriptor(0, ring.buffer(0), 8, 1, NEXT | AVAIL);
    ring.went(2, 2);
    ring.take();
    ring.give(2);
    expect(ring.bench.told.filter(each => /^(available|used)/.test(each))).toEqual([
      'available 2 16 0',
      'used 2 0',
    ]);
    expect(ring.bench.breaches).toEqual([]);
  });

  it('is known by the flags that are about to be stored, where the device may overwrite them at once', () => {
    const ring = new PackedRing({ start: { avail: lap2(0), used: lap2(0) } });
    const state = ring.bench.machine.rings.get(ring.index);
    if (!(state instanceof PackedState)) throw new TypeError('no packed ring');
    ring.unseen.descriptor(0, ring.buffer(0), 8, 1, 0);
    state.shown = { slot: 0, flags: USED | WRITE };
    state.driver.sync();
    state.shown = undefined;
    expect(ring.bench.told).toEqual(['available 1 0 8']);
    ring.unseen.ring.set16(14, USED | WRITE);
    expect([state.isKept(0), ring.bench.breaches]).toEqual([true, []]);
  });

  it('may be given in a table, readable and writable parts', () => {
    const ring = new PackedRing({});
    entry(ring, 8, 0, 8, 0);
    entry(ring, 8, 1, 24, WRITE);
    ring.driver.descriptor(0, ring.buffer(8), 32, 0, INDIRECT | AVAIL);
    ring.device.readFlags(0);
    expect(ring.bench.told).toContain('available 0 8 24');
    expect(ring.bench.breaches).toEqual([]);
  });

  it('tells the length of a chain and a number for its id, whatever that is', () => {
    const ring = new PackedRing({});
    ring.post(0xbeef, r(8), w(16));
    ring.post(3, w(4));
    expect(ring.bench.told.filter(each => each.startsWith('available'))).toEqual([
      'available 0 8 16',
      'available 3 0 4',
    ]);
    look(ring.device.memory, ring.at.descriptors, 1);
  });
});

/** A chain of `entries` readable parts in an indirect table, which lies where slot 8 has its bytes. */
function indirect(ring: PackedRing, id: number, entries: number): number {
  for (let i = 0; i < entries; i++) entry(ring, 8, i, 8, 0);
  ring.driver.descriptor(ring.avail & 0x7fff, ring.buffer(8), 16 * entries, id, INDIRECT | AVAIL);
  ring.went(id, 1);
  return ring.buffer(8);
}

/** An entry of the table in the bytes of slot `buffer`. */
function entry(ring: PackedRing, buffer: number, i: number, length: number, flags: number): void {
  const table = new DataView(new ArrayBuffer(16));
  table.setBigUint64(0, BigInt(ring.buffer(4 + i)), true);
  table.setUint32(8, length, true);
  table.setUint16(14, flags, true);
  ring.driver.memory.write(ring.buffer(buffer) + 16 * i, new Uint8Array(table.buffer), 0, 16);
}
