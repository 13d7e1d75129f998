/** What a device returns in a split ring, observation by observation: what holds, and the smallest history that breaks it. */
import { describe, expect, it } from 'vitest';
import { breaks, fill, holds, judged, look } from './bench.js';
import type { History } from './bench.js';
import { taken } from './either-ring.js';
import { SplitRing, r, w } from './split-ring.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<SplitRing>[]): void =>
  judged(key, options => new SplitRing(options), ...histories);
const eventIdx = { features: { eventIdx: true } };
const inOrder = { features: { inOrder: true } };

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
  breaks('of none of the ring', 'used id 65536 is not outstanding', ring => {
    taken(ring, 0);
    ring.give(65_536);
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
  'lateWrites',
  holds('elements of chains that are out, all at once', 2, ring => {
    taken(ring, 0, 1);
    fill(ring.device.memory, ring.at.device + 4, 16);
  }),
  holds('in the order of the ring, round it', 6, ring => {
    ring.roundTrips(3);
    ring.post(0, r(8));
    ring.post(1, r(8));
    ring.take(2);
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
  'inOrder',
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

  it('is taken up once, though the driver looks at both rings in the midst of it', () => {
    const looks = [false, true].map(meanwhile => {
      const ring = new SplitRing({ concurrent: true });
      const { driver, device } = ring.at;
      if (meanwhile) ring.bench.machine.onUsed = () => look(ring.driver.memory, driver, device + 4 - driver);
      taken(ring, 0);
      ring.give(0);
      return ring.bench.looks('usedIndex');
    });
    expect(looks[1]).toBe(looks[0]);
  });

  it('is seen in memory otherwise', () => {
    const ring = new SplitRing({});
    const stood: number[] = [];
    ring.bench.machine.onUsed = () => void stood.push(ring.unseen.used.get16(2));
    taken(ring, 0);
    ring.give(0);
    expect(stood).toEqual([1]);
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
