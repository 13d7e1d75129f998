/** What a device returns, whatever the format of the ring, observation by observation. */
import { describe, expect, it } from 'vitest';
import { breaks, fill, holds, queues } from './bench.js';
import { formats, onEither, taken } from './either-ring.js';
import { r, w } from './split-ring.js';

const inOrder = { features: { inOrder: true } };

onEither(
  'usedIndex',
  holds('chain by chain, round the ring', 6, ring => {
    ring.roundTrips(3);
    taken(ring, 0, 1, 2);
    for (const name of [2, 0, 1]) ring.give(name);
  }),
);

onEither(
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
  breaks('of one that is back', 'used id 0 is not outstanding', ring => {
    taken(ring, 0, 1);
    ring.give(0);
    ring.give(0);
  }),
);

onEither(
  'usedLength',
  holds('as much as was written without a gap, or less', 3, ring => {
    for (const name of [0, 2]) ring.post(name, w(8), w(8));
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

onEither(
  'inOrder',
  holds('of no interest without IN_ORDER', 0, ring => {
    taken(ring, 0, 1);
    ring.give(1);
    ring.give(0);
  }),
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
      for (const name of [0, 1]) ring.post(name, r(8));
      ring.take();
      ring.give(1, 0, 0);
    },
    inOrder,
  ),
);

describe.each(formats)('what a device publishes in a %s ring', (_format, open) => {
  it('owes no interrupt before the driver is ready, nor for a completion queue, nor when it is wrong', () => {
    const early = open({ early: true });
    taken(early, 0, 1);
    expect(early.bench.toldBy(() => early.give(0))).toEqual(['used 0 0', 'interrupt 1 false']);
    expect(early.bench.toldBy(() => early.give(3))).toEqual([]);
    const completions = open({ index: queues.cq(0) });
    completions.post(0, w(48));
    completions.bench.machine.notifying(queues.cq(0), undefined);
    completions.take();
    completions.give(0);
    completions.bench.machine.atRest();
    expect(completions.bench.told.filter(each => each.startsWith('interrupt'))).toEqual([]);
    expect(completions.bench.breaches).toEqual(['noObject: chain 0 was taken, and no object owns the queue']);
  });
});
