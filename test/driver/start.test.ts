/** Bringing a device up, giving it up, and taking it down. */
import { describe, expect, it } from 'vitest';
import { DeviceStatus } from '../../src/virtio/index.js';
import { FakeWorld, startedWorld } from './fake-device.js';
import { createObjects, errnoOf, sendRequest } from './setup.js';

const failedBit = (world: FakeWorld): number => world.transport.readStatus() & DeviceStatus.FAILED;

describe('start', () => {
  it('[VQ-03] [VQ-05] enables every queue of both profiles before DRIVER_OK, none larger than allowed', async () => {
    for (const profile of ['roce', 'rdma'] as const) {
      const world = await startedWorld({ profile, queueSizeMax: 16 });
      const { control, count } = world.device.profile.queues(world.device.maxQps, world.device.maxCqs);
      for (let index = control; index < count; index++) {
        expect(world.transport.queueEnabled(index)).toBe(true);
        expect(world.device.ring(index).size).toBe(16);
      }
    }
  });

  it('[FEAT-03] [FEAT-04] accepts what it needs and the ring features that are wanted and offered', async () => {
    const both = { indirect: true, eventIdx: true };
    const world = await startedWorld({ ringFeatures: both });
    expect(world.transport.readStatus() & DeviceStatus.DRIVER_OK).toBe(DeviceStatus.DRIVER_OK);
    const plain = await startedWorld({ driver: { ringFeatures: both } });
    expect(plain.driver.failure).toBeUndefined();
  });

  it('[FEAT-07] sets FAILED and stops when a feature that it needs is not offered', async () => {
    const world = new FakeWorld({ missingFeature: 55 });
    await expect(world.driver.start()).rejects.toThrow(/55/);
    expect(failedBit(world)).not.toBe(0);
  });

  it.each([
    ['max_rdma_qps', { maxQps: 0 }],
    ['max_rdma_cqs', { maxCqs: 16385 }],
  ])('[CONF-05] sets FAILED and stops when %s is out of range', async (name, counts) => {
    const world = new FakeWorld({ maxQps: 2, maxCqs: 1, ...counts });
    await expect(world.driver.start()).rejects.toThrow(name);
    expect(failedBit(world)).not.toBe(0);
  });

  it('refuses a device of another type', async () => {
    const world = new FakeWorld({
      profile: 'roce',
      driver: { profile: (await startedWorld({ profile: 'rdma' })).device.profile },
    });
    await expect(world.driver.start()).rejects.toThrow(/type/);
  });

  it('refuses verbs before it runs, and a second start while it runs', async () => {
    const world = new FakeWorld();
    expect(await errnoOf(world.driver.createPd())).toBe('ENODEV');
    await world.start();
    expect(await errnoOf(world.driver.start())).toBe('EBUSY');
  });

  it('leaves nothing allocated when there is no room for its queues', async () => {
    const world = new FakeWorld({ dmaBytes: 8192 });
    expect(await errnoOf(world.driver.start())).toBe('ENOMEM');
    expect(world.guest.dmaBytesInUse).toBe(0);
  });

  it('needs four entries of the control queue, or indirect tables', async () => {
    await expect(new FakeWorld({ queueSizeMax: 2 }).driver.start()).rejects.toThrow(/control queue/);
    const ringFeatures = { indirect: true, eventIdx: false };
    expect((await startedWorld({ queueSizeMax: 4, ringFeatures })).driver.failure).toBeUndefined();
  });
});

describe('the limits', () => {
  it('[CONF-01] come from the answer and the configuration, and are never above what the rings carry', async () => {
    const world = await startedWorld({ driver: { queueSizes: { cq: 8, sq: 16, rq: 32 } } });
    const limits = await world.settle(world.driver.queryDevice());
    expect(limits).toMatchObject({
      maxCqe: 8,
      maxQpWr: 16,
      maxQp: 6,
      maxCq: 4,
      maxPd: 3,
      maxMrSizeBytes: 1 << 20,
    });
    expect(await world.settle(world.driver.queryPort())).toEqual({
      gidTableLength: 8,
      maxMsgSizeBytes: 64 * 1024,
      activeMtu: 3,
    });
  });
});

describe('giving up and stopping', () => {
  it('[ERR-25] [ERR-26] [HOST-28] fails pending and later verbs with EIO once the device needs a reset', async () => {
    const world = await startedWorld();
    const { qp, sendCq } = await createObjects(world);
    world.device.hold = true;
    const pending = [errnoOf(world.driver.createPd()), errnoOf(world.driver.queryPort())];
    world.device.fail('made up');
    expect(await Promise.all(pending)).toEqual(['EIO', 'EIO']);
    expect(world.driver.failure).toMatch(/reset/);
    expect(failedBit(world)).not.toBe(0);
    const notified = world.transport.notifications;
    expect(await errnoOf(world.driver.createPd())).toBe('EIO');
    expect(await errnoOf(() => world.driver.postSend(qp, sendRequest(1)))).toBe('EIO');
    expect(await errnoOf(() => world.driver.postRecv(qp, { wrId: 1, sges: [] }))).toBe('EIO');
    expect(await errnoOf(() => world.driver.pollCq(sendCq, [], 1))).toBe('EIO');
    expect(world.transport.notifications).toBe(notified);
  });

  it('ignores configuration interrupts that bring nothing', async () => {
    const world = await startedWorld();
    world.device.interrupt(0);
    world.device.interrupt(world.device.sq(2));
    expect(world.driver.failure).toBeUndefined();
  });

  it('[RST-37] [HOST-30] keeps all memory while the device is broken and gives it back at the reset', async () => {
    const world = await startedWorld();
    await createObjects(world);
    const held = world.guest.dmaBytesInUse;
    world.device.fail('made up');
    await world.turn();
    expect(world.guest.dmaBytesInUse).toBe(held);
    await world.driver.stop();
    expect(world.guest.dmaBytesInUse).toBe(0);
    await world.start();
    expect(world.driver.failure).toBeUndefined();
    await world.settle(world.driver.createPd());
  });

  it('[HOST-34] stands interrupts and deferred work of before the stop', async () => {
    const world = await startedWorld();
    const { sendCq } = await createObjects(world);
    await world.settle(world.driver.reqNotifyCq(sendCq, false));
    world.device.hold = true;
    void errnoOf(world.driver.createPd());
    world.device.interrupt(world.device.cq(0));
    world.device.answerAll();
    await world.driver.stop();
    await world.turn();
    expect(await errnoOf(world.driver.destroyCq(sendCq))).toBe('ENODEV');
  });
});
