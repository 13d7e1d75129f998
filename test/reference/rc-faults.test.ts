/**
 * One fault a row: how the request completes, what the responder's receive becomes, in which states both queue pairs end.
 * Behind each request and receive under test stands another, which must be flushed.
 */
import { describe, expect, it } from 'vitest';
import { PathMtu, QpState, WcStatus, WrOpcode } from '../../src/abi/index.js';
import type { HcaAh, HcaQp } from '../../src/reference/index.js';
import type { QpAttributes, SendWorkRequest, Sge } from '../../src/verbs/index.js';
import { FULL_ACCESS, limits, LOCAL_WRITE, Pair, REMOTE_READ, REMOTE_WRITE, sameBytes } from './pair.js';

const { RDMA_READ, RDMA_WRITE, RDMA_WRITE_WITH_IMM } = WrOpcode;
type Request = Partial<SendWorkRequest<HcaAh>>;

interface Row {
  readonly fault: string;
  readonly request: (pair: Pair) => Request;
  /** Scatter list of the first receive. Default: 1000 bytes that fit. */
  readonly receive?: (pair: Pair) => readonly Sge[];
  readonly responder?: QpAttributes;
  /** Status of the request. */
  readonly requester: string;
  /** Status of the first receive; absent: it stays posted. */
  readonly received?: string;
  /** Only the requester fails. */
  readonly responderLives?: true;
}

const otherPd = (pair: Pair, side: 'a' | 'b') => {
  const { fn } = pair[side];
  return pair[side].register(0, 8192, FULL_ACCESS, fn.createPd());
};
const stale = (pair: Pair, side: 'a' | 'b') => {
  const mr = pair[side].register(0, 8192, FULL_ACCESS);
  pair[side].fn.deregisterMr(mr);
  return mr;
};
const write = (pair: Pair, rkey = pair.b.mr.rkey, remoteAddr = 0, length = 100): Request => ({
  opcode: RDMA_WRITE,
  sges: [pair.a.sge(0, length)],
  remoteAddr,
  rkey,
});
const read = (pair: Pair, rkey = pair.b.mr.rkey, remoteAddr = 0, length = 100): Request => ({
  ...write(pair, rkey, remoteAddr, length),
  opcode: RDMA_READ,
});
const sendFrom = (lkey: number, length = 100, addr = 0): Request => ({ sges: [{ addr, length, lkey }] });

const localFaults: readonly Row[] = [
  { fault: '[ERR-11] a gather key that does not exist', request: () => sendFrom(0xbad00) },
  {
    fault: '[ERR-11] a gather key of a region that is gone',
    request: (pair: Pair) => sendFrom(stale(pair, 'a').lkey),
  },
  {
    fault: '[ERR-11] [ISO-20] a gather key of another PD',
    request: (pair: Pair) => sendFrom(otherPd(pair, 'a').lkey),
  },
  {
    fault: '[ERR-11] [MEM-21] a gather element that ends behind its region',
    request: (pair: Pair) => sendFrom(pair.a.register(100, 50, 0).lkey, 51, 100),
  },
  {
    fault: '[ERR-11] [MEM-21] a gather element that starts before its region',
    request: (pair: Pair) => sendFrom(pair.a.register(100, 50, 0).lkey, 10, 99),
  },
  {
    fault: '[ERR-11] a gather element at a negative address',
    request: (pair: Pair) => sendFrom(pair.a.mr.lkey, 10, -5),
  },
  {
    fault: '[ERR-11] a bad element behind a good one, in a message of many packets',
    request: (pair: Pair) => ({ sges: [pair.a.sge(0, 3000), pair.a.sge(0, 10, 0xbad00)] }),
  },
].map(row => ({ ...row, requester: 'LOC_PROT_ERR', responderLives: true }));

const scatterFaults: readonly Row[] = [
  {
    fault: '[ERR-12] [MEM-15] a read into a region without LOCAL_WRITE',
    request: (pair: Pair) => ({ ...read(pair), sges: [pair.a.sge(0, 100, pair.a.register(0, 100, 0).lkey)] }),
  },
  {
    fault: '[ERR-12] a read into a key that does not exist',
    request: (pair: Pair) => ({ ...read(pair), sges: [pair.a.sge(0, 100, 0xbad00)] }),
  },
  // What stands behind the read was carried out at the peer before the answer came; it is flushed all the same.
].map(row => ({ ...row, requester: 'LOC_PROT_ERR', responderLives: true, received: 'SUCCESS' }));

const otherLocal: readonly Row[] = [
  {
    fault: '[ERR-13] a message longer than max_msg_sz',
    request: pair => ({ sges: [pair.a.sge(0, limits.port.maxMsgSizeBytes), pair.a.sge(0, 1)] }),
    requester: 'LOC_LEN_ERR',
    responderLives: true,
  },
];

const badKeys: readonly (readonly [string, (pair: Pair) => number])[] = [
  ['that does not exist', () => 0xbad00],
  ['[MEM-09] of 0', () => 0],
  ['[MEM-11] with one bit wrong', pair => pair.b.mr.rkey ^ 1],
  ['[RST-16] of a region that is gone', pair => stale(pair, 'b').rkey],
  ['[ISO-21] of another PD', pair => otherPd(pair, 'b').rkey],
  [
    '[MEM-10] that is an lkey of a region without remote rights',
    pair => pair.b.register(0, 8192, LOCAL_WRITE).lkey,
  ],
];

const remoteFaults: readonly Row[] = [
  ...badKeys.flatMap(([text, key]) => [
    { fault: `[ERR-15] a write with a remote key ${text}`, request: (pair: Pair) => write(pair, key(pair)) },
    { fault: `[ERR-15] a read with a remote key ${text}`, request: (pair: Pair) => read(pair, key(pair)) },
    {
      fault: `[ERR-15] a write of many packets with a remote key ${text}`,
      request: (pair: Pair) => write(pair, key(pair), 0, 5000),
    },
  ]),
  {
    fault: '[MEM-16] a write to a region with REMOTE_READ only',
    request: (pair: Pair) => write(pair, pair.b.register(0, 4096, REMOTE_READ).rkey),
  },
  {
    fault: '[MEM-17] a read of a region with REMOTE_WRITE only',
    request: (pair: Pair) => read(pair, pair.b.register(0, 4096, LOCAL_WRITE | REMOTE_WRITE).rkey),
  },
  {
    fault: '[MEM-21] a write that ends behind its region',
    request: (pair: Pair) => write(pair, pair.b.register(50, 100, FULL_ACCESS).rkey, 51, 100),
  },
  {
    fault: '[MEM-21] a read that starts before its region',
    request: (pair: Pair) => read(pair, pair.b.register(50, 100, FULL_ACCESS).rkey, 49, 100),
  },
].map(row => ({ ...row, requester: 'REM_ACCESS_ERR' }));

const invalidRequests: readonly Row[] = [
  {
    fault: '[ERR-14] a write that the responder does not enable',
    request: (pair: Pair) => write(pair),
    responder: { qpAccessFlags: REMOTE_READ },
  },
  {
    fault: '[ERR-14] a read that the responder does not enable',
    request: (pair: Pair) => read(pair),
    responder: { qpAccessFlags: LOCAL_WRITE | REMOTE_WRITE },
  },
  {
    fault: 'a read at a responder whose max_dest_rd_atomic is 0',
    request: (pair: Pair) => read(pair),
    responder: { maxDestRdAtomic: 0 },
  },
  {
    fault: 'a first packet that is not of the path MTU of the responder',
    request: (pair: Pair) => ({ sges: [pair.a.sge(0, 900)] }),
    responder: { pathMtu: PathMtu.MTU_512 },
  },
].map(row => ({ ...row, requester: 'REM_INV_REQ_ERR' }));

const receiveFaults: readonly Row[] = [
  ...[1000, 1001, 5000].map(length => ({
    fault: `[ERR-16] a receive of ${length - 1} bytes for ${length}`,
    request: (pair: Pair) => ({ sges: [pair.a.sge(0, length)] }),
    receive: (pair: Pair) => [pair.b.sge(0, length - 1)],
    requester: 'REM_INV_REQ_ERR',
    received: 'LOC_LEN_ERR',
  })),
  ...[
    { fault: 'that does not exist', key: () => 0xbad00 },
    { fault: 'of another PD', key: (pair: Pair) => otherPd(pair, 'b').lkey },
    {
      fault: 'of a region without LOCAL_WRITE',
      key: (pair: Pair) => pair.b.register(0, 4096, REMOTE_READ).lkey,
    },
    {
      fault: 'of a region that is too short',
      key: (pair: Pair) => pair.b.register(0, 999, LOCAL_WRITE).lkey,
    },
  ].map(({ fault, key }) => ({
    fault: `[ERR-17] a receive with a key ${fault}`,
    request: (pair: Pair) => ({ sges: [pair.a.sge(0, 1000)] }),
    receive: (pair: Pair) => [pair.b.sge(0, 1000, key(pair))],
    requester: 'REM_OP_ERR',
    received: 'LOC_PROT_ERR',
  })),
  {
    fault:
      '[DATA-82] a write with immediate of one packet whose remote key is bad, which has a receive by then',
    request: pair => ({ ...write(pair, 0xbad00), opcode: RDMA_WRITE_WITH_IMM }),
    requester: 'REM_ACCESS_ERR',
    received: 'LOC_ACCESS_ERR',
  },
  {
    fault: 'a write with immediate of many packets whose remote key is bad, which has none yet',
    request: pair => ({ ...write(pair, 0xbad00, 0, 5000), opcode: RDMA_WRITE_WITH_IMM }),
    requester: 'REM_ACCESS_ERR',
  },
];

const rows = [
  ...localFaults,
  ...scatterFaults,
  ...otherLocal,
  ...remoteFaults,
  ...invalidRequests,
  ...receiveFaults,
];

function run(row: Row): { pair: Pair; qps: readonly [HcaQp, HcaQp]; before: Uint8Array } {
  const pair = new Pair();
  const { a, b } = pair;
  const qps = pair.rc({}, row.responder ?? {});
  const request = row.request(pair);
  a.memory.fill(0, 10_000, 1);
  const before = b.memory.bytes.slice();
  b.recv(qps[1], 101, row.receive?.(pair) ?? [b.sge(0, 1000)]);
  b.recv(qps[1], 102);
  a.send(qps[0], 1, { ...request, sendFlags: 0 });
  a.send(qps[0], 2, { sendFlags: 0 });
  pair.settle();
  return { pair, qps, before };
}

describe('a fault on RC', () => {
  it.each(rows)('$fault: $requester', row => {
    const { pair, qps } = run(row);
    const { a, b } = pair;
    expect(a.sends()).toEqual([
      [1, row.requester],
      [2, 'WR_FLUSH_ERR'],
    ]);
    expect(a.state(qps[0])).toBe(QpState.ERR);
    const flushed = [
      [101, row.received ?? 'WR_FLUSH_ERR'],
      [102, 'WR_FLUSH_ERR'],
    ];
    const untouched = row.received === undefined ? [] : [[101, row.received]];
    expect(b.recvs()).toEqual(row.responderLives ? untouched : flushed);
    expect(b.state(qps[1])).toBe(row.responderLives ? QpState.RTS : QpState.ERR);
    expect(a.retired).toEqual(['s1', 's2']);
  });

  it.each([...remoteFaults, ...invalidRequests])('[MEM-23] [ERR-23] touches no memory: $fault', row => {
    const { pair, before } = run(row);
    expect(sameBytes(pair.b.memory.bytes, before)).toBe(true);
    expect(pair.a.memory.slice(10_000, 5000).every(byte => byte === 0)).toBe(true);
  });

  it.each(localFaults)('[DATA-21] no packet leaves for $fault', row => {
    const pair = new Pair();
    const [qa] = pair.rc();
    const sent = pair.tap();
    pair.a.send(qa, 1, row.request(pair));
    pair.settle();
    expect(sent).toEqual([]);
  });

  it('[DATA-20] a local fault completes at its turn, behind what was sent before it', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    for (let i = 0; i < 3; i++) b.recv(qb, i, [b.sge(0, 5000)]);
    a.send(qa, 1, { sges: [a.sge(0, 5000)] });
    a.send(qa, 2, read(pair));
    a.send(qa, 3, sendFrom(0xbad00));
    a.send(qa, 4);
    pair.settle();
    expect(a.sends()).toEqual([
      [1, 'SUCCESS'],
      [2, 'SUCCESS'],
      [3, 'LOC_PROT_ERR'],
      [4, 'WR_FLUSH_ERR'],
    ]);
  });

  it.each([WcStatus.LOC_QP_OP_ERR, WcStatus.LOC_LEN_ERR])(
    '[DATA-20] a request that makes no sense: status %i',
    status => {
      const pair = new Pair();
      const { a, b } = pair;
      const [qa, qb] = pair.rc();
      b.recv(qb, 1);
      a.send(qa, 1);
      a.fn.postFaultySend(qa, 2, status, 2);
      a.send(qa, 3);
      pair.settle();
      expect(a.poll(a.sendCq)).toMatchObject([
        { wrId: 1, status: 0 },
        { wrId: 2, status },
        { wrId: 3, status: WcStatus.WR_FLUSH_ERR },
      ]);
      expect(a.retired).toEqual(['s1', 's2', 's3']);
    },
  );

  it('[DATA-24] [DATA-25] a receive that makes no sense fails when a message comes to it', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    b.recv(qb, 1);
    b.fn.postFaultyRecv(qb, 2, WcStatus.LOC_QP_OP_ERR, 2);
    b.recv(qb, 3);
    a.send(qa, 1);
    pair.settle();
    expect([b.state(qb), b.recvs()]).toEqual([QpState.RTS, [[1, 'SUCCESS']]]);
    a.send(qa, 2);
    pair.settle();
    expect(a.sends().at(-1)).toEqual([2, 'REM_OP_ERR']);
    expect(b.recvs()).toEqual([
      [2, 'LOC_QP_OP_ERR'],
      [3, 'WR_FLUSH_ERR'],
    ]);
  });

  it('[DATA-19] a read on a queue pair whose max_rd_atomic became 0 meanwhile: LOC_QP_OP_ERR', () => {
    const pair = new Pair();
    const { a } = pair;
    const [qa] = pair.rc();
    a.fn.modifyQp(qa, { qpState: QpState.SQD });
    a.send(qa, 1, read(pair));
    a.fn.modifyQp(qa, { maxRdAtomic: 0 });
    a.fn.modifyQp(qa, { qpState: QpState.RTS });
    pair.settle();
    expect(a.sends()).toEqual([[1, 'LOC_QP_OP_ERR']]);
  });

  it('the responder finishes the reads that came before the fault', () => {
    // A slow link: the responses are still waiting for it when the fault arrives.
    const pair = new Pair({ bandwidthBitsPerSecond: 1e9 });
    const { a, b } = pair;
    const [qa] = pair.rc({ pathMtu: PathMtu.MTU_256 });
    b.memory.fill(0, 50_000, 3);
    a.send(qa, 1, read(pair, b.mr.rkey, 0, 50_000));
    a.send(qa, 2, write(pair, 0xbad00));
    a.send(qa, 3);
    pair.settle();
    expect(a.sends()).toEqual([
      [1, 'SUCCESS'],
      [2, 'REM_ACCESS_ERR'],
      [3, 'WR_FLUSH_ERR'],
    ]);
    expect(sameBytes(a.memory.slice(0, 50_000), b.memory.slice(0, 50_000))).toBe(true);
  });

  it('[RST-17] a region that goes in the middle of a read ends it', () => {
    const pair = new Pair({ bandwidthBitsPerSecond: 1e9 });
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256 });
    const mr = b.register(0, 100_000, REMOTE_READ);
    a.send(qa, 1, read(pair, mr.rkey, 0, 100_000));
    pair.runUntil(200_000);
    b.fn.deregisterMr(mr);
    pair.settle();
    expect(a.sends()).toEqual([[1, 'REM_ACCESS_ERR']]);
    expect(b.state(qb)).toBe(QpState.ERR);
  });

  it('[RST-17] a region that goes in the middle of a send, a write or a receive ends it', () => {
    const ends = (request: (pair: Pair, key: number) => Request, side: 'a' | 'b'): string => {
      const pair = new Pair({ bandwidthBitsPerSecond: 1e9 });
      const { a, b } = pair;
      const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256 });
      const mr = pair[side].register(0, 100_000, FULL_ACCESS);
      b.recv(qb, 1, [b.sge(0, 100_000, side === 'b' ? mr.lkey : undefined)]);
      a.send(qa, 1, request(pair, mr.lkey));
      pair.runUntil(200_000);
      pair[side].fn.deregisterMr(mr);
      pair.settle();
      return a.sends()[0][1];
    };
    expect(ends((_pair, key) => sendFrom(key, 100_000), 'a')).toBe('LOC_PROT_ERR');
    expect(ends((pair, key) => write(pair, key, 0, 100_000), 'b')).toBe('REM_ACCESS_ERR');
    expect(ends(pair => sendFrom(pair.a.mr.lkey, 100_000), 'b')).toBe('REM_OP_ERR');
  });
});
