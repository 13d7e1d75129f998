/** Completion queues: buffers, back-pressure, overrun, arming. */
import { describe, expect, it } from 'vitest';
import {
  Command,
  NotifyFlag,
  QpAttrMask,
  QpState,
  QpType,
  SendFlag,
  WcFlag,
  WcOpcode,
  WcStatus,
  cqReq,
  destroyCqCommand,
  destroyQpCommand,
} from '../../src/abi/index.js';
import { UNWRITTEN, World, defined, recvRequest, sendRequest, smallCap, viewOf } from './guest.js';
import { datagramPair, pairOfGuests, side } from './pairs.js';
import { intercepting } from './recording.js';
import type { Side, SideOptions } from './pairs.js';

const { SOLICITED, NEXT_COMPLETION } = NotifyFlag;
const cqQueue = (s: Side) => s.guest.queues.cq(s.cqn);
const events = (s: Side) => s.guest.interruptsOf(cqQueue(s));
const ids = (s: Side) => s.guest.poll(s.cqn).map(completion => completion.wr_id);
const deepCap = { ...smallCap, max_recv_wr: 16 };

/** A side whose queue pair is in ERR: every receive that it is posted is flushed at once. */
function flushing(options: SideOptions): Side {
  const s = side(new World(), { cap: deepCap, ...options });
  const { guest, qpn } = s;
  guest.connectRc(qpn, s.gid, qpn);
  expect(guest.modifyQp({ qpn, attr_mask: QpAttrMask.STATE, qp_state: QpState.ERR })).toBe(true);
  return s;
}

function flush(s: Side, ...wrIds: number[]): void {
  for (const wrId of wrIds) s.guest.postRecv(s.qpn, recvRequest(wrId));
  s.guest.world.settle();
}

/** The wr_id as the HCA is given it. */
function idOf(request: unknown): unknown {
  return typeof request === 'object' && request !== null && 'wrId' in request ? request.wrId : undefined;
}

describe('a completion', () => {
  it('[CQ-11] [CQ-12] [VQ-12] fills one buffer from its first byte on, 48 bytes, whatever its length', () => {
    const s = flushing({ cqe: 2, buffers: 0 });
    s.guest.addBuffers(s.cqn, 1, 60);
    s.guest.addBuffers(s.cqn, 1, 48);
    flush(s, 1);
    const [{ token, written }, ...others] = s.guest.returned(cqQueue(s));
    expect([written, others.length]).toEqual([48, 0]);
    const bytes = s.guest.peek(token, 60);
    expect([...bytes.subarray(48)]).toEqual(new Array(12).fill(UNWRITTEN));
    expect(cqReq.decode(viewOf(bytes), 0)).toMatchObject({ wr_id: 1, qp_num: s.qpn });
  });

  it('[CQ-26] [OVR-05] holds zero wherever it is not valid', () => {
    const s = flushing({ cqe: 1 });
    flush(s, 0x0102_0304);
    const [{ token }] = s.guest.returned(cqQueue(s));
    const expected = new Uint8Array(48);
    expected.set([4, 3, 2, 1, 0, 0, 0, 0, WcStatus.WR_FLUSH_ERR]);
    expected[24] = s.qpn;
    expect([...s.guest.peek(token, 48)]).toEqual([...expected]);
  });

  it('[CQ-19] [CQ-21] [CQ-22] [CQ-23] [CQ-24] [CQ-25] tells of a datagram who sent it, how long it is and what came with it', () => {
    const { a, b, qkey } = datagramPair(new World());
    const ah = defined(a.guest.createAh(a.pdn, b.gid));
    b.guest.postRecv(b.qpn, recvRequest(3, [{ addr: b.buffer, length: 100, lkey: b.lkey }]));
    const ud = { remote_qpn: b.qpn, remote_qkey: qkey, ah };
    a.guest.postSend(a.qpn, sendRequest({ opcode: 3, imm: 0x0a0b0c0d, inline: Uint8Array.of(9, 8), ud }));
    a.guest.world.settle();
    expect(a.guest.poll(a.cqn)).toMatchObject([{ opcode: WcOpcode.SEND, status: WcStatus.SUCCESS }]);
    const [completion] = b.guest.poll(b.cqn);
    expect(completion).toMatchObject({
      wr_id: 3,
      status: WcStatus.SUCCESS,
      opcode: WcOpcode.RECV,
      byte_len: 42,
      qp_num: b.qpn,
      src_qp: a.qpn,
      wc_flags: WcFlag.GRH | WcFlag.WITH_IMM,
    });
    // Four bytes in network order, passed through: as a little-endian number they read backwards.
    expect(completion.imm_data).toBe(0x0d0c0b0a);
    expect([...b.guest.peek(b.buffer + 40, 2)]).toEqual([9, 8]);
  });

  for (const [what, low, high] of [
    ['small', 1, 0],
    ['of 53 bits', 0xffff_ffff, 0x1f_fffe],
    ['just too wide for a number', 0, 0x1f_ffff],
    ['of 64 bits without a pattern', 0x9abc_def1, 0x1234_5678],
    ['like a kernel pointer', 0x1234_5678, 0xffff_8880],
    ['of ones', 0xffff_ffff, 0xffff_ffff],
  ] as const) {
    it(`[CQ-18] gives back a wr_id ${what}, bit by bit`, () => {
      const s = flushing({ cqe: 4 });
      const request = recvRequest(0);
      viewOf(request).setUint32(0, low, true);
      viewOf(request).setUint32(4, high, true);
      s.guest.postRecv(s.qpn, request);
      s.guest.postRecv(s.qpn, recvRequest(7));
      s.guest.postRecv(s.qpn, request);
      s.guest.world.settle();
      const seen = s.guest.returned(cqQueue(s)).map(({ token }) => {
        const view = viewOf(s.guest.peek(token, 8));
        return [view.getUint32(0, true), view.getUint32(4, true)];
      });
      expect(seen).toEqual([
        [low, high],
        [7, 0],
        [low, high],
      ]);
    });
  }

  it('[ISO-19] keeps no wide wr_id of a completion that went with its queue', () => {
    const numbers: unknown[] = [];
    const wrap = intercepting((name, call, args) => {
      if (name === 'postRecv') numbers.push(idOf(args[1]));
      return call();
    });
    const s = flushing({ cqe: 1, buffers: 0, wrap });
    const wide = recvRequest(0);
    viewOf(wide).setUint32(4, 0xffff_8880, true);
    for (let round = 0; round < 3; round++) {
      s.guest.postRecv(s.qpn, wide);
      s.guest.world.settle();
      s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: s.qpn });
      expect(s.guest.request(Command.DESTROY_CQ, destroyCqCommand, { cqn: s.cqn })).toBe(true);
      s.guest.createCq(1);
      s.guest.createQp({ pdn: s.pdn, send_cqn: s.cqn, recv_cqn: s.cqn, cap: deepCap });
      s.guest.connectRc(s.qpn, s.gid, s.qpn);
      s.guest.modifyQp({ qpn: s.qpn, attr_mask: QpAttrMask.STATE, qp_state: QpState.ERR });
    }
    expect(numbers.length).toBe(3);
    expect(new Set(numbers).size).toBe(1);
  });

  it('[CQ-18] gives back wide wr_ids of signaled sends between unsignaled ones, again and again', () => {
    const numbers = new Set<unknown>();
    const wrap = intercepting((name, call, args) => {
      if (name === 'postSend') numbers.add(idOf(args[1]));
      return call();
    });
    const { a, b } = pairOfGuests(new World(), { wrap }, { cap: deepCap });
    const wide = (low: number, flags: number) => {
      const request = sendRequest({ flags });
      viewOf(request).setUint32(0, low, true);
      viewOf(request).setUint32(4, 0xffff_ffff, true);
      return request;
    };
    const seen: number[] = [];
    for (let round = 0; round < 20; round++) {
      b.guest.postRecv(b.qpn, recvRequest(round));
      b.guest.postRecv(b.qpn, recvRequest(round));
      a.guest.postSend(a.qpn, wide(1000 + round, 0));
      a.guest.postSend(a.qpn, wide(round, SendFlag.SIGNALED));
      a.guest.world.settle();
      for (const { token } of a.guest.returned(cqQueue(a))) {
        const view = viewOf(a.guest.peek(token, 8));
        expect(view.getUint32(4, true)).toBe(0xffff_ffff);
        seen.push(view.getUint32(0, true));
      }
      a.guest.addBuffers(a.cqn, 1);
      b.guest.poll(b.cqn);
      b.guest.addBuffers(b.cqn, 2);
    }
    expect(seen).toEqual(Array.from({ length: 20 }, (_, round) => round));
    expect(numbers.size).toBeLessThan(5);
  });
});

describe('buffers', () => {
  it('[CQ-28] [CQ-29] [CQ-30] a completion without one is held and given in order when one comes', () => {
    const s = flushing({ cqe: 6, buffers: 2 });
    flush(s, 1, 2, 3, 4, 5, 6);
    expect(ids(s)).toEqual([1, 2]);
    s.guest.addBuffers(s.cqn, 3);
    s.guest.world.settle();
    expect(ids(s)).toEqual([3, 4, 5]);
    flush(s, 7);
    s.guest.addBuffers(s.cqn, 2);
    s.guest.world.settle();
    expect(ids(s)).toEqual([6, 7]);
  });

  it('[CQ-28] [CQ-30] many held ones all come when buffers come one by one', () => {
    const s = flushing({ cqe: 16, buffers: 0 });
    flush(s, ...Array.from({ length: 16 }, (_, i) => i));
    const seen: number[] = [];
    for (let i = 0; i < 16; i++) {
      s.guest.addBuffers(s.cqn, 1);
      s.guest.world.settle();
      seen.push(...ids(s));
      expect(seen.length).toBe(i + 1);
    }
    expect(seen).toEqual(Array.from({ length: 16 }, (_, i) => i));
  });

  it('[CQ-30] after a full step of deliveries the device still hears of new buffers', () => {
    const s = flushing({ cqe: 16, buffers: 0 });
    flush(s, ...Array.from({ length: 12 }, (_, i) => i));
    s.guest.addBuffers(s.cqn, 8);
    s.guest.world.settle();
    expect(ids(s).length).toBe(8);
    s.guest.addBuffers(s.cqn, 4);
    s.guest.world.settle();
    expect(ids(s)).toEqual([8, 9, 10, 11]);
  });

  it('[CQ-04] [CQ-31] the queue takes exactly cqe completions that are not polled', () => {
    const s = flushing({ cqe: 3, buffers: 3 });
    flush(s, 1, 2, 3);
    flush(s, 4);
    expect(ids(s)).toEqual([1, 2, 3]);
    s.guest.addBuffers(s.cqn, 3);
    flush(s, 5);
    expect(ids(s)).toEqual([]);
  });

  it('[CQ-31] a buffer made available in place of a polled one makes room', () => {
    const s = flushing({ cqe: 3, buffers: 3 });
    for (let wrId = 0; wrId < 50; wrId++) {
      flush(s, wrId);
      expect(ids(s)).toEqual([wrId]);
      s.guest.addBuffers(s.cqn, 1);
    }
  });

  it('[CQ-06] [CQ-28] with fewer buffers than entries it holds cqe - B, and loses the one after', () => {
    const s = flushing({ cqe: 5, buffers: 2 });
    flush(s, 1, 2, 3, 4, 5);
    flush(s, 6);
    expect(ids(s)).toEqual([1, 2]);
    s.guest.addBuffers(s.cqn, 5);
    s.guest.world.settle();
    expect(ids(s)).toEqual([3, 4, 5]);
    flush(s, 7);
    expect(ids(s)).toEqual([]);
  });

  it('[CQ-04] a queue that never had a buffer holds cqe completions', () => {
    const s = flushing({ cqe: 4, buffers: 0 });
    flush(s, 1, 2, 3, 4);
    s.guest.addBuffers(s.cqn, 4);
    s.guest.world.settle();
    expect(ids(s)).toEqual([1, 2, 3, 4]);
  });

  it('[CQ-13] one that is too short stops the device', () => {
    const s = flushing({ cqe: 2, buffers: 0 });
    s.guest.addBuffers(s.cqn, 1, 47);
    flush(s, 1);
    expect(s.guest.needsReset).toBe(true);
    expect(s.guest.configInterrupts).toBe(1);
    expect(s.guest.returned(cqQueue(s))).toEqual([]);
  });

  it('[CQ-11] none is used while there is nothing to say', () => {
    const s = flushing({ cqe: 4 });
    s.guest.world.settle();
    expect(s.guest.returned(cqQueue(s))).toEqual([]);
  });
});

describe('an overrun', () => {
  it('[QP-52] [CQ-32] [ORD-15] puts the queue pairs into ERR; their requests come back without completions', () => {
    const { a, b } = pairOfGuests(new World(), {}, { cqe: 2, cap: deepCap });
    for (let i = 0; i < 6; i++) b.guest.postRecv(b.qpn, recvRequest(i));
    for (let i = 0; i < 3; i++) a.guest.postSend(a.qpn, sendRequest({ wrId: i }));
    a.guest.world.settle();
    expect(b.guest.queryQp(b.qpn)?.qp_state).toBe(QpState.ERR);
    expect(ids(b)).toEqual([0, 1]);
    expect(b.guest.returned(b.guest.queues.rq(b.qpn)).length).toBe(6);
  });

  it('[CQ-34] leaves a queue that can be armed and destroyed', () => {
    const s = flushing({ cqe: 1 });
    flush(s, 1, 2, 3);
    expect(s.guest.arm(s.cqn, NEXT_COMPLETION)).toBe(true);
    expect(s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: s.qpn })).toBe(true);
    expect(s.guest.request(Command.DESTROY_CQ, destroyCqCommand, { cqn: s.cqn })).toBe(true);
  });
});

describe('arming', () => {
  it('[CQ-09] [CQ-35] [CQ-44] a queue that is not armed fills without an event', () => {
    const s = flushing({ cqe: 4 });
    flush(s, 1, 2);
    expect(ids(s)).toEqual([1, 2]);
    expect(events(s)).toBe(0);
  });

  it('[CQ-08] [CQ-37] [CQ-38] gives one event, with the next completion', () => {
    const s = flushing({ cqe: 4 });
    s.guest.arm(s.cqn, NEXT_COMPLETION);
    expect(events(s)).toBe(0);
    flush(s, 1, 2);
    expect(events(s)).toBe(1);
    s.guest.arm(s.cqn, NEXT_COMPLETION);
    flush(s, 3);
    expect(events(s)).toBe(2);
  });

  it('[CTRL-43] does not fire for what was there before, which is in the ring by then', () => {
    const s = flushing({ cqe: 4 });
    s.guest.postRecv(s.qpn, recvRequest(1));
    // The receive is taken; the HCA flushes it before the device gets to the command, and then to the completion queue.
    s.guest.world.scheduler.step();
    s.guest.arm(s.cqn, NEXT_COMPLETION);
    expect(events(s)).toBe(0);
    expect(ids(s)).toEqual([1]);
  });

  /** Sends from `a` to `b`, each with or without the SOLICITED flag. */
  const send = (a: Side, b: Side, ...solicited: boolean[]) => {
    for (const flag of solicited) {
      b.guest.postRecv(b.qpn, recvRequest(1));
      a.guest.postSend(a.qpn, sendRequest({ flags: flag ? SendFlag.SOLICITED : 0 }));
    }
    a.guest.world.settle();
  };

  it('[CQ-39] [CQ-41] for solicited completions passes over others', () => {
    const { a, b } = pairOfGuests(new World());
    b.guest.arm(b.cqn, SOLICITED);
    send(a, b, false, false);
    expect(events(b)).toBe(0);
    send(a, b, true, true);
    expect(events(b)).toBe(1);
  });

  it('[CQ-40] for solicited completions fires on an error', () => {
    const s = flushing({ cqe: 4 });
    s.guest.arm(s.cqn, SOLICITED);
    flush(s, 1);
    expect(events(s)).toBe(1);
  });

  it('[CQ-03] [CTRL-42] any completion wins over solicited, in one command and in two', () => {
    for (const flags of [
      [NEXT_COMPLETION | SOLICITED],
      [NEXT_COMPLETION, SOLICITED],
      [SOLICITED, NEXT_COMPLETION],
    ]) {
      const { a, b } = pairOfGuests(new World());
      for (const flag of flags) expect(b.guest.arm(b.cqn, flag)).toBe(true);
      send(a, b, false);
      expect(events(b)).toBe(1);
      send(a, b, true);
      expect(events(b)).toBe(1);
    }
  });

  it('[CTRL-44] a completion held for want of a buffer raises the event when it is given', () => {
    const s = flushing({ cqe: 4, buffers: 1 });
    flush(s, 1, 2);
    s.guest.arm(s.cqn, NEXT_COMPLETION);
    expect(events(s)).toBe(0);
    s.guest.addBuffers(s.cqn, 1);
    s.guest.world.settle();
    expect(events(s)).toBe(1);
    expect(ids(s)).toEqual([1, 2]);
  });

  it('[CQ-42] [CQ-43] fires whatever the ring says, and after the completion can be seen', () => {
    for (const eventIdx of [false, true]) {
      const s = flushing({ cqe: 4, eventIdx });
      s.guest.queue(cqQueue(s)).disableInterrupts();
      s.guest.arm(s.cqn, NEXT_COMPLETION);
      let seen = -1;
      s.guest.onInterrupt = index => {
        if (index === cqQueue(s)) seen = s.guest.poll(s.cqn).length;
      };
      flush(s, 1);
      expect(seen).toBe(1);
    }
  });

  it('[RST-14] [CTRL-37] ends with the queue', () => {
    const s = flushing({ cqe: 4 });
    s.guest.arm(s.cqn, NEXT_COMPLETION);
    s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: s.qpn });
    s.guest.request(Command.DESTROY_CQ, destroyCqCommand, { cqn: s.cqn });
    expect(s.guest.createCq(4)).toBe(s.cqn);
    expect(events(s)).toBe(0);
    s.guest.returned(cqQueue(s));
    s.guest.addBuffers(s.cqn, 4);
    defined(s.guest.createQp({ pdn: s.pdn, send_cqn: s.cqn, recv_cqn: s.cqn, qp_type: QpType.RC }));
    s.guest.connectRc(s.qpn, s.gid, s.qpn);
    s.guest.modifyQp({ qpn: s.qpn, attr_mask: QpAttrMask.STATE, qp_state: QpState.ERR });
    flush(s, 1);
    expect(ids(s)).toEqual([1]);
    expect(events(s)).toBe(0);
  });
});

describe('the end of a completion queue', () => {
  it('[RST-12] [RST-13] [CQ-07] [CTRL-37] returns every buffer with length 0 and drops what was held', () => {
    const s = flushing({ cqe: 6, buffers: 2 });
    flush(s, 1, 2, 3);
    expect(ids(s)).toEqual([1, 2]);
    s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: s.qpn });
    const queue = s.guest.queue(cqQueue(s));
    const buffer = s.guest.place(new Uint8Array(48).fill(UNWRITTEN));
    queue.begin();
    queue.addWritable(buffer, 48);
    queue.commit(buffer);
    queue.publish();
    expect(s.guest.request(Command.DESTROY_CQ, destroyCqCommand, { cqn: s.cqn })).toBe(true);
    expect(s.guest.returned(cqQueue(s))).toEqual([{ token: buffer, written: 0 }]);
    expect([...s.guest.peek(buffer, 48)]).toEqual(new Array(48).fill(UNWRITTEN));
    s.guest.addBuffers(s.cqn, 2);
    expect(s.guest.createCq(6)).toBe(s.cqn);
    s.guest.world.settle();
    expect(ids(s)).toEqual([]);
  });

  it('[CQ-54] [QP-43] a destroyed queue pair leaves its completions, and they are there before the answer', () => {
    const s = flushing({ cqe: 8 });
    s.guest.postRecv(s.qpn, recvRequest(1));
    // The receive is taken; the HCA flushes it before the device gets to the command, and then to the completion queue.
    s.guest.world.scheduler.step();
    const seen: number[] = [];
    s.guest.onInterrupt = index => {
      if (index === s.guest.queues.control) seen.push(...ids(s));
    };
    s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: s.qpn });
    expect(seen).toEqual([1]);
  });
});
