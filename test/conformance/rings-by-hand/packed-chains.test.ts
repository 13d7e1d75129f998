/** What a driver puts into a packed ring, observation by observation: what holds, and the smallest history that breaks it. */
import { expect } from 'vitest';
import { breaks, holds, judged } from './bench.js';
import type { History } from './bench.js';
import { AVAIL, INDIRECT, NEXT, PackedRing, USED, r, w } from './packed-ring.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<PackedRing>[]): void =>
  judged(key, options => new PackedRing(options), ...histories);
const eventIdx = { features: { eventIdx: true } };
const noIndirect = { features: { indirect: false } };
const [ENABLE, DISABLE, DESC] = [0, 1, 2];
/** A position: a slot in the first lap, or in the second. */
const lap1 = (slot: number): number => 0x8000 | slot;
const lap2 = (slot: number): number => slot;
/** A chain that is taken and given back, and not seen by the driver yet. */
const back = (ring: PackedRing, id: number): void => {
  ring.post(id, r(8));
  ring.take();
  ring.give(id);
};

on(
  'availIndex',
  holds('as many descriptors as there is room for, round the ring', 4, ring => {
    ring.roundTrips(3);
    ring.post(1, r(8), r(8), r(8), w(8));
  }),
  holds('a driver whose reads are not seen has taken back what it uses again', 8, ring => {
    for (const id of [0, 1, 2, 3]) back(ring, id);
    for (const id of [0, 1, 2, 3]) ring.post(id, r(8));
    expect(ring.bench.told.filter(each => each.startsWith('consumed'))).toHaveLength(4);
  }),
  breaks('one more than there is room for', 'descriptor 0 shows as available, and all 4 are out', ring => {
    for (const id of [0, 1, 2, 3, 4]) ring.post(id, r(8));
  }),
  breaks(
    'and nothing more is said of that ring',
    'descriptor 0 shows as available, and all 4 are out',
    ring => {
      for (const id of [0, 1, 2, 3, 4]) ring.post(id, r(8));
      const looks = new Map(ring.bench.tally.looks);
      ring.post(5, r(8));
      ring.take();
      ring.give(0);
      ring.takeBack();
      ring.bench.machine.looked();
      ring.driver.deviceWish(1);
      for (const key of [
        'usedRing',
        'availIndex',
        'driverDoubleFetch',
        'usedOrder',
        'lateWrites',
        'takeOrder',
      ] as const)
        expect(ring.bench.looks(key)).toBe(looks.get(key));
    },
  ),
);

on(
  'reuse',
  holds('an id and descriptors that are back', 4, ring => {
    ring.post(7, r(8), w(8));
    ring.take();
    ring.give(7);
    ring.takeBack();
    for (const id of [7, 0xffff, 9]) ring.post(id, r(8));
  }),
  holds('what it takes back unseen as far as it needs', 3, ring => {
    back(ring, 0);
    back(ring, 1);
    ring.post(2, r(8), r(8), r(8));
    expect(ring.bench.told.filter(each => each.startsWith('consumed'))).toEqual(['consumed 0 0']);
  }),
  breaks('an id that the device has', 'id 7 was made available while the device has it', ring => {
    ring.post(7, r(8));
    ring.post(7, r(8));
  }),
  breaks(
    'descriptors that the device has not returned',
    [
      'ownership: descriptor 0 was changed while the device has it',
      'chain at descriptor 2 has descriptors that the device has not returned',
    ],
    ring => {
      ring.post(0, r(8), r(8));
      ring.post(1, r(8), r(8), r(8));
    },
  ),
  breaks(
    'more than those that are back',
    [
      'ownership: descriptor 1 was changed while the device has it',
      'chain at descriptor 2 has descriptors that the device has not returned',
    ],
    ring => {
      back(ring, 0);
      ring.post(1, r(8));
      ring.post(2, r(8), r(8), r(8), r(8));
    },
  ),
);

on(
  'chainShape',
  holds('a chain of all descriptors, readable ones first', 2, ring => {
    ring.post(2, r(8), r(8), w(8), w(8));
    ring.take();
    ring.give(2);
    ring.takeBack();
    ring.post(3, w(8));
  }),
  breaks(
    'longer than the ring',
    'chain at descriptor 0: it has more than 4 descriptors',
    ring => {
      for (const slot of [3, 2, 1, 0]) ring.driver.descriptor(slot, ring.buffer(slot), 8, 0, NEXT | AVAIL);
    },
    { size: 4 },
  ),
  breaks(
    'a readable part behind a writable one',
    'chain at descriptor 1: it has a readable descriptor behind a writable one',
    ring => {
      ring.post(0, r(1));
      ring.post(1, w(8), r(8));
    },
  ),
  breaks(
    'bytes that are no memory',
    'chain at descriptor 0: 8 bytes at 4096 are not in guest memory',
    ring => {
      ring.driver.descriptor(0, 4096, 8, 0, AVAIL);
      expect(ring.bench.told).toEqual([]);
    },
  ),
);

on(
  'indirect',
  holds('one table, as it was negotiated', 2, ring => {
    indirect(ring, 0, 3);
    ring.post(1, r(8));
  }),
  breaks(
    'not negotiated',
    'chain at descriptor 0: it uses INDIRECT, which was not negotiated',
    ring => void indirect(ring, 0, 1),
    noIndirect,
  ),
  breaks('in a list', 'chain at descriptor 0: it uses INDIRECT in a list of descriptors', ring =>
    ring.driver.descriptor(0, ring.buffer(0), 16, 0, INDIRECT | NEXT | AVAIL),
  ),
  breaks('at the end of a list', 'chain at descriptor 0: it uses INDIRECT in a list of descriptors', ring => {
    ring.driver.descriptor(1, ring.buffer(1), 16, 0, INDIRECT | AVAIL);
    ring.driver.descriptor(0, ring.buffer(0), 8, 0, NEXT | AVAIL);
  }),
  breaks('half an entry', 'chain at descriptor 0: its indirect table has 24 bytes', ring =>
    ring.driver.descriptor(0, ring.buffer(0), 24, 0, INDIRECT | AVAIL),
  ),
  breaks(
    'no memory for a part of a table',
    'chainShape: chain at descriptor 0: 8 bytes at 4096 are not in guest memory',
    ring => {
      ring.driver.memory.write(
        ring.buffer(8),
        Uint8Array.of(0, 16, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0),
        0,
        16,
      );
      ring.driver.descriptor(0, ring.buffer(8), 16, 0, INDIRECT | AVAIL);
      expect(ring.bench.told).toEqual([]);
    },
  ),
  breaks('flags in a table', 'chain at descriptor 0: byte 16 of its table has flags 1', ring => {
    entry(ring, 8, 0, 8, 0);
    entry(ring, 8, 1, 8, NEXT);
    ring.driver.descriptor(0, ring.buffer(8), 32, 0, INDIRECT | AVAIL);
  }),
);

on(
  'driverFlags',
  holds('flags and modes that have a name', 3, ring => {
    ring.driver.driverWish(DISABLE);
    ring.driver.driverWish(ENABLE);
    ring.post(0, w(8));
  }),
  holds(
    'an entry to be told of with the event index',
    3,
    ring => {
      ring.driver.driverWish(DESC, lap1(3));
      ring.driver.driverWish(DISABLE);
    },
    eventIdx,
  ),
  breaks('an unknown flag of a descriptor', 'chain at descriptor 0: descriptor 0 has flags 136', ring => {
    ring.driver.descriptor(0, ring.buffer(0), 8, 0, 8 | AVAIL);
    expect(ring.bench.told).toEqual(['available 0 8 0']);
  }),
  breaks('an entry without the event index', "the mode of the driver's event structure is 2", ring =>
    ring.driver.driverWish(DESC),
  ),
  breaks(
    'a mode that is none',
    "the mode of the driver's event structure is 3",
    ring => ring.driver.driverWish(3),
    eventIdx,
  ),
  breaks(
    'an entry beyond the ring',
    'the driver asks to be told of descriptor 4 of 4',
    ring => {
      ring.driver.driverWish(ENABLE, 4);
      ring.driver.driverWish(DESC);
    },
    eventIdx,
  ),
);

on(
  'emptyDescriptor',
  holds('bytes in each', 2, ring => {
    ring.post(0, r(1), w(1));
    ring.post(2, w(1));
  }),
  breaks('none in one', 'chain at descriptor 0 has a descriptor of length 0', ring =>
    ring.post(0, r(4), w(0)),
  ),
);

on(
  'chainShown',
  holds('all of a chain at once', 2, ring => {
    ring.post(0, r(8), w(8));
    ring.post(1, r(8));
  }),
  breaks(
    'the first descriptor before the second',
    'chain at descriptor 0: descriptor 1, the 2. of it, is not available',
    ring => ring.driver.descriptor(0, ring.buffer(0), 8, 0, NEXT | AVAIL),
  ),
);

on(
  'availPlace',
  holds('chain behind chain, round the ring', 2, ring => {
    ring.roundTrips(3);
    ring.bench.machine.notifying(ring.index, undefined);
    ring.bench.machine.interrupting(ring.index);
    ring.bench.machine.atRest();
    ring.post(0, r(8), r(8), w(8));
    ring.bench.machine.notifying(ring.index, undefined);
    ring.bench.machine.atRest();
    ring.bench.machine.atRest();
  }),
  breaks('a gap', 'descriptor 1 shows as available, and descriptor 0 is next', ring => {
    ring.driver.descriptor(1, ring.buffer(1), 8, 0, AVAIL);
    ring.bench.machine.atRest();
  }),
  breaks('the last one that is free', 'descriptor 3 shows as available, and descriptor 0 is next', ring => {
    ring.driver.descriptor(3, ring.buffer(3), 8, 0, AVAIL);
    ring.bench.machine.atRest();
  }),
  breaks('behind the lap', 'descriptor 0 shows as available, and descriptor 3 is next', ring => {
    ring.roundTrips(3);
    ring.bench.machine.notifying(ring.index, undefined);
    ring.bench.machine.interrupting(ring.index);
    ring.driver.descriptor(0, ring.buffer(0), 8, 0, USED);
    ring.bench.machine.atRest();
  }),
);

on(
  'notificationData',
  holds('nothing where it was not negotiated', 1, ring => {
    ring.post(0, r(8));
    ring.bench.machine.notifying(ring.index, undefined);
  }),
  holds(
    'where the next chain will stand, and in which lap',
    2,
    ring => {
      ring.post(0, r(8), r(8));
      ring.bench.machine.notifying(ring.index, lap1(2));
      ring.post(1, r(8), r(8));
      ring.bench.machine.notifying(ring.index, lap2(0));
    },
    { features: { notificationData: true } },
  ),
  breaks(
    'the last chain’s place',
    'a notification says 32768, not 32769',
    ring => {
      ring.post(0, r(8));
      ring.bench.machine.notifying(ring.index, lap1(0));
    },
    { features: { notificationData: true } },
  ),
);

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
