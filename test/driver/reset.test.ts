/** What becomes of pending verbs, completions and events at a reset; and posts beside a command that is pending. */
import { describe, expect, it } from 'vitest';
import { QpState, WcStatus } from '../../src/abi/index.js';
import { SeededChoices } from '../../src/fabric/index.js';
import { startedWorld } from './fake-device.js';
import { Pair, connect } from './pair.js';
import { completions, createObjects, errnoOf, oneElement, sendRequest } from './setup.js';

describe('a reset', () => {
  it('[RST-38] fails every pending control verb with EIO, before it resolves', async () => {
    const world = await startedWorld();
    const { device, driver } = world;
    const { pd, qp, sendCq } = await createObjects(world);
    device.hold = true;
    const pending = [
      errnoOf(driver.queryDevice()),
      errnoOf(driver.queryPort()),
      errnoOf(driver.createPd()),
      errnoOf(driver.createCq(2)),
      errnoOf(driver.reqNotifyCq(sendCq, false)),
      errnoOf(driver.getDmaMr(pd, 1)),
      errnoOf(driver.modifyQp(qp, { qpState: QpState.ERR })),
      errnoOf(driver.queryQp(qp)),
      errnoOf(driver.destroyQp(qp)),
      errnoOf(driver.delGid(0)),
    ];
    await driver.stop();
    expect(await Promise.all(pending)).toEqual(pending.map(() => 'EIO'));
  });

  it('[RST-38] fails those that wait for room in the control queue too', async () => {
    const world = await startedWorld({ driver: { queueSizes: { control: 4 } } });
    world.device.hold = true;
    const pending = Array.from({ length: 12 }, () => errnoOf(world.driver.createPd()));
    expect(world.device.pending.length).toBeLessThan(12);
    await world.driver.stop();
    expect(await Promise.all(pending)).toEqual(pending.map(() => 'EIO'));
  });

  it('[RST-39] takes the completions with it that were not polled, also where a new object has the number', async () => {
    const world = await startedWorld();
    const { device, driver } = world;
    const old = await createObjects(world, { oneCq: true });
    driver.postSend(old.qp, sendRequest(7));
    device.takeRequests(device.sq(2));
    device.returnRequests(device.sq(2), 1);
    expect(device.complete(0, { wr_id: 7, qp_num: 2 })).toBe(true);
    await driver.stop();
    await world.start();
    expect(await errnoOf(() => driver.pollCq(old.sendCq, completions(1), 1))).toBe('EINVAL');
    const anew = await createObjects(world, { oneCq: true });
    expect(anew.qp.qpNum).toBe(old.qp.qpNum);
    expect(driver.pollCq(anew.sendCq, completions(1), 1)).toBe(0);
  });

  it('[RST-39] takes the events with it that were not handed out', async () => {
    const world = await startedWorld();
    const { device, driver } = world;
    let events = 0;
    const cq = await world.settle(driver.createCq(4, () => events++));
    await world.settle(driver.reqNotifyCq(cq, false));
    device.interrupt(device.cq(0));
    await driver.stop();
    await world.turn();
    expect(events).toBe(0);
    await world.start();
    const anew = await world.settle(driver.createCq(4, () => events++));
    device.interrupt(device.cq(0));
    await world.turn();
    expect(events).toBe(0);
    await world.settle(driver.reqNotifyCq(anew, false));
    device.interrupt(device.cq(0));
    await world.turn();
    expect(events).toBe(1);
  });
});

describe('a request that is posted while a command is pending', () => {
  const { SUCCESS, WR_FLUSH_ERR } = WcStatus;

  it.each(['before', 'after'] as const)('[ORD-19] may be taken %s it', async order => {
    const world = await startedWorld();
    const { device, driver } = world;
    const { qp, sendCq, recvCq } = await createObjects(world);
    const sq = device.sq(2);
    const rq = device.rq(2);
    device.hold = true;
    const moving = driver.modifyQp(qp, { qpState: QpState.ERR });
    driver.postSend(qp, sendRequest(1));
    driver.postRecv(qp, { wrId: 2, sges: oneElement });
    const status = order === 'before' ? SUCCESS : WR_FLUSH_ERR;
    const take = () => {
      for (const [index, cq, wr_id, opcode] of [
        [sq, 0, 1, 0],
        [rq, 1, 2, 3],
      ]) {
        device.takeRequests(index);
        device.returnRequests(index, 1);
        device.complete(cq, { wr_id, qp_num: 2, status, opcode: status === SUCCESS ? opcode : 0 });
      }
    };
    if (order === 'before') take();
    device.answerAll();
    if (order === 'after') take();
    await world.settle(moving);
    const into = completions(2);
    expect([driver.pollCq(sendCq, into, 1), into[0].wrId, into[0].status]).toEqual([1, 1, status]);
    expect([driver.pollCq(recvCq, into, 1), into[0].wrId, into[0].status]).toEqual([1, 2, status]);
    expect(driver.failure).toBeUndefined();
  });

  it('[ORD-19] is accounted for whichever comes first, whoever steps when', async () => {
    const seen = new Set<number>();
    for (let seed = 1; seed <= 60; seed++) {
      const pair = await new Pair({ choices: new SeededChoices(seed) }).start();
      const [a, b] = await connect(pair);
      const { driver } = a.machine;
      for (let i = 0; i < 4; i++) b.machine.driver.postRecv(b.qp, { wrId: i, sges: [] });
      for (let steps = 0; steps < seed % 30; steps++) pair.scheduler.step();
      const moving = driver.modifyQp(a.qp, { qpState: QpState.ERR });
      for (let wrId = 0; wrId < 4; wrId++) driver.postSend(a.qp, { ...sendRequest(wrId), sges: [] });
      for (let steps = 0; steps < seed % 7; steps++) pair.scheduler.step();
      await pair.settle(moving);
      pair.run();
      const into = completions(8);
      const count = driver.pollCq(a.cq, into, 8);
      expect(
        into.slice(0, count).map(({ wrId }) => wrId),
        `seed ${seed}`,
      ).toEqual([0, 1, 2, 3]);
      for (const { status } of into.slice(0, count)) seen.add(status);
      expect(driver.failure, `seed ${seed}`).toBeUndefined();
    }
    expect(seen.has(WR_FLUSH_ERR)).toBe(true);
  });
});
