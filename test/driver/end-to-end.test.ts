/** The driver on the bundled device and the reference HCA: real messages, memory, events and reset. */
import { describe, expect, it } from 'vitest';
import { QpState, QpType, SendFlag, WcFlag, WcOpcode, WcStatus, WrOpcode } from '../../src/abi/index.js';
import type { ProfileName } from '../../src/abi/index.js';
import { ARENA_BASE } from '../../src/conformance/simulated-guest.js';
import { SeededChoices } from '../../src/fabric/index.js';
import { Pair, connect, walk } from './pair.js';
import type { End } from './pair.js';
import { completions, errnoOf } from './setup.js';

const profilesAndRings = (['roce', 'rdma'] as const).flatMap(profile =>
  [false, true].flatMap(indirect =>
    [false, true].flatMap(eventIdx =>
      [false, true].map(packed => ({ profile, indirect, eventIdx, packed, inOrder: packed === eventIdx })),
    ),
  ),
);

function at(offset: number, length: number, end: End) {
  return [{ addr: ARENA_BASE + offset, length, lkey: end.mr.lkey }];
}

function poll(end: End, max = 16) {
  const into = completions(max);
  return into.slice(0, end.machine.driver.pollCq(end.cq, into, max));
}

describe('a message from program to program', () => {
  it.each(profilesAndRings)(
    '[OVR-11] [CQ-18] [CQ-19] [CQ-21] carries sends, writes and reads over $profile, indirect $indirect, event index $eventIdx, packed $packed, in order $inOrder',
    async ({
      profile,
      indirect,
      eventIdx,
      packed,
      inOrder,
    }: {
      profile: ProfileName;
      indirect: boolean;
      eventIdx: boolean;
      packed: boolean;
      inOrder: boolean;
    }) => {
      const ringFeatures = { indirect, eventIdx, packed, inOrder, notificationData: inOrder };
      const pair = await new Pair({ profile, ringFeatures }).start();
      const [a, b] = await connect(pair);
      const text = Uint8Array.from({ length: 9000 }, (_, i) => (i * 7) & 0xff);
      a.machine.guest.writeArena(100, text);
      b.machine.driver.postRecv(b.qp, { wrId: 1, sges: at(4000, 10_000, b) });
      a.machine.driver.postSend(a.qp, {
        wrId: 2,
        opcode: WrOpcode.SEND_WITH_IMM,
        sendFlags: 0,
        sges: at(100, 9000, a),
        immData: 0x01020304,
      });
      const remote = { remoteAddr: ARENA_BASE + 30_000, rkey: b.mr.rkey };
      const write = { opcode: WrOpcode.RDMA_WRITE, sendFlags: 0, sges: at(100, 9000, a), ...remote };
      a.machine.driver.postSend(a.qp, { wrId: 3, ...write });
      const read = { opcode: WrOpcode.RDMA_READ, sendFlags: 0, sges: at(40_000, 9000, a), ...remote };
      a.machine.driver.postSend(a.qp, { wrId: 4, ...read });
      pair.run();
      expect(poll(b)).toMatchObject([
        { wrId: 1, status: WcStatus.SUCCESS, opcode: WcOpcode.RECV, byteLen: 9000, immData: 0x01020304 },
      ]);
      expect(poll(a)).toMatchObject([
        { wrId: 2, status: WcStatus.SUCCESS, opcode: WcOpcode.SEND, qpNum: a.qp.qpNum },
        { wrId: 3, status: WcStatus.SUCCESS, opcode: WcOpcode.RDMA_WRITE },
        { wrId: 4, status: WcStatus.SUCCESS, opcode: WcOpcode.RDMA_READ, byteLen: 9000 },
      ]);
      expect(b.machine.guest.readArena(4000, 9000)).toEqual(text);
      expect(b.machine.guest.readArena(30_000, 9000)).toEqual(text);
      expect(a.machine.guest.readArena(40_000, 9000)).toEqual(text);
      expect(a.machine.driver.failure ?? b.machine.driver.failure).toBeUndefined();
    },
  );

  it('[CQ-23] [CQ-25] gives a datagram with its global route and its sender', async () => {
    const pair = await new Pair().start();
    const [a, b] = await connect(pair, QpType.UD);
    const address = { dgid: b.machine.gid, sgidIndex: 0, flowLabel: 0, hopLimit: 64, trafficClass: 0 };
    const ah = await pair.settle(a.machine.driver.createAh(a.pd, address));
    b.machine.driver.postRecv(b.qp, { wrId: 9, sges: at(0, 200, b) });
    const inlineData = Uint8Array.from({ length: 64 }, (_, i) => i);
    const target = { ah, remoteQpn: b.qp.qpNum, remoteQkey: 5 };
    const flags = { opcode: WrOpcode.SEND, sendFlags: SendFlag.INLINE, sges: [], inlineData };
    a.machine.driver.postSend(a.qp, { wrId: 8, ...flags, ...target });
    pair.run();
    expect(poll(b)).toMatchObject([
      { wrId: 9, byteLen: 104, wcFlags: WcFlag.GRH, srcQp: a.qp.qpNum, qpNum: b.qp.qpNum },
    ]);
    expect(b.machine.guest.readArena(40, 64)).toEqual(inlineData);
    await pair.settle(a.machine.driver.destroyAh(ah));
    a.machine.driver.postSend(a.qp, { wrId: 10, ...flags, ...target });
    pair.run();
    expect(poll(a).map(({ wrId, status }) => [wrId, status])).toEqual([
      [8, WcStatus.SUCCESS],
      [10, WcStatus.LOC_QP_OP_ERR],
    ]);
  });

  it('[PERF-18] [CQ-52] moves a thousand messages by polling, without an interrupt', async () => {
    const pair = await new Pair().start();
    const [a, b] = await connect(pair);
    const exits = (): number[] =>
      [a, b].flatMap(({ machine: { transport } }) => [transport.queueInterrupts, transport.registerAccesses]);
    const before = exits();
    let received = 0;
    for (let i = 0; i < 1000; i++) {
      b.machine.driver.postRecv(b.qp, { wrId: i, sges: at(0, 64, b) });
      a.machine.driver.postSend(a.qp, { wrId: i, opcode: WrOpcode.SEND, sendFlags: 0, sges: at(0, 64, a) });
      if (i % 8 < 7) continue;
      pair.run();
      received += poll(b).length;
      poll(a);
    }
    expect(received).toBe(1000);
    expect(exits()).toEqual(before);
  });
});

describe('events', () => {
  it('[CQ-08] [CQ-37] [CQ-46] calls the handler once for an arming, and not for the next completion', async () => {
    let events = 0;
    const pair = await new Pair().start();
    const [a, b] = await connect(pair, QpType.RC, () => events++);
    for (let i = 0; i < 4; i++) b.machine.driver.postRecv(b.qp, { wrId: i, sges: at(0, 64, b) });
    const send = { opcode: WrOpcode.SEND, sendFlags: 0, sges: at(0, 64, a) };
    a.machine.driver.postSend(a.qp, { wrId: 0, ...send });
    pair.run();
    expect(events).toBe(0);
    await pair.settle(b.machine.driver.reqNotifyCq(b.cq, false));
    for (let i = 1; i < 4; i++) a.machine.driver.postSend(a.qp, { wrId: i, ...send });
    pair.run();
    expect(events).toBe(1);
    expect(poll(b)).toHaveLength(4);
  });

  it('[CQ-39] [CQ-41] waits for a solicited completion when it is armed for one', async () => {
    let events = 0;
    const pair = await new Pair().start();
    const [a, b] = await connect(pair, QpType.RC, () => events++);
    for (let i = 0; i < 2; i++) b.machine.driver.postRecv(b.qp, { wrId: i, sges: at(0, 64, b) });
    await pair.settle(b.machine.driver.reqNotifyCq(b.cq, true));
    const send = { opcode: WrOpcode.SEND, sges: at(0, 64, a) };
    a.machine.driver.postSend(a.qp, { wrId: 0, sendFlags: 0, ...send });
    pair.run();
    expect(events).toBe(0);
    a.machine.driver.postSend(a.qp, { wrId: 1, sendFlags: SendFlag.SOLICITED, ...send });
    pair.run();
    expect(events).toBe(1);
  });
});

describe('the end of things', () => {
  it('[RST-05] [RST-10] [CQ-55] keeps what completed before a move to RESET and starts anew on the same rings', async () => {
    const pair = await new Pair().start();
    const [a, b] = await connect(pair);
    const send = { opcode: WrOpcode.SEND, sendFlags: 0, sges: at(0, 64, a) };
    for (let round = 0; round < 3; round++) {
      b.machine.driver.postRecv(b.qp, { wrId: round, sges: at(0, 64, b) });
      b.machine.driver.postRecv(b.qp, { wrId: 100 + round, sges: at(0, 64, b) });
      a.machine.driver.postSend(a.qp, { wrId: round, ...send });
      pair.run();
      for (const end of [a, b])
        await pair.settle(end.machine.driver.modifyQp(end.qp, { qpState: QpState.RESET }));
      await walk(pair, a, b);
      await walk(pair, b, a);
    }
    expect(poll(a).map(({ wrId }) => wrId)).toEqual([0, 1, 2]);
    expect(poll(b).map(({ wrId }) => wrId)).toEqual([0, 1, 2]);
    expect(a.machine.driver.failure ?? b.machine.driver.failure).toBeUndefined();
  });

  it('[CQ-54] [RST-10] [RST-11] loses and mixes up no completion when queue pairs go while work is in flight', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const pair = await new Pair({ choices: new SeededChoices(seed) }).start();
      const [a, b] = await connect(pair);
      for (let i = 0; i < 6; i++) b.machine.driver.postRecv(b.qp, { wrId: i, sges: at(0, 64, b) });
      const send = { opcode: WrOpcode.SEND, sendFlags: 0, sges: at(0, 64, a) };
      for (let i = 0; i < 6; i++) a.machine.driver.postSend(a.qp, { wrId: i, ...send });
      for (let steps = 0; steps < seed % 61; steps++) pair.scheduler.step();
      await pair.settle(b.machine.driver.destroyQp(b.qp));
      await pair.settle(a.machine.driver.destroyQp(a.qp));
      const polled = [...poll(a), ...poll(b)];
      pair.run();
      expect([poll(a), poll(b)], `seed ${seed}`).toEqual([[], []]);
      expect(polled.length).toBeLessThanOrEqual(12);
      expect(a.machine.driver.failure ?? b.machine.driver.failure, `seed ${seed}`).toBeUndefined();
    }
  });

  it('[RST-37] [HOST-31] gives all memory back at a reset and works again afterwards', async () => {
    const pair = await new Pair().start();
    const [a] = await connect(pair);
    const pending = errnoOf(a.machine.driver.createPd());
    await a.machine.driver.stop();
    expect(await pending).toBe('EIO');
    expect(a.machine.guest.dmaBytesInUse).toBe(0);
    expect(await errnoOf(a.machine.driver.createPd())).toBe('ENODEV');
    await pair.settle(a.machine.driver.start());
    const pd = await pair.settle(a.machine.driver.createPd());
    expect(await errnoOf(a.machine.driver.destroyPd(a.pd))).toBe('EINVAL');
    await pair.settle(a.machine.driver.destroyPd(pd));
  });

  it('[RST-01] [RST-02] [ERR-03] gives memory back object by object, and refuses what is in use', async () => {
    const pair = await new Pair().start();
    const { driver, guest } = pair.machines[0];
    const empty = guest.dmaBytesInUse;
    const [a] = await connect(pair);
    expect(await errnoOf(driver.destroyCq(a.cq))).toBe('EBUSY');
    expect(await errnoOf(driver.destroyPd(a.pd))).toBe('EBUSY');
    await pair.settle(driver.destroyQp(a.qp));
    await pair.settle(driver.destroyCq(a.cq));
    expect(await errnoOf(driver.destroyPd(a.pd))).toBe('EBUSY');
    await pair.settle(driver.deregMr(a.mr));
    await pair.settle(driver.destroyPd(a.pd));
    expect(guest.dmaBytesInUse).toBe(empty);
  });
});
