/** States of a queue pair: what may be posted, flushing, draining, SQE, RESET, destruction under load. */
import { describe, expect, it } from 'vitest';
import { PathMtu, QpState, QpType, WcStatus, WrOpcode } from '../../src/abi/index.js';
import type { HcaQp } from '../../src/reference/index.js';
import { address, caps, Pair, toRts } from './pair.js';

const { RESET, INIT, RTR, RTS, SQD, SQE, ERR } = QpState;

/** Brings an RC queue pair to a state on the way to RTS. */
function upTo(pair: Pair, qp: HcaQp, state: QpState): void {
  const { fn } = pair.a;
  if (state >= INIT) fn.modifyQp(qp, { qpState: INIT, qpAccessFlags: 0 });
  if (state >= RTR)
    fn.modifyQp(qp, {
      qpState: RTR,
      ahAttr: address(pair.b.gid),
      pathMtu: PathMtu.MTU_1024,
      rqPsn: 0,
      destQpNum: 2,
      minRnrTimer: 1,
      maxDestRdAtomic: 1,
    });
  if (state >= RTS)
    fn.modifyQp(qp, { qpState: RTS, sqPsn: 0, timeout: 1, retryCnt: 0, rnrRetry: 0, maxRdAtomic: 1 });
}

describe('posting', () => {
  it.each([RESET, INIT, RTR])('[QP-13] refuses a send in state %i', state => {
    const pair = new Pair();
    const qp = pair.a.qp();
    upTo(pair, qp, state);
    expect(() => pair.a.send(qp, 1)).toThrow('EINVAL');
    expect(() => pair.a.fn.postFaultySend(qp, 1, WcStatus.LOC_QP_OP_ERR, 1)).toThrow('EINVAL');
  });

  it('[QP-14] [QP-16] refuses a receive in RESET and takes one in every other state', () => {
    const pair = new Pair();
    const qp = pair.a.qp();
    expect(() => pair.a.recv(qp, 1)).toThrow('EINVAL');
    expect(() => pair.a.fn.postFaultyRecv(qp, 1, WcStatus.LOC_QP_OP_ERR, 1)).toThrow('EINVAL');
    for (const state of [INIT, RTR, RTS, ERR]) {
      pair.a.fn.modifyQp(qp, { qpState: RESET });
      upTo(pair, qp, state === ERR ? INIT : state);
      if (state === ERR) pair.a.fn.modifyQp(qp, { qpState: ERR });
      expect(() => pair.a.recv(qp, 1)).not.toThrow();
    }
  });

  it('[ERR-08] refuses one request more than fits: ENOMEM, behind every EINVAL', () => {
    const pair = new Pair();
    const { a } = pair;
    const qp = a.qp(QpType.RC, { ...caps, maxSendWr: 3, maxRecvWr: 5, maxSendSge: 2, maxRecvSge: 1 });
    toRts(QpType.RC, a, qp, pair.b.gid, 9, { timeout: 0 });
    for (let i = 0; i < 3; i++) a.send(qp, i);
    for (let i = 0; i < 5; i++) a.recv(qp, i);
    expect(() => a.send(qp, 9)).toThrow('ENOMEM');
    expect(() => a.recv(qp, 9)).toThrow('ENOMEM');
    const three = [a.sge(0, 1), a.sge(0, 1), a.sge(0, 1)];
    expect(() => a.send(qp, 9, { sges: three })).toThrow('EINVAL');
    expect(() => a.recv(qp, 9, three)).toThrow('EINVAL');
  });

  it('[ERR-08] refuses inline data above the cap, inline reads, and reads with depth 0', () => {
    const pair = new Pair();
    const { a } = pair;
    const [qa] = pair.rc({ maxRdAtomic: 0 });
    const INLINE = 8;
    expect(() => a.send(qa, 1, { sendFlags: INLINE, inlineData: new Uint8Array(129) })).toThrow('EINVAL');
    expect(() => a.send(qa, 1, { opcode: WrOpcode.RDMA_READ, sendFlags: INLINE })).toThrow('EINVAL');
    expect(() => a.send(qa, 1, { opcode: WrOpcode.RDMA_READ })).toThrow('EINVAL');
  });
});

describe('ERR', () => {
  it('[QP-47] [QP-48] [QP-49] flushes what is queued and what is posted then, in order, exactly once', () => {
    const pair = new Pair();
    const { a } = pair;
    const [qa] = pair.rc({ timeout: 0 });
    for (let i = 0; i < 40; i++) a.recv(qa, i);
    for (let i = 0; i < 40; i++) a.send(qa, i, { sendFlags: 0 });
    a.fn.modifyQp(qa, { qpState: ERR });
    for (let i = 40; i < 50; i++) a.send(qa, i, { sendFlags: 0 });
    for (let i = 40; i < 50; i++) a.recv(qa, i);
    pair.settle();
    const flushed = Array.from({ length: 50 }, (_, i) => [i, 'WR_FLUSH_ERR']);
    expect([a.sends(), a.recvs()]).toEqual([flushed, flushed]);
    expect(a.retired.filter(text => text.startsWith('s'))).toEqual(flushed.map(([i]) => `s${i}`));
    a.send(qa, 60);
    a.recv(qa, 60);
    a.fn.postFaultySend(qa, 61, WcStatus.LOC_QP_OP_ERR, 61);
    pair.settle();
    expect([a.sends(), a.recvs()]).toEqual([
      [
        [60, 'WR_FLUSH_ERR'],
        [61, 'WR_FLUSH_ERR'],
      ],
      [[60, 'WR_FLUSH_ERR']],
    ]);
    expect(a.state(qa)).toBe(ERR);
  });

  it('[QP-47] completes the receive in use first', () => {
    const pair = new Pair({ bandwidthBitsPerSecond: 1e9 });
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256, retryCnt: 0, timeout: 3 });
    b.recv(qb, 1, [b.sge(0, 50_000)]);
    b.recv(qb, 2);
    a.send(qa, 1, { sges: [a.sge(0, 50_000)] });
    pair.runUntil(100_000);
    b.fn.modifyQp(qb, { qpState: ERR });
    pair.settle();
    expect(b.recvs()).toEqual([
      [1, 'WR_FLUSH_ERR'],
      [2, 'WR_FLUSH_ERR'],
    ]);
    expect(a.sends()).toEqual([[1, 'RETRY_EXC_ERR']]);
  });
});

describe('SQD', () => {
  it('[QP-54] [QP-55] [QP-56] [QP-57] [QP-58] finishes what has started, holds the rest, and goes on after', () => {
    const pair = new Pair({ bandwidthBitsPerSecond: 1e9 });
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256 });
    for (let i = 1; i <= 3; i++) b.recv(qb, i, [b.sge(0, 50_000)]);
    a.send(qa, 1, { sges: [a.sge(0, 50_000)] });
    pair.runUntil(50_000);
    a.fn.modifyQp(qa, { qpState: SQD });
    expect(a.fn.queryQp(qa).sqDraining).toBe(true);
    expect(() => a.fn.modifyQp(qa, { qpState: RTS })).toThrow('EINVAL');
    expect(() => a.fn.modifyQp(qa, { qpState: SQD, timeout: 3 })).toThrow('EINVAL');
    a.send(qa, 2);
    pair.settle();
    expect([a.sends(), a.fn.queryQp(qa).sqDraining, a.state(qa)]).toEqual([[[1, 'SUCCESS']], false, SQD]);
    a.fn.modifyQp(qa, { timeout: 3 });
    a.send(qa, 3);
    a.fn.modifyQp(qa, { qpState: RTS });
    pair.settle();
    expect(a.sends()).toEqual([
      [2, 'SUCCESS'],
      [3, 'SUCCESS'],
    ]);
  });

  it('[QP-56] drains at once when nothing has started, and receives all the while', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    a.recv(qa, 1);
    a.fn.modifyQp(qa, { qpState: SQD });
    a.send(qa, 1);
    b.send(qb, 1);
    pair.settle();
    expect([a.fn.queryQp(qa).sqDraining, a.sends(), a.recvs()]).toEqual([false, [], [[1, 'SUCCESS']]]);
  });

  it('[QP-57] is left for ERR and RESET while it drains', () => {
    for (const qpState of [ERR, RESET]) {
      const pair = new Pair();
      const { a } = pair;
      const [qa] = pair.rc({ rnrRetry: 7 });
      a.send(qa, 1);
      pair.settle();
      a.fn.modifyQp(qa, { qpState: SQD });
      a.fn.modifyQp(qa, { qpState });
      pair.settle();
      expect(a.fn.queryQp(qa).sqDraining).toBe(false);
      expect(a.sends()).toEqual(qpState === ERR ? [[1, 'WR_FLUSH_ERR']] : []);
      expect(pair.scheduler.endlessWaiting).toBe(0);
    }
  });
});

describe('SQE', () => {
  it('[QP-60] [QP-62] flushes what was posted before the move to RTS, and runs what comes after', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb, ah] = pair.ud();
    const to = { ah, remoteQpn: qb.qpNum, remoteQkey: 0x1234 };
    for (let i = 0; i < 3; i++) b.recv(qb, i, [b.sge(0, 40)]);
    a.send(qa, 1, { ...to, sges: [a.sge(0, 1, 0xbad00)] });
    pair.settle();
    expect([a.sends(), a.state(qa)]).toEqual([[[1, 'LOC_PROT_ERR']], SQE]);
    a.send(qa, 2, to);
    a.send(qa, 3, to);
    // No step in between.
    a.fn.modifyQp(qa, { qpState: RTS });
    a.send(qa, 4, to);
    pair.settle();
    expect(a.sends()).toEqual([
      [2, 'WR_FLUSH_ERR'],
      [3, 'WR_FLUSH_ERR'],
      [4, 'SUCCESS'],
    ]);
    expect(b.recvs()).toEqual([[0, 'SUCCESS']]);
  });

  it('[QP-63] is no state of RC', () => {
    const pair = new Pair();
    const { a } = pair;
    const [qa] = pair.rc();
    a.send(qa, 1, { sges: [a.sge(0, 1, 0xbad00)] });
    pair.settle();
    expect(a.state(qa)).toBe(ERR);
  });
});

describe('RESET and destruction', () => {
  it.each(['RESET', 'destroy'] as const)(
    '[QP-41] [QP-43] [RST-08] %s discards in silence, whatever is under way',
    how => {
      const pair = new Pair({ bandwidthBitsPerSecond: 1e9 });
      const { a, b } = pair;
      const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256 });
      b.recv(qb, 1);
      for (let i = 1; i < 5; i++) a.recv(qa, i);
      a.send(qa, 1);
      pair.settle();
      a.send(qa, 2, { sges: [a.sge(0, 50_000)] });
      a.send(qa, 3, { opcode: WrOpcode.RDMA_READ, sges: [a.sge(0, 8)], rkey: b.mr.rkey });
      b.recv(qb, 2, [b.sge(0, 50_000)]);
      pair.runUntil(pair.scheduler.nowNs + 50_000);
      const { packetsSent } = a.fn.counters;
      if (how === 'RESET') a.fn.modifyQp(qa, { qpState: RESET });
      else a.fn.destroyQp(qa);
      expect(a.retired).toEqual(['s1', 's2', 's3', 'r1', 'r2', 'r3', 'r4']);
      pair.settle();
      expect(a.fn.counters.packetsSent).toBe(packetsSent);
      expect([a.sends(), a.recvs()]).toEqual([[[1, 'SUCCESS']], []]);
      expect(b.recvs()).toEqual([[1, 'SUCCESS']]);
    },
  );

  it('[QP-40] [QP-44] [QP-12] RESET forgets everything and the way begins anew', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ sqPsn: 500, rqPsn: 500 });
    b.recv(qb, 1);
    a.send(qa, 1);
    pair.settle();
    for (const [side, qp] of [
      [a, qa],
      [b, qb],
    ] as const) {
      side.fn.modifyQp(qp, { qpState: RESET });
      expect(side.fn.queryQp(qp)).toEqual(side.fn.queryQp(side.qp()));
    }
    pair.connect(QpType.RC, qa, qb, { sqPsn: 9, rqPsn: 9 });
    b.recv(qb, 2);
    a.send(qa, 2);
    pair.settle();
    expect([a.sends().at(-1), b.recvs().at(-1)]).toEqual([
      [2, 'SUCCESS'],
      [2, 'SUCCESS'],
    ]);
  });

  it('[QP-03] [RST-29] gives the lowest free number again, and old packets do not reach the new owner', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    a.send(qa, 1);
    pair.runUntil(500);
    b.fn.destroyQp(qb);
    const next = b.qp();
    expect(next.qpNum).toBe(qb.qpNum);
    toRts(QpType.RC, b, next, a.gid, 77);
    b.recv(next, 1);
    pair.settle();
    expect(b.recvs()).toEqual([]);
  });
});

describe('a reset of the function', () => {
  it('[RST-30] [RST-33] [RST-34] [RST-36] destroys everything in silence and starts anew', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ rnrRetry: 7 });
    a.send(qa, 1);
    a.recv(qa, 1);
    pair.runUntil(5000);
    b.recv(qb, 1);
    a.fn.reset();
    const { packetsSent } = a.fn.counters;
    pair.settle();
    expect(a.retired).toEqual([]);
    expect(a.fn.counters.packetsSent).toBe(packetsSent);
    expect(pair.scheduler.endlessWaiting).toBe(0);
    expect(() => a.fn.queryQp(qa)).toThrow('EINVAL');
    expect(() =>
      a.fn.createCq(1, { completionAdded() {}, eventRaised() {}, overran() {}, unconsumed: () => 0 }),
    ).not.toThrow();
    expect(() =>
      a.fn.registerMr(a.pd, {
        access: 0,
        iova: 0,
        length: 1,
        memory: a.memory,
        pageBytes: 4096,
        pages: undefined,
      }),
    ).toThrow('EINVAL');
    a.fn.addGid(3, a.gid);
    expect(() => a.fn.createPd()).not.toThrow();
  });
});
