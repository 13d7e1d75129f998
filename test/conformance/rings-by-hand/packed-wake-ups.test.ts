/** Who tells whom about a packed ring, and who looks when: the wishes in both event structures, by mode and by descriptor. */
import { describe, expect, it } from 'vitest';
import { breaks, holds, judged } from './bench.js';
import type { History } from './bench.js';
import { PackedRing, r } from './packed-ring.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<PackedRing>[]): void =>
  judged(key, options => new PackedRing(options), ...histories);
const eventIdx = { features: { eventIdx: true } };
const early = { early: true };
const [ENABLE, DISABLE, DESC] = [0, 1, 2];
const lap1 = (slot: number): number => 0x8000 | slot;
const notify = ({ bench, index }: PackedRing): void => bench.machine.notifying(index, undefined);
const interrupt = ({ bench, index }: PackedRing): void => bench.machine.interrupting(index);
const rest = ({ bench }: PackedRing): void => bench.machine.atRest();
/** A chain that the device was told of, and has taken. */
const taken = (ring: PackedRing): void => {
  ring.post(0, r(8));
  notify(ring);
  ring.take();
};
const missing = (from: number, to: number): string =>
  `the index went from ${from} to ${to}, the other side wants to be told, and nothing came`;
const unlooked = (idx: number): string => `it raised the index to ${idx} and did not look at the wish again`;
const blind = 'it asked to be told and waited without another look at the index';
const unwanted = 'the other side does not want to be told';

on(
  'kickMissing',
  holds('a notification for a chain', 1, ring => {
    ring.post(0, r(8));
    notify(ring);
    rest(ring);
  }),
  holds('none for a device that does not want it', 1, ring => {
    ring.device.deviceWish(DISABLE);
    ring.post(0, r(8));
    rest(ring);
  }),
  holds(
    'none for a descriptor that it does not ask for, one for the one that it does',
    2,
    ring => {
      ring.device.deviceWish(DESC, lap1(2));
      ring.post(0, r(8), r(8));
      ring.driver.readDeviceWish();
      ring.post(1, r(8));
      notify(ring);
      rest(ring);
    },
    eventIdx,
  ),
  holds(
    'none for a descriptor that was passed before',
    2,
    ring => {
      ring.device.deviceWish(DESC, lap1(0));
      ring.post(0, r(8));
      notify(ring);
      ring.post(1, r(8));
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
  breaks('none for a device that wants it', missing(0, 2), ring => {
    ring.post(0, r(8), r(8));
    rest(ring);
  }),
  breaks(
    'none for a descriptor in the middle of a chain that it asks for',
    missing(2, 4),
    ring => {
      ring.device.deviceWish(DESC, lap1(3));
      ring.post(0, r(8), r(8));
      ring.driver.readDeviceWish();
      ring.post(1, r(8), r(8));
      rest(ring);
    },
    eventIdx,
  ),
);

on(
  'kickNeedless',
  breaks('nothing was raised', 'nothing is new', ring => {
    taken(ring);
    notify(ring);
  }),
  breaks('the device does not want it', unwanted, ring => {
    ring.device.deviceWish(DISABLE);
    taken(ring);
  }),
  breaks(
    'the device waits for another descriptor',
    unwanted,
    ring => {
      ring.device.deviceWish(DESC, lap1(1));
      taken(ring);
    },
    eventIdx,
  ),
);

on(
  'driverBarrier',
  holds('a look behind the raise', 1, ring => {
    ring.device.deviceWish(DISABLE);
    ring.driver.readDeviceWish();
    ring.post(0, r(8));
    ring.driver.readDeviceWish();
    rest(ring);
  }),
  holds('other words are no wish', 0, ring => {
    ring.device.deviceWish(DISABLE);
    ring.driver.readFlags(0);
    ring.driver.readDriverWish();
    ring.post(0, r(8));
    rest(ring);
  }),
  breaks('a look before the raise alone', unlooked(1), ring => {
    ring.device.deviceWish(DISABLE);
    ring.driver.readDeviceWish();
    ring.post(0, r(8));
    rest(ring);
  }),
);

on(
  'driverRecheck',
  holds('a look at the flags behind the wish', 1, ring => {
    ring.driver.readFlags(0);
    taken(ring);
    ring.driver.driverWish(ENABLE);
    ring.driver.readFlags(0);
    rest(ring);
  }),
  holds('of no interest when nothing is out', 0, ring => {
    taken(ring);
    ring.give(0);
    interrupt(ring);
    ring.takeBack();
    ring.driver.driverWish(ENABLE);
    rest(ring);
  }),
  holds('not asked for by who does not want to be told', 0, ring => {
    ring.driver.readFlags(0);
    taken(ring);
    ring.driver.driverWish(DISABLE);
    rest(ring);
  }),
  holds(
    'nor by who asks for a later descriptor',
    0,
    ring => {
      ring.driver.readFlags(0);
      taken(ring);
      ring.driver.driverWish(DESC, lap1(1));
      rest(ring);
    },
    eventIdx,
  ),
  holds(
    'the mode once more, of one that has looked since it wrote the descriptor',
    1,
    ring => {
      ring.driver.readFlags(0);
      taken(ring);
      ring.driver.driverWish(DESC, lap1(0));
      ring.driver.readFlags(0);
      ring.driver.driverWish(DESC);
      rest(ring);
    },
    eventIdx,
  ),
  breaks('none while a chain is out', blind, ring => {
    ring.driver.readFlags(0);
    taken(ring);
    ring.driver.driverWish(ENABLE);
    rest(ring);
  }),
  breaks('the mode that enables once more, too', blind, ring => {
    ring.driver.readFlags(0);
    taken(ring);
    ring.driver.driverWish(ENABLE);
    ring.driver.readFlags(0);
    ring.driver.driverWish(ENABLE);
    rest(ring);
  }),
  breaks('none while a chain is back and not taken', blind, ring => {
    ring.driver.readFlags(0);
    ring.driver.driverWish(DISABLE);
    taken(ring);
    ring.give(0);
    ring.driver.driverWish(ENABLE);
    rest(ring);
  }),
  breaks(
    'none for the next descriptor',
    blind,
    ring => {
      ring.driver.readFlags(0);
      taken(ring);
      ring.driver.driverWish(DESC, lap1(0));
      rest(ring);
    },
    eventIdx,
  ),
  breaks(
    'none for the next descriptor, whose mode was there already',
    blind,
    ring => {
      ring.driver.readFlags(0);
      taken(ring);
      ring.driver.driverWish(DESC, lap1(3));
      ring.driver.driverEvent.store16(0, lap1(0));
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
  holds('none for a driver that does not want it', 1, ring => {
    ring.driver.driverWish(DISABLE);
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
    'none for the descriptor that it asks for',
    missing(1, 2),
    ring => {
      ring.driver.driverWish(DESC, lap1(1));
      ring.post(0, r(8));
      ring.post(1, r(8));
      notify(ring);
      ring.take(2);
      ring.give(0);
      ring.device.readDriverWish();
      ring.give(1);
      rest(ring);
    },
    eventIdx,
  ),
);

on(
  'interruptNeedless',
  breaks('nothing was raised', 'nothing is new', ring => interrupt(ring)),
  breaks('the driver does not want it', unwanted, ring => {
    ring.driver.driverWish(DISABLE);
    taken(ring);
    ring.give(0);
    interrupt(ring);
  }),
  breaks(
    'the driver waits for another descriptor',
    unwanted,
    ring => {
      ring.driver.driverWish(DESC, lap1(1));
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
    ring.driver.driverWish(DISABLE);
    ring.device.readDriverWish();
    taken(ring);
    ring.give(0);
    ring.device.readDriverWish();
    rest(ring);
  }),
  holds('other words are no wish', 0, ring => {
    ring.driver.driverWish(DISABLE);
    ring.device.readDeviceWish();
    taken(ring);
    ring.give(0);
    rest(ring);
  }),
  breaks('a look before the raise alone', unlooked(1), ring => {
    ring.driver.driverWish(DISABLE);
    ring.device.readDriverWish();
    taken(ring);
    ring.give(0);
    rest(ring);
  }),
);

on(
  'deviceRecheck',
  holds('a look at the flags behind the wish', 1, ring => {
    ring.device.readFlags(0);
    ring.device.deviceWish(ENABLE);
    ring.device.readFlags(0);
    rest(ring);
  }),
  holds('not asked for by who does not want to be told', 0, ring => {
    ring.device.readFlags(0);
    ring.device.deviceWish(DISABLE);
    rest(ring);
  }),
  holds(
    'nor by who asks for a later descriptor',
    0,
    ring => {
      ring.device.readFlags(0);
      ring.device.deviceWish(DESC, lap1(1));
      rest(ring);
    },
    eventIdx,
  ),
  holds(
    'the mode once more, of one that has looked since it wrote the descriptor',
    1,
    ring => {
      ring.device.readFlags(0);
      ring.device.deviceWish(DESC, lap1(0));
      ring.device.readFlags(0);
      ring.device.deviceWish(DESC);
      rest(ring);
    },
    eventIdx,
  ),
  breaks('none', blind, ring => {
    ring.device.readFlags(0);
    ring.device.deviceWish(ENABLE);
    rest(ring);
  }),
  breaks('the mode that enables once more, too', blind, ring => {
    ring.device.readFlags(0);
    ring.device.deviceWish(ENABLE);
    ring.device.readFlags(0);
    ring.device.deviceWish(ENABLE);
    rest(ring);
  }),
  breaks(
    'none for the next descriptor',
    blind,
    ring => {
      ring.device.readFlags(0);
      ring.device.deviceWish(DESC, lap1(0));
      rest(ring);
    },
    eventIdx,
  ),
  breaks(
    'none for the next descriptor, whose mode was there already',
    blind,
    ring => {
      ring.device.readFlags(0);
      ring.device.deviceWish(DESC, lap1(3));
      ring.device.deviceEvent.store16(0, lap1(0));
      rest(ring);
    },
    eventIdx,
  ),
);

describe('[VQ-73] [VQ-74] who sleeps', () => {
  const told = (ring: PackedRing, act: () => void): readonly string[] => ring.bench.toldBy(act);

  it('a side that finds nothing where it goes on and wants to be told, until it withdraws', () => {
    const ring = new PackedRing({});
    expect(told(ring, () => ring.device.readFlags(1))).toEqual([]);
    expect(told(ring, () => ring.driver.readFlags(1))).toEqual([]);
    expect(told(ring, () => ring.device.readBody(0))).toEqual([]);
    expect(told(ring, () => ring.driver.readId(0))).toEqual([]);
    expect(told(ring, () => ring.device.readFlags(0))).toEqual(['asleep device']);
    expect(told(ring, () => ring.driver.readFlags(0))).toEqual(['asleep driver']);
    const withdraw = (): void => {
      ring.driver.driverWish(DISABLE);
      ring.device.deviceWish(DISABLE);
    };
    expect(told(ring, withdraw)).toEqual(['woke driver', 'woke device']);
    expect(told(ring, () => ring.device.readFlags(0))).toEqual([]);
    expect(told(ring, () => ring.driver.readFlags(0))).toEqual([]);
  });

  it('not a side that asks for a descriptor that is not the next one', () => {
    const ring = new PackedRing(eventIdx);
    ring.driver.driverWish(DESC, lap1(3));
    ring.device.deviceWish(DESC, lap1(3));
    expect(told(ring, () => ring.driver.readFlags(0))).toEqual([]);
    expect(told(ring, () => ring.device.readFlags(0))).toEqual([]);
    ring.driver.driverWish(DESC, lap1(0));
    ring.device.deviceWish(DESC, lap1(0));
    expect(told(ring, () => ring.driver.readFlags(0))).toEqual(['asleep driver']);
    expect(told(ring, () => ring.device.readFlags(0))).toEqual(['asleep device']);
  });

  it('and chains are counted, not descriptors, for who follows them', () => {
    const ring = new PackedRing({});
    expect(told(ring, () => ring.post(0, r(8), r(8)))).toEqual(['available 0 16 0']);
    expect(told(ring, () => notify(ring))).toEqual(['published 1 true', 'notified']);
    expect(told(ring, () => ring.take())).toEqual(['taken 0']);
    expect(told(ring, () => ring.give(0))).toEqual(['used 0 0']);
    expect(told(ring, () => interrupt(ring))).toEqual(['interrupt 1 true']);
    expect(told(ring, () => ring.takeBack())).toEqual(['consumed 0 0']);
    ring.post(1, r(8));
    expect(told(ring, () => ring.take())).toEqual(['published 2 false', 'taken 1']);
    ring.give(1);
    expect(told(ring, () => ring.takeBack())).toEqual(['consumed 1 0', 'interrupt 2 false']);
  });
});
