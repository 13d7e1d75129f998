/**
 * Laws of a queue. (1) It is a queue of messages: whatever the cuts, sizes, batches, tables and interleavings, the device gets each
 * message once, in order and byte for byte, and the driver gets each answer once, under the right token. (2) Nobody writes
 * where the other side's bytes are. (3) A hostile peer cannot make a half throw, loop, leave memory or break its own promises.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SeededChoices } from '../../src/fabric/choices.js';
import type { DescriptorChain } from '../../src/virtio/index.js';
import { BASE, PAGE, RawRing, testRing } from '../virtio/support.js';
import type { TestRing } from '../virtio/support.js';

const MAX_PART = 24;
const SLOT = 512;

type Op =
  | {
      readonly kind: 'offer';
      readonly readable: number[];
      readonly writable: number[];
      readonly indirect: boolean;
    }
  | { readonly kind: 'publish' | 'take' | 'consume' }
  | { readonly kind: 'return'; readonly which: number; readonly part: number };

const lengths = fc.array(fc.integer({ min: 0, max: MAX_PART }), { maxLength: 6 });
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('offer' as const),
      readable: lengths,
      writable: lengths,
      indirect: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constantFrom('publish' as const, 'take' as const, 'consume' as const) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('return' as const),
      which: fc.nat(),
      part: fc.nat({ max: 100 }),
    }),
  },
);

/** A message on its way. The device answers with bytes that follow from the token. */
interface Message {
  readonly token: number;
  readonly request: Uint8Array;
  readonly writable: number;
  readonly place: number;
  head: number;
  written: number;
}

/** A ring and what must be true of it. Payload of message n lives in slot n mod 64, requests in the first half. */
class Checked {
  readonly ring: TestRing;
  readonly #chain: DescriptorChain;
  readonly #committed: Message[] = [];
  readonly #published: Message[] = [];
  readonly #taken: Message[] = [];
  readonly #returned: Message[] = [];
  readonly #element = { token: -1, written: -1 };
  #count = 0;

  constructor(size: number, indirect: boolean, eventIdx: boolean, shared: boolean) {
    this.ring = testRing({ size, features: { indirect, eventIdx }, shared, table: 8, dataBytes: 64 * SLOT });
    this.#chain = this.ring.device.newChain();
  }

  run(step: Op): void {
    if (step.kind === 'offer') this.#offer(step.readable, step.writable, step.indirect);
    else if (step.kind === 'publish') this.#publish();
    else if (step.kind === 'take') this.#onlyDeviceBytesChange(() => this.#take());
    else if (step.kind === 'return') this.#onlyDeviceBytesChange(() => this.#return(step.which, step.part));
    else this.#consume();
    const { driver, device } = this.ring;
    expect(device.available()).toBe(this.#published.length);
    expect(device.inFlight).toBe(this.#taken.length);
    expect(driver.outstanding).toBe(
      this.#committed.length + this.#published.length + this.#taken.length + this.#returned.length,
    );
    expect([driver.broken, device.broken]).toEqual([undefined, undefined]);
  }

  finish(): void {
    this.#publish();
    for (const kind of ['take', 'return', 'consume'] as const) {
      for (let i = 0; i < 64; i++) this.run(kind === 'return' ? { kind, which: i, part: 50 } : { kind });
    }
    expect(this.ring.driver.outstanding).toBe(0);
    expect(this.ring.driver.freeDescriptors).toBe(this.ring.driver.size);
  }

  #offer(readable: number[], writable: number[], indirect: boolean): void {
    const { driver, memory, data } = this.ring;
    const total = sum(readable) + sum(writable);
    if (total === 0 || driver.outstanding >= 64) return;
    const token = this.#count;
    const place = data + (token % 64) * SLOT;
    const request = Uint8Array.from({ length: sum(readable) }, (_, i) => (token * 7 + i) & 0xff);
    memory.write(place, request, 0, request.length);
    driver.begin();
    let at = place;
    for (const length of readable) {
      driver.addReadable(at, length);
      at += length;
    }
    at = place + SLOT / 2;
    for (const length of writable) {
      driver.addWritable(at, length);
      at += length;
    }
    const before = driver.freeDescriptors;
    const parts = [...readable, ...writable].filter(length => length > 0).length;
    if (!driver.commit(token, indirect)) {
      expect(parts > driver.size || before < parts).toBe(true);
      return;
    }
    this.#count++;
    this.#committed.push({ token, request, writable: sum(writable), place, head: -1, written: 0 });
  }

  #publish(): void {
    this.ring.driver.publish();
    this.#published.push(...this.#committed.splice(0));
  }

  #take(): void {
    const result = this.ring.device.take(this.#chain);
    const message = this.#published.shift();
    expect(result).toBe(message === undefined ? 'empty' : 'chain');
    if (message === undefined) return;
    message.head = this.#chain.head;
    expect([this.#chain.readableBytes, this.#chain.writableBytes]).toEqual([
      message.request.length,
      message.writable,
    ]);
    const bytes = new Uint8Array(message.request.length + 5);
    const split = message.token % (message.request.length + 1);
    const first = this.#chain.copyReadable(0, bytes, 0, split);
    const rest = this.#chain.copyReadable(first, bytes, first, bytes.length);
    expect(first + rest).toBe(message.request.length);
    expect(bytes.subarray(0, first + rest)).toEqual(message.request);
    const answer = answerOf(message);
    const half = answer.length >> 1;
    expect(this.#chain.writeWritable(half, answer, half, answer.length)).toBe(answer.length - half);
    expect(this.#chain.writeWritable(0, answer, 0, half)).toBe(half);
    this.#taken.push(message);
  }

  #return(which: number, percent: number): void {
    if (this.#taken.length === 0) return;
    const [message] = this.#taken.splice(which % this.#taken.length, 1);
    message.written = Math.floor((message.writable * percent) / 100);
    this.ring.device.putUsed(message.head, message.written);
    this.#returned.push(message);
  }

  #consume(): void {
    const message = this.#returned.shift();
    expect(this.ring.driver.takeUsed(this.#element)).toBe(message !== undefined);
    if (message === undefined) return;
    expect(this.#element).toEqual({ token: message.token, written: message.written });
    const answer = new Uint8Array(message.writable);
    this.ring.memory.read(message.place + SLOT / 2, answer, 0, answer.length);
    expect(answer).toEqual(answerOf(message));
  }

  /** Law 2, for the device: it writes the used ring and the writable parts of chains, nothing else. */
  #onlyDeviceBytesChange(action: () => void): void {
    const { config, data } = this.ring;
    const writable = new Set<number>();
    for (const message of [...this.#published, ...this.#taken]) {
      for (let i = 0; i < message.writable; i++) writable.add(message.place + SLOT / 2 + i);
    }
    const before = this.#everything();
    action();
    const after = this.#everything();
    const usedEnd = config.device + 6 + 8 * config.size;
    for (let i = 0; i < before.length; i++) {
      if (before[i] === after[i]) continue;
      const address = BASE + i;
      const allowed = address < data ? address >= config.device && address < usedEnd : writable.has(address);
      if (!allowed) throw new Error(`the device wrote at ${address - BASE} of memory`);
    }
  }

  #everything(): Uint8Array {
    const bytes = new Uint8Array(this.ring.end - BASE);
    this.ring.memory.read(BASE, bytes, 0, bytes.length);
    return bytes;
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function answerOf({ token, writable }: Message): Uint8Array {
  return Uint8Array.from({ length: writable }, (_, i) => (token * 13 + i * 3 + 1) & 0xff);
}

describe('a queue of messages', () => {
  it('[VQ-13] [VQ-31] [VQ-33] [VQ-35] [VQ-39] carries each once, in order and whole', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 4, 8, 16, 64),
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        fc.array(op, { minLength: 10, maxLength: 80 }),
        (size, indirect, eventIdx, shared, steps) => {
          const checked = new Checked(size, indirect, eventIdx, shared);
          for (const step of steps) checked.run(step);
          checked.finish();
        },
      ),
      { numRuns: 150 },
    );
  });

  it('[VQ-29] [VQ-30] leaves descriptors and tables of outstanding chains alone', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(op, { minLength: 20, maxLength: 60 }), (indirect, steps) => {
        const checked = new Checked(8, indirect, true, false);
        const { ring } = checked;
        const chain = ring.device.newChain();
        const held: { head: number; copy: string }[] = [];
        for (const step of steps) {
          if (step.kind === 'offer') {
            ring.driver.begin();
            for (const length of step.readable) ring.driver.addReadable(ring.data, length + 1);
            ring.driver.addWritable(ring.data, 1);
            ring.driver.commit(0, step.indirect);
            ring.driver.publish();
          } else if (ring.device.take(chain) === 'chain') {
            held.push({ head: chain.head, copy: chainBytes(ring, chain.head) });
          } else if (held.length > 0) {
            const { head } = held.splice(0, 1)[0];
            ring.device.putUsed(head, 0);
            ring.driver.takeUsed({ token: 0, written: 0 });
          }
          for (const { head, copy } of held) expect(chainBytes(ring, head)).toBe(copy);
        }
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])(
    'goes on when the indices pass 65535, with both sides asleep in between (indirect %s, EVENT_IDX %s)',
    (indirect, eventIdx) => {
      const TOTAL = 140_000;
      const ring = testRing({ size: 4, features: { indirect, eventIdx }, table: 3 });
      const { driver, device, memory, data } = ring;
      const choices = new SeededChoices(7);
      const chain = device.newChain();
      const element = { token: 0, written: 0 };
      const word = new Uint8Array(4);
      const view = new DataView(word.buffer);
      let [sent, received, done] = [0, 0, 0];
      let [kicks, interrupts] = [0, 0];
      let [kick, interrupt] = [true, true];
      while (done < TOTAL) {
        const doneBefore = sent + received + done;
        if (interrupt) {
          interrupt = false;
          do {
            driver.disableInterrupts();
            while (driver.takeUsed(element))
              if (element.token !== done++ % 1000) throw new Error(`out of order at ${done}`);
          } while (driver.enableInterrupts());
        }
        for (let burst = 1 + choices.pick(5); burst > 0 && sent < TOTAL; burst--) {
          const place = data + 8 * (sent % 64);
          view.setUint32(0, sent, true);
          memory.write(place, word, 0, 4);
          driver.begin();
          driver.addReadable(place, 2);
          driver.addReadable(place + 2, 2);
          if (!driver.commit(sent % 1000, indirect)) break;
          sent++;
        }
        if (driver.publish()) [kick, kicks] = [true, kicks + 1];
        if (kick) {
          kick = false;
          do {
            device.disableNotifications();
            while (device.take(chain) === 'chain') {
              chain.copyReadable(0, word, 0, 4);
              if (view.getUint32(0, true) !== received++) throw new Error(`wrong bytes at ${received}`);
              device.putUsed(chain.head, 0);
            }
            if (device.interruptWanted()) [interrupt, interrupts] = [true, interrupts + 1];
          } while (device.enableNotifications());
        }
        if (sent + received + done === doneBefore) throw new Error(`both sides sleep at ${done}`);
      }
      expect([driver.broken, device.broken]).toEqual([undefined, undefined]);
      expect(driver.state()).toMatchObject({
        availIdx: TOTAL & 0xffff,
        lastUsed: TOTAL & 0xffff,
        outstanding: 0,
      });
      expect(device.state()).toMatchObject({
        nextAvail: TOTAL & 0xffff,
        usedIdx: TOTAL & 0xffff,
        inFlight: 0,
      });
      expect(kicks).toBeGreaterThan(0);
      expect(interrupts).toBeGreaterThan(0);
    },
  );

  it.each(Array.from({ length: 16 }, (_, i) => 2 ** i))(
    '[VQ-12] [VQ-16] holds %i chains, or one of as many descriptors',
    size => {
      const ring = testRing({ size });
      const { driver, device } = ring;
      const chain = device.newChain();
      const element = { token: 0, written: 0 };
      for (let round = 0; round < 2; round++) {
        for (let i = 0; i < size; i++) {
          driver.begin();
          driver.addReadable(ring.data, 1);
          expect(driver.commit(i)).toBe(true);
        }
        driver.publish();
        expect(device.available()).toBe(size);
        for (let i = 0; i < size; i++) {
          if (device.take(chain) !== 'chain') throw new Error(device.broken);
          device.putUsed(chain.head, 0);
        }
        for (let i = 0; i < size; i++)
          if (!driver.takeUsed(element) || element.token !== i) throw new Error(driver.broken);
      }
      driver.begin();
      for (let i = 0; i < size; i++) driver.addWritable(ring.data + (i % PAGE), 1);
      expect(driver.commit(99)).toBe(true);
      driver.publish();
      expect(device.take(chain)).toBe('chain');
      expect(chain.writableBytes).toBe(size);
    },
  );
});

/** The descriptors of a chain and of its table, as text. */
function chainBytes({ memory, config }: TestRing, head: number): string {
  let text = '';
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (let table = config.descriptors, at = head; ; at = view.getUint16(14, true)) {
    memory.read(table + 16 * at, bytes, 0, 16);
    text += Buffer.from(bytes).toString('hex');
    const flags = view.getUint16(12, true);
    if ((flags & 4) !== 0) {
      const place = Number(view.getBigUint64(0, true));
      const entries = new Uint8Array(view.getUint32(8, true));
      memory.read(place, entries, 0, entries.length);
      return text + Buffer.from(entries).toString('hex');
    }
    if ((flags & 1) === 0) return text;
  }
}

describe('a hostile driver', () => {
  /** Descriptors that are nearly right, so that every rule is reached; `addr` counts from the start of memory. */
  const descriptor = fc.record({
    addr: fc.oneof(fc.nat({ max: 0x6000 }), fc.constantFrom(0x4000, 0x4010, 2 ** 32, 2 ** 52, 2 ** 60)),
    len: fc.oneof(fc.constantFrom(0, 1, 16, 32, 48), fc.nat({ max: 0x6000 }), fc.constant(0xffff_ffff)),
    flags: fc.oneof(fc.nat({ max: 7 }), fc.constantFrom(0, 1, 2, 3)),
    next: fc.oneof(
      { weight: 9, arbitrary: fc.nat({ max: 8 }) },
      { weight: 1, arbitrary: fc.nat({ max: 0xffff }) },
    ),
  });
  const attack = fc.oneof(
    fc.record({ kind: fc.constant('descriptor' as const), at: fc.nat({ max: 7 }), descriptor }),
    fc.record({ kind: fc.constant('table' as const), at: fc.nat({ max: 5 }), descriptor }),
    fc.record({
      kind: fc.constant('noise' as const),
      at: fc.nat({ max: 0x200 }),
      bytes: fc.uint8Array({ maxLength: 64 }),
    }),
    fc.record({ kind: fc.constant('idx' as const), value: fc.nat({ max: 0xffff }) }),
    fc.record({
      kind: fc.constant('offer' as const),
      head: fc.oneof(fc.nat({ max: 7 }), fc.nat({ max: 0xffff })),
    }),
    fc.record({ kind: fc.constant('work' as const), put: fc.boolean() }),
  );

  it('[VQ-57] [VQ-58] [VQ-45] cannot make the device throw, loop, or touch what is not guest memory', () => {
    let chains = 0;
    let breaks = 0;
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.boolean(),
        fc.array(attack, { minLength: 5, maxLength: 60 }),
        (indirect, eventIdx, attacks) => {
          const ring = testRing({ size: 8, features: { indirect, eventIdx } });
          const raw = new RawRing(ring);
          const chain = ring.device.newChain();
          const bytes = new Uint8Array(0x1_0000);
          for (const attack of [...attacks, { kind: 'work' as const, put: true }]) {
            if (attack.kind === 'descriptor') raw.descriptor(attack.at, at(attack.descriptor));
            else if (attack.kind === 'table')
              raw.descriptorAt(BASE + 0x4000 + 16 * attack.at, at(attack.descriptor));
            else if (attack.kind === 'noise')
              ring.memory.write(BASE + attack.at, attack.bytes, 0, attack.bytes.length);
            else if (attack.kind === 'idx') raw.availIdx(attack.value);
            else if (attack.kind === 'offer') raw.offer(attack.head);
            else {
              ring.device.disableNotifications();
              for (let takes = 0; ; takes++) {
                expect(takes).toBeLessThanOrEqual(8);
                const result = ring.device.take(chain);
                if (result !== 'chain') break;
                chains++;
                const readable = Math.min(chain.readableBytes, bytes.length);
                expect(chain.copyReadable(0, bytes, 0, bytes.length)).toBe(readable);
                expect(chain.writeWritable(0, bytes, 0, bytes.length)).toBe(
                  Math.min(chain.writableBytes, bytes.length),
                );
                if (attack.put) ring.device.putUsed(chain.head, 1);
              }
              ring.device.interruptWanted();
              ring.device.enableNotifications();
              expect(ring.device.inFlight).toBeLessThanOrEqual(8);
            }
          }
          if (ring.device.broken !== undefined) {
            breaks++;
            expect(ring.device.take(chain)).toBe('broken');
          }
        },
      ),
      { numRuns: 400 },
    );
    // The attacks are worth something only if both sorts of thing happen.
    expect(chains).toBeGreaterThan(100);
    expect(breaks).toBeGreaterThan(100);
  });

  function at<D extends { addr: number }>(descriptor: D): D {
    return descriptor.addr < 2 ** 32 ? { ...descriptor, addr: BASE + descriptor.addr } : descriptor;
  }
});

describe('a hostile device', () => {
  const attack = fc.oneof(
    fc.record({
      kind: fc.constant('used' as const),
      slot: fc.nat({ max: 7 }),
      id: fc.nat({ max: 9 }),
      len: fc.nat({ max: 24 }),
    }),
    fc.record({ kind: fc.constant('step' as const), by: fc.constantFrom(1, 1, 1, 2, 3, 9) }),
    fc.record({
      kind: fc.constant('noise' as const),
      at: fc.nat({ max: 60 }),
      bytes: fc.uint8Array({ maxLength: 9 }),
    }),
    fc.record({
      kind: fc.constant('driver' as const),
      parts: fc.integer({ min: 1, max: 3 }),
      publish: fc.boolean(),
    }),
  );

  it('[VQ-42] [VQ-43] [VQ-44] [VQ-45] gets no chain back twice, none that is not out, and no length that is too large', () => {
    let consumed = 0;
    let breaks = 0;
    fc.assert(
      fc.property(fc.boolean(), fc.array(attack, { minLength: 5, maxLength: 60 }), (eventIdx, attacks) => {
        const ring = testRing({ size: 8, features: { eventIdx } });
        const { driver } = ring;
        const raw = new RawRing(ring);
        const out = new Map<number, number>();
        const pending = new Map<number, number>();
        const element = { token: -1, written: -1 };
        let token = 0;
        let usedIdx = 0;
        for (const attack of attacks) {
          if (attack.kind === 'used') raw.used(attack.slot, attack.id, attack.len);
          else if (attack.kind === 'step') raw.usedIdx((usedIdx += attack.by));
          else if (attack.kind === 'noise')
            ring.memory.write(ring.config.device + attack.at, attack.bytes, 0, attack.bytes.length);
          else {
            driver.begin();
            for (let i = 0; i < attack.parts; i++) driver.addWritable(ring.data, 8);
            if (driver.commit(token)) pending.set(token++, 8 * attack.parts);
            if (attack.publish) {
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
          if (driver.broken !== undefined) {
            expect(driver.hasUsed()).toBe(false);
            expect(driver.takeUsed(element)).toBe(false);
          } else expect(driver.outstanding).toBe(out.size + pending.size);
        }
        if (driver.broken !== undefined) breaks++;
      }),
      { numRuns: 400 },
    );
    expect(consumed).toBeGreaterThan(20);
    expect(breaks).toBeGreaterThan(20);
  });
});
