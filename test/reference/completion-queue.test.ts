/** Capacity and overrun, arming. */
import { describe, expect, it } from 'vitest';
import { QpState, QpType } from '../../src/abi/index.js';
import type { HcaCqOwner } from '../../src/reference/index.js';
import { caps, Pair } from './pair.js';

function recorded(unconsumed = () => 0): { owner: HcaCqOwner; log: string[] } {
  const log: string[] = [];
  const owner: HcaCqOwner = {
    completionAdded: () => log.push('added'),
    eventRaised: () => log.push('event'),
    overran: () => log.push('overran'),
    unconsumed,
  };
  return { owner, log };
}

describe('capacity', () => {
  it('[CQ-04] [CQ-06] [CQ-32] [QP-52] holds cqe completions; one more is lost and ends it and its queue pairs', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const { owner, log } = recorded();
    const cq = a.fn.createCq(4, owner);
    const init = { type: QpType.RC, sqSigAll: false, sendCq: cq, recvCq: cq, cap: caps };
    const qp = a.fn.createQp(a.pd, init, a.owner);
    const witness = a.fn.createQp(a.pd, init, a.owner);
    const qb = b.qp();
    pair.connect(QpType.RC, qp, qb);
    a.fn.modifyQp(witness, { qpState: QpState.INIT, qpAccessFlags: 0 });
    a.recv(witness, 50);
    for (let i = 0; i < 6; i++) b.recv(qb, i);
    for (let i = 0; i < 6; i++) a.send(qp, i);
    pair.settle();
    expect(log).toEqual(['added', 'added', 'added', 'added', 'overran']);
    expect([a.state(qp), a.state(witness)]).toEqual([QpState.ERR, QpState.ERR]);
    expect(a.poll(cq).map(wc => wc.wrId)).toEqual([0, 1, 2, 3]);
    a.recv(witness, 51);
    pair.settle();
    expect(a.poll(cq)).toEqual([]);
    expect(a.retired.toSorted()).toEqual(['r50', 'r51', 's0', 's1', 's2', 's3', 's4', 's5']);
    expect(() => a.fn.reqNotifyCq(cq, false)).not.toThrow();
    a.fn.destroyQp(qp);
    a.fn.destroyQp(witness);
    expect(() => a.fn.destroyCq(cq)).not.toThrow();
  });

  it('[CQ-06] [QP-52] takes a queue pair along that was in RESET then, with its first completion', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const { owner, log } = recorded();
    const cq = a.fn.createCq(1, owner);
    const init = { type: QpType.RC, sqSigAll: false, sendCq: cq, recvCq: cq, cap: caps };
    const [one, two] = [a.fn.createQp(a.pd, init, a.owner), a.fn.createQp(a.pd, init, a.owner)];
    a.fn.modifyQp(one, { qpState: QpState.INIT, qpAccessFlags: 0 });
    for (let i = 0; i < 3; i++) a.recv(one, i);
    a.fn.modifyQp(one, { qpState: QpState.ERR });
    pair.settle();
    expect([log.splice(0), a.state(two)]).toEqual([['added', 'overran'], QpState.RESET]);
    const qb = b.qp();
    pair.connect(QpType.RC, two, qb);
    b.recv(qb, 1);
    a.send(two, 1);
    pair.settle();
    expect([log, a.state(two)]).toEqual([['overran'], QpState.ERR]);
    expect(b.recvs()).toEqual([[1, 'SUCCESS']]);
  });

  it('counts what its owner has taken and not consumed', () => {
    let outside = 0;
    const pair = new Pair();
    const { a } = pair;
    const { owner, log } = recorded(() => outside);
    const cq = a.fn.createCq(3, owner);
    const init = { type: QpType.RC, sqSigAll: false, sendCq: cq, recvCq: cq, cap: caps };
    const qp = a.fn.createQp(a.pd, init, a.owner);
    outside = 2;
    a.fn.modifyQp(qp, { qpState: QpState.INIT, qpAccessFlags: 0 });
    for (let i = 0; i < 2; i++) a.recv(qp, i);
    a.fn.modifyQp(qp, { qpState: QpState.ERR });
    pair.settle();
    expect(log).toEqual(['added', 'overran']);
    expect(a.poll(cq).map(wc => wc.wrId)).toEqual([0]);
  });

  it('is a ring: any number of completions pass through as long as they are polled', () => {
    const pair = new Pair({ cqe: 3 });
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    for (let i = 0; i < 20; i++) {
      b.recv(qb, i);
      a.send(qa, i);
      pair.settle();
      if (i % 2 === 1) expect(a.sends().map(([wrId]) => wrId)).toEqual([i - 1, i]);
      if (i % 3 === 2) expect(b.recvs().length).toBe(3);
    }
  });

  it('[CQ-53] gives no more than asked for, oldest first', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    for (let i = 0; i < 5; i++) b.recv(qb, i);
    for (let i = 0; i < 5; i++) a.send(qa, i);
    pair.settle();
    const completions: Parameters<typeof a.fn.pollCq>[1] = [];
    const counts = [2, 2, 2, 2].map(max => a.fn.pollCq(a.sendCq, completions, max));
    expect(counts).toEqual([2, 2, 1, 0]);
    expect(completions.map(wc => wc.wrId)).toEqual([4, 3]);
  });
});

describe('arming', () => {
  const armed = (arm: (pair: Pair) => void, act: (pair: Pair, log: string[]) => void): string[] => {
    const { owner, log } = recorded();
    const pair = new Pair({ cqOwner: owner });
    arm(pair);
    act(pair, log);
    return log;
  };
  const deliver =
    (...flags: readonly number[]) =>
    (pair: Pair): void => {
      const [qa, qb] = pair.rc();
      for (const [i, sendFlags] of flags.entries()) {
        pair.b.recv(qb, i);
        pair.a.send(qa, i, { sendFlags });
      }
      pair.settle();
    };
  const any = (pair: Pair) => pair.b.fn.reqNotifyCq(pair.b.recvCq, false);
  const solicited = (pair: Pair) => pair.b.fn.reqNotifyCq(pair.b.recvCq, true);

  it('[CQ-37] [CQ-38] gives one event, at the next completion', () => {
    expect(armed(any, deliver(0, 0))).toEqual(['added', 'event', 'added']);
    expect(armed(() => {}, deliver(0))).toEqual(['added']);
  });

  it('[CQ-39] [CQ-41] for solicited completions waits for one', () => {
    expect(armed(solicited, deliver(0, 4, 4))).toEqual(['added', 'added', 'event', 'added']);
  });

  it('[CQ-03] is never narrowed, but widened', () => {
    const narrowed = (pair: Pair) => (any(pair), solicited(pair));
    const widened = (pair: Pair) => (solicited(pair), any(pair));
    expect(armed(narrowed, deliver(0))).toEqual(['added', 'event']);
    expect(armed(widened, deliver(0))).toEqual(['added', 'event']);
  });

  it('[CQ-40] for solicited completions is met by an error', () => {
    const failing = (pair: Pair): void => {
      const [, qb] = pair.rc();
      pair.b.recv(qb, 1);
      pair.b.fn.modifyQp(qb, { qpState: QpState.ERR });
      pair.settle();
    };
    expect(armed(solicited, failing)).toEqual(['added', 'event']);
  });

  it('does not look back', () => {
    const { owner, log } = recorded();
    const pair = new Pair({ cqOwner: owner });
    deliver(0)(pair);
    any(pair);
    pair.settle();
    expect(log).toEqual(['added']);
  });
});
