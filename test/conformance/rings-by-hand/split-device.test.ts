/** What a device does to a split ring, observation by observation: what holds, and the smallest history that breaks it. */
import { expect } from 'vitest';
import { breaks, fill, holds, judged, look } from './bench.js';
import type { History } from './bench.js';
import { SplitRing, indirect, r, w } from './split-ring.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<SplitRing>[]): void =>
  judged(key, options => new SplitRing(options), ...histories);
const eventIdx = { features: { eventIdx: true } };
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
