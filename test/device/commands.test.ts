/** What the commands do when they are accepted: numbers, results, translation. */
import { describe, expect, it } from 'vitest';
import {
  AccessFlag,
  Command,
  QpAttrMask,
  QpState,
  QpType,
  WcStatus,
  WrOpcode,
  delGidCommand,
  deregMrCommand,
  destroyAhCommand,
  destroyCqCommand,
  destroyPdCommand,
  destroyQpCommand,
  getDmaMrAck,
  getDmaMrCommand,
} from '../../src/abi/index.js';
import { Guest, World, defined, gidOf, recvRequest, sendRequest, smallCap } from './guest.js';
import { pairOfGuests, side } from './pairs.js';
import type { Side } from './pairs.js';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;
const destroyCq = (guest: Guest, cqn: number) => guest.request(Command.DESTROY_CQ, destroyCqCommand, { cqn });
const destroyQp = (guest: Guest, qpn: number) => guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn });

describe('numbers', () => {
  it('[CTRL-19] a completion queue gets the lowest free one', () => {
    const guest = new Guest(new World());
    expect([guest.createCq(1), guest.createCq(1), guest.createCq(1)]).toEqual([0, 1, 2]);
    expect(destroyCq(guest, 1)).toBe(true);
    expect(destroyCq(guest, 0)).toBe(true);
    expect([guest.createCq(1), guest.createCq(1), guest.createCq(1)]).toEqual([0, 1, 3]);
  });

  it('[QP-03] [QP-04] a queue pair gets the lowest free one from 2 on, GSI gets 1', () => {
    const { guest, pdn, cqn } = side(new World());
    const create = (qp_type: number) => guest.createQp({ pdn, send_cqn: cqn, recv_cqn: cqn, qp_type });
    expect([create(QpType.UD), create(QpType.GSI), create(QpType.UC)]).toEqual([3, 1, 4]);
    expect(destroyQp(guest, 2) && destroyQp(guest, 1)).toBe(true);
    expect([create(QpType.RC), create(QpType.GSI), create(QpType.RC)]).toEqual([2, 1, 5]);
  });

  it('[CTRL-20] [CTRL-21] opaque ones are unique within a kind and are no numbers of another kind', () => {
    const s = side(new World());
    const { guest } = s;
    const other = defined(guest.createPd());
    const third = defined(guest.createPd());
    expect(new Set([s.pdn, other, third]).size).toBe(3);
    expect(guest.request(Command.DEREG_MR, deregMrCommand, { mrn: third })).toBe(false);
    expect(guest.request(Command.DESTROY_PD, destroyPdCommand, { pdn: third })).toBe(true);
    expect(guest.request(Command.DESTROY_PD, destroyPdCommand, { pdn: third })).toBe(false);
    expect(defined(guest.createPd())).not.toBe(other);
  });
});

describe('objects and their virtqueues', () => {
  it('[CTRL-24] buffers made available before CREATE_CQ and requests before CREATE_QP count', () => {
    const { a, b } = pairOfGuests(new World());
    expect(destroyQp(b.guest, b.qpn)).toBe(true);
    b.guest.postRecv(b.qpn, recvRequest(5, [{ addr: b.buffer, length: 8, lkey: b.lkey }]));
    const again = b.guest.createQp({ pdn: b.pdn, send_cqn: b.cqn, recv_cqn: b.cqn });
    expect(again).toBe(b.qpn);
    b.guest.connectRc(b.qpn, a.gid, a.qpn);
    a.guest.postSend(a.qpn, sendRequest({ inline: Uint8Array.of(1) }));
    a.guest.world.settle();
    expect(b.guest.poll(b.cqn)).toMatchObject([{ wr_id: 5, status: WcStatus.SUCCESS, byte_len: 1 }]);
  });

  it('[CTRL-83] both directions of a queue pair may share a completion queue, or have their own', () => {
    const { guest, pdn, cqn } = side(new World());
    expect(guest.createQp({ pdn, send_cqn: cqn, recv_cqn: cqn })).toBeDefined();
    const other = defined(guest.createCq(2));
    expect(guest.createQp({ pdn, send_cqn: cqn, recv_cqn: other })).toBeDefined();
    expect(destroyCq(guest, other)).toBe(false);
  });
});

describe('memory regions', () => {
  it('[CTRL-68] have keys, and a remote key exactly with a remote right', () => {
    const s = side(new World());
    const register = (access: number) =>
      defined(s.guest.registerMr({ pdn: s.pdn, access_flags: access, virt_addr: 0, length: 1 }, [s.buffer]));
    for (const access of [0, LOCAL_WRITE, REMOTE_READ, LOCAL_WRITE | REMOTE_WRITE]) {
      const { mrn, lkey, rkey } = register(access);
      expect(lkey).not.toBe(0);
      expect(rkey !== 0).toBe((access & (REMOTE_READ | REMOTE_WRITE)) !== 0);
      expect(s.guest.request(Command.DEREG_MR, deregMrCommand, { mrn })).toBe(true);
    }
  });

  /** The status of an RDMA read by `a` of `length` bytes at `address` of the peer. */
  const readStatus = (a: Side, address: number, length: number, rkey: number): number => {
    const sges = [{ addr: a.buffer, length, lkey: a.lkey }];
    const rdma = { remote_addr: address, rkey };
    a.guest.postSend(a.qpn, sendRequest({ opcode: WrOpcode.RDMA_READ, sges, rdma }));
    a.guest.world.settle();
    return a.guest.poll(a.cqn)[0].status;
  };

  const START = 0x7_0000_0ff0;
  const LENGTH = 4128;

  /** A region of three pages that stand in memory in another order and begins 16 bytes before a page's end. */
  const scattered = () => {
    const { a, b } = pairOfGuests(new World());
    const places = [b.guest.alloc(4096, 4096), b.guest.alloc(4096, 4096), b.guest.alloc(4096, 4096)];
    const pages = [places[2], places[0], places[1]];
    const fields = { pdn: b.pdn, access_flags: REMOTE_READ, virt_addr: START, length: LENGTH };
    const { rkey } = defined(b.guest.registerMr(fields, pages));
    pages.forEach((page, i) => b.guest.memory.write(page, new Uint8Array(4096).fill(i + 1), 0, 4096));
    return { a, rkey };
  };

  it('[CTRL-67] place each byte by the page list', () => {
    const { a, rkey } = scattered();
    expect(readStatus(a, START, 4096, rkey)).toBe(WcStatus.SUCCESS);
    const bytes = a.guest.peek(a.buffer, 4096);
    expect([bytes[0], bytes[15], bytes[16], bytes[4095]]).toEqual([1, 1, 2, 2]);
    expect(readStatus(a, START + LENGTH - 1, 1, rkey)).toBe(WcStatus.SUCCESS);
    expect(a.guest.peek(a.buffer, 1)[0]).toBe(3);
  });

  for (const [what, address, length] of [
    ['before its first', START - 1, 1],
    ['behind its last', START + LENGTH, 1],
    ['across its end', START + LENGTH - 1, 2],
  ] as const) {
    it(`[CTRL-67] have no byte ${what}`, () => {
      const { a, rkey } = scattered();
      expect(readStatus(a, address, length, rkey)).toBe(WcStatus.REM_ACCESS_ERR);
    });
  }

  it('[CTRL-52] of GET_DMA_MR hold all guest memory at its own addresses, and nothing else', () => {
    const { a, b } = pairOfGuests(new World());
    const request = { pdn: b.pdn, access_flags: REMOTE_READ };
    const { rkey } = defined(b.guest.ask(Command.GET_DMA_MR, getDmaMrCommand, request, getDmaMrAck));
    const place = b.guest.place(Uint8Array.of(42));
    expect(readStatus(a, place, 1, rkey)).toBe(WcStatus.SUCCESS);
    expect(a.guest.peek(a.buffer, 1)[0]).toBe(42);
    expect(readStatus(a, 0x1000, 1, rkey)).not.toBe(WcStatus.SUCCESS);
  });

  it('[CTRL-66] [RST-24] take of the pages that the host keeps, and give them back', () => {
    const s = side(new World(), { maxMrPages: 3 });
    const fields = { pdn: s.pdn, access_flags: LOCAL_WRITE, virt_addr: 0, length: 8192 };
    for (let round = 0; round < 5; round++) {
      const { mrn } = defined(s.guest.registerMr(fields, [s.buffer, s.buffer]));
      expect(s.guest.request(Command.DEREG_MR, deregMrCommand, { mrn })).toBe(true);
    }
  });

  it('may list a page twice', () => {
    const s = side(new World());
    const fields = { pdn: s.pdn, access_flags: LOCAL_WRITE, virt_addr: 0, length: 8192 };
    expect(s.guest.registerMr(fields, [s.buffer, s.buffer])).toBeDefined();
  });
});

describe('queue pairs', () => {
  it('[CTRL-90] [CTRL-91] [CTRL-92] QUERY_QP answers everything, and no address vector before there is one', () => {
    const s = side(new World());
    expect(s.guest.queryQp(s.qpn)).toMatchObject({
      qp_state: QpState.RESET,
      cap: smallCap,
      ah_attr: {
        grh: { dgid: new Uint8Array(16), flow_label: 0, sgid_index: 0, hop_limit: 0, traffic_class: 0 },
        dmac: new Uint8Array(6),
      },
    });
    s.guest.connectRc(s.qpn, gidOf(99), 0x123456);
    expect(s.guest.queryQp(s.qpn)).toMatchObject({
      qp_state: QpState.RTS,
      path_mtu: 3,
      sq_draining: 0,
      max_rd_atomic: 4,
      max_dest_rd_atomic: 4,
      min_rnr_timer: 1,
      timeout: 10,
      retry_cnt: 3,
      rnr_retry: 3,
      dest_qp_num: 0x123456,
      qp_access_flags: REMOTE_WRITE | REMOTE_READ,
      cap: smallCap,
      ah_attr: { grh: { dgid: gidOf(99), hop_limit: 64, sgid_index: 0 } },
    });
  });

  it('[CTRL-88] a send that was made available in SQE is flushed, though MODIFY_QP to RTS comes at once', () => {
    const s = side(new World(), { type: QpType.UD });
    const { guest, qpn } = s;
    guest.startUd(qpn, 1);
    guest.postSend(qpn, sendRequest({ wrId: 1, ud: { remote_qpn: 2, remote_qkey: 1, ah: 77 } }));
    guest.world.settle();
    expect(guest.poll(s.cqn)).toMatchObject([{ wr_id: 1, status: WcStatus.LOC_QP_OP_ERR }]);
    expect(guest.queryQp(qpn)?.qp_state).toBe(QpState.SQE);
    // The driver of this queue notifies nobody: only the ring shows that there is something.
    const { STATE } = QpAttrMask;
    const send = sendRequest({ wrId: 2, ud: { remote_qpn: 2, remote_qkey: 1, ah: 77 } });
    const queue = guest.queue(guest.queues.sq(qpn));
    queue.begin();
    queue.addReadable(guest.place(send), send.length);
    queue.commit(0);
    queue.publish();
    expect(guest.modifyQp({ qpn, attr_mask: STATE, qp_state: QpState.RTS })).toBe(true);
    expect(guest.poll(s.cqn)).toMatchObject([{ wr_id: 2, status: WcStatus.WR_FLUSH_ERR }]);
    expect(guest.queryQp(qpn)?.qp_state).toBe(QpState.RTS);
  });
});

describe('GIDs and address handles', () => {
  it('[CTRL-98] an address handle may lead to nobody, and is destroyed with its own domain', () => {
    const s = side(new World());
    const ah = defined(s.guest.createAh(s.pdn, gidOf(12345)));
    expect(s.guest.request(Command.DESTROY_AH, destroyAhCommand, { pdn: s.pdn, ah })).toBe(true);
    expect(s.guest.request(Command.DESTROY_AH, destroyAhCommand, { pdn: s.pdn, ah })).toBe(false);
  });

  it('[CTRL-105] [CTRL-109] ADD_GID replaces an entry, and the old GID is free for others', () => {
    const world = new World();
    const a = side(world);
    const b = side(world);
    expect(b.guest.addGid(1, a.gid)).toBe(false);
    expect(a.guest.addGid(0, world.newGid())).toBe(true);
    expect(b.guest.addGid(1, a.gid)).toBe(true);
  });

  it('[CTRL-108] [CTRL-109] DEL_GID takes an entry that is in use, and frees its GID', () => {
    const { a, b } = pairOfGuests(new World());
    expect(a.guest.createAh(a.pdn, b.gid)).toBeDefined();
    expect(a.guest.request(Command.DEL_GID, delGidCommand, { index: 0 })).toBe(true);
    expect(b.guest.addGid(1, a.gid)).toBe(true);
  });
});
