/** What a device returns in a packed ring, observation by observation: what holds, and the smallest history that breaks it. */
import { describe, expect, it } from 'vitest';
import { breaks, fill, holds, judged } from './bench.js';
import type { History } from './bench.js';
import { taken } from './either-ring.js';
import { AVAIL, PackedRing, USED, WRITE, r, w } from './packed-ring.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<PackedRing>[]): void =>
  judged(key, options => new PackedRing(options), ...histories);
const inOrder = { features: { inOrder: true } };
const DISABLE = 1;
const USED_MARK = AVAIL | USED;
const rest = ({ bench, index }: PackedRing): void => {
  bench.machine.notifying(index, undefined);
  bench.machine.atRest();
};
const interrupt = ({ bench, index }: PackedRing): void => bench.machine.interrupting(index);

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
  'inOrder',
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
});
