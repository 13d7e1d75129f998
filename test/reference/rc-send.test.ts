import { describe, expect, it } from 'vitest';
import { QpState } from '../../src/abi/index.js';
import { Pair } from './pair.js';

describe('RC SEND', () => {
  it('moves the bytes and completes both sides', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    a.memory.fill(100, 3000, 1);
    b.recv(qb, 7, [b.sge(5000, 4096)]);
    a.send(qa, 1, { sges: [a.sge(100, 3000)] });
    pair.settle();
    expect(a.sends()).toEqual([[1, 'SUCCESS']]);
    const [got] = b.poll(b.recvCq);
    expect(got).toMatchObject({ wrId: 7, status: 0, byteLen: 3000, qpNum: qb.qpNum, srcQp: 0, wcFlags: 0 });
    expect(b.memory.slice(5000, 3000)).toEqual(a.memory.slice(100, 3000));
    expect(a.state(qa)).toBe(QpState.RTS);
  });
});
