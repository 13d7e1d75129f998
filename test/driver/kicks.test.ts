/** How often the driver notifies: with the event index, no more often for a queue than the device has asked. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AccessFlag, QpState, QpType, SendFlag, WrOpcode } from '../../src/abi/index.js';
import { emptyProgram } from '../../src/conformance/suites/leaks.js';
import { rest, settle } from '../../src/conformance/suites/pump.js';
import { gidOf } from '../../src/conformance/patterns.js';
import { paravirtualWorld } from '../../src/conformance/world.js';
import { SplitDeviceQueue } from '../../src/virtio/index.js';
import { completions } from './setup.js';

const ROUNDS = 60;

afterEach(() => vi.restoreAllMocks());

/** A machine that sends to itself while commands run; by queue, how often the device asked and how often it was told. */
async function kicksAndAsks(seed: number): Promise<{ kicks: number; asks: number }[]> {
  const asking = vi.spyOn(SplitDeviceQueue.prototype, 'enableNotifications');
  const program = { ...emptyProgram, seed, choices: { list: [], only: false } };
  const world = await paravirtualWorld(program, { profile: 'rdma' });
  const [{ verbs, transport, guest }] = world.machines;
  const run = <T>(promise: Promise<T>): Promise<T> => settle(world, promise);
  await run(verbs.addGid(0, gidOf(0, 0)));
  const pd = await run(verbs.createPd());
  const cq = await run(verbs.createCq(16));
  const route = { dgid: gidOf(0, 0), sgidIndex: 0, flowLabel: 0, hopLimit: 64, trafficClass: 0 };
  const ah = await run(verbs.createAh(pd, route));
  const addr = guest.arenaAddress(0);
  const mr = await run(verbs.regMr(pd, { addr, length: 128, access: AccessFlag.LOCAL_WRITE }));
  const sges = [{ addr, length: 128, lkey: mr.lkey }];
  const cap = { maxSendWr: 8, maxRecvWr: 8, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
  const init = { type: QpType.UD, sqSigAll: false, sendCq: cq, recvCq: cq, cap };
  const qp = await run(verbs.createQp(pd, init));
  await run(verbs.modifyQp(qp, { qpState: QpState.INIT, qkey: 5 }));
  await run(verbs.modifyQp(qp, { qpState: QpState.RTR }));
  await run(verbs.modifyQp(qp, { qpState: QpState.RTS, sqPsn: 0 }));
  const target = { ah, remoteQpn: qp.qpNum, remoteQkey: 5 };
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i <= round % 2; i++) {
      verbs.postRecv(qp, { wrId: round, sges });
      const sendFlags = round % 3 === 0 ? SendFlag.SIGNALED : 0;
      verbs.postSend(qp, { wrId: round, opcode: WrOpcode.SEND, sendFlags, sges: [], ...target });
    }
    const answers: Promise<unknown>[] =
      round % 5 === 0 ? [verbs.queryPort(), verbs.reqNotifyCq(cq, false)] : [];
    for (let steps = 0; steps < (seed * round) % 17; steps++) world.scheduler.step();
    if (round % 2 === 1) await rest(world);
    for (const answer of answers) await run(answer);
    verbs.pollCq(cq, completions(16), 16);
  }
  await rest(world);
  const asked = asking.mock.contexts.map(queue => (queue instanceof SplitDeviceQueue ? queue.index : -1));
  // The state in which a queue is enabled is the first ask.
  return [...(transport?.notificationsByQueue ?? [])].map((kicks, index) => ({
    kicks,
    asks: 1 + asked.filter(one => one === index).length,
  }));
}

describe('with the event index', () => {
  it('[PERF-02] a queue is notified of no more often than the device has asked for', async () => {
    let kicks = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const queues = await kicksAndAsks(seed);
      for (const [index, queue] of queues.entries()) {
        expect(queue.kicks, `seed ${seed}, queue ${index}`).toBeLessThanOrEqual(queue.asks);
        kicks += queue.kicks;
      }
      vi.restoreAllMocks();
    }
    expect(kicks).toBeGreaterThan(20 * 30);
  });
});
