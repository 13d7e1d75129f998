/** What a device does to a split ring, observation by observation: what holds, and the smallest history that breaks it. */
import { describe, expect, it } from 'vitest';
import { breaks, fill, holds, judged, look, queues } from './bench.js';
import type { History } from './bench.js';
import { SplitRing, indirect, r, w } from './split-ring.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<SplitRing>[]): void =>
  judged(key, options => new SplitRing(options), ...histories);
const eventIdx = { features: { eventIdx: true } };
const inOrder = { features: { inOrder: true } };
/** Chains of one readable part each that the device has taken. */
const taken = (ring: SplitRing, ...heads: readonly number[]): void => {
  for (const head of heads) ring.post(head, r(8));
  ring.take(heads.length);
};

on(
  'takeOrder',
  holds(
    'slot by slot behind the index that publishes them, over the end of 16 bits',
    6,
    ring => {
      ring.roundTrips(4);
      taken(ring, 0, 1);
    },
    { start: { avail: 0xfffd, used: 0xfffd } },
  ),
  holds('several at once, with those that are not published yet', 4, ring => {
    for (const head of [0, 1]) ring.post(head, r(8));
    ring.device.readAvailIdx();
    expect(ring.bench.toldBy(() => look(ring.device.memory, ring.at.driver + 4, 8))).toEqual([
      'published 2 false',
      'taken 0',
      'taken 1',
    ]);
  }),
  holds('the other words of the ring are no slots', 0, ring => {
    ring.post(0, r(8));
    ring.device.readAvailFlags();
    ring.device.readAvailIdx();
    ring.device.readUsedEvent();
  }),
  holds('several at once, from a later one on', 3, ring => {
    for (const head of [0, 1, 2]) ring.post(head, r(8));
    ring.device.readAvailIdx();
    look(ring.device.memory, ring.at.driver + 6, 4);
    expect(ring.bench.toldBy(() => ring.device.readSlot(0)).at(-1)).toBe('taken 0');
  }),
  breaks('before the index', 'slot 0 was read before the index that publishes it', ring => {
    ring.post(0, r(8));
    ring.device.readSlot(0);
  }),
  breaks('behind the flags alone', 'slot 0 was read before the index that publishes it', ring => {
    ring.post(0, r(8));
    ring.device.readAvailFlags();
    ring.device.readSlot(0);
  }),
  breaks(
    'what came behind the last look at the index',
    'slot 1 was read before the index that publishes it',
    ring => {
      taken(ring, 0);
      ring.post(1, r(8));
      ring.device.readSlot(1);
    },
  ),
  breaks('one that is not published', 'slot 1 was read before the index that publishes it', ring => {
    ring.post(0, r(8));
    ring.device.readAvailIdx();
    ring.device.readSlot(1);
  }),
  breaks('a later one first', 'slot 1 was read before slot 0', ring => {
    for (const head of [0, 1]) ring.post(head, r(8));
    ring.device.readAvailIdx();
    ring.device.readSlot(1);
  }),
  breaks('a later one first, in a ring that has gone on', 'slot 3 was read before slot 2', ring => {
    ring.roundTrips(2);
    for (const head of [0, 1]) ring.post(head, r(8));
    ring.device.readAvailIdx();
    ring.device.readSlot(3);
  }),
);

on(
  'deviceDoubleFetch',
  holds('each byte once: slot, descriptors, table, bytes', 9, ring => {
    ring.post(0, r(8), w(8));
    ring.take();
    look(ring.device.memory, ring.at.descriptors, 16);
    ring.device.readDescriptor(1, 0, 8);
    ring.device.readDescriptor(1, 8, 8);
    ring.read(0, 8);
    const table = indirect(ring, 2, 2);
    ring.take();
    look(ring.device.memory, table, 32);
    ring.read(4, 4);
    look(ring.device.memory, ring.buffer(4) + 4, 4);
  }),
  holds('once more in the next life of a chain, and what nobody has', 5, ring => {
    for (let i = 0; i < 2; i++) {
      taken(ring, 0);
      ring.device.readDescriptor(0);
      ring.give(0);
    }
    ring.device.readDescriptor(0);
  }),
  holds('nothing is held against what is read of the device’s own', 0, ring => {
    ring.device.readUsedIdx();
    ring.device.readElement(0);
    ring.device.readElement(0);
    ring.device.readUsedFlags();
  }),
  breaks('a slot', 'the device read slot 0 twice', ring => {
    taken(ring, 0);
    ring.device.readSlot(0);
  }),
  breaks('a byte of a descriptor', 'the device read descriptor 1 of chain 0 twice', ring => {
    ring.post(0, r(8), w(8));
    ring.take();
    ring.device.readDescriptor(1, 0, 9);
    ring.device.readDescriptor(1, 8, 1);
  }),
  breaks(
    'several descriptors at once',
    ['the device read descriptor 0 of chain 0 twice', 'the device read descriptor 1 of chain 0 twice'],
    ring => {
      ring.post(0, r(8), w(8));
      ring.take();
      ring.device.readDescriptor(0);
      ring.device.readDescriptor(1, 0, 1);
      look(ring.device.memory, ring.at.descriptors + 15, 2);
    },
  ),
  breaks('a byte of a table', 'the device read the table of chain 0 twice', ring => {
    const table = indirect(ring, 0, 2);
    ring.take();
    look(ring.device.memory, table, 17);
    look(ring.device.memory, table + 16, 1);
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
  holds(
    'chain by chain, and several at once, over the end of 16 bits',
    4,
    ring => {
      ring.roundTrips(2);
      taken(ring, 0, 1, 2);
      ring.device.element(0, 2, 0);
      ring.device.element(1, 0, 0);
      ring.device.usedIdx(2);
      ring.device.usedIdx(2);
    },
    { start: { avail: 0xfffe, used: 0xfffe } },
  ),
  breaks('more than are out', 'the used index went from 0 to 2 with 1 chains out', ring => {
    taken(ring, 0);
    ring.device.usedIdx(2);
  }),
  breaks('back', 'the used index went from 1 to 0 with 1 chains out', ring => {
    taken(ring, 0, 1);
    ring.give(0);
    ring.device.usedIdx(0);
  }),
  breaks(
    'and nothing more is said of that ring',
    'the used index went from 0 to 1 with 0 chains out',
    ring => {
      ring.device.usedIdx(1);
      const looks = new Map(ring.bench.tally.looks);
      ring.device.readSlot(0);
      ring.device.usedFlags(7);
      ring.device.usedIdx(7);
      for (const key of ['takeOrder', 'deviceFlags', 'usedIndex'] as const)
        expect(ring.bench.looks(key)).toBe(looks.get(key));
    },
  ),
);

on(
  'usedId',
  holds('of a chain that is out, in any order', 2, ring => {
    taken(ring, 0, 1);
    ring.give(1);
    ring.give(0);
  }),
  breaks('of no chain', 'used id 3 is not outstanding', ring => {
    taken(ring, 0);
    ring.give(3);
  }),
  breaks('of none of the ring', 'used id 65536 is not outstanding', ring => {
    taken(ring, 0);
    ring.give(65_536);
  }),
  breaks('of one that is back', 'used id 0 is not outstanding', ring => {
    taken(ring, 0, 1);
    ring.give(0);
    ring.give(0);
  }),
  breaks('of one that was not taken', 'chain 1 was returned and never taken', ring => {
    ring.post(0, r(8));
    ring.post(1, r(8));
    ring.take();
    expect(ring.bench.toldBy(() => ring.give(1, 4))).toEqual(['used 1 4']);
  }),
  breaks('and those before it in the same raise are good', 'used id 3 is not outstanding', ring => {
    taken(ring, 0, 1, 2);
    ring.device.element(0, 1, 0);
    ring.device.element(1, 3, 0);
    ring.device.element(2, 0, 0);
    expect(ring.bench.toldBy(() => ring.device.usedIdx(3))).toEqual(['used 1 0']);
  }),
);

on(
  'usedLength',
  holds('as much as was written without a gap, or less', 3, ring => {
    for (const head of [0, 2]) ring.post(head, w(8), w(8));
    ring.take(2);
    for (const at of [0, 1, 2]) ring.write(at, 8);
    ring.give(0, 16);
    ring.give(2, 7);
    ring.takeBack();
    taken(ring, 0);
    ring.give(0, 0);
  }),
  holds('written piece by piece', 1, ring => {
    ring.post(0, w(8), w(8));
    ring.take();
    ring.write(0, 8);
    fill(ring.device.memory, ring.buffer(1) + 4, 4);
    fill(ring.device.memory, ring.buffer(1), 4);
    ring.give(0, 16);
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
    'chain 0 came back with length 16, and 4 of its 16 writable bytes were written',
    ring => {
      ring.post(0, w(8), w(8));
      ring.take();
      ring.write(0, 4);
      ring.write(1, 8);
      ring.give(0, 16);
    },
  ),
  breaks(
    'over a gap in the second part',
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
  holds('elements of chains that are out, all at once', 2, ring => {
    taken(ring, 0, 1);
    fill(ring.device.memory, ring.at.device + 4, 16);
  }),
  holds('in the order of the ring, round it', 3, ring => {
    ring.roundTrips(3);
    ring.post(0, r(8));
    ring.post(1, r(8));
    ring.take(2);
    ring.bench.tally.looks.set('lateWrites', 0);
    ring.device.element(3, 0, 0);
    ring.device.element(0, 1, 0);
    fill(ring.device.memory, ring.at.device + 4 + 24, 1);
  }),
  holds('the other words of the ring are no elements', 0, ring => {
    ring.device.usedFlags(1);
    ring.device.usedIdx(0);
  }),
  holds('nor is the entry to be told of', 0, ring => ring.device.availEvent(1), eventIdx),
  breaks(
    'an element that is published',
    'the device wrote used element 0, which is published or has no chain to return',
    ring => {
      taken(ring, 0, 1);
      ring.give(0);
      ring.device.element(0, 1, 0);
    },
  ),
  breaks(
    'one that has no chain to return',
    'the device wrote used element 1, which is published or has no chain to return',
    ring => {
      taken(ring, 0);
      fill(ring.device.memory, ring.at.device + 4, 9);
    },
  ),
);

on(
  'deviceFlags',
  holds('flags that have a name', 2, ring => {
    ring.device.usedFlags(1);
    ring.device.usedFlags(0);
    ring.device.usedIdx(0);
  }),
  holds('0 with the event index', 1, ring => ring.device.usedFlags(0), eventIdx),
  breaks('an unknown one', 'the flags of the used ring are 2', ring => ring.device.usedFlags(2)),
  breaks(
    'any with the event index',
    'the flags of the used ring are 1',
    ring => ring.device.usedFlags(1),
    eventIdx,
  ),
);

on(
  'availEvent',
  holds('left alone without the event index', 2, ring => ring.roundTrips(2)),
  holds(
    'of no interest with it',
    0,
    ring => {
      ring.device.availEvent(1);
      ring.roundTrips(1);
    },
    eventIdx,
  ),
  breaks('written without it', 'avail_event was written without EVENT_IDX', ring => {
    ring.roundTrips(1);
    ring.device.availEvent(0);
  }),
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
      taken(ring, 0, 1, 2);
      ring.give(0);
      ring.device.element(1, 2, 0);
      expect(ring.bench.toldBy(() => ring.device.usedIdx(3))).toEqual(['used 1 0', 'used 2 0']);
      ring.driver.readUsedIdx();
      ring.driver.readElement(0);
      ring.driver.readElement(1);
      ring.post(3, r(8));
      ring.take();
      ring.device.element(3, 3, 0);
      ring.device.usedIdx(4);
    },
    inOrder,
  ),
  holds(
    'a batch whose skipped chains were wholly written, and another behind it',
    4,
    ring => {
      ring.post(0, w(8));
      ring.post(1, w(8));
      ring.post(2, r(8));
      ring.post(3, r(8));
      ring.take(4);
      ring.write(0, 8);
      ring.write(1, 4);
      ring.device.element(0, 1, 4);
      ring.device.element(2, 3, 0);
      expect(ring.bench.toldBy(() => ring.device.usedIdx(4))).toEqual([
        'used 0 8',
        'used 1 4',
        'used 2 0',
        'used 3 0',
      ]);
    },
    inOrder,
  ),
  breaks(
    'a younger one first',
    'chain 1 came back, and chain 0 is older',
    ring => {
      taken(ring, 0, 1);
      ring.give(1);
    },
    inOrder,
  ),
  breaks(
    'a batch that is longer than the raise',
    'chain 2 came back, and chain 1 is older',
    ring => {
      taken(ring, 0, 1, 2);
      ring.device.element(0, 0, 0);
      ring.device.element(1, 2, 0);
      ring.device.usedIdx(2);
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
      ring.device.element(0, 1, 0);
      ring.device.usedIdx(2);
    },
    inOrder,
  ),
  breaks(
    'a batch over a chain that was not taken',
    'usedId: chain 1 was returned and never taken',
    ring => {
      for (const head of [0, 1]) ring.post(head, r(8));
      ring.take();
      ring.device.element(0, 1, 0);
      ring.device.usedIdx(2);
    },
    inOrder,
  ),
);

on(
  'foreignAreas',
  holds('its own words, and writable bytes', 4, ring => {
    ring.post(0, r(8), w(8));
    ring.take();
    ring.write(1, 8);
    ring.device.usedFlags(0);
    ring.give(0, 8);
  }),
  ...(
    [
      ['a descriptor', 'descriptor table', ring => ring.at.descriptors + 30],
      ['a slot', 'available ring', ring => ring.at.driver + 6],
      ['a table', 'indirect table', ring => ring.buffer(10) + 14],
      ['a readable byte', 'readable part of a chain', ring => ring.buffer(0)],
    ] as const satisfies readonly (readonly [string, string, (ring: SplitRing) => number])[]
  ).map(([what, area, address]) =>
    breaks<SplitRing>(what, `the device wrote 2 bytes at ADDRESS, in the ${area}`, ring => {
      ring.post(0, r(8));
      indirect(ring, 2, 1);
      ring.take(2);
      fill(ring.device.memory, address(ring), 2, 0);
    }),
  ),
);

describe('what is published by a store of the device', () => {
  it('is taken up before the store when the driver runs at the same time, and once', () => {
    const ring = new SplitRing({ concurrent: true });
    const stood: number[] = [];
    ring.bench.machine.onUsed = () => void stood.push(ring.unseen.used.get16(2));
    ring.post(0, r(8));
    ring.post(1, w(8));
    ring.take(2);
    // Other words of the ring, and those of other areas, publish nothing.
    ring.device.usedFlags(1);
    ring.device.memory.window(ring.buffer(1), 8)?.store16(2, 1);
    expect(stood).toEqual([]);
    ring.give(0);
    expect(stood).toEqual([0]);
    expect(ring.bench.breaches).toEqual([]);
    ring.device.usedIdx(7);
    expect(ring.bench.breaches).toEqual(['usedIndex: the used index went from 1 to 7 with 1 chains out']);
    const looks = ring.bench.looks('usedIndex');
    ring.device.usedIdx(8);
    expect(ring.bench.looks('usedIndex')).toBe(looks);
  });

  it('is seen in memory otherwise', () => {
    const ring = new SplitRing({});
    const stood: number[] = [];
    ring.bench.machine.onUsed = () => void stood.push(ring.unseen.used.get16(2));
    taken(ring, 0);
    ring.give(0);
    expect(stood).toEqual([1]);
  });

  it('owes no interrupt before the driver is ready, nor for a completion queue, nor when it is wrong', () => {
    const early = new SplitRing({ early: true });
    taken(early, 0, 1);
    expect(early.bench.toldBy(() => early.give(0))).toEqual(['used 0 0', 'interrupt 1 false']);
    expect(early.bench.toldBy(() => early.give(3))).toEqual([]);
    const completions = new SplitRing({ index: queues.cq(0) });
    completions.post(0, w(48));
    completions.bench.machine.notifying(queues.cq(0), undefined);
    completions.take();
    completions.give(0);
    completions.bench.machine.atRest();
    expect(completions.bench.told.filter(each => each.startsWith('interrupt'))).toEqual([]);
    expect(completions.bench.breaches).toEqual(['noObject: chain 0 was taken, and no object owns the queue']);
  });

  it('may be written over again in its chain’s next life', () => {
    const ring = new SplitRing({});
    for (let lap = 0; lap < 2; lap++) {
      taken(ring, 0, 1, 2, 3);
      for (const head of [3, 2, 1, 0]) ring.give(head);
      for (let i = 0; i < 4; i++) ring.takeBack();
    }
    expect(ring.bench.breaches).toEqual([]);
  });
});
