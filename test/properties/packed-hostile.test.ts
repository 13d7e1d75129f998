/**
 * Laws of packed rings under attack: whatever stands in the ring, in tables and in event structures, and whenever it changes, a
 * half neither throws nor loops nor leaves guest memory, and what it hands on is within its promises.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PackedFlag, availableMark, slotOf } from '../../src/virtio/index.js';
import { BASE } from '../virtio/support.js';
import { RawPackedRing, packedRing } from '../virtio/packed-support.js';

const SIZES = [1, 3, 8] as const;
const { NEXT, WRITE, INDIRECT, AVAIL, USED } = PackedFlag;
const flags = fc.oneof(
  fc
    .constantFrom(AVAIL, USED, AVAIL | USED, 0)
    .chain(mark =>
      fc.constantFrom(0, NEXT, WRITE, NEXT | WRITE, INDIRECT, INDIRECT | NEXT).map(bits => mark | bits),
    ),
  fc.nat({ max: 0xffff }),
);
const descriptor = fc.record({
  addr: fc.oneof(fc.nat({ max: 0x3000 }), fc.constantFrom(2 ** 32, 2 ** 52)),
  len: fc.oneof(fc.constantFrom(0, 1, 16, 32, 48), fc.nat({ max: 0x3000 }), fc.constant(0xffff_ffff)),
  id: fc.oneof(
    { weight: 4, arbitrary: fc.nat({ max: 8 }) },
    { weight: 1, arbitrary: fc.nat({ max: 0xffff }) },
  ),
  flags,
});

const at = <D extends { addr: number }>(each: D): D =>
  each.addr < 2 ** 32 ? { ...each, addr: BASE + each.addr } : each;

describe('a hostile driver of packed rings', () => {
  const attack = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('descriptor' as const), at: fc.nat({ max: 7 }), descriptor }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('table' as const), at: fc.nat({ max: 3 }), descriptor }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('event' as const),
        position: fc.nat({ max: 0xffff }),
        mode: fc.nat({ max: 0xffff }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('honest' as const),
        id: fc.nat({ max: 8 }),
        writable: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('work' as const), put: fc.boolean() }) },
  );

  it('[VQ-97] [VQ-98] [VQ-99] [VQ-57] [VQ-58] cannot make the device throw, loop, or touch what is not guest memory', () => {
    let chains = 0;
    let breaks = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...SIZES),
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        fc.array(attack, { minLength: 5, maxLength: 60, size: 'max' }),
        (size, indirect, eventIdx, inOrder, attacks) => {
          const ring = packedRing({ size, features: { indirect, eventIdx, inOrder } });
          const raw = new RawPackedRing(ring);
          const chain = ring.device.newChain();
          const bytes = new Uint8Array(0x4000);
          for (const each of [...attacks, { kind: 'work' as const, put: true }]) {
            if (each.kind === 'descriptor') raw.descriptor(each.at % size, at(each.descriptor));
            else if (each.kind === 'table') raw.descriptorAt(ring.data + 16 * each.at, at(each.descriptor));
            else if (each.kind === 'event') raw.driverEvent(each.position, each.mode);
            else if (each.kind === 'honest') {
              const { nextAvail } = ring.device.state();
              const mark = availableMark(nextAvail) | (each.writable ? WRITE : 0);
              raw.descriptor(slotOf(nextAvail), { addr: ring.data, len: 8, id: each.id, flags: mark });
            } else {
              ring.device.disableNotifications();
              expect(ring.device.available()).toBeLessThanOrEqual(size);
              for (let takes = 0; ring.device.take(chain) === 'chain'; takes++) {
                expect(takes).toBeLessThanOrEqual(2 * size);
                chains++;
                const readable = Math.min(chain.readableBytes, bytes.length);
                expect(chain.copyReadable(0, bytes, 0, bytes.length)).toBe(readable);
                const writable = Math.min(chain.writableBytes, 16);
                expect(chain.writeWritable(0, bytes, 0, 16)).toBe(writable);
                if (each.put) ring.device.putUsed(chain.head, 0);
                if (takes === 2 * size) break;
              }
              ring.device.interruptWanted();
              ring.device.enableNotifications();
              const { inFlight, descriptorsInFlight } = ring.device.state();
              expect(inFlight).toBeLessThanOrEqual(descriptorsInFlight);
              expect(descriptorsInFlight).toBeLessThanOrEqual(size);
              if (inOrder && inFlight > 0) break;
            }
          }
          if (ring.device.broken !== undefined) {
            breaks++;
            expect(ring.device.take(chain)).toBe('broken');
          }
        },
      ),
      { numRuns: 600 },
    );
    expect(chains).toBeGreaterThan(100);
    expect(breaks).toBeGreaterThan(100);
  });
});

describe('a hostile device of packed rings', () => {
  const attack = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('descriptor' as const), at: fc.nat({ max: 7 }), descriptor }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('event' as const),
        position: fc.nat({ max: 0xffff }),
        mode: fc.nat({ max: 0xffff }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('driver' as const),
        parts: fc.integer({ min: 1, max: 3 }),
        publish: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('honest' as const) }) },
  );

  it('[VQ-96] [VQ-45] gives no chain back twice, none that is not out, and no length that is too large', () => {
    let consumed = 0;
    let breaks = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...SIZES),
        fc.boolean(),
        fc.boolean(),
        fc.array(attack, { minLength: 5, maxLength: 60, size: 'max' }),
        (size, eventIdx, inOrder, attacks) => {
          const ring = packedRing({ size, features: { eventIdx, inOrder } });
          const { driver, device } = ring;
          const raw = new RawPackedRing(ring);
          const chain = device.newChain();
          const out = new Map<number, number>();
          const pending = new Map<number, number>();
          const element = { token: -1, written: -1 };
          let token = 0;
          for (const each of attacks) {
            if (each.kind === 'descriptor') raw.descriptor(each.at % size, at(each.descriptor));
            else if (each.kind === 'event') raw.deviceEvent(each.position, each.mode);
            else if (each.kind === 'honest') {
              if (device.take(chain) === 'chain') device.putUsed(chain.head, 0);
            } else {
              driver.begin();
              for (let i = 0; i < each.parts; i++) driver.addWritable(ring.data, 8);
              if (driver.commit(token)) pending.set(token++, 8 * each.parts);
              if (each.publish) {
                driver.publish();
                for (const [key, value] of pending) out.set(key, value);
                pending.clear();
              }
            }
            while (driver.takeUsed(element)) {
              consumed++;
              const writable = out.get(element.token);
              if (writable === undefined) throw new Error(`token ${element.token} was not out`);
              expect(element.written).toBeLessThanOrEqual(writable);
              out.delete(element.token);
            }
            driver.enableInterrupts();
            driver.disableInterrupts();
            if (driver.broken !== undefined)
              expect([driver.hasUsed(), driver.takeUsed(element)]).toEqual([false, false]);
            else expect(driver.outstanding).toBe(out.size + pending.size);
          }
          if (driver.broken !== undefined) breaks++;
        },
      ),
      { numRuns: 600 },
    );
    expect(consumed).toBeGreaterThan(100);
    expect(breaks).toBeGreaterThan(50);
  });
});
