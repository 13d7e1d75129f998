/** From the moment that a ring is enabled to the one at which its memory is the driver's again, and how it is shown to a person. */
import { describe, expect, it } from 'vitest';
import { Places } from '../../../src/conformance/ring-watch/places.js';
import type { Stretch } from '../../../src/conformance/ring-watch/places.js';
import { WatchedPackedRing } from '../../../src/conformance/ring-watch/watched-packed-ring.js';
import { WatchedSplitRing } from '../../../src/conformance/ring-watch/watched-split-ring.js';
import { DeviceStatus, layOutPackedRing, layOutSplitRing } from '../../../src/virtio/index.js';
import type { QueueAddresses } from '../../../src/virtio/index.js';
import { Bench, breaks, fill, holds, judged, look } from './bench.js';
import type { RingOptions } from './bench.js';
import { AVAIL, PackedRing, USED } from './packed-ring.js';
import { SplitRing, r, w } from './split-ring.js';

/** Memory for a ring of four that is not enabled yet. */
class Unset {
  readonly bench: Bench;
  readonly at: QueueAddresses;

  constructor(options: RingOptions) {
    this.bench = new Bench(options);
    const lay = this.bench.features.packed === true ? layOutPackedRing : layOutSplitRing;
    this.at = lay(this.bench.memory(256).address, 4);
  }

  set(address: number, value = 1): void {
    fill(this.bench.guest.memory, address, 1, value);
  }
  /** What else is wrong with what was put into the ring is another observation's. */
  setUpAlone(): void {
    const { breaches } = this.bench;
    breaches.splice(0, breaches.length, ...breaches.filter(each => each.startsWith('setUp')));
  }
  enable(size = 4): void {
    this.bench.machine.enabling(0, size, this.at);
  }
}

const packed = { features: { packed: true } };
const open = (options: RingOptions): Unset => new Unset(options);
const dirty = (about: string, where: string, offset: (at: QueueAddresses) => number, options?: RingOptions) =>
  breaks<Unset>(
    about,
    `queue 0: ${where} is not zero`,
    unset => {
      unset.set(offset(unset.at));
      unset.enable();
    },
    options,
  );

judged(
  'setUp',
  open,
  holds('memory of zeros', 1, unset => unset.enable()),
  holds('flags and the entry to be told of, which the driver may set before', 1, unset => {
    unset.set(unset.at.driver);
    unset.set(unset.at.driver + 12);
    unset.enable();
  }),
  ...[2, 3].map(byte =>
    holds<Unset>(`chains that were put into it before, byte ${byte} of the index`, 1, unset => {
      unset.set(unset.at.driver + byte);
      unset.set(unset.at.driver + 4);
      unset.set(unset.at.descriptors + 20);
      unset.enable();
      unset.setUpAlone();
    }),
  ),
  holds('of a ring with a past nothing is asked', 1, unset => {
    unset.set(unset.at.device + 7);
    unset.bench.machine.enabling(0, 4, unset.at, { avail: 0, used: 0 });
  }),
  breaks('a size that is none', 'queue 0: size 3 is not a power of two in 1..32768', unset =>
    unset.enable(3),
  ),
  breaks('twice', 'queue 0: it is enabled already', unset => {
    unset.enable();
    unset.enable();
  }),
  dirty('the first byte of the used ring', 'byte 0 of the used ring', at => at.device),
  dirty('the last byte of the used ring', 'byte 37 of the used ring', at => at.device + 37),
  dirty('a slot without an index', 'byte 4 of the available ring', at => at.driver + 4),
  dirty('the last slot without an index', 'byte 11 of the available ring', at => at.driver + 11),
  dirty('the first byte of a descriptor', 'byte 0 of the descriptor table', at => at.descriptors),
  dirty('the last byte of the last descriptor', 'byte 63 of the descriptor table', at => at.descriptors + 63),
);

judged(
  'setUp',
  open,
  holds('a packed ring of zeros', 1, unset => unset.enable(), packed),
  holds(
    'the driver’s wish, and chains that were put into it before',
    1,
    unset => {
      unset.set(unset.at.driver + 2);
      for (const slot of [0, 1, 2, 3]) {
        unset.set(unset.at.descriptors + 16 * slot + 8, 4);
        unset.set(unset.at.descriptors + 16 * slot + 14, AVAIL);
      }
      unset.enable();
      unset.setUpAlone();
    },
    packed,
  ),
  dirty(
    'the first byte of the device’s wish',
    "byte 0 of the device's event structure",
    at => at.device,
    packed,
  ),
  dirty('the last byte of it', "byte 3 of the device's event structure", at => at.device + 3, packed),
  dirty('the first byte of what is no chain', 'byte 0 of the descriptor ring', at => at.descriptors, packed),
  dirty('the last byte of the ring', 'byte 63 of the descriptor ring', at => at.descriptors + 63, packed),
  breaks(
    'marks that are not those of a chain',
    'queue 0: byte 14 of the descriptor ring is not zero',
    unset => {
      unset.set(unset.at.descriptors + 14, AVAIL);
      unset.set(unset.at.descriptors + 15, USED >> 8);
      unset.enable();
    },
    packed,
  ),
  breaks(
    'the first byte behind a chain',
    'queue 0: byte 16 of the descriptor ring is not zero',
    unset => {
      unset.set(unset.at.descriptors + 14, AVAIL);
      unset.set(unset.at.descriptors + 16, 1);
      unset.enable();
      unset.setUpAlone();
    },
    packed,
  ),
);

describe('a ring that is enabled', () => {
  it('lies in guest memory, all of it', () => {
    const { bench } = new Unset({});
    const at = (lay: typeof layOutSplitRing, name: keyof QueueAddresses) => ({
      ...lay(bench.memory(256).address, 4),
      [name]: 4096,
      index: 0,
      size: 4,
    });
    const features = { indirect: true, eventIdx: false };
    for (const name of ['driver', 'device'] as const)
      expect(() => new WatchedSplitRing(bench.machine, at(layOutSplitRing, name), features, 'other')).toThrow(
        'queue 0: not in guest memory',
      );
    for (const name of ['descriptors', 'driver', 'device'] as const)
      expect(
        () => new WatchedPackedRing(bench.machine, at(layOutPackedRing, name), features, 'other'),
      ).toThrow('queue 0: not in guest memory');
  });

  it('owes nothing at rest once the driver has given up, or when it is lost', () => {
    const given = new SplitRing({});
    given.post(0, r(8));
    given.bench.machine.statusWriting(DeviceStatus.FAILED);
    expect(given.bench.toldBy(() => given.bench.machine.atRest())).toEqual(['published 1 false']);
    expect(given.bench.breaches).toEqual([]);
    const lost = new SplitRing({});
    lost.post(0, r(8));
    lost.driver.availIdx(0);
    lost.bench.machine.atRest();
    expect(lost.bench.breaches).toHaveLength(1);
  });

  it('is looked at for strays only when somebody has written to it', () => {
    const ring = new PackedRing({});
    ring.bench.machine.atRest();
    expect([ring.bench.looks('availPlace'), ring.bench.looks('usedPlace')]).toEqual([0, 0]);
    ring.driver.flags(0, 0);
    ring.bench.machine.atRest();
    expect([ring.bench.looks('availPlace'), ring.bench.looks('usedPlace')]).toEqual([1, 0]);
  });

  it('gives its memory and that of its chains back when its queue is reset', () => {
    const ring = new SplitRing({});
    const other = new SplitRing({ index: 1 }, ring.bench);
    ring.post(0, r(8));
    const state = ring.bench.machine.rings.get(0);
    ring.bench.machine.queueReset(0);
    expect(state?.lost).toBe(true);
    ring.driver.usedIdx(1);
    ring.describe(0, w(3));
    expect(ring.bench.breaches).toEqual([]);
    look(ring.device.memory, ring.buffer(0), 4);
    ring.device.readUsedIdx();
    fill(ring.device.memory, ring.at.descriptors, 2);
    expect(ring.bench.breaches.map(each => each.slice(0, 34))).toEqual([
      'readsWithin: the device read 4 byt',
      'readsWithin: the device read 2 byt',
      'writesWithin: the device wrote 2 b',
    ]);
    other.roundTrips(1);
    expect(ring.bench.breaches).toHaveLength(3);
  });

  it('knows no bytes of a part that has none, nor of a table of a life before', () => {
    const ring = new SplitRing({});
    ring.driver.memory.write(ring.buffer(8), new Uint8Array(16).fill(0), 0, 16);
    const table = new DataView(new ArrayBuffer(16));
    table.setBigUint64(0, BigInt(ring.buffer(4)), true);
    table.setUint32(8, 4, true);
    ring.driver.memory.write(ring.buffer(8), new Uint8Array(table.buffer), 0, 16);
    ring.driver.descriptor(0, ring.buffer(8), 16, 4);
    ring.offer(0);
    ring.take();
    ring.give(0);
    ring.takeBack();
    ring.post(0, r(4), r(0), w(4));
    ring.take();
    for (const at of [8, 1]) fill(ring.device.memory, ring.buffer(at) - 1, 2);
    expect(ring.bench.breaches.map(each => each.slice(0, 12))).toEqual([
      'emptyDescrip',
      'writesWithin',
      'writesWithin',
    ]);
  });
});

describe('a ring as a person reads it', () => {
  const shown = (lines: readonly string[] | undefined): readonly string[] | undefined =>
    lines?.map(line => line.replaceAll(/0x1[0-9a-f]{8}/g, 'ADDRESS'));

  it('has its words, and the chains that are out, with the first breach of each kind', () => {
    const ring = new SplitRing({ features: { eventIdx: true, inOrder: true } });
    ring.roundTrips(1);
    ring.post(1, r(8), w(16));
    ring.driver.usedEvent(5);
    ring.device.availEvent(3);
    ring.driver.usedIdx(1);
    expect(shown(ring.bench.tally.breaches.get('usedRing')?.rings)).toEqual([
      'queue 0 (other), 4 entries, EVENT_IDX, IN_ORDER',
      'available idx 2 flags 0 used_event 5, taken up to 1',
      'used      idx 1 flags 0 avail_event 3, consumed up to 1',
      'chain 1 available, slot 1: r ADDRESS+8, w ADDRESS+16',
    ]);
    expect(ring.bench.machine.dump()).toHaveLength(4);
    expect(ring.bench.tally.breaches.get('usedRing')?.message).toBe(
      'machine 3, queue 0: the driver wrote bytes 2..3 of its used ring',
    );
  });

  it('has the first dozen of them, and how many there are besides', () => {
    for (const [chains, lines, last] of [
      [12, 15, 'chain 11 available'],
      [15, 16, 'and 3 more chains'],
    ] as const) {
      const ring = new SplitRing({ size: 16 });
      for (let head = 0; head < chains; head++) ring.post(head, r(1));
      const dump = ring.bench.machine.dump();
      expect(dump).toHaveLength(lines);
      expect(dump.at(-1)).toContain(last);
    }
  });

  it('shows where each side of a packed ring is, and what stands there', () => {
    const ring = new PackedRing({ features: { eventIdx: true } });
    ring.roundTrips(3);
    ring.post(7, r(8), w(16));
    ring.take();
    ring.driver.driverWish(2, 0x8003);
    ring.device.deviceWish(2, 0x0001);
    expect(shown(ring.bench.machine.dump())).toEqual([
      'queue 0 (other), 4 entries, packed, EVENT_IDX',
      'published up to 1/0, taken up to 1/0; the driver asks: mode 2 at 3/1',
      'used      up to 3/1, consumed up to 3/1; the device asks: mode 2 at 1/0',
      `descriptor 3: flags 0x${(AVAIL | 1).toString(16)}, id 7`,
      'chain 0 taken, slot 3: r ADDRESS+8, w ADDRESS+16',
    ]);
    expect(USED).toBe(0x8000);
  });

  it('says nothing of rings that nothing is in', () => {
    const ring = new SplitRing({});
    ring.roundTrips(1);
    expect(ring.bench.machine.dump()).toEqual([]);
  });
});

describe('places in memory', () => {
  const at = (start: number, end: number): Stretch => ({ start, end });

  it('are found by any byte of theirs, and by no other', () => {
    const places = new Places<Stretch>();
    const [long, short] = [at(100, 900), at(300, 301)];
    for (const each of [long, short]) places.add(each);
    expect([...places.touching(0, 100)]).toEqual([]);
    expect([...places.touching(0, 101)]).toEqual([long]);
    expect([...places.touching(899, 2000)]).toEqual([long]);
    expect([...places.touching(900, 2000)]).toEqual([]);
    expect([...places.touching(299, 301)]).toEqual([long, short]);
    expect([...places.touching(301, 400)]).toEqual([long]);
  });

  it('are gone when they are taken away, and the others stay', () => {
    const places = new Places<Stretch>();
    const all = [at(0, 8), at(8, 600), at(16, 24)];
    for (const each of all) places.add(each);
    places.remove(all[0]);
    expect([...places.touching(0, 300)].toSorted((a, b) => a.start - b.start)).toEqual([all[1], all[2]]);
    places.remove(at(8, 600));
    expect([...places.touching(500, 501)]).toEqual([all[1]]);
    places.remove(all[2]);
    places.remove(all[1]);
    expect([...places.touching(0, 1000)]).toEqual([]);
    places.add(all[0]);
    places.clear();
    expect([...places.touching(0, 1000)]).toEqual([]);
  });
});
