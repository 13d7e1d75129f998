/** What a driver does to a packed ring, observation by observation: what holds, and the smallest history that breaks it. */
import { describe, expect, it } from 'vitest';
import { breaks, fill, holds, judged, look } from './bench.js';
import type { History } from './bench.js';
import { AVAIL, INDIRECT, NEXT, PackedRing, USED, WRITE, r, w } from './packed-ring.js';
import { PackedState } from '../../../src/conformance/ring-watch/packed-state.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<PackedRing>[]): void =>
  judged(key, options => new PackedRing(options), ...histories);
const eventIdx = { features: { eventIdx: true } };
const inOrder = { features: { inOrder: true } };
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
