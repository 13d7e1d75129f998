/** Who tells whom about a split ring, and who looks when: the wishes of both sides, with and without the event index. */
import { describe, expect, it } from 'vitest';
import { breaks, holds, judged, look } from './bench.js';
import type { History } from './bench.js';
import { SplitRing, r } from './split-ring.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<SplitRing>[]): void =>
  judged(key, options => new SplitRing(options), ...histories);
const eventIdx = { features: { eventIdx: true } };
const early = { early: true };
const notify = ({ bench, index }: SplitRing): void => bench.machine.notifying(index, undefined);
const interrupt = ({ bench, index }: SplitRing): void => bench.machine.interrupting(index);
const rest = ({ bench }: SplitRing): void => bench.machine.atRest();
/** A chain that the device was told of, and has taken. */
const taken = (ring: SplitRing, head = 0): void => {
  ring.post(head, r(8));
  notify(ring);
  ring.take();
};
/** A chain that has gone all the way, with all that has to be told. */
const gone = (ring: SplitRing): void => {
  taken(ring);
  ring.give(0);
  interrupt(ring);
  ring.takeBack();
};
const missing = (from: number, to: number): string =>
  `the index went from ${from} to ${to}, the other side wants to be told, and nothing came`;
const unlooked = (idx: number): string => `it raised the index to ${idx} and did not look at the wish again`;
const blind = 'it asked to be told and waited without another look at the index';
const nothing = 'nothing is new';
const unwanted = 'the other side does not want to be told';

on(
  'kickMissing',
  holds('a notification for a chain', 1, ring => {
    ring.post(0, r(8));
    notify(ring);
    rest(ring);
  }),
  holds('none for a device that does not want it', 1, ring => {
    ring.device.usedFlags(1);
    ring.post(0, r(8));
    rest(ring);
  }),
  holds(
    'none for an entry that the device does not ask for, one for the one that it does',
    2,
    ring => {
      ring.device.availEvent(1);
      ring.post(0, r(8));
      ring.driver.readAvailEvent();
      ring.post(1, r(8));
      notify(ring);
      rest(ring);
    },
    eventIdx,
  ),
  holds(
    'none before the driver is ready',
    0,
    ring => {
      ring.post(0, r(8));
      rest(ring);
    },
    early,
  ),
  breaks('none for a device that wants it', missing(0, 1), ring => {
    ring.post(0, r(8));
    rest(ring);
  }),
  breaks(
    'none for the entry that the device asks for',
    missing(1, 2),
    ring => {
      ring.device.availEvent(1);
      ring.post(0, r(8));
      ring.driver.readAvailEvent();
      ring.post(1, r(8));
      rest(ring);
    },
    eventIdx,
  ),
);

on(
  'kickNeedless',
  holds('one for each raise', 2, ring => {
    ring.post(0, r(8));
    notify(ring);
    ring.post(1, r(8));
    notify(ring);
  }),
  breaks('nothing was raised', nothing, ring => {
    ring.post(0, r(8));
    notify(ring);
    notify(ring);
  }),
  breaks('the device does not want it', unwanted, ring => {
    ring.device.usedFlags(1);
    ring.post(0, r(8));
    notify(ring);
  }),
  breaks(
    'the device waits for another entry',
    unwanted,
    ring => {
      ring.device.availEvent(1);
      ring.post(0, r(8));
      notify(ring);
    },
    eventIdx,
  ),
);

on(
  'driverBarrier',
  holds('a look behind the raise', 1, ring => {
    ring.device.usedFlags(1);
    ring.driver.readUsedFlags();
    ring.post(0, r(8));
    ring.driver.readUsedFlags();
    rest(ring);
  }),
  holds(
    'a look at the entry behind the raise',
    1,
    ring => {
      ring.device.availEvent(5);
      ring.driver.readAvailEvent();
      ring.post(0, r(8));
      ring.driver.readAvailEvent();
      rest(ring);
    },
    eventIdx,
  ),
  holds('other words are no wish without the event index, nor with it', 0, ring => {
    ring.device.usedFlags(1);
    ring.driver.readUsedIdx();
    ring.driver.readAvailEvent();
    ring.post(0, r(8));
    rest(ring);
  }),
  holds(
    'the flags are none with it',
    0,
    ring => {
      ring.device.availEvent(5);
      ring.driver.readUsedFlags();
      ring.driver.readUsedIdx();
      ring.driver.readElement(3);
      ring.post(0, r(8));
      rest(ring);
    },
    eventIdx,
  ),
  breaks('a look before the raise alone', unlooked(1), ring => {
    ring.device.usedFlags(1);
    ring.driver.readUsedFlags();
    ring.post(0, r(8));
    rest(ring);
  }),
  breaks(
    'a look at the entry before the raise alone',
    unlooked(1),
    ring => {
      ring.device.availEvent(5);
      ring.driver.readAvailEvent();
      ring.post(0, r(8));
      rest(ring);
    },
    eventIdx,
  ),
);

on(
  'driverRecheck',
  holds('a look at the index behind the wish', 1, ring => {
    ring.driver.readUsedIdx();
    taken(ring);
    ring.driver.availFlags(0);
    ring.driver.readUsedIdx();
    rest(ring);
  }),
  holds('of no interest when nothing is out', 0, ring => {
    gone(ring);
    ring.driver.availFlags(0);
    rest(ring);
    ring.driver.availFlags(1);
  }),
  holds('not asked for by who does not want to be told', 0, ring => {
    ring.driver.readUsedIdx();
    taken(ring);
    ring.driver.availFlags(1);
    rest(ring);
  }),
  holds(
    'nor by who asks for a later entry, or for one that cannot come',
    0,
    ring => {
      gone(ring);
      ring.post(0, r(8));
      ring.take();
      ring.driver.usedEvent(2);
      rest(ring);
      ring.driver.usedEvent(5);
      rest(ring);
    },
    eventIdx,
  ),
  holds(
    'nor is the flag a wish with the event index',
    0,
    ring => {
      ring.driver.readUsedIdx();
      taken(ring);
      ring.driver.usedEvent(1);
      ring.driver.availFlags(0);
      rest(ring);
    },
    eventIdx,
  ),
  breaks('none while a chain is out', blind, ring => {
    ring.driver.readUsedIdx();
    taken(ring);
    ring.driver.availFlags(0);
    rest(ring);
  }),
  breaks('none while a chain is back and not taken', blind, ring => {
    ring.driver.readUsedIdx();
    ring.driver.availFlags(1);
    taken(ring);
    ring.give(0);
    ring.driver.availFlags(0);
    rest(ring);
  }),
  breaks(
    'none with the event index, in a ring that has gone on',
    blind,
    ring => {
      gone(ring);
      ring.post(0, r(8));
      ring.take();
      ring.driver.usedEvent(1);
      rest(ring);
    },
    eventIdx,
  ),
);

on(
  'interruptMissing',
  holds('an interrupt for a chain', 1, ring => {
    taken(ring);
    ring.give(0);
    interrupt(ring);
    rest(ring);
  }),
  holds('one is enough for an index that is stored twice', 1, ring => {
    taken(ring);
    ring.give(0);
    interrupt(ring);
    ring.device.usedIdx(1);
    rest(ring);
  }),
  holds('none for a driver that does not want it', 1, ring => {
    ring.driver.availFlags(1);
    taken(ring);
    ring.give(0);
    rest(ring);
  }),
  breaks('none for a driver that wants it', missing(0, 1), ring => {
    taken(ring);
    ring.give(0);
    rest(ring);
  }),
  breaks(
    'none for the entry that the driver asks for',
    missing(1, 2),
    ring => {
      ring.driver.usedEvent(1);
      for (const head of [0, 1]) ring.post(head, r(8));
      notify(ring);
      ring.take(2);
      ring.give(0);
      ring.device.readUsedEvent();
      ring.give(1);
      rest(ring);
    },
    eventIdx,
  ),
);

on(
  'interruptNeedless',
  holds('one for each raise', 1, ring => {
    taken(ring);
    ring.give(0);
    interrupt(ring);
  }),
  breaks('nothing was raised', nothing, ring => interrupt(ring)),
  breaks('the driver does not want it', unwanted, ring => {
    ring.driver.availFlags(1);
    taken(ring);
    ring.give(0);
    interrupt(ring);
  }),
  breaks(
    'the driver waits for another entry',
    unwanted,
    ring => {
      ring.driver.usedEvent(3);
      taken(ring);
      ring.give(0);
      interrupt(ring);
    },
    eventIdx,
  ),
);

on(
  'deviceBarrier',
  holds('a look behind the raise', 1, ring => {
    ring.driver.availFlags(1);
    ring.device.readAvailFlags();
    taken(ring);
    ring.give(0);
    ring.device.readAvailFlags();
    rest(ring);
  }),
  holds('other words are no wish without the event index', 0, ring => {
    ring.driver.availFlags(1);
    ring.device.readAvailIdx();
    ring.device.readUsedEvent();
    taken(ring);
    ring.give(0);
    rest(ring);
  }),
  holds(
    'nor with it',
    0,
    ring => {
      ring.driver.usedEvent(3);
      ring.device.readAvailFlags();
      ring.device.readAvailIdx();
      look(ring.device.memory, ring.at.driver + 8, 4);
      taken(ring);
      ring.give(0);
      rest(ring);
    },
    eventIdx,
  ),
  breaks('a look before the raise alone', unlooked(1), ring => {
    ring.driver.availFlags(1);
    ring.device.readAvailFlags();
    taken(ring);
    ring.give(0);
    rest(ring);
  }),
  breaks(
    'a look at the entry before the raise alone',
    unlooked(1),
    ring => {
      ring.driver.usedEvent(3);
      ring.device.readUsedEvent();
      taken(ring);
      ring.give(0);
      rest(ring);
    },
    eventIdx,
  ),
);

on(
  'deviceRecheck',
  holds('a look at the index behind the wish', 1, ring => {
    ring.device.readAvailIdx();
    ring.device.usedFlags(0);
    ring.device.readAvailIdx();
    rest(ring);
  }),
  holds('not asked for by who does not want to be told', 0, ring => {
    ring.device.readAvailIdx();
    ring.device.usedFlags(1);
    rest(ring);
  }),
  holds(
    'nor by who asks for a later entry, or for one that cannot come',
    0,
    ring => {
      gone(ring);
      ring.device.availEvent(2);
      rest(ring);
      ring.device.availEvent(5);
      rest(ring);
    },
    eventIdx,
  ),
  holds(
    'nor is the flag a wish with the event index',
    0,
    ring => {
      ring.device.readAvailIdx();
      ring.device.usedFlags(0);
      rest(ring);
    },
    eventIdx,
  ),
  breaks('none', blind, ring => {
    ring.device.readAvailIdx();
    ring.device.usedFlags(0);
    rest(ring);
  }),
  breaks(
    'none with the event index, in a ring that has gone on',
    blind,
    ring => {
      gone(ring);
      ring.device.availEvent(1);
      rest(ring);
    },
    eventIdx,
  ),
);

describe('[VQ-73] [VQ-74] who sleeps', () => {
  const told = (ring: SplitRing, act: () => void): readonly string[] => ring.bench.toldBy(act);

  it.each([{}, eventIdx])('a side that finds nothing and wants to be told, until it withdraws', options => {
    const ring = new SplitRing(options);
    expect(told(ring, () => ring.device.readAvailIdx())).toEqual(['asleep device']);
    expect(told(ring, () => ring.driver.readUsedIdx())).toEqual(['asleep driver']);
    const withEvent = ring.bench.features.eventIdx;
    const withdraw = (): void => {
      if (withEvent) ring.driver.usedEvent(4);
      else ring.driver.availFlags(1);
      if (withEvent) ring.device.availEvent(4);
      else ring.device.usedFlags(1);
    };
    expect(told(ring, withdraw)).toEqual(['woke driver', 'woke device']);
    expect(told(ring, () => ring.device.readAvailIdx())).toEqual([]);
    expect(told(ring, () => ring.driver.readUsedIdx())).toEqual([]);
  });

  it('not a side that asks for an entry that is not the next one', () => {
    const ring = new SplitRing(eventIdx);
    ring.driver.readUsedIdx();
    ring.device.readAvailIdx();
    const later = (): void => {
      ring.driver.usedEvent(3);
      ring.device.availEvent(3);
    };
    // It may still be told of that one.
    expect(told(ring, later)).toEqual([]);
    expect(told(ring, () => ring.driver.readUsedIdx())).toEqual([]);
  });

  it('and what is decided of a raise is told when it is', () => {
    const ring = new SplitRing({});
    expect(told(ring, () => ring.post(0, r(8)))).toEqual(['available 0 8 0']);
    expect(told(ring, () => notify(ring))).toEqual(['published 1 true', 'notified']);
    expect(told(ring, () => ring.take())).toEqual(['taken 0']);
    expect(told(ring, () => ring.give(0))).toEqual(['used 0 0']);
    expect(told(ring, () => interrupt(ring))).toEqual(['interrupt 1 true']);
    expect(told(ring, () => ring.takeBack())).toEqual(['consumed 0 0']);
  });
});
