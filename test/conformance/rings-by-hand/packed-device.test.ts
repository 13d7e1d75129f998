/** What a device does to a packed ring, observation by observation: what holds, and the smallest history that breaks it. */
import { describe, expect, it } from 'vitest';
import { breaks, fill, holds, judged, look, queues } from './bench.js';
import type { History } from './bench.js';
import { AVAIL, INDIRECT, NEXT, PackedRing, USED, WRITE, r, w } from './packed-ring.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<PackedRing>[]): void =>
  judged(key, options => new PackedRing(options), ...histories);
const eventIdx = { features: { eventIdx: true } };
const inOrder = { features: { inOrder: true } };
const [ENABLE, DISABLE, DESC] = [0, 1, 2];
const USED_MARK = AVAIL | USED;
/** Chains of one readable part each that the device has taken. */
const taken = (ring: PackedRing, ...ids: readonly number[]): void => {
  for (const id of ids) ring.post(id, r(8));
  ring.take(ids.length);
};
const rest = ({ bench, index }: PackedRing): void => {
  bench.machine.notifying(index, undefined);
  bench.machine.atRest();
};
const interrupt = ({ bench, index }: PackedRing): void => bench.machine.interrupting(index);

on(
  'takeOrder',
  holds('chain by chain behind the flags that show it, round the ring', 7, ring => {
    ring.roundTrips(3);
    ring.post(0, r(8), w(8));
    ring.post(1, r(8), w(8));
    ring.take(2);
  }),
  holds('flags of what is not there yet, and several slots at once', 2, ring => {
    ring.device.readFlags(0);
    ring.device.readFlags(1);
    look(ring.device.memory, ring.at.descriptors, 32);
  }),
  holds('a whole descriptor at once, flags included', 2, ring => {
    ring.post(0, r(8));
    expect(ring.bench.toldBy(() => ring.device.readBytes(0, 0, 16)).at(-1)).toBe('taken 0');
    ring.device.readBytes(1, 0, 16);
  }),
  holds('two chains at once', 2, ring => {
    ring.post(0, r(8));
    ring.post(1, r(8));
    expect(ring.bench.toldBy(() => look(ring.device.memory, ring.at.descriptors, 32)).slice(1)).toEqual([
      'taken 0',
      'taken 1',
    ]);
  }),
  holds('several at once, the last one without its flags', 2, ring => {
    ring.post(0, r(8));
    ring.post(1, r(8));
    look(ring.device.memory, ring.at.descriptors, 30);
  }),
  breaks('parts of two at once', 'descriptor 1 was read before the flags that show its chain', ring => {
    ring.post(0, r(8));
    ring.post(1, r(8));
    ring.device.readBytes(0, 8, 16);
  }),
  breaks('before the flags', 'descriptor 0 was read before the flags that show its chain', ring => {
    ring.post(0, r(8));
    ring.device.readBody(0);
  }),
  breaks(
    'behind flags that did not show it yet',
    'descriptor 0 was read before the flags that show its chain',
    ring => {
      ring.device.readFlags(0);
      ring.post(0, r(8));
      ring.device.readBody(0);
    },
  ),
  breaks('a later one first', 'descriptor 1 was read before the flags that show its chain', ring => {
    ring.post(0, r(8));
    ring.post(1, r(8));
    ring.device.readFlags(0);
    ring.device.readFlags(1);
    ring.device.readBody(1);
  }),
  breaks('one that is not there', 'descriptor 2 was read before the flags that show its chain', ring => {
    taken(ring, 0);
    ring.device.readBody(2);
  }),
);

on(
  'deviceDoubleFetch',
  holds('each byte once: flags, descriptors, table, bytes', 10, ring => {
    ring.post(0, r(8), w(8));
    ring.take();
    ring.device.readFlags(1);
    ring.read(0, 8);
    for (const i of [0, 1]) ring.driver.memory.write(ring.buffer(8) + 16 * i, entryTo(ring, 4 + i), 0, 16);
    ring.driver.descriptor(2, ring.buffer(8), 32, 2, INDIRECT | AVAIL);
    ring.went(2, 1);
    ring.take();
    look(ring.device.memory, ring.buffer(8), 32);
    ring.read(4, 4);
    look(ring.device.memory, ring.buffer(4) + 4, 4);
  }),
  holds('flags as often as it likes until it reads more, and where it goes on at any time', 5, ring => {
    ring.post(0, r(8));
    ring.device.readFlags(0);
    ring.device.readFlags(0);
    ring.device.readBody(0);
    ring.device.readFlags(1);
    ring.device.readFlags(1);
  }),
  holds('flags of a later descriptor, too', 5, ring => {
    ring.post(0, r(8), w(8));
    ring.device.readFlags(0);
    ring.device.readBody(0);
    for (let i = 0; i < 3; i++) ring.device.readFlags(1);
  }),
  holds('flags of a chain that is back, and of a slot that it had in its life before', 9, ring => {
    ring.post(0, r(8), w(8));
    ring.take();
    ring.device.readFlags(1);
    ring.give(0);
    ring.device.readFlags(1);
    ring.takeBack();
    taken(ring, 0);
    ring.device.readFlags(1);
    ring.device.readFlags(0);
  }),
  holds('where it goes on, round to what it has', 9, ring => {
    taken(ring, 0, 1, 2, 3);
    ring.device.readFlags(0);
  }),
  holds('once more in the next life of a chain, and what nobody has', 10, ring => {
    for (let i = 0; i < 4; i++) {
      taken(ring, 0);
      ring.give(0);
      ring.takeBack();
    }
    taken(ring, 0);
  }),
  holds('nothing is held against what is read of the device’s own', 0, ring => {
    ring.device.readDeviceWish();
    ring.device.readDriverWish();
    ring.device.readDriverWish();
  }),
  breaks('a byte of a descriptor', 'the device read descriptor 1 twice', ring => {
    ring.post(0, r(8), w(8));
    ring.take();
    ring.device.readBytes(1, 8, 1);
  }),
  breaks(
    'several descriptors at once',
    ['the device read descriptor 0 twice', 'the device read descriptor 1 twice'],
    ring => {
      ring.post(0, r(8), w(8));
      ring.device.readFlags(0);
      ring.device.readBytes(0, 13, 1);
      ring.device.readBytes(1, 0, 1);
      look(ring.device.memory, ring.at.descriptors + 13, 4);
    },
  ),
  breaks(
    'flags of a later descriptor that it has read before',
    'the device read the flags of descriptor 1 of chain 0 twice',
    ring => {
      ring.post(0, r(8), w(8));
      ring.take();
      ring.device.readFlags(1);
      ring.device.readFlags(1);
    },
  ),
  breaks(
    'flags of a chain that it has',
    'the device read the flags of descriptor 0 of chain 0 twice',
    ring => {
      taken(ring, 0);
      ring.device.readFlags(0);
    },
  ),
  breaks('a byte of a table', 'the device read the table of chain 0 twice', ring => {
    for (const i of [0, 1]) ring.driver.memory.write(ring.buffer(8) + 16 * i, entryTo(ring, 4 + i), 0, 16);
    ring.driver.descriptor(0, ring.buffer(8), 32, 0, INDIRECT | AVAIL);
    ring.went(0, 1);
    ring.take();
    look(ring.device.memory, ring.buffer(8), 17);
    look(ring.device.memory, ring.buffer(8) + 16, 1);
  }),
  breaks('a readable byte', 'the device read readable bytes 11..14 of chain 0 twice', ring => {
    ring.post(0, r(8), r(8));
    ring.take();
    ring.read(1, 4);
    look(ring.device.memory, ring.buffer(1) + 3, 4);
  }),
);

on(
  'usedIndex',
  holds('element by element, round the ring', 6, ring => {
    ring.roundTrips(3);
    taken(ring, 0, 1, 2);
    for (const id of [2, 0, 1]) ring.give(id);
  }),
);

on(
  'usedId',
  holds('of a chain that is out, in any order', 2, ring => {
    taken(ring, 0xfffe, 1);
    ring.give(1);
    ring.give(0xfffe);
  }),
  holds('another word of the ring is no element', 0, ring => {
    taken(ring, 0);
    ring.device.element(0, 0, 8);
    ring.device.flags(0, AVAIL);
  }),
  breaks('of no chain', 'used id 3 is not outstanding', ring => {
    taken(ring, 0);
    ring.give(3);
  }),
  breaks('of one that is back', 'used id 0 is not outstanding', ring => {
    taken(ring, 0, 1);
    ring.give(0);
    ring.give(0);
  }),
  breaks(
    'of one that was not taken',
    [
      'lateWrites: the device wrote descriptor 0, which is used already or was not taken',
      'chain 0 was returned and never taken',
    ],
    ring => {
      ring.post(0, r(8));
      ring.device.flags(0, USED_MARK);
      expect(ring.bench.told.slice(-1)).toEqual(['used 0 0']);
    },
  ),
  breaks('and nothing more is said of that ring', 'used id 3 is not outstanding', ring => {
    taken(ring, 0, 1);
    ring.give(3);
    const looks = new Map(ring.bench.tally.looks);
    ring.give(1);
    ring.device.deviceWish(3);
    ring.device.readBody(0);
    expect(ring.bench.told).not.toContain('used 1 0');
    for (const key of ['usedId', 'lateWrites', 'deviceFlags', 'takeOrder'] as const)
      expect(ring.bench.looks(key)).toBe(looks.get(key));
  }),
);

on(
  'usedLength',
  holds('as much as was written without a gap, or less, and none without WRITE', 3, ring => {
    ring.post(0, w(8), w(8));
    ring.post(1, w(8));
    ring.post(2, w(8));
    ring.take(3);
    for (const at of [0, 2]) ring.write(at, 8);
    fill(ring.device.memory, ring.buffer(1) + 4, 4);
    fill(ring.device.memory, ring.buffer(1), 4);
    ring.give(0, 16);
    ring.give(1, 7);
    ring.device.element(3, 2, 99);
    ring.device.flags(3, USED_MARK);
  }),
  breaks(
    'more than was written',
    'chain 0 came back with length 9, and 8 of its 16 writable bytes were written',
    ring => {
      ring.post(0, w(8), w(8));
      ring.take();
      ring.write(0, 8);
      ring.give(0, 9);
    },
  ),
  breaks(
    'over a gap',
    'chain 0 came back with length 16, and 8 of its 16 writable bytes were written',
    ring => {
      ring.post(0, w(8), w(8));
      ring.take();
      ring.write(0, 8);
      fill(ring.device.memory, ring.buffer(1) + 4, 4);
      ring.give(0, 16);
    },
  ),
);

on(
  'lateWrites',
  holds('descriptors of chains that are taken, all at once', 2, ring => {
    taken(ring, 0, 1);
    fill(ring.device.memory, ring.at.descriptors, 28);
  }),
  holds('the event structure and writable bytes are no descriptors', 0, ring => {
    ring.post(0, w(32));
    ring.take();
    ring.write(0, 32);
    ring.device.deviceWish(DISABLE);
  }),
  breaks(
    'an element that is published',
    'the device wrote descriptor 0, which is used already or was not taken',
    ring => {
      taken(ring, 0, 1);
      ring.give(0);
      ring.device.flags(0, USED_MARK);
    },
  ),
  breaks(
    'a descriptor that was not taken, and the ring of the driver is not to blame for it',
    'the device wrote descriptor 1, which is used already or was not taken',
    ring => {
      taken(ring, 0);
      ring.post(1, r(8));
      ring.device.flags(1, AVAIL);
      ring.device.element(1 - 1, 0, 0);
      ring.driver.flags(1, AVAIL);
    },
  ),
);

on(
  'deviceFlags',
  holds('flags of an element and modes that have a name', 4, ring => {
    ring.post(0, w(8));
    ring.take();
    ring.write(0, 8);
    ring.give(0, 8);
    taken(ring, 1);
    ring.give(1);
    ring.device.deviceWish(DISABLE);
    ring.device.deviceWish(ENABLE);
  }),
  holds(
    'a descriptor to be told of with the event index',
    2,
    ring => ring.device.deviceWish(DESC, 0x8003),
    eventIdx,
  ),
  breaks('NEXT in an element', 'used element 0 has flags 32897', ring => {
    taken(ring, 0);
    ring.device.flags(0, USED_MARK | NEXT);
  }),
  breaks('a descriptor to be told of without it', "the mode of the device's event structure is 2", ring =>
    ring.device.deviceWish(DESC),
  ),
  breaks(
    'a mode that is none',
    "the mode of the device's event structure is 3",
    ring => ring.device.deviceWish(3),
    eventIdx,
  ),
  breaks(
    'a descriptor beyond the ring',
    'the device asks to be told of descriptor 4 of 4',
    ring => {
      ring.device.deviceWish(ENABLE, 4);
      ring.device.deviceWish(DESC);
    },
    eventIdx,
  ),
);

on(
  'inOrder',
  holds('of no interest without IN_ORDER', 0, ring => {
    taken(ring, 0, 1);
    ring.give(1);
    ring.give(0);
  }),
  holds(
    'one by one, and in a batch',
    4,
    ring => {
      ring.post(0, r(8));
      ring.post(1, r(8), r(8));
      ring.post(2, r(8));
      ring.take(3);
      ring.give(0);
      expect(ring.bench.toldBy(() => ring.give(2, 0, 1)).slice(0, 2)).toEqual(['used 1 0', 'used 2 0']);
      ring.takeBack();
      ring.takeBack();
      taken(ring, 3);
      ring.give(3);
    },
    inOrder,
  ),
  holds(
    'a batch whose skipped chains were wholly written',
    2,
    ring => {
      ring.post(0, w(8));
      ring.post(1, w(8));
      ring.take(2);
      ring.write(0, 8);
      ring.write(1, 4);
      expect(ring.bench.toldBy(() => ring.give(1, 4, 0))).toEqual(['used 0 8', 'used 1 4']);
    },
    inOrder,
  ),
  breaks(
    'a skipped chain that was not wholly written',
    'chain 0 was passed over, and 7 of its 8 writable bytes were written',
    ring => {
      ring.post(0, w(8));
      ring.post(1, r(8));
      ring.take(2);
      ring.write(0, 7);
      ring.give(1, 0, 0);
    },
    inOrder,
  ),
  breaks(
    'a batch over a chain that was not taken',
    'usedId: chain 1 was returned and never taken',
    ring => {
      ring.post(0, r(8));
      ring.post(1, r(8));
      ring.take();
      ring.give(1, 0, 0);
    },
    inOrder,
  ),
);

on(
  'usedPlace',
  holds('element behind chain, round the ring', 2, ring => {
    ring.roundTrips(3);
    interrupt(ring);
    rest(ring);
    ring.post(0, r(8), r(8));
    ring.take();
    ring.give(0);
    interrupt(ring);
    rest(ring);
    ring.bench.machine.atRest();
  }),
  breaks('at the end of a chain', 'descriptor 1 shows as used, and descriptor 0 is next', ring => {
    ring.post(0, r(8), r(8));
    ring.take();
    ring.device.flags(1, USED_MARK);
    rest(ring);
  }),
);

on(
  'ownership',
  breaks(
    'descriptors that changed unseen, of which those under a used element are the device’s',
    'descriptor 2 of chain 0 changed while the device had it',
    ring => {
      ring.post(1, r(8));
      ring.post(0, r(8), r(8));
      ring.take(2);
      ring.unseen.element(0, 5, 0);
      ring.unseen.element(1, 5, 0);
      ring.unseen.element(2, 5, 0);
      ring.device.element(0, 0, 0);
      ring.device.element(1, 0, 0);
      ring.device.flags(0, USED_MARK);
    },
  ),
);

describe('RING-04 of a packed ring, where chains come back out of order', () => {
  it('a slot is no longer its chain’s once an element stands there that the driver has taken back', () => {
    const ring = new PackedRing({});
    ring.post(0, r(8), r(8), r(8));
    ring.post(1, r(8));
    ring.take(2);
    ring.give(1);
    ring.takeBack();
    ring.unseen.element(0, 9, 9);
    ring.give(0);
    expect(ring.bench.breaches).toEqual([]);
  });

  it('nor once another chain stands there', () => {
    const ring = new PackedRing({});
    taken(ring, 0, 1);
    ring.give(1);
    ring.takeBack();
    for (const id of [2, 3, 4]) ring.post(id, r(8));
    ring.unseen.element(0, 9, 9);
    ring.give(0);
    expect(ring.bench.breaches).toEqual([]);
    ring.take(3);
    ring.give(4);
    expect(ring.bench.breaches).toEqual([
      'ownership: descriptor 0 of chain 1 changed while the device had it',
    ]);
  });

  it('the neighbour of a chain is not its own', () => {
    const ring = new PackedRing({});
    taken(ring, 0, 1, 2);
    ring.unseen.descriptor(2, 0, 8, 2, AVAIL);
    ring.give(1);
    expect(ring.bench.breaches).toEqual([]);
  });

  it('what stands where the element comes is the device’s to write, seen or not', () => {
    const ring = new PackedRing({ concurrent: true });
    taken(ring, 0);
    ring.unseen.element(0, 0, 5);
    ring.device.flags(0, USED_MARK);
    expect(ring.bench.breaches).toEqual([]);
  });
});

on(
  'foreignAreas',
  holds('the ring, its own words, and writable bytes', 5, ring => {
    ring.post(0, r(8), w(8));
    ring.take();
    ring.write(1, 8);
    ring.device.deviceWish(DISABLE);
    ring.give(0, 8);
  }),
  ...(
    [
      ['the driver’s wish', 'available ring', ring => ring.at.driver + 2],
      ['a readable byte', 'readable part of a chain', ring => ring.buffer(0) + 40],
      ['a table', 'indirect table', ring => ring.buffer(8) + 2],
    ] as const satisfies readonly (readonly [string, string, (ring: PackedRing) => number])[]
  ).map(([what, area, address]) =>
    breaks<PackedRing>(what, `the device wrote 2 bytes at ADDRESS, in the ${area}`, ring => {
      ring.post(0, r(64));
      ring.driver.memory.write(ring.buffer(8), entryTo(ring, 4), 0, 16);
      ring.driver.descriptor(1, ring.buffer(8), 16, 2, INDIRECT | AVAIL);
      ring.device.readFlags(0);
      ring.device.readBody(0);
      fill(ring.device.memory, address(ring), 2, 0);
    }),
  ),
);

describe('what is published by a store of the device', () => {
  /** What stood in the flags of the slots at which the chains came back. */
  const stood = (ring: PackedRing): number[] => {
    const seen: number[] = [];
    ring.bench.machine.onUsed = (_ring, { usedSlot }) =>
      void seen.push(ring.unseen.ring.get16(16 * usedSlot + 14));
    return seen;
  };

  it('is taken up before the store when the driver runs at the same time, and once', () => {
    const ring = new PackedRing({ concurrent: true });
    const seen = stood(ring);
    ring.post(0, r(8));
    ring.post(1, w(16));
    ring.take(2);
    // Other words of the ring, and those of other areas, publish nothing; nor does what is no used mark.
    ring.device.deviceEvent.store16(2, DISABLE);
    ring.device.ring.store16(12, USED_MARK);
    ring.device.ring.store16(12, 0);
    ring.device.flags(1, USED_MARK | WRITE);
    ring.device.flags(1, AVAIL | WRITE);
    ring.device.memory.window(ring.buffer(1), 16)?.store16(14, USED_MARK);
    ring.device.flags(0, AVAIL);
    expect(seen).toEqual([]);
    const looks = ring.bench.looks('lateWrites');
    ring.device.flags(0, USED_MARK);
    expect(seen).toEqual([AVAIL]);
    expect(ring.bench.looks('lateWrites')).toBe(looks);
    ring.device.element(1, 1, 0);
    expect(ring.bench.looks('lateWrites')).toBe(looks + 2);
    ring.device.flags(1, USED_MARK);
    expect(seen).toEqual([AVAIL, AVAIL | WRITE]);
    expect(ring.bench.breaches).toEqual([]);
    ring.device.flags(0, USED_MARK);
    rest(ring);
    expect(ring.bench.breaches).toEqual([
      'lateWrites: the device wrote descriptor 0, which is used already or was not taken',
      'interruptMissing: the index went from 0 to 2, the other side wants to be told, and nothing came',
    ]);
  });

  it('is nothing when nothing is out, or of a ring that is lost', () => {
    const ring = new PackedRing({ concurrent: true });
    ring.device.flags(0, USED_MARK);
    expect(ring.bench.breaches).toEqual([
      'lateWrites: the device wrote descriptor 0, which is used already or was not taken',
    ]);
    taken(ring, 0);
    ring.device.element(0, 9, 0);
    ring.device.flags(0, USED_MARK);
    expect(ring.bench.breaches.slice(1)).toEqual(['usedId: used id 9 is not outstanding']);
    ring.device.flags(0, USED_MARK);
    expect(ring.bench.breaches).toHaveLength(2);
  });

  it('is seen in memory otherwise, all that shows at once', () => {
    const ring = new PackedRing({});
    const seen = stood(ring);
    taken(ring, 0, 1);
    ring.device.element(0, 0, 0);
    ring.device.element(1, 1, 0);
    ring.device.flags(1, USED_MARK);
    expect(seen).toEqual([]);
    ring.device.flags(0, USED_MARK);
    expect(seen).toEqual([USED_MARK, USED_MARK]);
    interrupt(ring);
    rest(ring);
    expect(ring.bench.breaches).toEqual([]);
  });

  it('owes no interrupt before the driver is ready, nor for a completion queue, nor when it is wrong', () => {
    const early = new PackedRing({ early: true });
    taken(early, 0, 1);
    expect(early.bench.toldBy(() => early.give(0))).toEqual(['used 0 0', 'interrupt 1 false']);
    expect(early.bench.toldBy(() => early.give(3))).toEqual([]);
    const completions = new PackedRing({ index: queues.cq(0) });
    completions.post(0, w(48));
    completions.bench.machine.notifying(queues.cq(0), undefined);
    completions.take();
    completions.give(0);
    completions.bench.machine.atRest();
    expect(completions.bench.breaches).toEqual(['noObject: chain 0 was taken, and no object owns the queue']);
  });
});

/** An entry of an indirect table: 8 readable bytes in those of slot `buffer`. */
function entryTo(ring: PackedRing, buffer: number): Uint8Array {
  const entry = new DataView(new ArrayBuffer(16));
  entry.setBigUint64(0, BigInt(ring.buffer(buffer)), true);
  entry.setUint32(8, 8, true);
  return new Uint8Array(entry.buffer);
}
