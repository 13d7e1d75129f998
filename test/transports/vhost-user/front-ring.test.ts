/** What a front-end sees of rings that others use: every chain is counted once, however seldom it looks. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frontRing } from '../../../src/transports/vhost-user/front-ring.js';
import {
  GuestMemory,
  layOutRing,
  newDeviceQueue,
  newDriverQueue,
  ringBytes,
} from '../../../src/virtio/index.js';
import type { DeviceQueue, DriverQueue, RingFeatures } from '../../../src/virtio/index.js';

const BASE = 0x1000;
const SIZE = 8;

class Rings {
  readonly memory = new GuestMemory();
  readonly driver: DriverQueue;
  readonly device: DeviceQueue;
  readonly front;
  readonly #parts: number;
  readonly #held: number[] = [];
  published = 0;
  returned = 0;
  filled = 0;

  constructor(features: RingFeatures, parts: number) {
    this.memory.addRegion(BASE, new Uint8Array(ringBytes(SIZE, features) + 4096));
    const addresses = layOutRing(BASE, SIZE, features);
    const config = { index: 0, size: SIZE, ...addresses };
    this.#parts = parts;
    this.driver = newDriverQueue(this.memory, config, features);
    this.device = newDeviceQueue(this.memory, config, features);
    const front = frontRing(this.memory, { size: SIZE, addresses, features, single: parts === 1 });
    if (front === undefined) throw new Error('the ring is not in memory');
    this.front = front;
  }

  publish(): void {
    this.driver.begin();
    for (let i = 1; i < this.#parts; i++) this.driver.addReadable(BASE, 4);
    this.driver.addWritable(BASE + 1024, 4);
    if (!this.driver.commit(0, false)) return;
    this.driver.publish();
    this.published++;
  }

  take(): void {
    const chain = this.device.newChain();
    if (this.device.take(chain) === 'chain') this.#held.push(chain.head);
  }

  /** Returns the oldest chain, or the youngest. */
  give(oldest: boolean, written: number): void {
    const head = oldest ? this.#held.shift() : this.#held.pop();
    if (head === undefined) return;
    this.device.putUsed(head, written);
    this.returned++;
    if (written > 0) this.filled++;
  }

  consume(): void {
    this.driver.takeUsed({ token: 0, written: 0 });
  }
}

const formats: readonly (readonly [string, RingFeatures])[] = [
  ['split', { indirect: false, eventIdx: false }],
  ['split, in order', { indirect: false, eventIdx: false, inOrder: true }],
  ['packed', { indirect: false, eventIdx: false, packed: true }],
  ['packed, in order', { indirect: false, eventIdx: false, packed: true, inOrder: true }],
];

describe.each(formats)('a front-end that looks at a ring (%s)', (_name, features) => {
  it('counts what was published and what has come back, and goes on behind it', () => {
    const step = fc.constantFrom(
      'publish',
      'take',
      'give',
      'give empty',
      'give the youngest',
      'look',
      'consume',
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 200 }), (parts, steps) => {
        const rings = new Rings(features, parts);
        const { front } = rings;
        for (const each of steps) {
          if (each === 'publish') {
            rings.publish();
            // Of a packed ring whose device goes out of order, what is not seen before it works cannot be told apart.
            if (features.packed === true && features.inOrder !== true) front.look();
          } else if (each === 'take') rings.take();
          else if (each === 'consume') {
            // Whoever tells the driver has looked before.
            front.look();
            rings.consume();
          } else if (each === 'look') front.look();
          else
            rings.give(
              features.inOrder === true || each !== 'give the youngest',
              each === 'give empty' ? 0 : 4,
            );
        }
        front.look();
        expect(front.published).toBe(rings.published);
        expect(front.returned).toBe(rings.returned);
        expect(front.filled).toBe(rings.filled);
      }),
    );
  });
});
