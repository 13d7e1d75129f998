/** What a device does to a packed ring, observation by observation: what holds, and the smallest history that breaks it. */
import { expect } from 'vitest';
import { breaks, fill, holds, judged, look } from './bench.js';
import type { History } from './bench.js';
import { AVAIL, INDIRECT, NEXT, PackedRing, USED, r, w } from './packed-ring.js';
import type { ObservationKey } from '../../../src/conformance/ring-watch/observations.js';

const on = (key: ObservationKey, ...histories: readonly History<PackedRing>[]): void =>
  judged(key, options => new PackedRing(options), ...histories);
const eventIdx = { features: { eventIdx: true } };
const [ENABLE, DISABLE, DESC] = [0, 1, 2];
const USED_MARK = AVAIL | USED;
/** Chains of one readable part each that the device has taken. */
const taken = (ring: PackedRing, ...ids: readonly number[]): void => {
  for (const id of ids) ring.post(id, r(8));
  ring.take(ids.length);
};

on(
  'takeOrder',
  holds('chain by chain behind the flags that show it, round the ring', 7, ring => {
    ring.roundTrips(3);
    ring.post(0, r(8), w(8));
    ring.post(1, r(8), w(8));
    ring.take(2);
  }),
  holds('flags of what is not there yet, and several slots at once', 2, ring => {
    ring.device.readFlags(0);
    ring.device.readFlags(1);
    look(ring.device.memory, ring.at.descriptors, 32);
  }),
  holds('a whole descriptor at once, flags included', 2, ring => {
    ring.post(0, r(8));
    expect(ring.bench.toldBy(() => ring.device.readBytes(0, 0, 16)).at(-1)).toBe('taken 0');
    ring.device.readBytes(1, 0, 16);
  }),
  holds('two chains at once', 2, ring => {
    ring.post(0, r(8));
    ring.post(1, r(8));
    expect(ring.bench.toldBy(() => look(ring.device.memory, ring.at.descriptors, 32)).slice(1)).toEqual([
      'taken 0',
      'taken 1',
    ]);
  }),
  holds('several at once, the last one without its flags', 2, ring => {
    ring.post(0, r(8));
    ring.post(1, r(8));
    look(ring.device.memory, ring.at.descriptors, 30);
  }),
  breaks('parts of two at once', 'descriptor 1 was read before the flags that show its chain', ring => {
    ring.post(0, r(8));
    ring.post(1, r(8));
    ring.device.readBytes(0, 8, 16);
  }),
  breaks('before the flags', 'descriptor 0 was read before the flags that show its chain', ring => {
    ring.post(0, r(8));
    ring.device.readBody(0);
  }),
  breaks(
    'behind flags that did not show it yet',
    'descriptor 0 was read before the flags that show its chain',
    ring => {
      ring.device.readFlags(0);
      ring.post(0, r(8));
      ring.device.readBody(0);
    },
  ),
  breaks('a later one first', 'descriptor 1 was read before the flags that show its chain', ring => {
    ring.post(0, r(8));
    ring.post(1, r(8));
    ring.device.readFlags(0);
    ring.device.readFlags(1);
    ring.device.readBody(1);
  }),
  breaks('one that is not there', 'descriptor 2 was read before the flags that show its chain', ring => {
    taken(ring, 0);
    ring.device.readBody(2);
  }),
);

on(
  'deviceDoubleFetch',
  holds('each byte once: flags, descriptors, table, bytes', 10, ring => {
    ring.post(0, r(8), w(8));
    ring.take();
    ring.device.readFlags(1);
    ring.read(0, 8);
    for (const i of [0, 1]) ring.driver.memory.write(ring.buffer(8) + 16 * i, entryTo(ring, 4 + i), 0, 16);
    ring.driver.descriptor(2, ring.buffer(8), 32, 2, INDIRECT | AVAIL);
    ring.went(2, 1);
    ring.take();
    look(ring.device.memory, ring.buffer(8), 32);
    ring.read(4, 4);
    look(ring.device.memory, ring.buffer(4) + 4, 4);
  }),
  holds('flags as often as it likes until it reads more, and where it goes on at any time', 5, ring => {
    ring.post(0, r(8));
    ring.device.readFlags(0);
    ring.device.readFlags(0);
    ring.device.readBody(0);
    ring.device.readFlags(1);
    ring.device.readFlags(1);
  }),
  holds('flags of a later descriptor, too', 5, ring => {
    ring.post(0, r(8), w(8));
    ring.device.readFlags(0);
    ring.device.readBody(0);
    for (let i = 0; i < 3; i++) ring.device.readFlags(1);
  }),
  holds('flags of a chain that is back, and of a slot that it had in its life before', 9, ring => {
    ring.post(0, r(8), w(8));
    ring.take();
    ring.device.readFlags(1);
    ring.give(0);
    ring.device.readFlags(1);
    ring.takeBack();
    taken(ring, 0);
    ring.device.readFlags(1);
    ring.device.readFlags(0);
  }),
  holds('where it goes on, round to what it has', 9, ring => {
    taken(ring, 0, 1, 2, 3);
    ring.device.readFlags(0);
  }),
  holds('once more in the next life of a chain, and what nobody has', 10, ring => {
    for (let i = 0; i < 4; i++) {
      taken(ring, 0);
      ring.give(0);
      ring.takeBack();
    }
    taken(ring, 0);
  }),
  holds('nothing is held against what is read of the device’s own', 0, ring => {
    ring.device.readDeviceWish();
    ring.device.readDriverWish();
    ring.device.readDriverWish();
  }),
  breaks('a byte of a descriptor', 'the device read descriptor 1 twice', ring => {
    ring.post(0, r(8), w(8));
    ring.take();
    ring.device.readBytes(1, 8, 1);
  }),
  breaks(
    'several descriptors at once',
    ['the device read descriptor 0 twice', 'the device read descriptor 1 twice'],
    ring => {
      ring.post(0, r(8), w(8));
      ring.device.readFlags(0);
      ring.device.readBytes(0, 13, 1);
      ring.device.readBytes(1, 0, 1);
      look(ring.device.memory, ring.at.descriptors + 13, 4);
    },
  ),
  breaks(
    'flags of a later descriptor that it has read before',
    'the device read the flags of descriptor 1 of chain 0 twice',
    ring => {
      ring.post(0, r(8), w(8));
      ring.take();
      ring.device.readFlags(1);
      ring.device.readFlags(1);
    },
  ),
  breaks(
    'flags of a chain that it has',
    'the device read the flags of descriptor 0 of chain 0 twice',
    ring => {
      taken(ring, 0);
      ring.device.readFlags(0);
    },
  ),
  breaks('a byte of a table', 'the device read the table of chain 0 twice', ring => {
    for (const i of [0, 1]) ring.driver.memory.write(ring.buffer(8) + 16 * i, entryTo(ring, 4 + i), 0, 16);
    ring.driver.descriptor(0, ring.buffer(8), 32, 0, INDIRECT | AVAIL);
    ring.went(0, 1);
    ring.take();
    look(ring.device.memory, ring.buffer(8), 17);
    look(ring.device.memory, ring.buffer(8) + 16, 1);
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
  holds('flags of an element and modes that have a name', 4, ring => {
    ring.post(0, w(8));
    ring.take();
    ring.write(0, 8);
    ring.give(0, 8);
    taken(ring, 1);
    ring.give(1);
    ring.device.deviceWish(DISABLE);
    ring.device.deviceWish(ENABLE);
  }),
  holds(
    'a descriptor to be told of with the event index',
    2,
    ring => ring.device.deviceWish(DESC, 0x8003),
    eventIdx,
  ),
  breaks('NEXT in an element', 'used element 0 has flags 32897', ring => {
    taken(ring, 0);
    ring.device.flags(0, USED_MARK | NEXT);
  }),
  breaks('a descriptor to be told of without it', "the mode of the device's event structure is 2", ring =>
    ring.device.deviceWish(DESC),
  ),
  breaks(
    'a mode that is none',
    "the mode of the device's event structure is 3",
    ring => ring.device.deviceWish(3),
    eventIdx,
  ),
  breaks(
    'a descriptor beyond the ring',
    'the device asks to be told of descriptor 4 of 4',
    ring => {
      ring.device.deviceWish(ENABLE, 4);
      ring.device.deviceWish(DESC);
    },
    eventIdx,
  ),
);

on(
  'foreignAreas',
  holds('the ring, its own words, and writable bytes', 5, ring => {
    ring.post(0, r(8), w(8));
    ring.take();
    ring.write(1, 8);
    ring.device.deviceWish(DISABLE);
    ring.give(0, 8);
  }),
  ...(
    [
      ['the driver’s wish', 'available ring', ring => ring.at.driver + 2],
      ['a readable byte', 'readable part of a chain', ring => ring.buffer(0) + 40],
      ['a table', 'indirect table', ring => ring.buffer(8) + 2],
    ] as const satisfies readonly (readonly [string, string, (ring: PackedRing) => number])[]
  ).map(([what, area, address]) =>
    breaks<PackedRing>(what, `the device wrote 2 bytes at ADDRESS, in the ${area}`, ring => {
      ring.post(0, r(64));
      ring.driver.memory.write(ring.buffer(8), entryTo(ring, 4), 0, 16);
      ring.driver.descriptor(1, ring.buffer(8), 16, 2, INDIRECT | AVAIL);
      ring.device.readFlags(0);
      ring.device.readBody(0);
      fill(ring.device.memory, address(ring), 2, 0);
    }),
  ),
);

/** An entry of an indirect table: 8 readable bytes in those of slot `buffer`. */
function entryTo(ring: PackedRing, buffer: number): Uint8Array {
  const entry = new DataView(new ArrayBuffer(16));
  entry.setBigUint64(0, BigInt(ring.buffer(buffer)), true);
  entry.setUint32(8, 8, true);
  return new Uint8Array(entry.buffer);
}
