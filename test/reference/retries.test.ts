/** Time-outs, receiver-not-ready waits and their counts, exact in virtual time. */
import { describe, expect, it } from 'vitest';
import { PathMtu, QpState, WrOpcode } from '../../src/abi/index.js';
import { ackTimeoutNs, rnrTimerNs } from '../../src/reference/index.js';
import { Pair } from './pair.js';

/** Milliseconds of each receiver-not-ready timer code, as published. */
const rnrMilliseconds = [
  655.36, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 0.96, 1.28, 1.92, 2.56,
  3.84, 5.12, 7.68, 10.24, 15.36, 20.48, 30.72, 40.96, 61.44, 81.92, 122.88, 163.84, 245.76, 327.68, 491.52,
];

/** Virtual times at which requests left a's port. */
function departures(pair: Pair): number[] {
  const times: number[] = [];
  pair.fabric.observe({
    sent: packet => {
      if (packet.sourceGid === pair.a.gid) times.push(pair.scheduler.nowNs);
    },
    delivered() {},
    dropped() {},
  });
  return times;
}

describe('a peer that does not answer', () => {
  it.each([0, 1, 3, 7])(
    '[ERR-19] [DATA-81] [DATA-67] retry_cnt %i: one transmission more, a time-out apart, then RETRY_EXC_ERR',
    retryCnt => {
      const pair = new Pair();
      const { a, b } = pair;
      const [qa, qb] = pair.rc({ retryCnt, timeout: 10 });
      b.fn.destroyQp(qb);
      const times = departures(pair);
      a.send(qa, 1);
      pair.settle();
      expect(times).toEqual(Array.from({ length: retryCnt + 1 }, (_, i) => i * ackTimeoutNs(10)));
      expect(pair.scheduler.nowNs).toBe((retryCnt + 1) * ackTimeoutNs(10));
      expect(a.sends()).toEqual([[1, 'RETRY_EXC_ERR']]);
      expect(a.state(qa)).toBe(QpState.ERR);
    },
  );

  it.each([1, 2, 14, 20, 31])('has 4.096 us times 2^%i', code => {
    expect(ackTimeoutNs(code)).toBe(Math.round(4.096e3 * 2 ** code));
  });

  it('[DATA-68] is waited for without end when timeout is 0', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ timeout: 0 });
    b.fn.destroyQp(qb);
    a.send(qa, 1);
    pair.settle();
    expect(a.sends()).toEqual([]);
    expect(a.state(qa)).toBe(QpState.RTS);
    expect(pair.scheduler.endlessWaiting).toBe(0);
  });

  it('is sent no more than a window of 256 packets', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ timeout: 0, pathMtu: PathMtu.MTU_256 });
    b.fn.destroyQp(qb);
    a.send(qa, 1, { sges: [a.sge(0, 100_000)] });
    pair.settle();
    expect(a.fn.counters.packetsSent).toBe(256);
  });

  it.each(['RESET', 'INIT', 'ERR'] as const)('[QP-20] may be a queue pair in %s', state => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ retryCnt: 2, timeout: 1 });
    b.fn.modifyQp(qb, { qpState: state === 'ERR' ? QpState.ERR : QpState.RESET });
    if (state === 'INIT') {
      b.fn.modifyQp(qb, { qpState: QpState.INIT, qpAccessFlags: 0 });
      b.recv(qb, 1);
    }
    a.send(qa, 1);
    pair.settle();
    expect(a.sends()).toEqual([[1, 'RETRY_EXC_ERR']]);
    expect(b.recvs()).toEqual([]);
  });

  it('[RST-20] may have lost its GID', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ retryCnt: 1, timeout: 1 });
    b.recv(qb, 1);
    b.fn.delGid(0);
    a.send(qa, 1);
    pair.settle();
    expect([a.sends(), b.recvs()]).toEqual([[[1, 'RETRY_EXC_ERR']], []]);
  });

  it('[ISO-09] is not reached in the name of a GID that is gone', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ retryCnt: 1, timeout: 1 });
    b.recv(qb, 1);
    a.fn.delGid(0);
    const dropped: string[] = [];
    pair.fabric.observe({ sent() {}, delivered() {}, dropped: (_packet, why) => dropped.push(why) });
    a.send(qa, 1);
    pair.settle();
    expect([a.sends(), b.recvs()]).toEqual([[[1, 'RETRY_EXC_ERR']], []]);
    expect(new Set(dropped)).toEqual(new Set(['the source GID table entry is empty']));
  });

  it.each([
    [4, 'SUCCESS'],
    [3, 'RETRY_EXC_ERR'],
  ])('[DATA-71] is given all %i retries anew after every answer: %s', (retryCnt, status) => {
    // Every packet is lost in its first two transmissions: twice the request, then twice the answer.
    const pair = new Pair({ faults: { dropPer1024: 1024 } });
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ retryCnt, timeout: 4 });
    for (let i = 0; i < 5; i++) {
      b.recv(qb, i);
      a.send(qa, i);
      pair.settle();
      if (status === 'SUCCESS' || i === 0) expect(a.sends()).toEqual([[i, status]]);
      if (status === 'SUCCESS') expect(b.recvs()).toEqual([[i, 'SUCCESS']]);
    }
    expect(a.fn.counters.timeouts).toBe(status === 'SUCCESS' ? 20 : 4);
  });
});

describe('a receiver that is not ready', () => {
  it.each(rnrMilliseconds.map((ms, code) => [code, ms] as const))(
    '[DATA-69] with timer code %i makes the sender wait %d ms',
    (minRnrTimer, ms) => {
      const pair = new Pair();
      const { a, b } = pair;
      const [qa, qb] = pair.rc({ minRnrTimer, timeout: 31 });
      const times = departures(pair);
      const done: number[] = [];
      pair.fabric.observe({
        sent() {},
        delivered: packet => {
          if (packet.destinationGid === a.gid) done.push(pair.scheduler.nowNs);
        },
        dropped() {},
      });
      a.send(qa, 1);
      pair.runUntil(10_000);
      b.recv(qb, 7);
      pair.settle();
      expect(rnrTimerNs(minRnrTimer)).toBe(Math.round(ms * 1e6));
      expect(times[1] - done[0]).toBe(Math.round(ms * 1e6));
      expect([a.sends(), b.recvs()]).toEqual([[[1, 'SUCCESS']], [[7, 'SUCCESS']]]);
    },
  );

  it.each([0, 1, 6])(
    '[ERR-18] [DATA-72] rnr_retry %i: one transmission more, then RNR_RETRY_EXC_ERR',
    rnrRetry => {
      const pair = new Pair();
      const { a, b } = pair;
      const [qa, qb] = pair.rc({ rnrRetry });
      const times = departures(pair);
      a.send(qa, 1);
      a.send(qa, 2);
      pair.settle();
      // The second send is never repeated on its own; it went out once, in the burst of the first.
      expect(times.length).toBe(2 * (rnrRetry + 1));
      expect(a.sends()).toEqual([
        [1, 'RNR_RETRY_EXC_ERR'],
        [2, 'WR_FLUSH_ERR'],
      ]);
      expect([a.state(qa), b.state(qb)]).toEqual([QpState.ERR, QpState.RTS]);
      expect(b.fn.counters.rnrNaksSent).toBe(rnrRetry + 1);
    },
  );

  it('[DATA-70] is tried without end with rnr_retry 7, and quiet all the while', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ rnrRetry: 7 });
    a.send(qa, 1);
    pair.settle();
    expect(pair.scheduler.quiet).toBe(true);
    expect(pair.scheduler.endlessWaiting).toBe(1);
    while (pair.scheduler.endlessFired < 100) pair.scheduler.step();
    pair.settle();
    expect(a.state(qa)).toBe(QpState.RTS);
    b.recv(qb, 7);
    pair.scheduler.step();
    pair.settle();
    expect([a.sends(), b.recvs()]).toEqual([[[1, 'SUCCESS']], [[7, 'SUCCESS']]]);
    expect(pair.scheduler.endlessWaiting).toBe(0);
  });

  it('waits longer and longer only after 16 tries in vain', () => {
    const pair = new Pair();
    const { a } = pair;
    const [qa] = pair.rc({ rnrRetry: 7, minRnrTimer: 12 });
    const times = departures(pair);
    a.send(qa, 1);
    while (times.length < 40) pair.scheduler.step();
    const waits = times.slice(1).map((time, i) => Math.round((time - times[i]) / rnrTimerNs(12)));
    expect(waits.slice(0, 19)).toEqual([...Array.from({ length: 17 }, () => 1), 2, 4]);
    expect(Math.max(...waits)).toBe(256);
  });

  it('[DATA-76] hears nothing of later packets until the one that met it comes again', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    const sent = pair.tap();
    for (let i = 0; i < 5; i++) a.send(qa, i);
    pair.runUntil(9000);
    expect(sent.filter(text => text.includes('ACK'))).toEqual(['RC ACKNOWLEDGE 0']);
    for (let i = 0; i < 5; i++) b.recv(qb, i);
    pair.settle();
    expect(a.sends().map(([, status]) => status)).toEqual(Array.from({ length: 5 }, () => 'SUCCESS'));
  });

  it('[DATA-60] has written the earlier packets of a write with immediate only once in effect', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256 });
    a.memory.fill(0, 600, 1);
    a.send(qa, 1, {
      opcode: WrOpcode.RDMA_WRITE_WITH_IMM,
      sges: [a.sge(0, 600)],
      remoteAddr: 0,
      rkey: b.mr.rkey,
    });
    const sent = pair.tap();
    pair.runUntil(9000);
    expect(b.memory.slice(0, 512)).toEqual(a.memory.slice(0, 512));
    b.recv(qb, 7);
    pair.settle();
    // Only the last packet, which met no receive, goes again.
    expect(sent.filter(text => text.includes('WRITE'))).toEqual([
      'RC WRITE_FIRST 0',
      'RC WRITE_MIDDLE 1',
      'RC WRITE_LAST_IMM 2',
      'RC WRITE_LAST_IMM 2',
    ]);
    expect(b.poll(b.recvCq)).toMatchObject([{ wrId: 7, byteLen: 600 }]);
  });
});
