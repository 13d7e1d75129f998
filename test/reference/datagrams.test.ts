/** UD and GSI: the global route, what is dropped, Q_Keys, address handles. */
import { describe, expect, it } from 'vitest';
import { QpState, QpType, SendFlag, WcFlag, WcOpcode, WcStatus, WrOpcode } from '../../src/abi/index.js';
import { address, limits, Pair } from './pair.js';

const QKEY = 0x1234;

describe('a datagram', () => {
  it('[DATA-48] [DATA-49] comes behind 40 bytes of global route, which count', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb, ah] = pair.ud();
    a.memory.fill(0, 100, 1);
    b.recv(qb, 7, [b.sge(1000, 30), b.sge(2000, 200)]);
    const to = { ah, remoteQpn: qb.qpNum, remoteQkey: QKEY };
    a.send(qa, 1, { opcode: WrOpcode.SEND_WITH_IMM, immData: 0xabcd, sges: [a.sge(0, 100)], ...to });
    pair.settle();
    expect(a.sends()).toEqual([[1, 'SUCCESS']]);
    expect(b.poll(b.recvCq)).toMatchObject([
      {
        wrId: 7,
        status: 0,
        opcode: WcOpcode.RECV,
        byteLen: 140,
        srcQp: qa.qpNum,
        qpNum: qb.qpNum,
        immData: 0xabcd,
        wcFlags: WcFlag.GRH | WcFlag.WITH_IMM,
      },
    ]);
    expect(b.memory.slice(2010, 100)).toEqual(a.memory.slice(0, 100));
  });

  it('[DATA-50] shows the IPv6 header of its packet', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.ud();
    const vector = { ...address(b.gid), flowLabel: 0xabcde, trafficClass: 0x5a, hopLimit: 33 };
    const ah = a.fn.createAh(a.pd, vector);
    b.recv(qb, 7, [b.sge(0, 100)]);
    a.send(qa, 1, { ah, remoteQpn: qb.qpNum, remoteQkey: QKEY, sges: [a.sge(0, 5)] });
    pair.settle();
    // UDP 8, BTH 12, DETH 8, payload 5, pad 3, ICRC 4: 40 bytes.
    expect(Buffer.from(b.memory.slice(0, 40)).toString('hex')).toBe(`65aabcde00281121${a.gid}${b.gid}`);
  });

  it('[DATA-51] shows 20 bytes of zero and the IPv4 header between IPv4-mapped GIDs', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.ud();
    const mapped = (last: string) => `00000000000000000000ffff0a0000${last}`;
    a.fn.addGid(1, mapped('01'));
    b.fn.addGid(1, mapped('02'));
    const ah = a.fn.createAh(a.pd, { ...address(mapped('02')), sgidIndex: 1, trafficClass: 2 });
    b.recv(qb, 7, [b.sge(0, 100)]);
    a.send(qa, 1, { ah, remoteQpn: qb.qpNum, remoteQkey: QKEY, sges: [a.sge(0, 4)] });
    pair.settle();
    const header = b.memory.slice(20, 20);
    let sum = 0;
    for (let i = 0; i < 20; i += 2) sum += header[i] * 256 + header[i + 1];
    expect(b.memory.slice(0, 20)).toEqual(new Uint8Array(20));
    expect((sum & 0xffff) + (sum >>> 16)).toBe(0xffff);
    header.fill(0, 10, 12);
    expect(Buffer.from(header).toString('hex')).toBe('450200380000400040110000' + '0a0000010a000002');
  });

  it.each([
    ['no receive', () => undefined],
    ['a receive one byte too small', (pair: Pair) => [pair.b.sge(0, 139)]],
  ])('[DATA-52] [ERR-20] that meets %s is dropped, and the receive serves the next', (_what, list) => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb, ah] = pair.ud();
    const sges = list(pair);
    if (sges !== undefined) b.recv(qb, 7, sges);
    const to = { ah, remoteQpn: qb.qpNum, remoteQkey: QKEY };
    a.send(qa, 1, { ...to, sges: [a.sge(0, 100)] });
    pair.settle();
    expect([a.sends(), b.recvs(), b.state(qb)]).toEqual([[[1, 'SUCCESS']], [], QpState.RTS]);
    if (sges === undefined) b.recv(qb, 7, [b.sge(0, 139)]);
    a.send(qa, 2, { ...to, sges: [a.sge(0, 99)] });
    pair.settle();
    expect(b.poll(b.recvCq)).toMatchObject([{ wrId: 7, byteLen: 139 }]);
  });

  it.each([
    ['[ISO-13] another Q_Key', { remoteQkey: QKEY + 1 }],
    ['a queue pair that does not exist', { remoteQpn: 999 }],
    ['a GID that nobody has', { gid: 'fe80' + 'f'.repeat(28) }],
  ])('[DATA-53] to %s is sent with success and dropped', (_what, change) => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb, toB] = pair.ud();
    b.recv(qb, 7, [b.sge(0, 100)]);
    const { gid, ...rest } = { gid: undefined, ...change };
    const ah = gid === undefined ? toB : a.fn.createAh(a.pd, address(gid));
    a.send(qa, 1, { ah, remoteQpn: qb.qpNum, remoteQkey: QKEY, ...rest });
    pair.settle();
    expect([a.sends(), b.recvs()]).toEqual([[[1, 'SUCCESS']], []]);
  });

  it('[DATA-54] carries the Q_Key of its queue pair when bit 31 of its own is set', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb, ah] = pair.ud();
    b.recv(qb, 7, [b.sge(0, 100)]);
    a.send(qa, 1, { ah, remoteQpn: qb.qpNum, remoteQkey: 0x8000_0000 });
    pair.settle();
    expect(b.recvs()).toEqual([[7, 'SUCCESS']]);
  });

  it.each([QpType.UD, QpType.GSI])(
    '[DATA-55] [QP-02] reaches a queue pair of its own machine, type %i',
    type => {
      const pair = new Pair();
      const { a } = pair;
      const [qa] = pair.ud(type);
      const ah = a.fn.createAh(a.pd, address(a.gid));
      a.recv(qa, 7, [a.sge(0, 100)]);
      a.send(qa, 1, { ah, remoteQpn: qa.qpNum, remoteQkey: QKEY });
      pair.settle();
      expect([a.sends(), a.recvs()]).toEqual([[[1, 'SUCCESS']], [[7, 'SUCCESS']]]);
      expect(qa.qpNum).toBe(type === QpType.GSI ? 1 : 2);
    },
  );

  it('is not longer than the port carries', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb, ah] = pair.ud();
    const to = { ah, remoteQpn: qb.qpNum, remoteQkey: QKEY };
    b.recv(qb, 7, [b.sge(0, 5000)]);
    expect(() => a.send(qa, 1, { ...to, sges: [a.sge(0, 4097)] })).toThrow('EINVAL');
    a.send(qa, 2, { ...to, sges: [a.sge(0, 4096)] });
    pair.settle();
    expect(b.poll(b.recvCq)).toMatchObject([{ byteLen: 4136 }]);
    expect(limits.port.activeMtu).toBe(5);
  });

  it.each(['destroyed', 'of another PD'])(
    '[RST-19] [ISO-22] [DATA-18] whose address handle is %s: LOC_QP_OP_ERR',
    what => {
      const pair = new Pair();
      const { a } = pair;
      const [qa, , ah] = pair.ud();
      const used = what === 'destroyed' ? ah : a.fn.createAh(a.fn.createPd(), address(pair.b.gid));
      if (what === 'destroyed') a.fn.destroyAh(ah);
      a.send(qa, 1, { ah: used, remoteQpn: 2, remoteQkey: QKEY });
      a.send(qa, 2, { ah: used, remoteQpn: 2, remoteQkey: QKEY });
      pair.settle();
      expect([a.sends(), a.state(qa)]).toEqual([
        [
          [1, 'LOC_QP_OP_ERR'],
          [2, 'WR_FLUSH_ERR'],
        ],
        QpState.SQE,
      ]);
    },
  );

  it('goes where its handle said when it was posted, although the handle is destroyed then', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb, ah] = pair.ud();
    b.recv(qb, 7, [b.sge(0, 100)]);
    a.send(qa, 1, { ah, remoteQpn: qb.qpNum, remoteQkey: QKEY });
    a.fn.destroyAh(ah);
    pair.settle();
    expect(b.recvs()).toEqual([[7, 'SUCCESS']]);
  });

  it.each([
    [
      'a bad key',
      (pair: Pair, qb: Parameters<Pair['b']['recv']>[0]) => pair.b.recv(qb, 7, [pair.b.sge(0, 100, 1)]),
    ],
    [
      'no sense',
      (pair: Pair, qb: Parameters<Pair['b']['recv']>[0]) =>
        pair.b.fn.postFaultyRecv(qb, 7, WcStatus.LOC_QP_OP_ERR, 7),
    ],
  ])('[QP-46] [ERR-17] that meets a receive with %s ends its queue pair', (what, post) => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb, ah] = pair.ud();
    post(pair, qb);
    b.recv(qb, 8, [b.sge(0, 100)]);
    a.send(qa, 1, { ah, remoteQpn: qb.qpNum, remoteQkey: QKEY });
    pair.settle();
    expect(a.sends()).toEqual([[1, 'SUCCESS']]);
    expect(b.recvs()).toEqual([
      [7, what === 'no sense' ? 'LOC_QP_OP_ERR' : 'LOC_PROT_ERR'],
      [8, 'WR_FLUSH_ERR'],
    ]);
    expect(b.state(qb)).toBe(QpState.ERR);
  });

  it.each([
    [WrOpcode.RDMA_WRITE, 0],
    [WrOpcode.RDMA_WRITE_WITH_IMM, 0],
    [WrOpcode.RDMA_READ, 0],
    [WrOpcode.SEND, 16],
  ])('[ERR-08] has no opcode %i with flags %i', (opcode, flags) => {
    const pair = new Pair();
    const { a } = pair;
    const [qa, , ah] = pair.ud();
    expect(() => a.send(qa, 1, { opcode, sendFlags: flags | SendFlag.SIGNALED, ah })).toThrow('EINVAL');
  });
});
