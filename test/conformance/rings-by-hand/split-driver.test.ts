/** What a driver does to a split ring, observation by observation: what holds, and the smallest history that breaks it. */
import { describe, expect, it } from 'vitest';
import { breaks, fill, holds, judged, look } from './bench.js';
import type { History } from './bench.js';
import { INDIRECT, NEXT, SplitRing, WRITE, entry, indirect, r, w } from './split-ring.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<SplitRing>[]): void =>
  judged(key, options => new SplitRing(options), ...histories);
const eventIdx = { features: { eventIdx: true } };
const inOrder = { features: { inOrder: true } };
const noIndirect = { features: { indirect: false } };

on(
  'availIndex',
  holds('one chain, then as many as there is room for', 2, ring => {
    ring.post(0, r(8));
    for (const head of [1, 2, 3]) ring.describe(head, r(8));
    ring.offer(1, 2, 3);
  }),
  holds('round the ring and over the end of 16 bits', 9, ring => ring.roundTrips(9), {
    start: { avail: 0xfffa, used: 0xfffa },
  }),
  holds('the same index once more is no raise', 1, ring => {
    ring.post(0, r(8));
    ring.driver.availIdx(1);
    ring.device.readAvailIdx();
  }),
  holds('a driver whose reads are not seen has taken back what it offers again', 5, ring => {
    for (const head of [0, 1, 2, 3]) ring.post(head, r(8));
    ring.take(4);
    for (const head of [0, 1, 2, 3]) ring.give(head);
    for (const head of [2, 3, 0, 1]) ring.describe(head, r(8));
    ring.offer(2, 3, 0, 1);
    expect(ring.bench.told.filter(each => each.startsWith('consumed'))).toHaveLength(4);
  }),
  breaks(
    'one chain more than there is room for',
    'the available index went from 0 to 5 with 0 chains out; size 4',
    ring => ring.driver.availIdx(5),
  ),
  breaks(
    'one more than there is room for beside a chain that is out',
    'the available index went from 1 to 5 with 1 chains out; size 4',
    ring => {
      ring.post(0, r(8));
      ring.driver.availIdx(5);
    },
  ),
  breaks('back', 'the available index went from 1 to 0 with 1 chains out; size 4', ring => {
    ring.post(0, r(8));
    ring.driver.availIdx(0);
  }),
  breaks(
    'and nothing more is said of that ring',
    'the available index went from 0 to 5 with 0 chains out; size 4',
    ring => {
      ring.driver.availIdx(5);
      const looks = [...ring.bench.tally.looks];
      ring.driver.availIdx(6);
      ring.driver.usedIdx(7);
      ring.driver.readElement(0);
      ring.device.readAvailIdx();
      ring.bench.machine.looked();
      const counted = new Map(looks);
      for (const key of ['usedRing', 'availIndex', 'driverDoubleFetch'] as const)
        expect(ring.bench.looks(key)).toBe(counted.get(key));
    },
  ),
);

on(
  'reuse',
  holds('a head that is back', 2, ring => ring.roundTrips(2)),
  holds('a head that is back, in a chain of its old descriptors and others', 2, ring => {
    ring.post(2, r(8), w(8));
    ring.take();
    ring.give(2);
    ring.takeBack();
    ring.post(1, r(8), r(8), w(8));
  }),
  breaks('the head of a chain that is out', 'chain 0 was made available while the device has it', ring => {
    ring.post(0, r(8));
    ring.offer(0);
  }),
  breaks('a descriptor of a chain that is out', 'chain 2 has descriptor 1, which chain 0 has too', ring => {
    ring.post(0, r(8), w(8));
    ring.driver.descriptor(2, ring.buffer(2), 8, NEXT, 1);
    ring.offer(2);
  }),
  breaks(
    'a descriptor of a chain that the device has taken',
    'chain 2 has descriptor 1, which chain 0 has too',
    ring => {
      ring.post(0, r(8), w(8));
      ring.take();
      ring.driver.descriptor(2, ring.buffer(2), 8, NEXT, 1);
      ring.offer(2);
    },
  ),
);

on(
  'ownership',
  holds('what is written over in its own words, what is nobody’s, and a slot that is taken', 9, ring => {
    ring.post(0, r(8), w(8));
    ring.describe(0, r(8), w(8));
    ring.describe(2, r(9));
    ring.driver.slot(0, 0);
    ring.driver.slot(2, 3);
    ring.take();
    ring.driver.slot(0, 1);
  }),
  holds('descriptors of a chain that is back, and its slot', 7, ring => {
    ring.post(0, r(8));
    ring.take();
    ring.give(0);
    ring.describe(0, w(20));
    ring.driver.slot(0, 3);
    ring.takeBack();
    ring.describe(0, r(30));
    ring.driver.slot(0, 2);
  }),
  holds('the slot that a chain had in its life before', 6, ring => {
    ring.roundTrips(1);
    ring.post(0, r(1));
    ring.driver.slot(0, 3);
  }),
  breaks(
    'a descriptor of a chain that is out',
    'descriptor 1 of chain 0 was changed while the device has it',
    ring => {
      ring.post(0, r(8), w(8));
      ring.describe(1, w(9));
    },
  ),
  breaks(
    'several at once, each of a chain of its own',
    [
      'descriptor 0 of chain 0 was changed while the device has it',
      'descriptor 1 of chain 1 was changed while the device has it',
    ],
    ring => {
      ring.post(0, r(8));
      ring.post(1, r(8));
      fill(ring.driver.memory, ring.at.descriptors + 8, 16);
    },
  ),
  breaks(
    'the slot of a chain that is not taken',
    'slot 1 was changed before the device took chain 1',
    ring => {
      ring.post(0, r(8));
      ring.post(1, r(8));
      ring.driver.slot(1, 3);
    },
  ),
  breaks(
    'the slots of two at once',
    [
      'slot 0 was changed before the device took chain 0',
      'slot 1 was changed before the device took chain 1',
    ],
    ring => {
      ring.post(0, r(8));
      ring.post(1, r(8));
      fill(ring.driver.memory, ring.at.driver + 4, 4);
    },
  ),
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
      ring.unseen.descriptor(1, ring.buffer(1), 9, WRITE);
      ring.give(0);
    },
  ),
);

describe('RING-04 a table', () => {
  it('is the driver’s again when its chain is back, and may be written over in its own words before', () => {
    const ring = new SplitRing({});
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
  breaks(
    'a byte of the second part of a chain that is out',
    'byte 11 of chain 0 was changed while the device has it',
    ring => {
      ring.post(0, r(8), r(8));
      fill(ring.driver.memory, ring.buffer(1) + 3, 2);
    },
  ),
  breaks(
    'only what was written is looked at',
    'byte 3 of chain 0 was changed while the device has it',
    ring => {
      ring.post(0, r(8));
      fill(ring.unseen.memory, ring.buffer(0), 1);
      fill(ring.unseen.memory, ring.buffer(0) + 7, 1);
      fill(ring.driver.memory, ring.buffer(0) + 3, 2);
    },
  ),
  breaks(
    'a byte that changed unseen shows when its chain comes back',
    'byte 5 of chain 0 changed while the device had it',
    ring => {
      ring.post(0, r(8));
      fill(ring.unseen.memory, ring.buffer(0) + 5, 1);
      ring.take();
      ring.give(0);
    },
  ),
);

on(
  'usedRing',
  holds('each write of the driver is looked at', 5, ring => {
    ring.post(0, r(8));
    fill(ring.driver.memory, ring.buffer(0), 8, 0);
    fill(ring.driver.memory, ring.buffer(3), 8);
    ring.driver.availFlags(0);
  }),
  breaks('a word of it', 'the driver wrote bytes 2..3 of its used ring', ring => ring.driver.usedIdx(0)),
  breaks('an element of it', 'the driver wrote bytes 12..19 of its used ring', ring =>
    ring.driver.element(1, 0, 0),
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
  breaks('a head beyond the table', 'head 4 is not below 4', ring => ring.offer(4)),
  breaks('a next beyond the table', 'chain 0: next 4 is not below the 4 entries of its table', ring => {
    ring.driver.descriptor(0, ring.buffer(0), 8, NEXT, 4);
    ring.offer(0);
  }),
  breaks('a loop', 'chain 0: it has more than 4 descriptors, or a loop', ring => {
    ring.driver.descriptor(0, ring.buffer(0), 8, NEXT, 0);
    ring.offer(0);
  }),
  breaks(
    'a readable part behind a writable one',
    'chain 1: it has a readable descriptor behind a writable one',
    ring => ring.post(1, w(8), r(8)),
  ),
  breaks('bytes that are no memory', 'chain 0: 8 bytes at 4096 are not in guest memory', ring => {
    ring.driver.descriptor(0, 4096, 8, 0);
    ring.offer(0);
  }),
  breaks(
    'and the chains before it were good ones',
    'chain 1: 8 bytes at 4096 are not in guest memory',
    ring => {
      ring.describe(0, r(8));
      ring.driver.descriptor(1, 4096, 8, 0);
      ring.driver.descriptor(2, 4096, 8, 0);
      ring.offer(0, 1, 2);
      expect(ring.bench.told).toEqual(['available 0 8 0']);
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
    'chain 0: it uses INDIRECT, which was not negotiated',
    ring => void indirect(ring, 0, 1),
    noIndirect,
  ),
  breaks('together with NEXT', 'chain 0: it has INDIRECT and NEXT in one descriptor', ring => {
    ring.driver.descriptor(0, ring.buffer(0), 16, INDIRECT | NEXT, 1);
    ring.offer(0);
  }),
  breaks('a table within a table', 'chain 0: it uses INDIRECT within an indirect table', ring => {
    entry(ring, 8, 0, 16, INDIRECT);
    ring.driver.descriptor(0, ring.buffer(8), 16, INDIRECT);
    ring.offer(0);
  }),
  breaks('no entry', 'chain 0: its indirect table has 0 bytes', ring => {
    ring.driver.descriptor(0, ring.buffer(0), 0, INDIRECT);
    ring.offer(0);
  }),
  breaks(
    'a next beyond its table',
    'chainShape: chain 0: next 2 is not below the 2 entries of its table',
    ring => {
      for (const i of [0, 1]) entry(ring, 8, i, 8, NEXT);
      ring.driver.descriptor(0, ring.buffer(8), 32, INDIRECT);
      ring.offer(0);
    },
  ),
  breaks('half an entry', 'chain 0: its indirect table has 24 bytes', ring => {
    ring.driver.descriptor(0, ring.buffer(0), 24, INDIRECT);
    ring.offer(0);
  }),
);

on(
  'driverFlags',
  holds('flags that have a name, and no flag with the event index', 3, ring => {
    ring.driver.availFlags(1);
    ring.driver.availFlags(0);
    ring.post(0, w(8));
  }),
  holds(
    'the other words of the ring',
    1,
    ring => {
      ring.driver.usedEvent(7);
      ring.post(0, w(8));
    },
    eventIdx,
  ),
  holds('flags of 0 with the event index', 1, ring => ring.driver.availFlags(0), eventIdx),
  breaks('an unknown flag of a descriptor', 'chain 1: descriptor 1 has flags 8', ring => {
    ring.driver.descriptor(1, ring.buffer(1), 8, 8);
    ring.offer(1);
    expect(ring.bench.told).toEqual(['available 1 8 0']);
  }),
  breaks('an unknown flag of the ring', 'the flags of the available ring are 2', ring =>
    ring.driver.availFlags(2),
  ),
  breaks(
    'a flag with the event index',
    'the flags of the available ring are 1',
    ring => ring.driver.availFlags(1),
    eventIdx,
  ),
);

on(
  'usedEvent',
  holds('left alone without the event index', 2, ring => ring.roundTrips(2)),
  holds(
    'of no interest with it',
    0,
    ring => {
      ring.driver.usedEvent(1);
      ring.roundTrips(1);
    },
    eventIdx,
  ),
  breaks('written without it', 'used_event was written without EVENT_IDX', ring => {
    ring.roundTrips(1);
    ring.driver.usedEvent(0);
  }),
);

on(
  'usedOrder',
  holds('an element behind the index that publishes it, and the next one by the same look', 2, ring => {
    for (const head of [0, 1]) ring.post(head, r(8));
    ring.take(2);
    ring.give(0);
    ring.give(1);
    ring.driver.readUsedIdx();
    ring.driver.readElement(0);
    ring.driver.readElement(1);
  }),
  holds('an element that is not there yet, or no longer', 1, ring => {
    ring.driver.readElement(0);
    ring.driver.readElement(3);
    ring.roundTrips(1);
  }),
  holds('of no interest when its looks at the index are not seen', 0, ring => {
    ring.post(0, r(8));
    ring.take();
    ring.give(0);
    ring.driver.readElement(0);
  }),
  breaks(
    'an element before the index',
    'used element 0 was read before the index that publishes it',
    ring => {
      ring.driver.readUsedIdx();
      ring.post(0, r(8));
      ring.take();
      ring.give(0);
      ring.driver.readElement(0);
    },
  ),
  breaks(
    'an element that came behind the last look at the index',
    'used element 1 was read before the index that publishes it',
    ring => {
      for (const head of [0, 1]) ring.post(head, r(8));
      ring.take(2);
      ring.give(0);
      ring.driver.readUsedIdx();
      ring.give(1);
      ring.driver.readLength(1);
    },
  ),
);

on(
  'usedOrder',
  holds('an element in two reads is one', 1, ring => {
    ring.post(0, r(8));
    ring.take();
    ring.give(0);
    ring.driver.readUsedIdx();
    ring.driver.readLength(0);
    ring.driver.readId(0);
  }),
  breaks(
    'a look at the flags is no look at the index',
    'used element 0 was read before the index that publishes it',
    ring => {
      ring.driver.readUsedIdx();
      ring.post(0, r(8));
      ring.take();
      ring.give(0);
      ring.driver.readUsedFlags();
      ring.driver.readElement(0);
    },
  ),
  breaks(
    'nor is the index of a lap before',
    'used element 2 was read before the index that publishes it',
    ring => {
      ring.roundTrips(2);
      ring.post(0, r(8));
      ring.take();
      ring.give(0);
      ring.driver.readElement(2);
    },
  ),
);

on(
  'driverDoubleFetch',
  holds('each field once', 4, ring => ring.roundTrips(2)),
  holds('a look at the flags and at the index is no element', 0, ring => {
    ring.driver.readUsedFlags();
    ring.driver.readUsedIdx();
    ring.driver.readAvailEvent();
  }),
  holds('an element at once, and a new one in its place', 5, ring => {
    for (let i = 0; i < 5; i++) {
      ring.post(0, r(8));
      ring.take();
      ring.give(0);
      ring.driver.readUsedIdx();
      look(ring.driver.memory, ring.at.device + 4 + 8 * (i % 4), 8);
    }
  }),
  holds('its own areas are its own', 0, ring => {
    ring.post(0, r(8));
    ring.driver.readDescriptor(0);
    ring.driver.readSlot(0);
  }),
  breaks('a length again', 'used element 0 was read twice', ring => {
    ring.post(0, r(8));
    ring.take();
    ring.give(0);
    ring.driver.readUsedIdx();
    ring.driver.readLength(0);
    ring.driver.readLength(0);
  }),
  breaks(
    'an element that it has taken, whose chain is back once more',
    'used element 0 was read twice',
    ring => {
      ring.roundTrips(1);
      ring.post(0, r(8));
      ring.take();
      ring.give(0);
      expect(ring.bench.toldBy(() => ring.driver.readId(0))).toEqual([]);
    },
  ),
  breaks(
    'the same where the next one would come',
    'used element 1 was read twice',
    ring => {
      ring.roundTrips(2);
      ring.post(0, r(8));
      ring.take();
      ring.give(0);
      expect(ring.bench.toldBy(() => ring.driver.readId(1))).toEqual([]);
    },
    { size: 2 },
  ),
  breaks('a byte of the id again', 'used element 0 was read twice', ring => {
    ring.roundTrips(1);
    look(ring.driver.memory, ring.at.device + 7, 1);
  }),
);

on(
  'emptyDescriptor',
  holds('bytes in each', 2, ring => {
    ring.post(0, r(1), w(1));
    ring.post(2, w(1));
  }),
  breaks('none in one', 'chain 0 has a descriptor of length 0', ring => ring.post(0, r(4), w(0))),
);

on(
  'notificationData',
  holds(
    'the index at which the next chain will stand',
    1,
    ring => {
      ring.post(0, r(8));
      ring.bench.machine.notifying(ring.index, 1);
    },
    { features: { notificationData: true } },
  ),
  breaks('something where it was not negotiated', 'a notification says 1, not nothing', ring => {
    ring.post(0, r(8));
    ring.bench.machine.notifying(ring.index, 1);
  }),
);

on(
  'tableOrder',
  holds('of no interest without IN_ORDER', 0, ring => {
    ring.post(2, r(8));
    ring.post(0, r(8));
  }),
  holds(
    'from 0 on and round',
    3,
    ring => {
      ring.post(0, r(8), w(8), w(8));
      ring.take();
      ring.give(0);
      ring.takeBack();
      ring.post(3, r(8), w(8));
      ring.post(1, r(8));
    },
    inOrder,
  ),
  holds(
    'from where it is seen first, of a ring with a past',
    2,
    ring => {
      ring.post(2, r(8));
      ring.post(3, r(8));
    },
    { ...inOrder, start: { avail: 9, used: 9 } },
  ),
  breaks(
    'a gap',
    'chain 1 has descriptor 1, and 0 is next',
    ring => {
      ring.post(1, r(8));
      ring.post(2, r(8));
    },
    inOrder,
  ),
  breaks(
    'a gap within a chain',
    'chain 0 has descriptor 2, and 1 is next',
    ring => {
      ring.driver.descriptor(0, ring.buffer(0), 8, NEXT, 2);
      ring.driver.descriptor(2, ring.buffer(2), 8, 0);
      ring.offer(0);
    },
    inOrder,
  ),
);

describe('[VQ-40] [VQ-41] what a driver has taken', () => {
  /** Chains 0 to `count` - 1 that are back, the first with length 0, the others with 1 and more. */
  const back = (count: number, options = {}): SplitRing => {
    const ring = new SplitRing(options);
    for (let head = 0; head < count; head++) ring.post(head, w(8));
    ring.take(count);
    for (let head = 0; head < count; head++) ring.write(head, 8);
    for (let head = 0; head < count; head++) ring.give(head, head);
    return ring;
  };

  /** Besides what is told of an interrupt that was not decided by then. */
  const consumed = ({ bench }: SplitRing, act: () => void): readonly string[] =>
    bench.toldBy(act).filter(each => !each.startsWith('interrupt'));

  it('is known by the id that it reads; the length alone says nothing', () => {
    const ring = back(2);
    ring.driver.readUsedIdx();
    expect(ring.bench.toldBy(() => ring.driver.readLength(0))).toEqual([]);
    expect(consumed(ring, () => ring.driver.readId(0))).toEqual(['consumed 0 0']);
    expect(ring.bench.toldBy(() => ring.driver.readId(1))).toEqual(['consumed 1 1']);
    expect(ring.bench.toldBy(() => ring.driver.readId(2))).toEqual([]);
    expect(ring.bench.breaches).toEqual([]);
  });

  it('is all that is before the element that it reads', () => {
    const ring = back(3);
    ring.driver.readUsedIdx();
    expect(consumed(ring, () => ring.driver.readId(1))).toEqual(['consumed 0 0', 'consumed 1 1']);
    expect(ring.bench.toldBy(() => ring.driver.readId(2))).toEqual(['consumed 2 2']);
  });

  it('is all that came back when it says that it has looked, and what it has published is seen then', () => {
    const ring = back(2);
    ring.describe(2, r(8));
    ring.unseen.slot(2, 2);
    ring.unseen.availIdx(3);
    expect(consumed(ring, () => ring.bench.machine.looked())).toEqual([
      'available 2 8 0',
      'consumed 0 0',
      'consumed 1 1',
    ]);
    expect(ring.bench.toldBy(() => ring.bench.machine.looked())).toEqual([]);
  });

  it('is what it uses again and what came before it, and nothing else, where its reads are not seen', () => {
    const ring = back(2);
    ring.describe(3, r(8));
    expect(consumed(ring, () => ring.offer(3, 0))).toEqual([
      'consumed 0 0',
      'available 3 8 0',
      'available 0 0 8',
    ]);
    expect(ring.bench.toldBy(() => ring.takeBack())).toEqual([]);
    ring.driver.readUsedIdx();
    expect(ring.bench.toldBy(() => ring.driver.readId(1))).toEqual(['consumed 1 1']);
  });

  it('is a whole batch when its element stands for one', () => {
    const ring = new SplitRing(inOrder);
    for (const head of [0, 1, 2]) ring.post(head, r(8));
    ring.take(3);
    ring.device.element(0, 2, 0);
    ring.device.usedIdx(3);
    ring.driver.readUsedIdx();
    expect(consumed(ring, () => ring.driver.readElement(0))).toEqual([
      'consumed 0 0',
      'consumed 1 0',
      'consumed 2 0',
    ]);
    expect(ring.bench.breaches).toEqual([]);
  });
});
