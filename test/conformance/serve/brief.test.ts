/**
 * What is followed in brief is judged as what is followed in detail: the same histories of a ring, right ones and wrong ones,
 * give the same looks, the same breaches and the same first words about each.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LiveJudge } from '../../../src/conformance/serve/index.js';
import { NetDevice } from '../../../src/netdev/index.js';
import {
  GuestMemory,
  featureMask,
  FeatureBit,
  layOutRing,
  newDeviceQueue,
  newDriverQueue,
} from '../../../src/virtio/index.js';
import type { DescriptorChain, DeviceQueue, DriverQueue, RingFeatures } from '../../../src/virtio/index.js';

const SIZE = 8;
const BASE = 0x1_0000_0000;
const MEMORY_BYTES = 0x8000;
const RING = BASE + 0x1000;
const BUFFERS = BASE + 0x4000;
const BUFFER_BYTES = 512;
const QUEUE = 1;

interface InFlight {
  readonly chain: DescriptorChain;
  written: number;
  read: boolean;
}

/** Bytes of a descriptor in both formats: of its address, its length, its flags and its next or id. */
const LENGTH = 8;
const TWISTED = [4, LENGTH, 12, 14] as const;

/** One machine under one kind of watch. A driver and a device act on its ring as they are told. */
class Bench {
  readonly bytes = new Uint8Array(MEMORY_BYTES);
  readonly guest = new GuestMemory();
  readonly judge: LiveJudge;
  readonly device: ReturnType<ReturnType<LiveJudge['open']>['watch']>;
  readonly deviceMemory: GuestMemory;
  readonly driver: DriverQueue;
  readonly half: DeviceQueue;
  readonly inFlight: InFlight[] = [];
  readonly free = Array.from({ length: SIZE }, (_, i) => i);
  readonly rings: readonly { readonly start: number; readonly bytes: number }[];

  constructor(features: RingFeatures, inDetail: boolean) {
    this.guest.addRegion(BASE, this.bytes);
    this.judge = new LiveJudge(undefined, () => undefined, inDetail);
    const watched = this.judge.open(0);
    for (const memory of watched.memories) memory.addRegion(BASE, this.bytes);
    this.deviceMemory = watched.deviceMemory;
    const wake = () => undefined;
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
    this.device = watched.watch(
      new NetDevice({ memory: this.deviceMemory, mac, ringFeatures: features, wake }),
    );
    this.device.attach({ interruptQueue: () => undefined, interruptConfig: () => undefined });
    for (const status of [1, 3]) this.device.writeStatus(status);
    this.device.setDriverFeatures(bitsOf(features));
    this.device.writeStatus(11);
    const addresses = layOutRing(RING, SIZE, features);
    const config = { index: QUEUE, size: SIZE, ...addresses };
    this.device.enableQueue(QUEUE, SIZE, addresses);
    this.driver = newDriverQueue(this.guest, config, features);
    this.half = newDeviceQueue(this.deviceMemory, config, features);
    this.device.writeStatus(15);
    this.rings = [
      { start: addresses.descriptors, bytes: 16 * SIZE },
      { start: addresses.driver, bytes: features.packed === true ? 4 : 6 + 2 * SIZE },
      { start: addresses.device, bytes: features.packed === true ? 4 : 6 + 8 * SIZE },
    ];
  }

  offer(readable: number, writable: number): void {
    const token = this.free.pop();
    if (token === undefined) return;
    const at = BUFFERS + BUFFER_BYTES * token;
    this.driver.begin();
    for (let i = 0; i < readable; i++) this.driver.addReadable(at + 32 * i, 20 + i);
    for (let i = 0; i < writable; i++) this.driver.addWritable(at + 256 + 32 * i, 20 + i);
    if (readable + writable === 0 || !this.driver.commit(token)) this.free.push(token);
  }

  /** Offers a chain of which one descriptor is wrong by a bit, before the device can have seen it. */
  offerTwisted(a: number, b: number): void {
    const { start, bytes } = this.rings[0];
    const table = this.bytes.subarray(start - BASE, start - BASE + bytes);
    const before = table.slice();
    this.offer(1 + ((a >> 2) % 2), (a >> 3) % 2);
    const changed = table.findIndex((byte, i) => byte !== before[i]);
    if (changed < 0) return;
    const field = TWISTED[a % TWISTED.length];
    const at = changed - (changed % 16) + field;
    // WRITE is bit 1 of the flags.
    const bit = b % 2 === 0 ? 1 : (b >> 1) % 8;
    table[at] = field === LENGTH && b % 4 === 0 ? 0 : table[at] ^ (1 << bit);
  }

  /** Makes more available than was published. */
  jump(by: number): void {
    const { start, bytes } = this.rings[1];
    // The driver's area of a packed ring holds no index.
    if (bytes > 4) this.bytes[start - BASE + 2] += by;
  }

  takeBack(): void {
    const element = { token: 0, written: 0 };
    while (this.driver.takeUsed(element)) this.free.push(element.token);
  }

  take(): void {
    const chain = this.half.newChain();
    if (this.half.take(chain) === 'chain') this.inFlight.push({ chain, written: 0, read: false });
  }

  read(which: number, again: boolean): void {
    const one = this.pick(which);
    if (one === undefined || (one.read && !again)) return;
    one.read = true;
    one.chain.copyReadable(0, new Uint8Array(200), 0, one.chain.readableBytes);
  }

  write(which: number, bytes: number): void {
    const one = this.pick(which);
    if (one === undefined) return;
    one.written += one.chain.writeWritable(one.written, new Uint8Array(200).fill(7), 0, bytes);
  }

  /** Returns a chain; `more`: bytes beyond what was written. */
  giveBack(which: number, more: number): void {
    const one = this.pick(this.half.inOrder ? 0 : which);
    if (one === undefined) return;
    this.inFlight.splice(this.inFlight.indexOf(one), 1);
    this.half.stageUsed(one.chain.head, one.written + more);
  }

  pick(which: number): InFlight | undefined {
    return this.inFlight[which % Math.max(1, this.inFlight.length)];
  }

  /** An address in the ring, or among the buffers. */
  place(a: number, b: number): number {
    if (b % 2 === 0) return BUFFERS + ((a * 37) % (SIZE * BUFFER_BYTES));
    const { start, bytes } = this.rings[b % 3];
    return start + ((a * 7) % bytes);
  }
}

function bitsOf({ packed, eventIdx, inOrder }: RingFeatures): bigint {
  let bits = featureMask(FeatureBit.VERSION_1);
  if (packed === true) bits |= featureMask(FeatureBit.RING_PACKED);
  if (eventIdx) bits |= featureMask(FeatureBit.EVENT_IDX);
  if (inOrder === true) bits |= featureMask(FeatureBit.IN_ORDER);
  return bits;
}

type Step = readonly [kind: string, a: number, b: number];

const acts: Readonly<Record<string, (bench: Bench, a: number, b: number) => void>> = {
  offer: (bench, a, b) => bench.offer(a % 3, b % 3),
  publish: ({ driver }) => void driver.publish(),
  take: bench => bench.take(),
  read: (bench, a) => bench.read(a, false),
  write: (bench, a, b) => bench.write(a, b % 60),
  giveBack: (bench, a) => bench.giveBack(a, 0),
  publishUsed: ({ half }) => void half.interruptWanted(),
  takeBack: bench => bench.takeBack(),
  sleep: ({ half }, a) => void (a % 2 === 0 ? half.disableNotifications() : half.enableNotifications()),
  notify: ({ device }) => device.notified(QUEUE),
  // From here on somebody is wrong.
  readAgain: (bench, a) => bench.read(a, true),
  tooLong: (bench, a, b) => bench.giveBack(a, 1 + b),
  poke: (bench, a, b) => void (bench.bytes[bench.place(a, 2 * b + 1) - BASE] ^= 1 << (b % 8)),
  stray: (bench, a, b) => void bench.deviceMemory.read(bench.place(a, b), new Uint8Array(2), 0, 2),
  strayWrite: (bench, a, b) => void bench.deviceMemory.write(bench.place(a, b), new Uint8Array(2), 0, 2),
  offerTwisted: (bench, a, b) => bench.offerTwisted(a, b),
  jump: (bench, a) => bench.jump(1 + (a % (SIZE + 1))),
  wrongData: ({ device }) => device.notified(QUEUE, 3),
  reset: ({ device }) => device.writeStatus(0),
};

const right = ['offer', 'publish', 'take', 'read', 'write', 'giveBack', 'publishUsed', 'takeBack', 'sleep'];
const wrong = [
  'readAgain',
  'tooLong',
  'poke',
  'stray',
  'strayWrite',
  'offerTwisted',
  'jump',
  'wrongData',
  'reset',
];

const step = (names: readonly string[]) => fc.tuple(fc.constantFrom(...names), fc.nat(255), fc.nat(255));
const good = step([...right, 'offer', 'publish', 'take', 'notify']);
/** Most histories are right for a while: a ring that is wrong at once is never followed in brief. */
const histories = fc
  .tuple(
    fc.array(good, { maxLength: 120, size: 'max' }),
    fc.array(fc.oneof({ weight: 3, arbitrary: good }, { weight: 1, arbitrary: step(wrong) }), {
      maxLength: 60,
      size: 'max',
    }),
  )
  .map(([before, after]): readonly Step[] => [...before, ...after]);

/** A readable element behind a writable one. */
const writableFirst: readonly Step[] = [
  ['offerTwisted', 6, 0],
  ['publish', 0, 0],
  ['notify', 0, 0],
];

function run(features: RingFeatures, history: readonly Step[], inDetail: boolean) {
  const bench = new Bench(features, inDetail);
  for (const [kind, a, b] of history) {
    // What a queue's half throws at its user is no matter of the watch.
    try {
      acts[kind](bench, a, b);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return bench.judge.outcomes.map(({ observation, looks, breaches, first }) => ({
    id: observation.id,
    looks,
    breaches,
    // Numbers of the chains of a packed ring are the judge's own, and those of monitored chains always are.
    first: first?.message.replaceAll(
      features.packed === true ? /\b(chain|CHAIN number) \d+/g : /\bCHAIN number \d+/g,
      '$1',
    ),
  }));
}

const formats: readonly (readonly [string, RingFeatures])[] = [
  ['split', { indirect: false, eventIdx: false }],
  ['split, EVENT_IDX', { indirect: false, eventIdx: true }],
  ['split, IN_ORDER', { indirect: false, eventIdx: false, inOrder: true }],
  ['packed', { indirect: false, eventIdx: false, packed: true }],
  ['packed, EVENT_IDX', { indirect: false, eventIdx: true, packed: true }],
  ['packed, IN_ORDER', { indirect: false, eventIdx: false, packed: true, inOrder: true }],
];

describe.each(formats)('a ring that is followed in brief: %s', (_name, features) => {
  it('is judged as one that is followed in detail', () => {
    fc.assert(
      fc.property(histories, history => {
        expect(run(features, history, false)).toEqual(run(features, history, true));
      }),
      { numRuns: Number(process.env['BRIEF_RUNS'] ?? 150), seed: 5, examples: [[writableFirst]] },
    );
  });
});
