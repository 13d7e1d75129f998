/**
 * The law of no lost wake-up, for both directions of a queue: when neither side has anything left to do but to wait, the
 * consumer has seen all that the producer made available or used.
 *
 * Every run of two sides is tried in which one side may act between any two accesses of the other to an index, a flag or an
 * event word, with plain stores held back as a processor's store buffer holds them. That the law can fail is shown by
 * planting each of the faults that it forbids: no second look, and a store that is no full barrier, on either side.
 */
import { describe, expect, it } from 'vitest';
import type { DeviceQueue, DriverQueue } from '../../src/virtio/index.js';
import { anyRing } from '../virtio/packed-support.js';
import type { AnyRing } from '../virtio/packed-support.js';
import { BASE } from '../virtio/support.js';
import { SpyMemory } from '../virtio/spy-memory.js';

type Side = 'driver' | 'device';

interface Faults {
  /** This side goes to sleep without looking again. */
  readonly noSecondLook?: Side;
  /** This side's stores to indices and event words are not full barriers. */
  readonly noBarrier?: Side;
}

interface Scene {
  /** Who produces; the other side consumes and sleeps. */
  readonly producer: Side;
  readonly eventIdx: boolean;
  readonly packed: boolean;
  readonly messages: number;
}

/** A number in 0 .. count-1, from whoever explores. */
type Choose = (count: number) => number;

/** One run of two sides. Returns the messages that the consumer never saw. */
function run({ producer, eventIdx, packed, messages }: Scene, faults: Faults, choose: Choose): number {
  let acting: Side | undefined;
  let armed = false;
  const spied = (buffer: ArrayBufferLike, side: Side): SpyMemory =>
    new SpyMemory(buffer, BASE, {
      storeBuffer: faults.noBarrier === side ? 'all' : 'plain',
      before: ({ kind }) => {
        if (!armed || (kind !== 'load16' && kind !== 'store16')) return;
        // A store that is no barrier becomes visible at any later time, or only at the end of the step.
        if (faults.noBarrier === side && memories[side]?.holding === true && choose(2) === 1)
          memories[side]?.drain();
        interrupted(side);
      },
    });
  const memories: { driver?: SpyMemory; device?: SpyMemory } = {};
  const ring = anyRing({
    size: packed ? 3 : 4,
    features: { eventIdx, packed },
    dataBytes: 4096,
    views: buffer => {
      memories.driver = spied(buffer, 'driver');
      memories.device = spied(buffer, 'device');
      return { driver: memories.driver, device: memories.device };
    },
  });
  const parties =
    producer === 'driver'
      ? driverProduces(ring, messages, faults)
      : deviceProduces(ring, messages, faults, () => memories.driver?.drain());
  const consumer: Side = producer === 'driver' ? 'device' : 'driver';
  memories.driver?.drain();
  memories.device?.drain();
  armed = true;

  function able(side: Side): boolean {
    return side === producer ? parties.left() > 0 : parties.awake();
  }

  function step(side: Side): void {
    const outer = acting;
    acting = side;
    if (side === producer) parties.produce();
    else parties.consume();
    interrupted(side);
    // At the latest when a side is done with a step, others see what it stored.
    memories[side]?.drain();
    acting = outer;
  }

  /** Between two accesses of one side the other may take whole steps. */
  function interrupted(side: Side): void {
    const other: Side = side === 'driver' ? 'device' : 'driver';
    if (acting !== side || nested) return;
    nested = true;
    while (able(other) && choose(2) === 1) step(other);
    nested = false;
  }
  let nested = false;

  for (;;) {
    const ready = [producer, consumer].filter(able);
    if (ready.length === 0) return parties.unseen();
    step(ready[ready.length === 1 ? 0 : choose(2)]);
  }
}

interface Parties {
  produce(): void;
  consume(): void;
  /** Steps that the producer has left. */
  left(): number;
  /** Whether the consumer runs or was woken. */
  awake(): boolean;
  unseen(): number;
}

function driverProduces({ driver, device, data }: AnyRing, messages: number, faults: Faults): Parties {
  const chain = device.newChain();
  let [sent, seen, asleep] = [0, 0, false];
  return {
    left: () => messages - sent,
    awake: () => !asleep,
    unseen: () => messages - seen,
    produce: () => {
      sent++;
      send(driver, data);
      if (driver.publish()) asleep = false;
    },
    consume: () => {
      // A wake-up that comes from here on is for the next step.
      asleep = true;
      device.disableNotifications();
      while (device.take(chain) === 'chain') seen++;
      if (device.enableNotifications() && faults.noSecondLook !== 'device') asleep = false;
    },
  };
}

function deviceProduces(
  { driver, device, data }: AnyRing,
  messages: number,
  faults: Faults,
  published: () => void,
): Parties {
  const element = { token: 0, written: 0 };
  let [sent, seen, asleep] = [0, 0, false];
  for (let i = 0; i < messages; i++) send(driver, data);
  driver.publish();
  published();
  const heads = takeAll(device);
  return {
    left: () => messages - sent,
    awake: () => !asleep,
    unseen: () => messages - seen,
    produce: () => {
      device.putUsed(heads[sent++], 0);
      if (device.interruptWanted()) asleep = false;
    },
    consume: () => {
      asleep = true;
      driver.disableInterrupts();
      while (driver.takeUsed(element)) seen++;
      if (driver.enableInterrupts() && faults.noSecondLook !== 'driver') asleep = false;
    },
  };
}

function send(driver: DriverQueue, data: number): void {
  driver.begin();
  driver.addReadable(data, 1);
  if (!driver.commit(0)) throw new Error('no room');
}

function takeAll(device: DeviceQueue): number[] {
  const chain = device.newChain();
  const heads: number[] = [];
  while (device.take(chain) === 'chain') heads.push(chain.head);
  return heads;
}

/** Tries every sequence of choices until something was never seen. */
function explore(scene: Scene, faults: Faults): { runs: number; lost: boolean } {
  let runs = 0;
  const picks: number[] = [];
  const counts: number[] = [];
  for (;;) {
    let at = 0;
    const unseen = run(scene, faults, count => {
      if (at === picks.length) {
        picks.push(0);
        counts.push(count);
      }
      return picks[at++];
    });
    runs++;
    if (unseen > 0) return { runs, lost: true };
    while (picks.length > 0 && picks[picks.length - 1] === counts[counts.length - 1] - 1) {
      picks.pop();
      counts.pop();
    }
    if (picks.length === 0) return { runs, lost: false };
    picks[picks.length - 1]++;
  }
}

const scenes: Scene[] = (['driver', 'device'] as const).flatMap(producer =>
  [false, true].flatMap(eventIdx =>
    [false, true].map(packed => ({ producer, eventIdx, packed, messages: 3 })),
  ),
);

describe.each(scenes)('the $producer produces, EVENT_IDX $eventIdx, packed $packed', scene => {
  const consumer: Side = scene.producer === 'driver' ? 'device' : 'driver';

  it('[VQ-71] [VQ-72] [VQ-73] [VQ-74] [VQ-61] [VQ-63] [VQ-65] [VQ-67] [VQ-100] [VQ-102] [VQ-106] [VQ-107] loses no wake-up in any interleaving', () => {
    const { runs, lost } = explore(scene, {});
    expect(runs).toBeGreaterThan(100);
    expect(lost).toBe(false);
  });

  it('loses one when the consumer does not look again', () => {
    expect(explore(scene, { noSecondLook: consumer }).lost).toBe(true);
  });

  it.each(['driver', 'device'] as const)('loses one when the %s stores without a full barrier', side => {
    expect(explore(scene, { noBarrier: side }).lost).toBe(true);
  });
});
