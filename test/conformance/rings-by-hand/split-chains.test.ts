/** What a driver puts into a split ring, observation by observation: what holds, and the smallest history that breaks it. */
import { expect } from 'vitest';
import { breaks, holds, judged } from './bench.js';
import type { History } from './bench.js';
import { INDIRECT, NEXT, SplitRing, entry, indirect, r, w } from './split-ring.js';
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
