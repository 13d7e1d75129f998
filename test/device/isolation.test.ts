/** What one machine can do to another through its device, which is nothing; and what protection domains keep apart. */
import { describe, expect, it } from 'vitest';
import {
  AccessFlag,
  Command,
  QpState,
  QpType,
  WcStatus,
  WrOpcode,
  delGidCommand,
  deregMrCommand,
  destroyAhCommand,
  destroyPdCommand,
  destroyQpCommand,
} from '../../src/abi/index.js';
import type { Packet } from '../../src/fabric/index.js';
import { DeviceStatus, GuestMemory } from '../../src/virtio/index.js';
import {
  Guest,
  MEMORY_BYTES,
  MEMORY_START,
  World,
  breakRing,
  defined,
  limits,
  pagesOf,
  recvRequest,
  sendRequest,
} from './guest.js';
import { datagramPair, lonelySide, pairOfGuests, side } from './pairs.js';
import type { Side } from './pairs.js';

const { SUCCESS, LOC_PROT_ERR, REM_ACCESS_ERR, LOC_QP_OP_ERR } = WcStatus;
const destroyQp = (s: Side) => s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: s.qpn });
const statuses = (s: Side) => s.guest.poll(s.cqn).map(({ status }) => status);
const stateOf = (s: Side) => s.guest.queryQp(s.qpn)?.qp_state;
/** A message from `a` to `b` gets through. */
function talks(a: Side, b: Side): boolean {
  b.guest.postRecv(b.qpn, recvRequest(1));
  a.guest.postSend(a.qpn, sendRequest());
  a.guest.world.settle();
  return statuses(a)[0] === SUCCESS && statuses(b)[0] === SUCCESS;
}

describe('numbers', () => {
  it('[ISO-01] of another machine name nothing', () => {
    const world = new World();
    const a = side(world);
    const empty = new Guest(world);
    a.guest.createAh(a.pdn, a.gid);
    expect(empty.queryQp(a.qpn)).toBeUndefined();
    expect(empty.modifyQp({ qpn: a.qpn, attr_mask: 1, qp_state: QpState.ERR })).toBe(false);
    expect(empty.arm(a.cqn, 1)).toBe(false);
    expect(empty.request(Command.DESTROY_QP, destroyQpCommand, { qpn: a.qpn })).toBe(false);
    expect(empty.request(Command.DESTROY_PD, destroyPdCommand, { pdn: a.pdn })).toBe(false);
    expect(empty.request(Command.DEREG_MR, deregMrCommand, { mrn: a.mrn })).toBe(false);
    expect(empty.request(Command.DESTROY_AH, destroyAhCommand, { pdn: a.pdn, ah: 1 })).toBe(false);
    expect(empty.createQp({ pdn: a.pdn, send_cqn: a.cqn, recv_cqn: a.cqn })).toBeUndefined();
    expect(stateOf(a)).toBe(QpState.RESET);
  });

  it('[ISO-01] [ISO-15] equal to those of another machine name the own object', () => {
    const world = new World();
    const a = side(world);
    const b = side(world);
    expect([b.pdn, b.cqn, b.qpn, b.mrn]).toEqual([a.pdn, a.cqn, a.qpn, a.mrn]);
    expect(b.guest.modifyQp({ qpn: b.qpn, attr_mask: 1, qp_state: QpState.RESET })).toBe(true);
    expect(destroyQp(b)).toBe(true);
    expect(stateOf(a)).toBe(QpState.RESET);
  });

  it('[ISO-02] do not depend on what other machines have', () => {
    const alone = side(new World());
    const world = new World();
    for (let i = 0; i < 3; i++) side(world);
    const crowded = side(world);
    const names = (s: Side) => [s.pdn, s.cqn, s.qpn, s.mrn, s.lkey, s.rkey];
    expect(names(crowded)).toEqual(names(alone));
  });
});

describe('keys', () => {
  /** A key of `b` that `a` does not have. */
  const foreignKey = (b: Side) => {
    const extra = [0, 1, 2].map(() => b.guest.registerAt(b.pdn, b.buffer, 4096));
    return extra[2].lkey;
  };

  it('[ISO-03] of another machine do not work locally', () => {
    const { a, b } = pairOfGuests(new World());
    const lkey = foreignKey(b);
    b.guest.postRecv(b.qpn, recvRequest(1, [{ addr: b.buffer, length: 8, lkey: b.lkey }]));
    a.guest.postSend(a.qpn, sendRequest({ sges: [{ addr: b.buffer, length: 8, lkey }] }));
    a.guest.world.settle();
    expect(statuses(a)).toEqual([LOC_PROT_ERR]);
    expect([...b.guest.peek(b.buffer, 8)]).toEqual(new Array(8).fill(0));
  });

  it("[ISO-04] of the requester, or of a third machine, are nothing at the responder's", () => {
    const world = new World();
    const third = side(world);
    const key = foreignKey(third);
    const { a, b } = pairOfGuests(world);
    a.guest.registerAt(a.pdn, a.buffer, 4096);
    const sges = [{ addr: a.buffer, length: 4, lkey: a.lkey }];
    const rdma = { remote_addr: third.buffer, rkey: key };
    a.guest.postSend(a.qpn, sendRequest({ opcode: WrOpcode.RDMA_READ, sges, rdma }));
    world.settle();
    expect(statuses(a)).toEqual([REM_ACCESS_ERR]);
    expect(stateOf(b)).toBe(QpState.ERR);
    expect(stateOf(third)).toBe(QpState.RESET);
  });
});

describe('memory', () => {
  it('[ISO-06] [ISO-08] page lists, descriptors and requests cannot reach beyond the own guest memory', () => {
    const world = new World();
    const memory = new GuestMemory();
    memory.addRegion(MEMORY_START, new Uint8Array(MEMORY_BYTES / 2));
    const small = side(world, { memory });
    const large = side(world);
    const before = large.guest.everything();
    const outside = MEMORY_START + MEMORY_BYTES / 2;
    const fields = { pdn: small.pdn, access_flags: 7, virt_addr: outside, length: 4096 };
    expect(small.guest.registerMr(fields, pagesOf(outside, 4096))).toBeUndefined();
    const sges = [{ addr: outside, length: 16, lkey: small.lkey }];
    small.guest.connectRc(small.qpn, small.gid, small.qpn);
    small.guest.postRecv(small.qpn, recvRequest(1, sges));
    small.guest.postSend(small.qpn, sendRequest({ inline: Uint8Array.of(1) }));
    world.settle();
    expect(statuses(small)).not.toContain(SUCCESS);
    expect(large.guest.everything().equals(before)).toBe(true);
  });

  it('[ISO-07] [OVR-05] an answer holds nothing of an earlier command of another machine', () => {
    const world = new World();
    const a = side(world);
    a.guest.connectRc(a.qpn, a.gid, 0x777777);
    a.guest.queryQp(a.qpn);
    const b = side(world);
    expect(b.guest.queryQp(b.qpn)).toMatchObject({
      dest_qp_num: 0,
      ah_attr: { grh: { dgid: new Uint8Array(16) } },
    });
  });
});

describe('the network', () => {
  it('[ISO-09] every packet carries a GID of its own machine', () => {
    const world = new World();
    const { a, b } = pairOfGuests(world);
    const sources = new Set<string>();
    world.fabric.observe({
      sent: (packet: Packet) => void sources.add(packet.sourceGid),
      delivered: () => undefined,
      dropped: () => undefined,
    });
    expect(talks(a, b)).toBe(true);
    const hex = (gid: Uint8Array) => Buffer.from(gid).toString('hex');
    expect([...sources].toSorted()).toEqual([hex(a.gid), hex(b.gid)].toSorted());
  });

  it('[ISO-10] a GID of another machine can be neither taken nor removed', () => {
    const { a, b } = pairOfGuests(new World());
    for (let index = 0; index < 4; index++) expect(b.guest.addGid(index, a.gid)).toBe(false);
    expect(b.guest.request(Command.DEL_GID, delGidCommand, { index: 1 })).toBe(false);
    expect(talks(a, b)).toBe(true);
  });

  it('[ISO-11] [ISO-12] a machine that connects uninvited is not heard', () => {
    const world = new World();
    const { a, b } = pairOfGuests(world);
    const intruder = side(world);
    intruder.guest.connectRc(intruder.qpn, b.gid, b.qpn);
    b.guest.postRecv(b.qpn, recvRequest(5, [{ addr: b.buffer, length: 8, lkey: b.lkey }]));
    intruder.guest.postSend(intruder.qpn, sendRequest({ inline: Uint8Array.of(6, 6, 6) }));
    world.settle();
    expect(statuses(intruder)).toEqual([WcStatus.RETRY_EXC_ERR]);
    expect(b.guest.poll(b.cqn)).toEqual([]);
    expect(b.guest.peek(b.buffer, 1)[0]).toBe(0);
    a.guest.postSend(a.qpn, sendRequest());
    world.settle();
    expect(b.guest.poll(b.cqn)).toMatchObject([{ wr_id: 5, status: SUCCESS }]);
  });

  it('[ISO-13] a datagram with a wrong Q_Key is not received', () => {
    const { a, b, qkey } = datagramPair(new World());
    const ah = defined(a.guest.createAh(a.pdn, b.gid));
    b.guest.postRecv(b.qpn, recvRequest(5, [{ addr: b.buffer, length: 100, lkey: b.lkey }]));
    for (const remote_qkey of [qkey + 1, qkey]) {
      const ud = { remote_qpn: b.qpn, remote_qkey, ah };
      a.guest.postSend(a.qpn, sendRequest({ inline: Uint8Array.of(remote_qkey), ud }));
    }
    a.guest.world.settle();
    expect(b.guest.poll(b.cqn)).toMatchObject([{ wr_id: 5, byte_len: 41 }]);
    expect(b.guest.peek(b.buffer + 40, 1)[0]).toBe(qkey);
  });

  it('[ISO-05] an address handle of another machine is none', () => {
    const world = new World();
    const { a, b, qkey } = datagramPair(world);
    const ah = defined(b.guest.createAh(b.pdn, a.gid));
    a.guest.postSend(a.qpn, sendRequest({ ud: { remote_qpn: b.qpn, remote_qkey: qkey, ah } }));
    world.settle();
    expect(statuses(a)).toEqual([LOC_QP_OP_ERR]);
  });
});

describe('trouble', () => {
  it('[ISO-14] a machine that breaks its device does no harm to others', () => {
    const world = new World();
    const { a, b } = pairOfGuests(world);
    const bad = lonelySide(world);
    const failed = lonelySide(world);
    breakRing(bad.guest, bad.guest.queues.sq(bad.qpn));
    failed.guest.device.writeStatus(failed.guest.device.readStatus() | DeviceStatus.FAILED);
    world.settle();
    expect(bad.guest.needsReset).toBe(true);
    expect(talks(a, b)).toBe(true);
    expect([a.guest.needsReset, b.guest.needsReset]).toEqual([false, false]);
  });

  it('[ISO-15] the reset of a device leaves those of others alone', () => {
    const world = new World();
    const { a, b } = pairOfGuests(world);
    const other = lonelySide(world);
    other.guest.device.writeStatus(0);
    expect(talks(a, b)).toBe(true);
  });

  it('[ISO-16] each machine has the whole of every limit for itself', () => {
    const world = new World();
    const takeAll = () => {
      const guest = new Guest(world);
      let count = 0;
      while (guest.createPd() !== undefined) count++;
      while (guest.createCq(1) !== undefined) count++;
      while (guest.createAh(1, guest.world.newGid()) !== undefined) count++;
      while (guest.createQp({ pdn: 1, qp_type: QpType.UD }) !== undefined) count++;
      return count;
    };
    const { attributes, device } = limits;
    const all = attributes.maxPd + device.maxCqs + device.maxQps - 2;
    expect([takeAll(), takeAll(), takeAll()]).toEqual([all, all, all]);
  });

  it('[ISO-17] [HOST-09] one that takes nothing from its rings holds up nobody', () => {
    const world = new World();
    const { a, b } = pairOfGuests(world);
    const lazy = side(world, { cqe: 4, buffers: 0 });
    lazy.guest.connectRc(lazy.qpn, lazy.gid, lazy.qpn);
    lazy.guest.modifyQp({ qpn: lazy.qpn, attr_mask: 1, qp_state: QpState.ERR });
    for (let i = 0; i < 12; i++) lazy.guest.postRecv(lazy.qpn, recvRequest(i));
    expect(talks(a, b)).toBe(true);
  });

  it('[ISO-18] [HOST-01] one that refills a queue as fast as it is emptied gets its turn and no more', () => {
    const world = new World();
    const busy = lonelySide(world);
    const quiet = lonelySide(world);
    busy.guest.modifyQp({ qpn: busy.qpn, attr_mask: 1, qp_state: QpState.ERR });
    const control = busy.guest.queues.control;
    let refills = 0;
    const refill = (index: number) => {
      if (index !== control || refills > 500) return;
      refills++;
      busy.guest.returned(control);
      const bytes = busy.guest.commandBytes(Command.CREATE_PD);
      busy.guest.makeAvailable(control, bytes, { address: busy.guest.place(new Uint8Array(5)), length: 5 });
    };
    busy.guest.onInterrupt = refill;
    refill(control);
    const answer = quiet.guest.place(new Uint8Array(5).fill(9));
    const bytes = quiet.guest.commandBytes(Command.CREATE_PD);
    quiet.guest.makeAvailable(quiet.guest.queues.control, bytes, { address: answer, length: 5 });
    let steps = 0;
    while (quiet.guest.peek(answer, 1)[0] === 9 && steps++ < 20) world.scheduler.step();
    expect(steps).toBeLessThan(20);
    expect(refills).toBeLessThan(20);
    world.settle();
    expect(refills).toBe(501);
  });
});

describe('protection domains', () => {
  const twoDomains = () => {
    const { a, b } = pairOfGuests(new World());
    const other = (s: Side) => {
      const pdn = defined(s.guest.createPd());
      return s.guest.registerAt(pdn, s.buffer, 4096);
    };
    return { a, b, ofA: other(a), ofB: other(b) };
  };

  it('[ISO-20] a local key of another domain is none', () => {
    const { a, ofA } = twoDomains();
    a.guest.postSend(a.qpn, sendRequest({ sges: [{ addr: a.buffer, length: 1, lkey: ofA.lkey }] }));
    a.guest.world.settle();
    expect(statuses(a)).toEqual([LOC_PROT_ERR]);
  });

  it('[ISO-21] a remote key of another domain is none', () => {
    const { a, b, ofB } = twoDomains();
    const sges = [{ addr: a.buffer, length: 1, lkey: a.lkey }];
    const rdma = { remote_addr: b.buffer, rkey: ofB.rkey };
    a.guest.postSend(a.qpn, sendRequest({ opcode: WrOpcode.RDMA_WRITE, sges, rdma }));
    a.guest.world.settle();
    expect(statuses(a)).toEqual([REM_ACCESS_ERR]);
  });

  it('[ISO-22] an address handle of another domain is none', () => {
    const { a, b, qkey } = datagramPair(new World());
    const pdn = defined(a.guest.createPd());
    const ah = defined(a.guest.createAh(pdn, b.gid));
    a.guest.postSend(a.qpn, sendRequest({ ud: { remote_qpn: b.qpn, remote_qkey: qkey, ah } }));
    a.guest.world.settle();
    expect(statuses(a)).toEqual([LOC_QP_OP_ERR]);
  });
});

describe('rights', () => {
  it('[ISO-07] [ISO-08] a peer writes only where a region permits it', () => {
    const { a, b } = pairOfGuests(new World());
    const place = b.guest.alloc(4096, 4096);
    const fields = { pdn: b.pdn, access_flags: AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_READ };
    const readable = defined(b.guest.registerMr({ ...fields, virt_addr: place, length: 4096 }, [place]));
    const sges = [{ addr: a.buffer, length: 1, lkey: a.lkey }];
    const rdma = { remote_addr: place, rkey: readable.rkey };
    a.guest.memory.write(a.buffer, Uint8Array.of(1), 0, 1);
    a.guest.postSend(a.qpn, sendRequest({ opcode: WrOpcode.RDMA_WRITE, sges, rdma }));
    a.guest.world.settle();
    expect(statuses(a)).toEqual([REM_ACCESS_ERR]);
    expect(b.guest.peek(place, 1)[0]).toBe(0);
  });
});
