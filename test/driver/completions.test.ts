/** Completion queues: buffers, contents, arming, events, and what is left of queue pairs that are gone. */
import { describe, expect, it } from 'vitest';
import { Command, QpState, QpType, SendFlag, WcFlag, WcOpcode, WcStatus } from '../../src/abi/index.js';
import { SeededChoices } from '../../src/fabric/index.js';
import type { CompletionQueue } from '../../src/verbs/index.js';
import { startedWorld } from './fake-device.js';
import type { FakeWorld } from './fake-device.js';
import { completions, createObjects, oneElement, sendRequest, smallCap, walkTo } from './setup.js';

/** Posts sends and has the device take and return them, without completions. */
function doneSends(
  world: FakeWorld,
  qp: Parameters<FakeWorld['driver']['postSend']>[0],
  wrIds: readonly number[],
): void {
  for (const wrId of wrIds) {
    world.driver.postSend(qp, sendRequest(wrId));
    world.device.takeRequests(world.device.sq(qp.qpNum));
    world.device.returnRequests(world.device.sq(qp.qpNum), 1);
  }
}

describe('buffers', () => {
  it('[CQ-10] [CQ-14] [CQ-15] stand in the ring, one of 48 bytes for each entry, when the queue is created', async () => {
    const world = await startedWorld();
    const cq = await world.settle(world.driver.createCq(5));
    const ring = world.device.cqRing(0);
    expect([cq.cqe, ring.available()]).toEqual([5, 5]);
    const chain = ring.newChain();
    expect(ring.take(chain)).toBe('chain');
    expect([chain.readableBytes, chain.writableBytes]).toEqual([0, 48]);
  });

  it('[CQ-16] [CQ-17] go back when their completions are polled, not before, and in one go', async () => {
    const world = await startedWorld();
    const { qp, sendCq } = await createObjects(world);
    const ring = world.device.cqRing(0);
    doneSends(world, qp, [1, 2, 3]);
    for (const wr_id of [1, 2, 3]) world.device.complete(0, { wr_id, qp_num: 2 });
    expect(ring.available()).toBe(5);
    const into = completions(4);
    expect(world.driver.pollCq(sendCq, into, 2)).toBe(2);
    expect(ring.available()).toBe(7);
    expect(world.driver.pollCq(sendCq, into, 4)).toBe(1);
    expect(ring.available()).toBe(8);
    expect(world.driver.pollCq(sendCq, into, 4)).toBe(0);
  });

  it('[PERF-07] [CQ-52] need no kick while the device does not ask for one', async () => {
    for (const eventIdx of [false, true]) {
      const world = await startedWorld({ ringFeatures: { indirect: false, eventIdx } });
      const { qp, sendCq } = await createObjects(world);
      const ring = world.device.cqRing(0);
      ring.disableNotifications();
      const kicks = (): number => world.transport.notificationsByQueue[ring.index];
      const before = kicks();
      for (let i = 1; i < 30; i++) {
        doneSends(world, qp, [i]);
        world.device.complete(0, { wr_id: i, qp_num: 2 });
        expect(world.driver.pollCq(sendCq, completions(1), 1)).toBe(1);
      }
      expect(kicks()).toBe(before);
      for (let i = 0; i < 8; i++) {
        doneSends(world, qp, [i]);
        world.device.complete(0, { wr_id: i, qp_num: 2 });
      }
      ring.enableNotifications();
      expect(world.driver.pollCq(sendCq, completions(8), 8)).toBe(8);
      expect(kicks()).toBe(before + 1);
    }
  });
});

describe('contents', () => {
  it('[CQ-05] [CQ-53] [ORD-13] come oldest first, once each, and no more than are asked for', async () => {
    const world = await startedWorld();
    const { qp, sendCq } = await createObjects(world);
    const seen: number[] = [];
    const into = completions(3);
    for (let i = 0; i < 8; i++) {
      doneSends(world, qp, [i]);
      world.device.complete(0, { wr_id: i, qp_num: 2 });
    }
    for (const max of [3, 0, 2, 9]) {
      const count = world.driver.pollCq(sendCq, into, max);
      expect(count).toBeLessThanOrEqual(Math.min(max, into.length));
      seen.push(...into.slice(0, count).map(({ wrId }) => wrId));
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('[CQ-21] [CQ-24] are decoded field by field on success', async () => {
    const world = await startedWorld();
    const { qp, recvCq } = await createObjects(world, { type: QpType.UD });
    world.driver.postRecv(qp, { wrId: 2 ** 50 + 1, sges: oneElement });
    world.device.takeRequests(world.device.rq(2));
    world.device.complete(1, {
      wr_id: 2 ** 50 + 1,
      opcode: WcOpcode.RECV,
      byte_len: 64,
      // The struct's codec is little-endian; the four bytes are 01 02 03 04.
      imm_data: 0x0403_0201,
      qp_num: 2,
      src_qp: 0x1234,
      wc_flags: WcFlag.GRH | WcFlag.WITH_IMM,
    });
    const into = completions(1);
    world.driver.pollCq(recvCq, into, 1);
    expect(into).toEqual([
      {
        wrId: 2 ** 50 + 1,
        status: WcStatus.SUCCESS,
        opcode: WcOpcode.RECV,
        vendorErr: 0,
        byteLen: 64,
        immData: 0x0102_0304,
        qpNum: 2,
        srcQp: 0x1234,
        wcFlags: 3,
      },
    ]);
  });

  it('[CQ-27] [ERR-24] hold nothing but what is valid on an error, whatever the device wrote', async () => {
    const world = await startedWorld();
    const { qp, sendCq } = await createObjects(world);
    doneSends(world, qp, [5]);
    const garbage = { opcode: 200, byte_len: 9, imm_data: 9, src_qp: 9, wc_flags: 0xffff };
    world.device.complete(0, {
      wr_id: 5,
      qp_num: 2,
      status: WcStatus.RETRY_EXC_ERR,
      vendor_err: 3,
      ...garbage,
    });
    const into = completions(1);
    expect(world.driver.pollCq(sendCq, into, 1)).toBe(1);
    expect(into[0]).toEqual({
      ...completions(1)[0],
      wrId: 5,
      status: WcStatus.RETRY_EXC_ERR,
      vendorErr: 3,
      qpNum: 2,
    });
  });

  it('[ERR-24] keep every status of the table', async () => {
    const world = await startedWorld();
    const { qp, sendCq } = await createObjects(world);
    for (let status = 0; status < 16; status++) {
      doneSends(world, qp, [status]);
      world.device.complete(0, { wr_id: status, qp_num: 2, status });
      const into = completions(1);
      expect([world.driver.pollCq(sendCq, into, 1), into[0].status]).toEqual([1, status]);
    }
  });
});

describe('the record of what was posted', () => {
  it('[HOST-23] never convicts an honest device: unsignaled sends without end, with one failure among them', async () => {
    const world = await startedWorld();
    const { qp, sendCq } = await createObjects(world, { oneCq: true });
    const { device, driver } = world;
    for (let i = 0; i < 500; i++) {
      driver.postSend(qp, sendRequest(i, { sendFlags: i % 100 === 99 ? SendFlag.SIGNALED : 0 }));
      device.takeRequests(device.sq(2));
      device.returnRequests(device.sq(2), 1);
      if (i % 100 === 99) device.complete(0, { wr_id: i, qp_num: 2 });
      if (i === 450) device.complete(0, { wr_id: 450, qp_num: 2, status: WcStatus.RETRY_EXC_ERR });
      if (i > 450 && i % 100 !== 99)
        device.complete(0, { wr_id: i, qp_num: 2, status: WcStatus.WR_FLUSH_ERR });
      if (i % 4 === 3) driver.pollCq(sendCq, completions(8), 8);
    }
    expect(driver.failure).toBeUndefined();
  });

  it('[HOST-23] tells equal numbers of the two halves apart only where it can', async () => {
    const world = await startedWorld();
    const { qp, sendCq } = await createObjects(world, { oneCq: true });
    const { device, driver } = world;
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 2; i++) {
        driver.postSend(qp, sendRequest(0));
        driver.postRecv(qp, { wrId: 0, sges: oneElement });
      }
      for (const index of [device.sq(2), device.rq(2)]) {
        device.takeRequests(index);
        device.returnRequests(index, 2);
      }
      if (round % 2 === 0) {
        device.complete(0, { qp_num: 2, opcode: WcOpcode.RECV, byte_len: 64 });
        device.complete(0, { qp_num: 2, opcode: WcOpcode.SEND });
        device.complete(0, { qp_num: 2, opcode: WcOpcode.SEND });
        device.complete(0, { qp_num: 2, opcode: WcOpcode.RECV, byte_len: 1 });
      } else for (let i = 0; i < 4; i++) device.complete(0, { qp_num: 2, status: WcStatus.WR_FLUSH_ERR });
      expect(driver.pollCq(sendCq, completions(8), 8)).toBe(4);
      if (round % 2 === 0) continue;
      await world.settle(driver.modifyQp(qp, { qpState: QpState.RESET }));
      await walkTo(world, qp, QpState.RTS);
    }
    expect(driver.failure).toBeUndefined();
  });

  it('[HOST-23] does not take the completion of one half for that of the other', async () => {
    const world = await startedWorld();
    const { qp, sendCq } = await createObjects(world, { oneCq: true });
    const { device, driver } = world;
    for (const wrId of [1, 2, 3]) driver.postSend(qp, sendRequest(wrId));
    driver.postRecv(qp, { wrId: 3, sges: oneElement });
    // The receive is flushed first; between the two halves there is no order.
    for (const wr_id of [3, 1, 2, 3]) device.complete(0, { wr_id, qp_num: 2, status: WcStatus.WR_FLUSH_ERR });
    expect(driver.pollCq(sendCq, completions(8), 8)).toBe(4);
    expect(driver.failure).toBeUndefined();
  });

  it.each([WcStatus.SUCCESS, WcStatus.LOC_PROT_ERR])(
    '[HOST-23] convicts nobody of a completion that lay unpolled for longer than the record reaches: status %i',
    async status => {
      const world = await startedWorld();
      const { qp, sendCq } = await createObjects(world, { type: QpType.UC });
      doneSends(world, qp, [1000]);
      world.device.complete(0, { wr_id: 1000, qp_num: 2, status });
      await world.settle(world.driver.modifyQp(qp, { qpState: QpState.RTS }));
      const unsignaled = Array.from({ length: 60 }, (_, i) => i);
      for (const wrId of unsignaled) {
        world.driver.postSend(qp, sendRequest(wrId, { sendFlags: 0 }));
        world.device.takeRequests(world.device.sq(2));
        world.device.returnRequests(world.device.sq(2), 1);
      }
      expect(world.driver.pollCq(sendCq, completions(1), 1)).toBe(1);
      // From a completion that the record does hold on, it is whole again.
      doneSends(world, qp, [2000]);
      world.device.complete(0, { wr_id: 2000, qp_num: 2 });
      expect(world.driver.pollCq(sendCq, completions(1), 1)).toBe(1);
      world.device.complete(0, { wr_id: 1000, qp_num: 2 });
      expect(() => world.driver.pollCq(sendCq, completions(1), 1)).toThrow(/EIO/);
    },
  );
});

describe('queue pairs that are gone', () => {
  it('[CQ-55] [RST-11] [RST-12] leave their completions, and a new one of the number keeps its own apart', async () => {
    for (const gone of ['destroyed', 'reset'] as const) {
      const world = await startedWorld();
      const { device, driver } = world;
      const { pd, qp, sendCq, recvCq } = await createObjects(world, { cqe: 4 });
      doneSends(world, qp, [1, 2]);
      for (const wr_id of [1, 2]) device.complete(0, { wr_id, qp_num: 2 });
      let next = qp;
      if (gone === 'reset') await world.settle(driver.modifyQp(qp, { qpState: QpState.RESET }));
      else {
        await world.settle(driver.destroyQp(qp));
        const init = { type: QpType.RC, sqSigAll: false, sendCq, recvCq, cap: smallCap };
        next = await world.settle(driver.createQp(pd, init));
      }
      expect(next.qpNum).toBe(2);
      // The buffers of what is not polled yet stay away from the device.
      expect(device.cqRing(0).available()).toBe(2);
      await walkTo(world, next, QpState.RTS);
      doneSends(world, next, [2, 1]);
      for (const wr_id of [2, 1]) device.complete(0, { wr_id, qp_num: 2 });
      const into = completions(8);
      expect(driver.pollCq(sendCq, into, 1)).toBe(1);
      expect(device.cqRing(0).available()).toBe(1);
      expect(driver.pollCq(sendCq, into.slice(1), 7)).toBe(3);
      expect(into.slice(0, 4).map(({ wrId }) => wrId)).toEqual([1, 2, 2, 1]);
      expect(device.cqRing(0).available()).toBe(4);
      expect(driver.failure).toBeUndefined();
    }
  });

  it('[RST-16] let nobody hear of a destroyed completion queue any more', async () => {
    const world = await startedWorld();
    let events = 0;
    const cq = await world.settle(world.driver.createCq(4, () => events++));
    await world.settle(world.driver.reqNotifyCq(cq, false));
    world.device.hold = true;
    const destroyed = world.driver.destroyCq(cq);
    world.device.answerSoundly(world.device.pending[0]);
    world.device.interrupt(world.device.cq(0));
    await world.settle(destroyed);
    world.device.interrupt(world.device.cq(0));
    await world.turn();
    expect(events).toBeLessThanOrEqual(1);
    const before = events;
    world.device.interrupt(world.device.cq(0));
    await world.turn();
    expect(events).toBe(before);
  });
});

describe('events', () => {
  async function armable(
    seed?: number,
  ): Promise<{ world: FakeWorld; cq: CompletionQueue; events: () => number }> {
    const world = await startedWorld(seed === undefined ? {} : { choices: new SeededChoices(seed) });
    let events = 0;
    const cq = await world.settle(world.driver.createCq(4, () => events++));
    return { world, cq, events: () => events };
  }

  it('[CQ-46] [CQ-47] [VQ-60] are one call for one arming; other interrupts are ignored', async () => {
    const { world, cq, events } = await armable();
    const index = world.device.cq(0);
    world.device.interrupt(index);
    await world.turn();
    expect(events()).toBe(0);
    for (let i = 1; i <= 3; i++) {
      await world.settle(world.driver.reqNotifyCq(cq, i % 2 === 0));
      world.device.interrupt(index);
      world.device.interrupt(index);
      await world.turn();
      expect(events()).toBe(i);
    }
  });

  it('[CQ-50] come from the bottom half, not from within a verb', async () => {
    const { world, cq, events } = await armable();
    await world.settle(world.driver.reqNotifyCq(cq, false));
    world.device.interrupt(world.device.cq(0));
    expect(events()).toBe(0);
    world.scheduler.step();
    expect(events()).toBe(1);
  });

  it('[CQ-45] are not asked for by the ring', async () => {
    for (const eventIdx of [false, true]) {
      const world = await startedWorld({ ringFeatures: { indirect: false, eventIdx } });
      const { qp } = await createObjects(world);
      const ring = world.device.cqRing(0);
      doneSends(world, qp, [1, 2]);
      world.device.complete(0, { wr_id: 1, qp_num: 2 });
      // With the event index a device may decide for a notification once after a queue was enabled [VQ-68].
      if (eventIdx) ring.interruptWanted();
      world.device.complete(0, { wr_id: 2, qp_num: 2 });
      expect(ring.interruptWanted()).toBe(false);
    }
  });

  it('[CQ-48] count from the command on: an interrupt before the answer is seen', async () => {
    const { world, cq, events } = await armable();
    world.device.hold = true;
    const armed = world.driver.reqNotifyCq(cq, false);
    world.device.interrupt(world.device.cq(0));
    await world.turn();
    expect(events()).toBe(1);
    world.device.answerSoundly(world.device.pending[0]);
    await world.settle(armed);
  });

  it('[CQ-49] are not lost to a stray interrupt between the command and its answer', async () => {
    const { world, cq, events } = await armable();
    world.device.hold = true;
    const armed = world.driver.reqNotifyCq(cq, false);
    world.device.interrupt(world.device.cq(0));
    await world.turn();
    world.device.answerSoundly(world.device.pending[0]);
    await world.settle(armed);
    const before = events();
    world.device.interrupt(world.device.cq(0));
    await world.turn();
    expect(events()).toBe(before + 1);
  });

  it('are not expected when the arming is refused', async () => {
    const { world, cq, events } = await armable();
    world.device.refused.add(Command.REQ_NOTIFY_CQ);
    await world.settle(
      world.driver.reqNotifyCq(cq, false).then(
        () => 'armed',
        () => 'refused',
      ),
    );
    world.device.interrupt(world.device.cq(0));
    await world.turn();
    expect(events()).toBe(0);
  });

  // Law: a program that arms, polls and sleeps on an empty queue is woken by a completion that comes at any moment, under
  // every interleaving of device, interrupts and bottom halves, with stray interrupts in between.
  it('[CQ-51] [CQ-08] wake a program that sleeps, whenever the completion comes', async () => {
    for (let seed = 1; seed <= 300; seed++) {
      const world = await startedWorld({
        choices: new SeededChoices(seed),
        ringFeatures: { indirect: seed % 2 === 0, eventIdx: seed % 3 === 0 },
      });
      const { device, driver } = world;
      let wake: (() => void) | undefined;
      let missed = false;
      const program: { found: number } = { found: 0 };
      const cq = await world.settle(
        driver.createCq(8, () => {
          missed = true;
          wake?.();
        }),
      );
      const pd = await world.settle(driver.createPd());
      const init = { type: QpType.RC, sqSigAll: true, sendCq: cq, recvCq: cq, cap: smallCap };
      const qp = await world.settle(driver.createQp(pd, init));
      await walkTo(world, qp, QpState.RTS);
      let armed = false;
      device.hold = true;
      const completer = {
        run: () => {
          doneSends(world, qp, [1]);
          device.complete(0, { wr_id: 1, qp_num: 2 });
          if (armed) device.interrupt(device.cq(0));
          armed = false;
        },
      };
      const answerer = {
        run: () => {
          armed = true;
          device.answerAll();
        },
      };
      const stray = { run: () => device.interrupt(device.cq(0)) };
      const sleeper = (async () => {
        for (;;) {
          missed = false;
          await driver.reqNotifyCq(cq, false);
          program.found += driver.pollCq(cq, completions(4), 4);
          if (program.found > 0) return;
          if (!missed) await new Promise<void>(resolve => (wake = resolve));
          program.found += driver.pollCq(cq, completions(4), 4);
          if (program.found > 0) return;
        }
      })();
      const tasks = [answerer, completer, stray, stray];
      for (let turn = 0; turn < 40 && program.found === 0; turn++) {
        const task = tasks.shift();
        if (task !== undefined) world.scheduler.post(task);
        else if (device.pending.length > 0) world.scheduler.post(answerer);
        if (seed % 4 !== 0) world.scheduler.step();
        else await world.turn();
        await Promise.resolve();
      }
      await world.turn();
      expect(program.found, `seed ${seed}`).toBe(1);
      await sleeper;
    }
  });
});
