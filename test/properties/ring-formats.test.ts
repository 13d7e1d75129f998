/**
 * Laws of both ring formats. Split and packed rings are indistinguishable above the queue interface: whatever the sizes, cuts,
 * tables, batches, starts and interleavings, the same calls give the same results on both halves, and the same bytes get
 * through. In order, a run of chains that comes back as one element comes back as chain for chain.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { QueuePosition } from '../../src/virtio/index.js';
import { anyRing } from '../virtio/packed-support.js';
import type { AnyRing } from '../virtio/packed-support.js';

const PLACE = 256;
const PLACES = 32;

type Op =
  | {
      readonly kind: 'offer';
      readonly readable: readonly number[];
      readonly writable: readonly number[];
      readonly indirect: boolean;
    }
  | { readonly kind: 'publish' | 'take' | 'consume' | 'interrupt' | 'look' }
  | { readonly kind: 'notifications' | 'interrupts'; readonly on: boolean }
  | { readonly kind: 'return'; readonly which: number; readonly percent: number; readonly batch: boolean };

const lengths = fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 5 });
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('offer' as const),
      readable: lengths,
      writable: lengths,
      indirect: fc.boolean(),
    }),
  },
  ...(['publish', 'take', 'consume', 'interrupt', 'look'] as const).map(kind => ({
    weight: kind === 'look' ? 1 : 4,
    arbitrary: fc.constant({ kind }),
  })),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('notifications' as const, 'interrupts' as const),
      on: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('return' as const),
      which: fc.nat(),
      percent: fc.nat({ max: 100 }),
      batch: fc.boolean(),
    }),
  },
);

/** Drives one ring by a list of calls, and writes down what each of them gives. */
class Player {
  readonly said: string[] = [];
  readonly ring: AnyRing;
  readonly #chain;
  readonly #inOrder: boolean;
  readonly #element = { token: -1, written: -1 };
  readonly #taken: { head: number; token: number; writable: number }[] = [];
  /** Tokens that the device will take, in order. */
  readonly #coming: number[] = [];
  #count = 0;
  /** Whether the side has asked to be notified since it was last notified; of a side that has not, both answers are fair. */
  #deviceAsked = false;
  #driverAsked = false;
  readonly #eventIdx: boolean;

  constructor(ring: AnyRing, inOrder: boolean, eventIdx: boolean) {
    this.ring = ring;
    this.#chain = ring.device.newChain();
    this.#inOrder = inOrder;
    this.#eventIdx = eventIdx;
  }

  run(step: Op): void {
    const { driver, device } = this.ring;
    switch (step.kind) {
      case 'offer':
        this.#offer(step.readable, step.writable, step.indirect);
        break;
      case 'publish':
        this.#notification('publish', driver.publish(), this.#deviceAsked);
        this.#deviceAsked &&= !this.#eventIdx;
        break;
      case 'take':
        this.#take();
        break;
      case 'return':
        this.#return(step.which, step.percent, step.batch);
        break;
      case 'consume':
        this.#consume();
        break;
      case 'interrupt':
        this.#notification('interrupt', device.interruptWanted(), this.#driverAsked);
        this.#driverAsked &&= !this.#eventIdx;
        break;
      case 'look':
        this.said.push(`look ${device.available()} ${driver.hasUsed()}`);
        break;
      case 'notifications':
        if (step.on) this.said.push(`asks ${device.enableNotifications()}`);
        else device.disableNotifications();
        this.#deviceAsked = step.on;
        break;
      case 'interrupts':
        if (step.on) this.said.push(`asks ${driver.enableInterrupts()}`);
        else driver.disableInterrupts();
        this.#driverAsked = step.on;
        break;
    }
    this.said.push(
      `${driver.outstanding} ${driver.freeDescriptors} ${device.inFlight} ${driver.broken} ${device.broken}`,
    );
  }

  /** A side that has not asked may be told or not; one that has asked is told of the next thing, in either format. */
  #notification(what: string, answer: boolean, asked: boolean): void {
    this.said.push(asked || !this.#eventIdx ? `${what} ${answer}` : what);
  }

  #offer(readable: readonly number[], writable: readonly number[], indirect: boolean): void {
    const { driver, memory, data } = this.ring;
    if (sum(readable) + sum(writable) === 0 || driver.outstanding >= PLACES) return;
    const token = this.#count;
    let at = data + (token % PLACES) * PLACE;
    const request = Uint8Array.from({ length: sum(readable) }, (_, i) => (token * 7 + i) & 0xff);
    memory.write(at, request, 0, request.length);
    driver.begin();
    for (const length of readable) {
      driver.addReadable(at, length);
      at += length;
    }
    for (const length of writable) {
      driver.addWritable(at, length);
      at += length;
    }
    const committed = driver.commit(token, indirect);
    this.said.push(`commit ${committed}`);
    if (!committed) return;
    this.#count++;
    this.#coming.push(token);
  }

  #take(): void {
    const result = this.ring.device.take(this.#chain);
    this.said.push(`take ${result}`);
    if (result !== 'chain') return;
    const { head, readableBytes, writableBytes } = this.#chain;
    const bytes = new Uint8Array(readableBytes);
    this.#chain.copyReadable(0, bytes, 0, readableBytes);
    this.said.push(`got ${Buffer.from(bytes).toString('hex')} ${writableBytes}`);
    const token = this.#coming.shift() ?? -1;
    const answer = Uint8Array.from({ length: writableBytes }, (_, i) => (token * 11 + i) & 0xff);
    this.#chain.writeWritable(0, answer, 0, writableBytes);
    this.#taken.push({ head, token, writable: writableBytes });
  }

  #return(which: number, percent: number, batch: boolean): void {
    if (this.#taken.length === 0) return;
    const { device } = this.ring;
    const at = this.#inOrder ? (batch ? which % this.#taken.length : 0) : which % this.#taken.length;
    const { head, writable } = this.#taken[at];
    const written = Math.floor((writable * percent) / 100);
    if (this.#inOrder && batch) {
      device.putUsedUpTo(head, written);
      this.#taken.splice(0, at + 1);
    } else {
      device.putUsed(head, written);
      this.#taken.splice(at, 1);
    }
  }

  #consume(): void {
    const { driver, memory, data } = this.ring;
    const got = driver.takeUsed(this.#element);
    const { token, written } = this.#element;
    if (!got) {
      this.said.push('nothing');
      return;
    }
    const bytes = new Uint8Array(PLACE);
    memory.read(data + (token % PLACES) * PLACE, bytes, 0, PLACE);
    this.said.push(`token ${token} written ${written} ${Buffer.from(bytes).toString('hex')}`);
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** What both formats can start at: the same distance before the ring's end, or before the index goes round. */
function starts(
  size: number,
  before: number,
  wrap: boolean,
): { split: QueuePosition; packed: QueuePosition } {
  const index = (0x1_0000 - before) & 0xffff;
  const slot = (size - (before % size)) % size;
  const position = slot | (wrap ? 0x8000 : 0);
  return { split: { avail: index, used: index }, packed: { avail: position, used: position } };
}

describe('split and packed rings', () => {
  it('[VQ-79] give the same results to the same calls', () => {
    const reached = { batches: 0, tokens: 0 };
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 4, 8, 16),
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        fc.nat({ max: 20 }),
        fc.boolean(),
        fc.array(op, { minLength: 20, maxLength: 160, size: 'max' }),
        (size, indirect, eventIdx, inOrder, before, wrap, steps) => {
          const start = starts(size, before, wrap);
          const [split, packed] = (['split', 'packed'] as const).map(format => {
            const features = { indirect, eventIdx, inOrder, packed: format === 'packed' };
            const options = { size, features, table: 6, dataBytes: PLACE * PLACES, start: start[format] };
            return new Player(anyRing(options), inOrder, eventIdx);
          });
          for (const step of steps) {
            split.run(step);
            packed.run(step);
            if (step.kind === 'return' && step.batch && inOrder) reached.batches++;
          }
          expect(packed.said).toEqual(split.said);
          reached.tokens += packed.said.filter(line => line.startsWith('token')).length;
        },
      ),
      { numRuns: 500 },
    );
    expect(reached.tokens).toBeGreaterThan(500);
    expect(reached.batches).toBeGreaterThan(100);
  });
});
