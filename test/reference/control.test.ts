/** Control verbs of a function: objects and their ties, numbers, limits, GIDs, MODIFY_QP values. */
import { describe, expect, it } from 'vitest';
import { PathMtu, QpState, QpType } from '../../src/abi/index.js';
import type { QpAttributes } from '../../src/verbs/index.js';
import { address, caps, FULL_ACCESS, limits, Pair } from './pair.js';

const nobody = { completionAdded() {}, eventRaised() {}, overran() {}, unconsumed: () => 0 };

describe('objects', () => {
  it('[RST-01] [RST-02] [RST-03] are destroyed once, and not while others use them', () => {
    const pair = new Pair();
    const { a } = pair;
    const { fn } = a;
    const pd = fn.createPd();
    const cq = fn.createCq(1, nobody);
    const mr = a.register(0, 1, 0, pd);
    const ah = fn.createAh(pd, address(pair.b.gid));
    const init = { type: QpType.RC, sqSigAll: false, sendCq: cq, recvCq: a.recvCq, cap: caps };
    const qp = fn.createQp(pd, init, a.owner);
    expect(() => fn.destroyCq(cq)).toThrow('EBUSY');
    for (const free of [() => fn.deregisterMr(mr), () => fn.destroyAh(ah), () => fn.destroyQp(qp)]) {
      expect(() => fn.destroyPd(pd)).toThrow('EBUSY');
      free();
      expect(free).toThrow('EINVAL');
    }
    fn.destroyPd(pd);
    fn.destroyCq(cq);
    expect(() => fn.destroyPd(pd)).toThrow('EINVAL');
    expect(() => fn.destroyCq(cq)).toThrow('EINVAL');
    expect(() => fn.pollCq(cq, [], 1)).toThrow('EINVAL');
  });

  it('[ISO-01] of one function are nothing to another', () => {
    const { a, b } = new Pair();
    const qp = b.qp();
    expect(() => a.fn.destroyPd(b.pd)).toThrow('EINVAL');
    expect(() => a.fn.reqNotifyCq(b.sendCq, false)).toThrow('EINVAL');
    expect(() => a.fn.deregisterMr(b.mr)).toThrow('EINVAL');
    expect(() => a.fn.queryQp(qp)).toThrow('EINVAL');
    expect(() => a.fn.destroyAh(b.fn.createAh(b.pd, address(a.gid)))).toThrow('EINVAL');
  });

  it('[RST-22] [RST-23] are as many as the limits say', () => {
    const { a } = new Pair();
    const { fn } = a;
    const { attributes } = limits;
    for (let i = 1; i < attributes.maxPd; i++) fn.createPd();
    expect(() => fn.createPd()).toThrow('ENOMEM');
    for (let i = 2; i < attributes.maxCq; i++) fn.createCq(1, nobody);
    expect(() => fn.createCq(1, nobody)).toThrow('ENOMEM');
    for (let i = 0; i < attributes.maxAh; i++) fn.createAh(a.pd, address(a.gid));
    expect(() => fn.createAh(a.pd, address(a.gid))).toThrow('ENOMEM');
    for (let qpNum = 2; qpNum < attributes.maxQp; qpNum++) expect(a.qp().qpNum).toBe(qpNum);
    expect(() => a.qp()).toThrow('ENOMEM');
    expect(a.qp(QpType.GSI).qpNum).toBe(1);
  });

  it.each([0, -1, 1.5, limits.attributes.maxCqe + 1])('[CTRL-33] [CTRL-34] refuses a cqe of %d', cqe => {
    const { a } = new Pair();
    expect(() => a.fn.createCq(cqe, nobody)).toThrow('EINVAL');
  });

  it.each([
    { maxSendWr: limits.attributes.maxQpWr + 1 },
    { maxRecvWr: limits.attributes.maxQpWr + 1 },
    { maxSendSge: limits.attributes.maxSendSge + 1 },
    { maxRecvSge: limits.attributes.maxRecvSge + 1 },
    { maxInlineData: 513 },
    { maxSendWr: -1 },
  ])('[CTRL-76] [CTRL-78] [CTRL-79] [CTRL-80] refuses capacities %j', change => {
    const { a } = new Pair();
    expect(() => a.qp(QpType.RC, { ...caps, ...change })).toThrow('EINVAL');
  });

  it('[CTRL-73] [QP-03] [QP-04] [CTRL-81] gives numbers as asked, the lowest free one otherwise, 1 to GSI', () => {
    const { a } = new Pair();
    const create = (type: QpType, number?: number) => {
      const { sendCq, recvCq } = a;
      return a.fn.createQp(a.pd, { type, sqSigAll: false, sendCq, recvCq, cap: caps }, a.owner, number);
    };
    expect(() => create(QpType.SMI)).toThrow('EINVAL');
    expect(create(QpType.GSI).qpNum).toBe(1);
    expect(() => create(QpType.GSI)).toThrow('EBUSY');
    expect(create(QpType.RC, 3).qpNum).toBe(3);
    expect(create(QpType.UC).qpNum).toBe(2);
    expect(create(QpType.UD).qpNum).toBe(4);
    for (const taken of [0, 1, 3, 2 ** 24]) expect(() => create(QpType.RC, taken)).toThrow('EINVAL');
  });
});

describe('the GID table', () => {
  it('[CTRL-102] [CTRL-103] [CTRL-105] [CTRL-109] holds each GID once on the whole fabric', () => {
    const { a, b } = new Pair();
    expect(() => a.fn.addGid(1, b.gid)).toThrow('EADDRINUSE');
    expect(() => a.fn.addGid(1, a.gid)).toThrow('EADDRINUSE');
    a.fn.addGid(0, a.gid);
    a.fn.addGid(0, 'c'.repeat(32));
    b.fn.addGid(1, a.gid);
    b.fn.delGid(1);
    a.fn.addGid(1, a.gid);
  });

  it.each([4, -1, 0.5])('[CTRL-101] [CTRL-106] has no entry %d', index => {
    const { a } = new Pair();
    expect(() => a.fn.addGid(index, 'c'.repeat(32))).toThrow('EINVAL');
    expect(() => a.fn.delGid(index)).toThrow('EINVAL');
  });

  it('[CTRL-104] [CTRL-107] takes no zero GID, and gives up no empty entry', () => {
    const { a } = new Pair();
    expect(() => a.fn.addGid(1, '0'.repeat(32))).toThrow('EINVAL');
    expect(() => a.fn.addGid(1, 'C'.repeat(32))).toThrow('EINVAL');
    expect(() => a.fn.delGid(1)).toThrow('EINVAL');
  });

  it.each([
    ['[CTRL-95] an empty entry', { sgidIndex: 1 }],
    ['[CTRL-95] an entry behind the table', { sgidIndex: 4 }],
    ['[CTRL-96] a flow label of 21 bits', { flowLabel: 2 ** 20 }],
    ['no destination', { dgid: '' }],
    ['a hop limit of 9 bits', { hopLimit: 256 }],
    ['a traffic class of 9 bits', { trafficClass: 256 }],
  ])('refuses an address vector with %s', (_what, change) => {
    const { a } = new Pair();
    expect(() => a.fn.createAh(a.pd, { ...address(a.gid), ...change })).toThrow('EINVAL');
  });
});

describe('modifyQp', () => {
  const init = { qpState: QpState.INIT, qpAccessFlags: FULL_ACCESS };
  const rtr: QpAttributes = {
    qpState: QpState.RTR,
    ahAttr: address('a'.repeat(32)),
    pathMtu: PathMtu.MTU_512,
    rqPsn: 0x5_00_0001,
    destQpNum: 0x7_00_0002,
    minRnrTimer: 31,
    maxDestRdAtomic: 8,
  };
  const rts = { qpState: QpState.RTS, sqPsn: 7, timeout: 31, retryCnt: 7, rnrRetry: 7, maxRdAtomic: 8 };

  it('[QP-38] [QP-39] sets what it is given, numbers cut to 24 bits', () => {
    const { a } = new Pair();
    const qp = a.qp();
    for (const set of [init, rtr, rts]) a.fn.modifyQp(qp, set);
    expect(a.fn.queryQp(qp)).toEqual({
      ...init,
      ...rtr,
      ...rts,
      rqPsn: 1,
      destQpNum: 2,
      qkey: 0,
      sqDraining: false,
      rateLimit: 0,
      cap: caps,
    });
  });

  it.each([
    [1, { pathMtu: 0 }],
    [1, { pathMtu: 6 }],
    [1, { minRnrTimer: 32 }],
    [1, { maxDestRdAtomic: 9 }],
    [1, { ahAttr: { ...address('a'.repeat(32)), sgidIndex: 2 } }],
    [1, { destQpNum: undefined }],
    [1, { qkey: 1 }],
    [1, { sqPsn: 1 }],
    [2, { timeout: 32 }],
    [2, { retryCnt: 8 }],
    [2, { rnrRetry: 8 }],
    [2, { maxRdAtomic: 9 }],
    [2, { cap: caps }],
    [2, { rateLimit: 1 }],
    [2, { curQpState: QpState.RTS }],
    [0, { qpAccessFlags: 8 }],
    [0, { qpState: QpState.RTS }],
  ])('[QP-30] [QP-35] [QP-36] [QP-37] refuses in step %i %j, and changes nothing', (step, change) => {
    const { a } = new Pair();
    const qp = a.qp();
    const steps: QpAttributes[] = [init, rtr, rts];
    for (const set of steps.slice(0, step)) a.fn.modifyQp(qp, set);
    const before = a.fn.queryQp(qp);
    expect(() => a.fn.modifyQp(qp, { ...steps[step], ...change })).toThrow('EINVAL');
    expect(a.fn.queryQp(qp)).toEqual(before);
    a.fn.modifyQp(qp, steps[step]);
  });

  it('[QP-37] refuses a path MTU above that of the port', () => {
    const port = { ...limits.port, activeMtu: PathMtu.MTU_256 };
    const { a } = new Pair({ limits: { ...limits, port } });
    const qp = a.qp();
    a.fn.modifyQp(qp, init);
    expect(() => a.fn.modifyQp(qp, rtr)).toThrow('EINVAL');
    a.fn.modifyQp(qp, { ...rtr, pathMtu: PathMtu.MTU_256 });
  });
});

describe('counters', () => {
  it('add up over the functions of an HCA', () => {
    const pair = new Pair();
    const { a, b, hca } = pair;
    const [qa, qb] = pair.rc();
    b.recv(qb, 1, [b.sge(0, 100)]);
    a.send(qa, 1, { sges: [a.sge(0, 100)] });
    pair.settle();
    expect(hca.counters).toMatchObject({
      sendRequests: 1,
      recvRequests: 1,
      packetsSent: 2,
      packetsReceived: 2,
      completions: 2,
      bytesCopied: 200,
      addressTranslations: 2,
    });
    expect(a.fn.counters.packetsSent).toBe(1);
  });
});
