/** Device status, feature negotiation, queue set-up, configuration and resets of the device model. */
import { describe, expect, it } from 'vitest';
import { DeviceStatus, FeatureBit, featureSet, SplitDriverQueue } from '../../src/virtio/index.js';
import { connectInProcess } from '../../src/transports/in-process.js';
import type { InProcessTransport } from '../../src/transports/in-process.js';
import { BASE, DiaryDevice, PAGE, RawRing, TestFeature, ringPlaces } from './support.js';

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET, FAILED } = DeviceStatus;
const { INDIRECT_DESC, EVENT_IDX, VERSION_1, RING_RESET, RING_PACKED } = FeatureBit;
const SIZE = 4;
const ringOnly = { indirect: false, eventIdx: false };

interface Rig {
  readonly device: DiaryDevice;
  readonly transport: InProcessTransport;
  readonly interrupts: (number | 'config')[];
  /** A driver half on queue `index`, enabled. */
  enable(index: number): SplitDriverQueue;
  offer(queue: SplitDriverQueue): void;
  negotiate(...bits: number[]): number;
  goLive(): void;
  readonly places: ReturnType<typeof ringPlaces>['places'];
  readonly memory: ReturnType<typeof ringPlaces>['memory'];
}

function rig(): Rig {
  const { memory, places } = ringPlaces(3, SIZE);
  const device = new DiaryDevice(memory);
  const transport = connectInProcess(device);
  const interrupts: (number | 'config')[] = [];
  transport.onInterrupt(source => interrupts.push(source));
  return {
    device,
    transport,
    interrupts,
    places,
    memory,
    enable(index) {
      const queue = new SplitDriverQueue(memory, { index, size: SIZE, ...places[index] }, ringOnly);
      transport.enableQueue(index, SIZE, places[index]);
      return queue;
    },
    offer(queue) {
      queue.begin();
      queue.addReadable(BASE, 1);
      queue.commit(0);
      queue.publish();
    },
    negotiate(...bits) {
      transport.writeStatus(ACKNOWLEDGE);
      transport.writeStatus(ACKNOWLEDGE | DRIVER);
      transport.setDriverFeatures(featureSet(...bits));
      transport.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
      return transport.readStatus();
    },
    goLive: () => transport.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK),
  };
}

/** Negotiated with RING_RESET, queues 0 and 1 enabled and their driver halves, live. */
function liveRig(...bits: number[]): Rig & { queues: SplitDriverQueue[] } {
  const r = rig();
  r.negotiate(VERSION_1, ...(bits.length > 0 ? bits : [RING_RESET]));
  const queues = [r.enable(0), r.enable(1)];
  r.goLive();
  r.device.diary.length = 0;
  return { ...r, queues };
}

describe('feature negotiation', () => {
  it('[FEAT-01] [FEAT-02] offers VERSION_1 and what its features need', () => {
    expect(rig().transport.deviceFeatures).toBe(
      featureSet(TestFeature.CTRL, TestFeature.RDMA, INDIRECT_DESC, EVENT_IDX, VERSION_1, RING_RESET),
    );
    const { memory } = ringPlaces(1, SIZE);
    expect(() => new DiaryDevice(memory, { features: featureSet(TestFeature.RDMA) })).toThrow(
      'feature 55 needs 17',
    );
    expect(() => new DiaryDevice(memory, { requiredFeatures: featureSet(3) })).toThrow('not offered');
  });

  it.each([
    [
      '[FEAT-11] everything',
      [TestFeature.RDMA, TestFeature.CTRL, INDIRECT_DESC, EVENT_IDX, VERSION_1, RING_RESET],
      true,
    ],
    ['[FEAT-11] only VERSION_1', [VERSION_1], true],
    ['[FEAT-11] without INDIRECT_DESC', [VERSION_1, EVENT_IDX, RING_RESET], true],
    ['[FEAT-08] a bit not offered', [VERSION_1, RING_PACKED], false],
    ['[FEAT-08] a high bit not offered', [VERSION_1, 127], false],
    ['[FEAT-09] a bit without the one it needs', [VERSION_1, TestFeature.RDMA], false],
    ['[FEAT-10] no VERSION_1', [EVENT_IDX], false],
    ['[FEAT-10] nothing', [], false],
  ])('is asked for %s', (_, bits, accepted) => {
    const r = rig();
    expect(r.negotiate(...bits)).toBe(ACKNOWLEDGE | DRIVER | (accepted ? FEATURES_OK : 0));
  });

  it('[FEAT-12] may insist on more', () => {
    const { memory } = ringPlaces(1, SIZE);
    const required = featureSet(TestFeature.RDMA);
    for (const [bits, accepted] of [
      [[VERSION_1], false],
      [[VERSION_1, TestFeature.RDMA, TestFeature.CTRL], true],
    ] as const) {
      const device = new DiaryDevice(memory, { requiredFeatures: required });
      device.setDriverFeatures(featureSet(...bits));
      device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
      expect((device.readStatus() & FEATURES_OK) !== 0).toBe(accepted);
    }
  });

  it('[FEAT-08] can be tried again after a refusal', () => {
    const r = rig();
    r.negotiate(VERSION_1, 127);
    expect(r.negotiate(VERSION_1)).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK);
  });

  it('puts no feature in force before FEATURES_OK', () => {
    const { device } = rig();
    device.setDriverFeatures(featureSet(VERSION_1, EVENT_IDX));
    expect(device.features).toBe(0n);
    device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    expect(device.features).toBe(featureSet(VERSION_1, EVENT_IDX));
    device.writeStatus(0);
    expect(device.features).toBe(0n);
  });

  it('[FEAT-13] is over once FEATURES_OK is set', () => {
    const r = rig();
    r.negotiate(VERSION_1);
    r.transport.setDriverFeatures(featureSet(VERSION_1, RING_RESET));
    r.enable(0);
    r.goLive();
    r.transport.resetQueue(0);
    expect(r.transport.queueEnabled(0)).toBe(true);
    expect(r.device.diary).not.toContain('queue-reset 0');
  });

  it('[FEAT-14] [FEAT-30] [FEAT-31] starts anew after a reset, with the same answer', () => {
    const r = rig();
    for (let round = 0; round < 3; round++) {
      expect(r.negotiate(VERSION_1, 127)).toBe(ACKNOWLEDGE | DRIVER);
      r.transport.writeStatus(0);
      expect(r.negotiate(VERSION_1, EVENT_IDX)).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK);
      r.transport.writeStatus(0);
      // The features of before are forgotten: nothing is accepted now, VERSION_1 neither.
      r.transport.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
      expect(r.transport.readStatus()).toBe(ACKNOWLEDGE | DRIVER);
      r.transport.writeStatus(0);
    }
  });
});

describe('device status', () => {
  it('[FEAT-16] keeps the bits that are set', () => {
    const r = rig();
    r.negotiate(VERSION_1);
    for (const status of [ACKNOWLEDGE, DRIVER_OK, 1024]) {
      r.transport.writeStatus(status);
      expect(r.transport.readStatus() & (ACKNOWLEDGE | DRIVER | FEATURES_OK)).toBe(
        ACKNOWLEDGE | DRIVER | FEATURES_OK,
      );
    }
  });

  it('[FEAT-17] acts on edges: DRIVER_OK written again starts nothing', () => {
    const r = rig();
    r.negotiate(VERSION_1);
    r.enable(1);
    r.goLive();
    r.goLive();
    r.goLive();
    expect(r.device.diary).toEqual(['driver-ok', 'notify 1']);
  });

  it('[FEAT-18] [FEAT-34] ignores bits that are not the driver’s, and never sets FAILED', () => {
    const r = rig();
    r.transport.writeStatus(ACKNOWLEDGE | DEVICE_NEEDS_RESET | 16 | 32 | 256);
    expect(r.transport.readStatus()).toBe(ACKNOWLEDGE);
    r.device.giveUp('test');
    expect(r.transport.readStatus()).toBe(ACKNOWLEDGE | DEVICE_NEEDS_RESET);
    r.transport.writeStatus(ACKNOWLEDGE | FAILED);
    expect(r.transport.readStatus()).toBe(ACKNOWLEDGE | DEVICE_NEEDS_RESET | FAILED);
  });

  it('[FEAT-19] [FEAT-20] takes no step before the one that comes first', () => {
    const r = rig();
    r.transport.setDriverFeatures(featureSet(VERSION_1));
    r.transport.writeStatus(ACKNOWLEDGE | FEATURES_OK);
    expect(r.transport.readStatus()).toBe(ACKNOWLEDGE);
    r.transport.writeStatus(ACKNOWLEDGE | DRIVER | DRIVER_OK);
    expect(r.transport.readStatus()).toBe(ACKNOWLEDGE | DRIVER);
    expect(r.device.diary).toEqual([]);
  });

  it('[FEAT-25] [FEAT-26] [FEAT-27] works from DRIVER_OK on, and then on all that is there', () => {
    const r = rig();
    r.negotiate(VERSION_1);
    const queue = r.enable(1);
    r.offer(queue);
    r.transport.notify(1);
    r.device.sendInterrupt(1);
    expect(r.device.queueNow(1)).toBeUndefined();
    expect(r.device.diary).toEqual([]);
    expect(queue.hasUsed()).toBe(false);
    r.goLive();
    expect(r.device.diary).toEqual(['driver-ok', 'notify 1']);
    expect(queue.hasUsed()).toBe(true);
    expect(r.interrupts).toEqual([1]);
  });

  it('[VQ-59] tolerates notifications of empty, of disabled and of absent queues', () => {
    const r = liveRig();
    for (const index of [0, 2, 3, 4, 70_000, -1, NaN]) r.transport.notify(index);
    expect(r.device.diary).toEqual(['notify 0']);
    expect(r.transport.readStatus()).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
  });
});

describe('needing a reset', () => {
  it('[FEAT-32] [FEAT-33] stops every queue and tells a live driver once', () => {
    const r = liveRig();
    const held = r.device.queueNow(1);
    r.device.giveUp('first');
    r.device.giveUp('second');
    expect(r.transport.readStatus() & DEVICE_NEEDS_RESET).toBe(DEVICE_NEEDS_RESET);
    expect(r.device.needsResetReason).toBe('first');
    expect(r.interrupts).toEqual(['config']);
    for (const queue of r.queues) {
      r.offer(queue);
      r.transport.notify(queue.index);
      expect(queue.hasUsed()).toBe(false);
    }
    expect(held?.available()).toBe(0);
    r.device.sendInterrupt(0);
    expect(r.interrupts).toEqual(['config']);
    expect(r.device.diary).toEqual([]);
  });

  it('[FEAT-32] tells nobody before the driver is ready, and does not start then', () => {
    const r = rig();
    r.negotiate(VERSION_1);
    r.enable(0);
    r.device.giveUp('early');
    r.goLive();
    expect(r.interrupts).toEqual([]);
    expect(r.device.diary).toEqual([]);
  });

  it('[VQ-46] is the answer to a broken ring, and stops the other queues too', () => {
    const r = liveRig();
    r.offer(r.queues[0]);
    new RawRing({ memory: r.memory, config: { index: 1, size: SIZE, ...r.places[1] }, end: 0 }).offer(99);
    r.transport.notify(1);
    expect(r.device.needsResetReason).toMatch(/queue 1: head 99/);
    expect(r.interrupts).toEqual(['config']);
    r.transport.notify(0);
    expect(r.queues[0].hasUsed()).toBe(false);
  });

  it('[FEAT-31] ends with a reset', () => {
    const r = liveRig();
    r.device.giveUp('test');
    r.transport.writeStatus(r.transport.readStatus() | FAILED);
    r.transport.writeStatus(0);
    expect(r.transport.readStatus()).toBe(0);
    expect(r.device.needsResetReason).toBeUndefined();
    r.negotiate(VERSION_1);
    const queue = r.enable(0);
    r.goLive();
    r.offer(queue);
    r.transport.notify(0);
    expect(queue.hasUsed()).toBe(true);
  });

  it('is not brought on by a queue of before a reset', () => {
    const r = liveRig();
    const old = r.device.queueNow(0);
    r.transport.writeStatus(0);
    if (old === undefined) throw new Error('no queue');
    r.device.reportBroken(old);
    expect(r.transport.readStatus()).toBe(0);
  });
});

describe('reset', () => {
  it('[FEAT-28] [FEAT-29] [FEAT-30] forgets everything and touches nothing until it is live again', () => {
    const r = liveRig();
    r.device.works = false;
    r.offer(r.queues[0]);
    const held = r.device.queueNow(0);
    const chain = held?.newChain();
    if (held === undefined || chain === undefined) throw new Error('no queue');
    expect(held.take(chain)).toBe('chain');
    r.transport.writeStatus(0);
    expect(r.transport.readStatus()).toBe(0);
    expect(r.device.diary).toEqual(['reset']);
    expect([0, 1, 2].map(index => r.transport.queueEnabled(index))).toEqual([false, false, false]);
    held.putUsed(chain.head, 0);
    r.device.sendInterrupt(0);
    r.transport.notify(0);
    expect(r.queues[0].hasUsed()).toBe(false);
    expect(held.take(chain)).toBe('broken');
    expect(r.interrupts).toEqual([]);
    expect(r.device.diary).toEqual(['reset']);
  });
});

describe('setting a queue up', () => {
  it('[VQ-02] gives sizes, and 0 for a queue that does not exist', () => {
    const r = rig();
    expect([0, 1, 2, 3, 4, -1, 0.5, NaN].map(index => r.transport.queueSizeMax(index))).toEqual([
      16, 16, 16, 0, 0, 0, 0, 0,
    ]);
  });

  it.each<[string, (r: Rig) => void]>([
    ['[VQ-09] with size 3', r => r.transport.enableQueue(0, 3, r.places[0])],
    ['[VQ-09] with size 0', r => r.transport.enableQueue(0, 0, r.places[0])],
    ['[VQ-09] with size 32, above the largest', r => r.transport.enableQueue(0, 32, r.places[0])],
    [
      '[VQ-09] with a table at an odd place',
      r => r.transport.enableQueue(0, 4, { ...r.places[0], descriptors: BASE + 8 }),
    ],
    ['[VQ-09] with a ring outside memory', r => r.transport.enableQueue(0, 4, { ...r.places[0], device: 0 })],
    [
      '[VQ-09] with a ring across the end',
      r => r.transport.enableQueue(0, 4, { ...r.places[0], driver: BASE + 4 * PAGE - 2 }),
    ],
    ['[VQ-10] that does not exist', r => r.transport.enableQueue(3, 4, r.places[0])],
    ['[VQ-10] beyond the last', r => r.transport.enableQueue(4, 4, r.places[0])],
    ['[VQ-10] twice', r => (r.enable(0), r.transport.enableQueue(0, 4, r.places[0]))],
  ])('%s makes the device need a reset', (_, setUp) => {
    const r = rig();
    r.negotiate(VERSION_1);
    setUp(r);
    expect(r.transport.readStatus() & DEVICE_NEEDS_RESET).toBe(DEVICE_NEEDS_RESET);
    expect(r.device.needsResetReason).toMatch(/^enabling queue/);
  });

  it('[VQ-11] is too early before FEATURES_OK', () => {
    const r = rig();
    r.enable(0);
    expect(r.transport.readStatus() & DEVICE_NEEDS_RESET).toBe(DEVICE_NEEDS_RESET);
    expect(r.transport.queueEnabled(0)).toBe(false);
  });

  it('[VQ-11] is too late after DRIVER_OK, but for a device with RING_RESET', () => {
    for (const [bits, works] of [
      [[VERSION_1], false],
      [[VERSION_1, RING_RESET], true],
    ] as const) {
      const r = liveRig(...bits);
      r.enable(2);
      expect(r.transport.queueEnabled(2)).toBe(works);
      expect((r.transport.readStatus() & DEVICE_NEEDS_RESET) === 0).toBe(works);
    }
  });

  it('[VQ-12] works with every size up to the largest', () => {
    for (const size of [1, 2, 4, 8, 16]) {
      const { memory, places } = ringPlaces(1, 16);
      const device = new DiaryDevice(memory);
      device.setDriverFeatures(featureSet(VERSION_1));
      device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
      const queue = new SplitDriverQueue(memory, { index: 0, size, ...places[0] }, ringOnly);
      device.enableQueue(0, size, places[0]);
      device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
      const element = { token: 0, written: 0 };
      for (let i = 0; i < 40; i++) {
        queue.begin();
        queue.addReadable(BASE, 1);
        expect(queue.commit(i)).toBe(true);
        queue.publish();
        device.notified(0);
        expect(queue.takeUsed(element)).toBe(true);
        expect(element.token).toBe(i);
      }
    }
  });
});

describe('reset of one queue', () => {
  it('[VQ-75] [VQ-77] ends it and no other', () => {
    const r = liveRig();
    r.device.works = false;
    for (const queue of r.queues) r.offer(queue);
    const held = r.device.queueNow(0);
    const chain = held?.newChain();
    if (held === undefined || chain === undefined) throw new Error('no queue');
    held.take(chain);
    r.transport.resetQueue(0);
    expect(r.device.diary).toEqual(['queue-reset 0']);
    expect([r.transport.queueEnabled(0), r.transport.queueEnabled(1)]).toEqual([false, true]);
    held.putUsed(chain.head, 0);
    r.transport.notify(0);
    expect(r.queues[0].hasUsed()).toBe(false);
    r.device.works = true;
    r.transport.notify(1);
    expect(r.queues[1].hasUsed()).toBe(true);
    expect(r.device.diary).toEqual(['queue-reset 0', 'notify 1']);
  });

  it('[VQ-76] lets it begin again at index 0 with another size and place', () => {
    const r = liveRig();
    for (let i = 0; i < 3; i++) r.offer(r.queues[0]);
    r.transport.notify(0);
    r.transport.resetQueue(0);
    const again = new SplitDriverQueue(r.memory, { index: 0, size: 2, ...r.places[2] }, ringOnly);
    r.offer(again);
    r.transport.enableQueue(0, 2, r.places[2]);
    expect(r.device.diary).toEqual(['notify 0', 'queue-reset 0', 'notify 0']);
    expect(again.takeUsed({ token: 0, written: 0 })).toBe(true);
    expect(again.state()).toMatchObject({ availIdx: 1, lastUsed: 1, broken: undefined });
  });

  it('[VQ-78] does nothing unless it was negotiated, nor to a queue that is not enabled', () => {
    const r = liveRig(VERSION_1);
    r.transport.resetQueue(0);
    expect(r.transport.queueEnabled(0)).toBe(true);
    const other = liveRig();
    for (const index of [2, 3, 9, -1]) other.transport.resetQueue(index);
    expect([r.device.diary, other.device.diary]).toEqual([[], []]);
  });
});

describe('the configuration space', () => {
  it('[CONF-04] can be read at any time, and only be read', () => {
    const r = rig();
    const view = r.transport.readConfig();
    expect(view.getUint32(0, true)).toBe(0x0403_0201);
    view.setUint32(0, 0);
    expect(r.transport.readConfig().getUint32(0, true)).toBe(0x0403_0201);
  });

  it('[CONF-08] [CONF-09] changes its generation with each change and tells a live driver', () => {
    const r = rig();
    const seen = new Set([r.transport.configGeneration]);
    r.device.configure(0, Uint8Array.of(9));
    seen.add(r.transport.configGeneration);
    expect(r.interrupts).toEqual([]);
    r.negotiate(VERSION_1);
    r.goLive();
    r.device.configure(2, Uint8Array.of(8, 7));
    seen.add(r.transport.configGeneration);
    expect(seen.size).toBe(3);
    expect(r.interrupts).toEqual(['config']);
    expect(r.transport.readConfig().getUint32(0, true)).toBe(0x0708_0209);
  });
});

describe('a look at a queue', () => {
  it('is another one when the driver has made more available, and only then', () => {
    const { device, transport, offer, queues } = liveRig();
    const [queue] = queues;
    expect(device.look(0)).toBe(0);
    offer(queue);
    const one = device.look(0);
    expect([one, device.look(0)]).toEqual([expect.not.toBeOneOf([0]), one]);
    offer(queue);
    const two = device.look(0);
    expect([0, one]).not.toContain(two);
    transport.notify(0);
    expect(device.look(0)).toBe(0);
    offer(queue);
    expect([0, one, two]).not.toContain(device.look(0));
  });

  it('is another one behind a reset of the queue, though the ring stands as it stood', () => {
    const { device, transport, offer, enable, queues } = liveRig();
    offer(queues[0]);
    const before = device.look(0);
    transport.resetQueue(0);
    expect(device.look(0)).toBe(0);
    offer(enable(0));
    expect([0, before]).not.toContain(device.look(0));
  });

  it('shows that a ring is broken, and nothing of a queue that nobody may work on', () => {
    const { device, places, memory } = liveRig();
    memory.window(places[1].driver, 4)?.set16(2, 100);
    expect(device.look(1)).toBe(-1);
    expect([device.look(2), device.look(3), device.look(99)]).toEqual([0, 0, 0]);
  });
});
