import { describe, expect, it } from 'vitest';
import { QpState, QpType, WrOpcode } from '../../src/abi/index.js';
import { NativeVerbs } from '../../src/reference/index.js';
import type { QpInit, WorkCompletion } from '../../src/verbs/index.js';
import { address, caps, FlatMemory, FULL_ACCESS, LOCAL_WRITE, Pair } from './pair.js';

const QKEY = 0x42;

async function ud() {
  const pair = new Pair();
  const fn = pair.hca.openFunction();
  const memory = new FlatMemory(65_536);
  const verbs = new NativeVerbs(fn, memory);
  const gid = 'd'.repeat(32);
  await verbs.addGid(0, gid);
  const pd = await verbs.createPd();
  const events: string[] = [];
  const cq = await verbs.createCq(8, () => events.push('event'));
  const init: QpInit = { type: QpType.UD, sqSigAll: true, sendCq: cq, recvCq: cq, cap: caps };
  const qp = await verbs.createQp(pd, init);
  await verbs.modifyQp(qp, { qpState: QpState.INIT, qkey: QKEY });
  await verbs.modifyQp(qp, { qpState: QpState.RTR });
  await verbs.modifyQp(qp, { qpState: QpState.RTS, sqPsn: 0 });
  const ah = await verbs.createAh(pd, address(gid));
  return { pair, verbs, memory, pd, cq, qp, ah, events };
}

describe('NativeVerbs', () => {
  it('sends a datagram to itself and raises the event once', async () => {
    const { pair, verbs, memory, pd, cq, qp, ah, events } = await ud();
    const mr = await verbs.regMr(pd, { addr: 100, length: 1000, access: LOCAL_WRITE });
    memory.fill(100, 10, 1);
    await verbs.reqNotifyCq(cq, false);
    verbs.postRecv(qp, { wrId: 2, sges: [{ addr: 500, length: 100, lkey: mr.lkey }] });
    const sges = [{ addr: 100, length: 10, lkey: mr.lkey }];
    const to = { ah, remoteQpn: qp.qpNum, remoteQkey: QKEY };
    verbs.postSend(qp, { wrId: 1, opcode: WrOpcode.SEND, sendFlags: 0, sges, ...to });
    pair.settle();
    const completions: WorkCompletion[] = [];
    expect(verbs.pollCq(cq, completions, 8)).toBe(2);
    expect(completions).toMatchObject([{ wrId: 1 }, { wrId: 2, byteLen: 50, srcQp: qp.qpNum }]);
    expect(memory.slice(540, 10)).toEqual(memory.slice(100, 10));
    expect(events).toEqual(['event']);
  });

  it('[CTRL-52] getDmaMr covers all of the memory, and nothing else exists', async () => {
    const { pair, verbs, memory, pd, cq, qp, ah } = await ud();
    const mr = await verbs.getDmaMr(pd, FULL_ACCESS);
    const end = memory.bytes.length;
    const to = { ah, remoteQpn: qp.qpNum, remoteQkey: QKEY, opcode: WrOpcode.SEND, sendFlags: 0 };
    verbs.postSend(qp, { wrId: 1, sges: [{ addr: end - 8, length: 8, lkey: mr.lkey }], ...to });
    verbs.postSend(qp, { wrId: 2, sges: [{ addr: end - 7, length: 8, lkey: mr.lkey }], ...to });
    pair.settle();
    const completions: WorkCompletion[] = [];
    verbs.pollCq(cq, completions, 8);
    expect(completions.map(wc => [wc.wrId, wc.status])).toEqual([
      [1, 0],
      [2, 3],
    ]);
  });

  it('refuses regions outside the memory or above the limit, and leaves none behind', async () => {
    const { verbs, memory, pd } = await ud();
    const end = memory.bytes.length;
    const register = (addr: number, length: number) => verbs.regMr(pd, { addr, length, access: 0 });
    await expect(register(end - 10, 11)).rejects.toThrow('EFAULT');
    await expect(register(-1, 10)).rejects.toThrow('EINVAL');
    await expect(register(0, 2 ** 31 + 1)).rejects.toThrow('EINVAL');
    await expect(register(0, 0)).rejects.toThrow('EINVAL');
    const mr = await register(end - 10, 10);
    await verbs.deregMr(mr);
    await expect(verbs.deregMr(mr)).rejects.toThrow('EINVAL');
  });

  it('refuses objects of another device, and destroys its own in order', async () => {
    const one = await ud();
    const other = await ud();
    const { verbs, pd, cq, qp, ah } = one;
    await expect(verbs.destroyPd(other.pd)).rejects.toThrow('EINVAL');
    await expect(verbs.destroyCq(other.cq)).rejects.toThrow('EINVAL');
    await expect(verbs.queryQp(other.qp)).rejects.toThrow('EINVAL');
    await expect(verbs.destroyAh({ kind: 'ah' })).rejects.toThrow('EINVAL');
    await expect(verbs.destroyPd({ kind: 'pd' })).rejects.toThrow('EINVAL');
    await expect(verbs.destroyCq(cq)).rejects.toThrow('EBUSY');
    await verbs.destroyQp(qp);
    await verbs.destroyAh(ah);
    await verbs.destroyCq(cq);
    await verbs.destroyPd(pd);
    await verbs.delGid(0);
    expect(await verbs.queryDevice()).toBe(await other.verbs.queryDevice());
    expect((await verbs.queryPort()).gidTableLength).toBe(4);
  });
});
