/** Requests from the rings to the HCA and back. */
import { describe, expect, it } from 'vitest';
import {
  Command,
  QpAttrMask,
  QpState,
  QpType,
  SendFlag,
  WcOpcode,
  WcStatus,
  WrOpcode,
  destroyAhCommand,
  destroyQpCommand,
} from '../../src/abi/index.js';
import { VerbsError } from '../../src/verbs/index.js';
import { Guest, World, defined, limits, recvRequest, sendRequest, smallCap } from './guest.js';
import type { SendFields } from './guest.js';
import { datagramPair, lonelySide, pairOfGuests, side } from './pairs.js';
import { intercepting, recording } from './recording.js';
import type { Side } from './pairs.js';

const { STATE } = QpAttrMask;
const sq = (s: Side) => s.guest.queues.sq(s.qpn);
const rq = (s: Side) => s.guest.queues.rq(s.qpn);
const statuses = (s: Side) => s.guest.poll(s.cqn).map(({ wr_id, status }) => [wr_id, status]);
const { SUCCESS, LOC_QP_OP_ERR, LOC_LEN_ERR, WR_FLUSH_ERR } = WcStatus;

describe('a connected pair', () => {
  it('moves a message and completes it on both sides', () => {
    const { a, b } = pairOfGuests(new World());
    a.guest.memory.write(a.buffer, Uint8Array.of(1, 2, 3, 4), 0, 4);
    b.guest.postRecv(b.qpn, recvRequest(7, [{ addr: b.buffer, length: 64, lkey: b.lkey }]));
    a.guest.postSend(a.qpn, sendRequest({ wrId: 9, sges: [{ addr: a.buffer, length: 4, lkey: a.lkey }] }));
    a.guest.world.settle();
    expect(a.guest.poll(a.cqn)).toMatchObject([{ wr_id: 9, status: SUCCESS, qp_num: a.qpn }]);
    expect(b.guest.poll(b.cqn)).toMatchObject([
      { wr_id: 7, status: SUCCESS, opcode: WcOpcode.RECV, byte_len: 4, qp_num: b.qpn },
    ]);
    expect([...b.guest.peek(b.buffer, 4)]).toEqual([1, 2, 3, 4]);
  });

  it('moves all of a gather list of the greatest length and inline data of the greatest length', () => {
    const { a, b } = pairOfGuests(new World());
    const element = (at: number) => ({ addr: a.buffer + at, length: 1, lkey: a.lkey });
    a.guest.memory.write(a.buffer, Uint8Array.of(5, 6), 0, 2);
    const receive = recvRequest(0, [{ addr: b.buffer, length: 100, lkey: b.lkey }]);
    b.guest.postRecv(b.qpn, receive);
    a.guest.postSend(a.qpn, sendRequest({ sges: [element(1), element(0)] }));
    a.guest.world.settle();
    expect([...b.guest.peek(b.buffer, 2)]).toEqual([6, 5]);
    const inline = Uint8Array.from({ length: 64 }, (_, i) => i);
    b.guest.postRecv(b.qpn, receive);
    a.guest.postSend(a.qpn, sendRequest({ inline }));
    a.guest.world.settle();
    expect([...b.guest.peek(b.buffer, 64)]).toEqual([...inline]);
  });

  it('[DATA-28] [ORD-14] [VQ-38] [CQ-02] returns the chains of all requests in order with length 0, completed or not', () => {
    const { a, b } = pairOfGuests(new World());
    for (let i = 0; i < 4; i++) {
      b.guest.postRecv(b.qpn, recvRequest(i));
      a.guest.postSend(a.qpn, sendRequest({ wrId: i, flags: i % 2 === 0 ? SendFlag.SIGNALED : 0 }));
    }
    a.guest.world.settle();
    expect(a.guest.returned(sq(a)).map(({ written }) => written)).toEqual([0, 0, 0, 0]);
    expect(a.guest.poll(a.cqn).map(({ wr_id }) => wr_id)).toEqual([0, 2]);
    expect(b.guest.returned(rq(b)).map(({ written }) => written)).toEqual([0, 0, 0, 0]);
  });

  it('[VQ-65] [VQ-66] notifies of returned chains as the ring asks for it', () => {
    const { a, b } = pairOfGuests(new World());
    b.guest.postRecv(b.qpn, recvRequest(0));
    a.guest.postSend(a.qpn, sendRequest());
    a.guest.world.settle();
    expect(a.guest.interruptsOf(sq(a))).toBe(1);
    expect(b.guest.interruptsOf(rq(b))).toBe(1);
    a.guest.queue(sq(a)).disableInterrupts();
    b.guest.postRecv(b.qpn, recvRequest(0));
    a.guest.postSend(a.qpn, sendRequest());
    a.guest.world.settle();
    expect(a.guest.interruptsOf(sq(a))).toBe(1);
  });
});

describe('a queue pair that is not ready', () => {
  for (const until of [QpState.RESET, QpState.INIT, QpState.RTR]) {
    it(`[QP-17] in state ${until} leaves sends in the ring, and sends them from RTS on`, () => {
      const world = new World();
      const a = side(world);
      const b = side(world);
      b.guest.connectRc(b.qpn, a.gid, a.qpn);
      b.guest.postRecv(b.qpn, recvRequest(4));
      a.guest.connectRc(a.qpn, b.gid, b.qpn, until);
      a.guest.postSend(a.qpn, sendRequest({ wrId: 3 }));
      world.settle();
      expect(a.guest.device.needsResetReason).toBeUndefined();
      expect(a.guest.returned(sq(a))).toEqual([]);
      a.guest.modifyQp({ qpn: a.qpn, attr_mask: STATE, qp_state: QpState.RESET });
      expect(a.guest.returned(sq(a)).length).toBe(1);
      a.guest.connectRc(a.qpn, b.gid, b.qpn, QpState.RTR);
      a.guest.postSend(a.qpn, sendRequest({ wrId: 5 }));
      world.settle();
      expect(a.guest.returned(sq(a))).toEqual([]);
      const { TIMEOUT, RETRY_CNT, RNR_RETRY, SQ_PSN, MAX_QP_RD_ATOMIC } = QpAttrMask;
      const mask = STATE | TIMEOUT | RETRY_CNT | RNR_RETRY | SQ_PSN | MAX_QP_RD_ATOMIC;
      a.guest.modifyQp({ qpn: a.qpn, attr_mask: mask, qp_state: QpState.RTS, timeout: 10, retry_cnt: 1 });
      expect(statuses(a)).toEqual([[5, SUCCESS]]);
    });
  }

  it('[QP-18] in RESET leaves receives in the ring, and takes them from INIT on', () => {
    const { a, b } = pairOfGuests(new World());
    b.guest.modifyQp({ qpn: b.qpn, attr_mask: STATE, qp_state: QpState.RESET });
    b.guest.postRecv(b.qpn, recvRequest(8));
    b.guest.world.settle();
    expect(b.guest.returned(rq(b))).toEqual([]);
    b.guest.connectRc(b.qpn, a.gid, a.qpn);
    a.guest.modifyQp({ qpn: a.qpn, attr_mask: STATE, qp_state: QpState.RESET });
    a.guest.connectRc(a.qpn, b.gid, b.qpn);
    a.guest.postSend(a.qpn, sendRequest());
    a.guest.world.settle();
    expect(statuses(b)).toEqual([[8, SUCCESS]]);
  });

  it('[QP-48] flushes what was left in the ring when it goes to ERR', () => {
    const s = side(new World());
    s.guest.connectRc(s.qpn, s.gid, s.qpn, QpState.RTR);
    s.guest.postSend(s.qpn, sendRequest({ wrId: 1, flags: 0 }));
    s.guest.world.settle();
    expect(statuses(s)).toEqual([]);
    s.guest.modifyQp({ qpn: s.qpn, attr_mask: STATE, qp_state: QpState.ERR });
    expect(statuses(s)).toEqual([[1, WR_FLUSH_ERR]]);
  });

  it('[QP-48] [QP-52] also when it goes there by itself', () => {
    const s = side(new World(), { cqe: 1 });
    const other = defined(s.guest.createCq(4));
    s.guest.addBuffers(other, 4);
    const fields = { pdn: s.pdn, send_cqn: other, recv_cqn: s.cqn, qp_type: QpType.RC };
    const qpn = defined(s.guest.createQp(fields));
    s.guest.connectRc(qpn, s.gid, qpn, QpState.RTR);
    s.guest.postSend(qpn, sendRequest({ wrId: 1 }));
    s.guest.connectRc(s.qpn, s.gid, s.qpn);
    s.guest.modifyQp({ qpn: s.qpn, attr_mask: STATE, qp_state: QpState.ERR });
    expect(s.guest.poll(other)).toEqual([]);
    s.guest.postRecv(s.qpn, recvRequest(5));
    s.guest.postRecv(s.qpn, recvRequest(6));
    s.guest.world.settle();
    expect(s.guest.queryQp(qpn)?.qp_state).toBe(QpState.ERR);
    expect(s.guest.poll(other)).toMatchObject([{ wr_id: 1, status: WR_FLUSH_ERR }]);
  });
});

describe('a queue pair that went to ERR unseen', () => {
  it('[QP-48] [QP-49] flushes what waited in its ring at the next notification', () => {
    const world = new World();
    const a = side(world);
    const b = side(world);
    b.guest.connectRc(b.qpn, a.gid, a.qpn);
    a.guest.connectRc(a.qpn, b.gid, b.qpn, QpState.RTR);
    a.guest.postSend(a.qpn, sendRequest({ wrId: 1 }));
    world.settle();
    const rdma = { remote_addr: a.buffer, rkey: a.rkey + 1 };
    const sges = [{ addr: b.buffer, length: 1, lkey: b.lkey }];
    b.guest.postSend(b.qpn, sendRequest({ opcode: WrOpcode.RDMA_WRITE, sges, rdma }));
    world.settle();
    expect(a.guest.queryQp(a.qpn)?.qp_state).toBe(QpState.ERR);
    a.guest.postSend(a.qpn, sendRequest({ wrId: 2 }));
    world.settle();
    expect(statuses(a)).toEqual([
      [1, WR_FLUSH_ERR],
      [2, WR_FLUSH_ERR],
    ]);
  });
});

describe('capacity', () => {
  it('[DATA-29] [DATA-30] [ISO-19] requests beyond it stay in the ring until there is room', () => {
    const log: string[] = [];
    const world = new World();
    const watch = { wrap: recording(log, ['postSend', 'postRecv']) };
    const s = lonelySide(world, watch);
    for (let i = 0; i < 9; i++) s.guest.postRecv(s.qpn, recvRequest(i));
    world.settle();
    expect(log.length).toBe(smallCap.max_recv_wr);
    s.guest.modifyQp({ qpn: s.qpn, attr_mask: STATE, qp_state: QpState.ERR });
    expect(statuses(s).map(([wrId]) => wrId)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(log.length).toBe(9);
  });

  it('[DATA-29] a queue without capacity reads nothing', () => {
    const s = side(new World(), { cap: { ...smallCap, max_recv_wr: 0 } });
    s.guest.connectRc(s.qpn, s.gid, s.qpn);
    s.guest.postRecv(s.qpn, recvRequest(1));
    s.guest.world.settle();
    expect(s.guest.returned(rq(s))).toEqual([]);
    expect(s.guest.needsReset).toBe(false);
  });
});

describe('a send that cannot be understood', () => {
  const malformed: readonly (readonly [id: string, what: string, fields: SendFields])[] = [
    ['DATA-13', 'an unknown opcode', { opcode: 5 }],
    ['DATA-16', 'an unknown flag', { flags: SendFlag.SIGNALED | 16 }],
    ['DATA-12', 'more elements than the chain holds', { numSge: 1 }],
    [
      'DATA-14',
      'more elements than its capacity',
      { sges: [0, 1, 2].map(() => ({ addr: 0, length: 0, lkey: 0 })) },
    ],
    ['DATA-14', 'an absurd count of elements', { numSge: 0xffff_ffff }],
    ['DATA-15', 'more inline data than its capacity', { inline: new Uint8Array(65) }],
    ['DATA-15', 'more inline data than there is', { inline: new Uint8Array(0), numSge: 0xffff }],
    ['DATA-17', 'inline data with a read', { opcode: WrOpcode.RDMA_READ, inline: new Uint8Array(1) }],
  ];
  for (const [id, what, fields] of malformed) {
    it(`[${id}] [DATA-20] [HOST-04] ${what}: it completes LOC_QP_OP_ERR at its turn, behind those before it`, () => {
      const asked: string[] = [];
      const wrap = intercepting((name, call) => {
        if (name === 'postSend' || name === 'postFaultySend') asked.push(name);
        return call();
      });
      const { a, b } = pairOfGuests(new World(), { wrap });
      b.guest.postRecv(b.qpn, recvRequest(0));
      a.guest.postSend(a.qpn, sendRequest({ wrId: 1 }));
      a.guest.postSend(a.qpn, sendRequest({ wrId: 2, ...fields }));
      a.guest.postSend(a.qpn, sendRequest({ wrId: 3 }));
      a.guest.world.settle();
      expect(statuses(a)).toEqual([
        [1, SUCCESS],
        [2, LOC_QP_OP_ERR],
        [3, WR_FLUSH_ERR],
      ]);
      expect(a.guest.returned(sq(a)).length).toBe(3);
      expect(a.guest.needsReset).toBe(false);
      expect(asked).toEqual(['postSend', 'postFaultySend', 'postSend']);
      expect(statuses(b)).toEqual([[0, SUCCESS]]);
    });
  }

  it('[DATA-12] [HOST-04] one that ends anywhere in its fixed part; bytes of the wr_id that are missing count as zero', () => {
    for (const length of [1, 8, 9, 575]) {
      const s = lonelySide(new World());
      s.guest.postSend(s.qpn, sendRequest({ wrId: 0x0102 }).subarray(0, length));
      s.guest.world.settle();
      const wrId = length === 1 ? 2 : 0x0102;
      expect(statuses(s)).toEqual([[wrId, LOC_QP_OP_ERR]]);
      // Nor do they come from a request before.
      s.guest.postRecv(s.qpn, recvRequest(0xffff_ffff));
      s.guest.postSend(s.qpn, sendRequest({ wrId: 0x0102 }).subarray(0, length));
      s.guest.world.settle();
      expect(s.guest.poll(s.cqn).map(({ wr_id }) => wr_id)).toContain(wrId);
    }
  });

  it('[DATA-13] [HOST-04] on UC it stops the send queue only, and RDMA_READ is one of them', () => {
    const s = side(new World(), { type: QpType.UC });
    const { ACCESS_FLAGS, AV, PATH_MTU, DEST_QPN, RQ_PSN, SQ_PSN } = QpAttrMask;
    const { qpn, guest } = s;
    guest.modifyQp({ qpn, attr_mask: STATE | ACCESS_FLAGS, qp_state: QpState.INIT });
    const grh = { dgid: s.gid, flow_label: 0, sgid_index: 0, hop_limit: 1, traffic_class: 0 };
    guest.modifyQp({
      qpn,
      attr_mask: STATE | AV | PATH_MTU | DEST_QPN | RQ_PSN,
      qp_state: QpState.RTR,
      path_mtu: 1,
      ah_attr: { grh, dmac: new Uint8Array(6) },
    });
    guest.modifyQp({ qpn, attr_mask: STATE | SQ_PSN, qp_state: QpState.RTS });
    guest.postSend(qpn, sendRequest({ wrId: 1, opcode: WrOpcode.RDMA_READ }));
    guest.world.settle();
    expect(statuses(s)).toEqual([[1, LOC_QP_OP_ERR]]);
    expect(guest.queryQp(qpn)?.qp_state).toBe(QpState.SQE);
  });

  it('[RST-19] [DATA-18] [HOST-04] a datagram without an address handle that exists', () => {
    const { a, b, qkey } = datagramPair(new World());
    const ah = defined(a.guest.createAh(a.pdn, b.gid));
    a.guest.request(Command.DESTROY_AH, destroyAhCommand, { pdn: a.pdn, ah });
    a.guest.postSend(a.qpn, sendRequest({ wrId: 1, ud: { remote_qpn: b.qpn, remote_qkey: qkey, ah } }));
    a.guest.world.settle();
    expect(statuses(a)).toEqual([[1, LOC_QP_OP_ERR]]);
  });

  it('[CTRL-110] a datagram that names the handle 2^32 - 1, when there are as many handles as there can be', () => {
    const { a, b, qkey } = datagramPair(new World());
    let handles = 0;
    while (a.guest.createAh(a.pdn, b.gid) !== undefined) handles++;
    expect(handles).toBe(limits.attributes.maxAh);
    const ud = { remote_qpn: b.qpn, remote_qkey: qkey, ah: 0xffff_ffff };
    a.guest.postSend(a.qpn, sendRequest({ wrId: 1, ud }));
    a.guest.world.settle();
    expect(statuses(a)).toEqual([[1, LOC_QP_OP_ERR]]);
  });

  it('[DATA-83] [HOST-04] a read with more elements than max_sge_rd, though its queue pair takes as many', () => {
    const cap = { ...smallCap, max_send_sge: limits.attributes.maxSgeRd + 1 };
    const { a } = pairOfGuests(new World(), { cap });
    const read = (elements: number): Uint8Array =>
      sendRequest({
        wrId: elements,
        opcode: WrOpcode.RDMA_READ,
        sges: Array.from({ length: elements }, () => ({ addr: a.buffer, length: 0, lkey: 0 })),
      });
    for (const elements of [3, 4]) a.guest.postSend(a.qpn, read(elements));
    a.guest.world.settle();
    expect(statuses(a)).toEqual([
      [3, SUCCESS],
      [4, LOC_QP_OP_ERR],
    ]);
  });

  it('[DATA-13] [HOST-04] a write as a datagram', () => {
    const { a, b, qkey } = datagramPair(new World());
    const ah = defined(a.guest.createAh(a.pdn, b.gid));
    const ud = { remote_qpn: b.qpn, remote_qkey: qkey, ah };
    a.guest.postSend(a.qpn, sendRequest({ wrId: 1, opcode: WrOpcode.RDMA_WRITE, ud }));
    a.guest.world.settle();
    expect(statuses(a)).toEqual([[1, LOC_QP_OP_ERR]]);
  });

  it('[ERR-13] a datagram above the MTU completes LOC_LEN_ERR', () => {
    const { a, b, qkey } = datagramPair(new World());
    const ah = defined(a.guest.createAh(a.pdn, b.gid));
    const ud = { remote_qpn: b.qpn, remote_qkey: qkey, ah };
    const sges = [{ addr: a.buffer, length: 1025, lkey: a.lkey }];
    a.guest.postSend(a.qpn, sendRequest({ wrId: 1, sges, ud }));
    a.guest.world.settle();
    expect(statuses(a)).toEqual([[1, LOC_LEN_ERR]]);
  });
});

describe('a receive that cannot be understood', () => {
  for (const [what, request] of [
    ['is cut short', recvRequest(2).subarray(0, 23)],
    ['has more elements than the chain holds', recvRequest(2, [], 1)],
    [
      'has more elements than its capacity',
      recvRequest(
        2,
        [0, 1, 2].map(() => ({ addr: 0, length: 0, lkey: 0 })),
      ),
    ],
    ['has an absurd count of elements', recvRequest(2, [], 0xffff_ffff)],
  ] as const) {
    it(`[DATA-24] [DATA-25] [HOST-04] because it ${what}: it fails when its message comes`, () => {
      const { a, b } = pairOfGuests(new World());
      b.guest.postRecv(b.qpn, recvRequest(1));
      b.guest.postRecv(b.qpn, request);
      a.guest.postSend(a.qpn, sendRequest({ wrId: 1 }));
      a.guest.world.settle();
      expect(statuses(b)).toEqual([[1, SUCCESS]]);
      a.guest.postSend(a.qpn, sendRequest({ wrId: 2 }));
      a.guest.world.settle();
      expect(statuses(b)).toEqual([[2, LOC_QP_OP_ERR]]);
      expect(b.guest.needsReset).toBe(false);
    });
  }
});

describe('the end of a queue pair under load', () => {
  for (const how of ['DESTROY_QP', 'a move to RESET']) {
    it(`[QP-41] [QP-42] [RST-05] [RST-07] ${how} returns all chains in order, none completed`, () => {
      const s = lonelySide(new World());
      const order: number[] = [];
      for (let i = 0; i < 7; i++) s.guest.postRecv(s.qpn, recvRequest(i));
      for (let i = 0; i < 7; i++) s.guest.postSend(s.qpn, sendRequest({ wrId: i }));
      for (let step = 0; step < 12; step++) s.guest.world.scheduler.step();
      const before = s.guest.queue(sq(s)).state().availIdx;
      const done =
        how === 'DESTROY_QP'
          ? s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: s.qpn })
          : s.guest.modifyQp({ qpn: s.qpn, attr_mask: STATE, qp_state: QpState.RESET });
      expect(done).toBe(true);
      for (const { written } of s.guest.returned(sq(s))) order.push(written);
      for (const { written } of s.guest.returned(rq(s))) order.push(written);
      expect(order).toEqual(new Array(14).fill(0));
      expect(s.guest.queue(sq(s)).state().availIdx).toBe(before);
      expect(statuses(s)).toEqual([]);
    });
  }

  it('[QP-12] [RST-06] the pair serves a new queue pair on the same rings', () => {
    const { a, b } = pairOfGuests(new World());
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 3; i++) a.guest.postSend(a.qpn, sendRequest({ wrId: 100 + i }));
      for (const s of [a, b]) {
        expect(s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: s.qpn })).toBe(true);
        s.guest.poll(s.cqn);
        s.guest.returned(sq(s));
        s.guest.returned(rq(s));
        s.guest.addBuffers(s.cqn, 16 - s.guest.queue(s.guest.queues.cq(s.cqn)).outstanding);
        expect(s.guest.createQp({ pdn: s.pdn, send_cqn: s.cqn, recv_cqn: s.cqn })).toBe(s.qpn);
      }
      a.guest.connectRc(a.qpn, b.gid, b.qpn);
      b.guest.connectRc(b.qpn, a.gid, a.qpn);
      b.guest.postRecv(b.qpn, recvRequest(round));
      a.guest.postSend(a.qpn, sendRequest({ wrId: round }));
      a.guest.world.settle();
      expect(statuses(b)).toEqual([[round, SUCCESS]]);
      expect(statuses(a)).toEqual([[round, SUCCESS]]);
    }
  });
});

describe('the HCA behind the device', () => {
  it('has its faults shown, not taken for refusals', () => {
    const fault = () => {
      throw new TypeError('a fault of the HCA');
    };
    const wrap = intercepting((name, call) =>
      name === 'createPd' || name === 'postRecv' ? fault() : call(),
    );
    const guest = new Guest(new World(), { wrap });
    expect(() => guest.createPd()).toThrow('a fault of the HCA');
  });

  it('may refuse a request that is well-formed; it completes LOC_QP_OP_ERR at its turn', () => {
    const wrap = intercepting((name, call) => {
      if (name === 'postSend' || name === 'postRecv')
        throw new VerbsError('EINVAL', name, 'not with this adapter');
      return call();
    });
    const s = lonelySide(new World(), { wrap });
    s.guest.postRecv(s.qpn, recvRequest(1));
    s.guest.postSend(s.qpn, sendRequest({ wrId: 2 }));
    s.guest.world.settle();
    expect(statuses(s)).toEqual([
      [2, LOC_QP_OP_ERR],
      [1, WR_FLUSH_ERR],
    ]);
  });
});
