/** UC: nothing comes back; a message that lost a packet or meets a fault is dropped as a whole. */
import { describe, expect, it } from 'vitest';
import { PathMtu, QpState, WcStatus, WrOpcode } from '../../src/abi/index.js';
import type { FabricPort, Packet } from '../../src/fabric/index.js';
import { FULL_ACCESS, Pair, REMOTE_READ } from './pair.js';

const MTU = { pathMtu: PathMtu.MTU_256 };

/** Loses the packets of `psns` on their way. */
function lose(pair: Pair, psns: readonly number[]): void {
  const { fabric } = pair;
  const send = fabric.send.bind(fabric);
  fabric.send = (port: FabricPort, packet: Packet): void => {
    if (psns.includes(packet.psn)) fabric.discard(packet, 'lost by the link');
    else send(port, packet);
  };
}

describe('UC', () => {
  it('[DATA-56] [ORD-06] sends and writes, each complete when it has left', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.uc(MTU);
    a.memory.fill(0, 2000, 1);
    for (let i = 0; i < 3; i++) b.recv(qb, i, [b.sge(i * 2000, 2000)]);
    const target = { remoteAddr: 10_000, rkey: b.mr.rkey };
    a.send(qa, 1, { sges: [a.sge(0, 2000)] });
    a.send(qa, 2, { opcode: WrOpcode.RDMA_WRITE, sges: [a.sge(0, 700)], ...target });
    a.send(qa, 3, { opcode: WrOpcode.RDMA_WRITE_WITH_IMM, immData: 5, sges: [a.sge(0, 30)], ...target });
    a.send(qa, 4);
    pair.settle();
    expect(a.sends()).toEqual([1, 2, 3, 4].map(wrId => [wrId, 'SUCCESS']));
    expect(b.poll(b.recvCq)).toMatchObject([{ byteLen: 2000 }, { byteLen: 30, immData: 5 }, { byteLen: 0 }]);
    expect(b.memory.slice(0, 2000)).toEqual(a.memory.slice(0, 2000));
    expect(b.memory.slice(10_000, 700)).toEqual(a.memory.slice(0, 700));
  });

  it.each([0, 1, 2])(
    '[DATA-57] [DATA-58] drops a message whose packet %i is lost and uses the receive for the next',
    lost => {
      const pair = new Pair();
      const { a, b } = pair;
      const [qa, qb] = pair.uc(MTU);
      lose(pair, [lost]);
      a.memory.fill(0, 2000, 1);
      b.recv(qb, 7, [b.sge(5000, 700)]);
      a.send(qa, 1, { sges: [a.sge(0, 700)] });
      a.send(qa, 2, { sges: [a.sge(900, 600)] });
      pair.settle();
      expect(a.sends().length).toBe(2);
      expect(b.poll(b.recvCq)).toMatchObject([{ wrId: 7, status: 0, byteLen: 600 }]);
      expect(b.memory.slice(5000, 600)).toEqual(a.memory.slice(900, 600));
    },
  );

  it.each([
    ['no receive', 0, undefined],
    ['a receive that is too small', 0, 10],
  ])('[ERR-21] drops a send that meets %s', (_what, _n, room) => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.uc(MTU);
    if (room !== undefined) b.recv(qb, 7, [b.sge(0, room)]);
    a.send(qa, 1, { sges: [a.sge(0, 1000)] });
    pair.settle();
    expect([a.sends(), b.recvs(), b.state(qb)]).toEqual([[[1, 'SUCCESS']], [], QpState.RTS]);
    if (room === undefined) b.recv(qb, 7);
    a.send(qa, 2);
    pair.settle();
    expect(b.recvs()).toEqual([[7, 'SUCCESS']]);
  });

  it.each([
    ['a bad key', {}, () => 0xbad00],
    ['a region without the right', {}, (pair: Pair) => pair.b.register(0, 4096, REMOTE_READ).rkey],
    ['a queue pair without the right', { qpAccessFlags: REMOTE_READ }, (pair: Pair) => pair.b.mr.rkey],
  ])('[ERR-21] [ERR-14] drops a write that meets %s', (_what, set, key) => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.uc({ ...MTU, ...set });
    a.memory.fill(0, 1000, 1);
    b.recv(qb, 7);
    const request = { opcode: WrOpcode.RDMA_WRITE_WITH_IMM, sges: [a.sge(0, 600)], remoteAddr: 0 };
    a.send(qa, 1, { ...request, rkey: key(pair) });
    pair.settle();
    expect([a.sends(), b.recvs(), b.state(qb)]).toEqual([[[1, 'SUCCESS']], [], QpState.RTS]);
    expect(b.memory.slice(0, 1000)).toEqual(new Uint8Array(1000));
  });

  it.each(['bad key', 'no sense'])(
    '[QP-46] [ERR-17] goes to ERR on a receive with %s, the sender does not',
    what => {
      const pair = new Pair();
      const { a, b } = pair;
      const [qa, qb] = pair.uc();
      if (what === 'bad key') b.recv(qb, 7, [b.sge(0, 100, 0xbad00)]);
      else b.fn.postFaultyRecv(qb, 7, WcStatus.LOC_QP_OP_ERR, 7);
      b.recv(qb, 8);
      a.send(qa, 1, { sges: [a.sge(0, 100)] });
      pair.settle();
      expect([a.sends(), a.state(qa), b.state(qb)]).toEqual([[[1, 'SUCCESS']], QpState.RTS, QpState.ERR]);
      expect(b.recvs()).toEqual([
        [7, what === 'bad key' ? 'LOC_PROT_ERR' : 'LOC_QP_OP_ERR'],
        [8, 'WR_FLUSH_ERR'],
      ]);
    },
  );

  it('[QP-59] [QP-60] goes to SQE on a local fault, in the middle of a message too; receiving goes on', () => {
    const pair = new Pair({ bandwidthBitsPerSecond: 1e9 });
    const { a, b } = pair;
    const [qa, qb] = pair.uc(MTU);
    const mr = a.register(0, 100_000, FULL_ACCESS);
    a.recv(qa, 5);
    b.recv(qb, 7, [b.sge(0, 100_000)]);
    a.send(qa, 1, { sges: [a.sge(0, 100_000, mr.lkey)] });
    a.send(qa, 2);
    pair.runUntil(200_000);
    a.fn.deregisterMr(mr);
    pair.settle();
    expect([a.sends(), a.state(qa)]).toEqual([
      [
        [1, 'LOC_PROT_ERR'],
        [2, 'WR_FLUSH_ERR'],
      ],
      QpState.SQE,
    ]);
    b.send(qb, 1);
    pair.settle();
    expect(a.recvs()).toEqual([[5, 'SUCCESS']]);
    a.fn.modifyQp(qa, { qpState: QpState.RTS });
    a.send(qa, 3, { sges: [a.sge(0, 300)] });
    pair.settle();
    expect([a.sends(), b.poll(b.recvCq)]).toMatchObject([[[3, 'SUCCESS']], [{ wrId: 7, byteLen: 300 }]]);
  });

  it('[ERR-08] has no read', () => {
    const pair = new Pair();
    const [qa] = pair.uc();
    expect(() => pair.a.send(qa, 1, { opcode: WrOpcode.RDMA_READ })).toThrow('EINVAL');
  });
});
