/** What a device reads of a request and what it leaves alone: unused fields, flags, elements of no bytes, the chain itself. */
import fc from 'fast-check';
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
  modifyQpCommand,
  queryQpAck,
  sge,
  sqReq,
} from '../../src/abi/index.js';
import type { StructValue } from '../../src/abi/index.js';
import { SeededChoices, packetOpcodeName } from '../../src/fabric/index.js';
import {
  UNWRITTEN,
  World,
  addressVector,
  bytesOf,
  defined,
  recvRequest,
  sendRequest,
  viewOf,
} from './guest.js';
import type { SendFields } from './guest.js';
import { datagramPair, pairOfGuests, pairOnUc, side } from './pairs.js';
import type { Side } from './pairs.js';
import { WatchedMemory } from './watched-memory.js';

const { SUCCESS } = WcStatus;
const { STATE } = QpAttrMask;
const junk = 0xa5;

const whole = (s: Side) => ({ addr: s.buffer, length: 64, lkey: s.lkey });
const outcomes = (s: Side) =>
  s.guest.poll(s.cqn).map(({ wr_id, status, opcode, byte_len }) => [wr_id, status, opcode, byte_len]);

/** Overwrites all of a request but these stretches. */
function junkBut(
  request: Uint8Array,
  ...kept: readonly (readonly [start: number, end: number])[]
): Uint8Array {
  return request.map((byte, at) => (kept.some(([start, end]) => at >= start && at < end) ? byte : junk));
}

describe('the bytes of a request', () => {
  it('[DATA-05] behind what it holds are ignored', () => {
    const { a, b } = pairOfGuests(new World());
    const tail = new Uint8Array(100).fill(0xff);
    b.guest.postRecv(b.qpn, Uint8Array.of(...recvRequest(1, [whole(b)]), ...tail));
    a.guest.memory.write(a.buffer, Uint8Array.of(1, 2, 3), 0, 3);
    const element = { ...whole(a), length: 3 };
    a.guest.postSend(a.qpn, Uint8Array.of(...sendRequest({ wrId: 2, sges: [element] }), ...tail));
    b.guest.postRecv(b.qpn, Uint8Array.of(...recvRequest(3), ...tail));
    a.guest.postSend(a.qpn, Uint8Array.of(...sendRequest({ wrId: 4, inline: new Uint8Array(0) }), ...tail));
    a.guest.world.settle();
    expect(outcomes(b)).toEqual([
      [1, SUCCESS, WcOpcode.RECV, 3],
      [3, SUCCESS, WcOpcode.RECV, 0],
    ]);
    expect(outcomes(a).map(([wrId, status]) => [wrId, status])).toEqual([
      [2, SUCCESS],
      [4, SUCCESS],
    ]);
  });

  const { offsets } = sqReq;
  const head = [0, offsets.padding] as const;
  const count = [offsets.num_sge, offsets.reserved2] as const;
  const list = [sqReq.size, sqReq.size + sge.size] as const;
  const imm = [offsets.imm_data, offsets.wr] as const;
  const target = [offsets.wr, offsets.wr + 12] as const;

  it.each([QpType.RC, QpType.UC])(
    '[DATA-07] that its opcode and its service do not use are not looked at: connected type %i',
    type => {
      const world = new World();
      const { a, b } = type === QpType.RC ? pairOfGuests(world) : pairOnUc(world);
      const sges = [whole(a)];
      const rdma = { remote_addr: b.buffer, rkey: b.rkey };
      const inline = Uint8Array.of(7, 7);
      const inlined = [offsets.inline_data, offsets.inline_data + 2] as const;
      const inlineCount = [offsets.num_sge, offsets.num_sge + 2] as const;
      const requests = [
        junkBut(sendRequest({ wrId: 1, sges }), head, count, list),
        junkBut(
          sendRequest({ wrId: 2, opcode: WrOpcode.SEND_WITH_IMM, sges, imm: 9 }),
          head,
          imm,
          count,
          list,
        ),
        junkBut(sendRequest({ wrId: 3, inline, sges }), head, inlineCount, inlined),
        junkBut(sendRequest({ wrId: 4, opcode: WrOpcode.RDMA_WRITE, sges, rdma }), head, target, count, list),
      ];
      if (type === QpType.RC) {
        const read = sendRequest({ wrId: 5, opcode: WrOpcode.RDMA_READ, sges, rdma });
        requests.push(junkBut(read, head, target, count, list));
      }
      for (const request of requests) {
        b.guest.postRecv(b.qpn, junkBut(recvRequest(1, [whole(b)]), [0, 12], [24, 40]));
        a.guest.postSend(a.qpn, request);
        world.settle();
      }
      const good = requests.map((_, i) => [i + 1, SUCCESS]);
      expect(outcomes(a).map(([wrId, status]) => [wrId, status])).toEqual(good);
      expect(b.guest.poll(b.cqn).map(({ byte_len }) => byte_len)).toEqual([64, 64, 2]);
    },
  );

  it('[DATA-07] that its opcode and its service do not use are not looked at: datagrams', () => {
    const { a, b, qkey } = datagramPair(new World());
    const ah = defined(a.guest.createAh(a.pdn, b.gid));
    const ud = { remote_qpn: b.qpn, remote_qkey: qkey, ah };
    b.guest.postRecv(b.qpn, junkBut(recvRequest(1, [{ ...whole(b), length: 200 }]), [0, 12], [24, 40]));
    a.guest.postSend(
      a.qpn,
      junkBut(sendRequest({ wrId: 2, sges: [whole(a)], ud }), head, target, count, list),
    );
    a.guest.world.settle();
    expect(outcomes(a).map(([wrId, status]) => [wrId, status])).toEqual([[2, SUCCESS]]);
    expect(b.guest.poll(b.cqn)).toMatchObject([{ wr_id: 1, status: SUCCESS, byte_len: 104 }]);
  });

  it('[HOST-02] are read once, and what the driver makes of them afterwards changes nothing', () => {
    const memory = new WatchedMemory();
    const { a, b } = pairOfGuests(new World(), { memory });
    memory.scribble(a.buffer, Uint8Array.of(1, 2, 3, 4));
    const posts: readonly (readonly [(request: Uint8Array) => void, Uint8Array])[] = [
      [bytes => a.guest.postRecv(a.qpn, bytes), recvRequest(5, [{ ...whole(a), addr: a.buffer + 1024 }])],
      [bytes => a.guest.postSend(a.qpn, bytes), sendRequest({ wrId: 6, sges: [{ ...whole(a), length: 4 }] })],
      [bytes => a.guest.postSend(a.qpn, bytes), sendRequest({ wrId: 7, inline: Uint8Array.of(9, 8) })],
    ];
    b.guest.postRecv(b.qpn, recvRequest(1, [whole(b)]));
    b.guest.postRecv(b.qpn, recvRequest(2, [{ ...whole(b), addr: b.buffer + 64 }]));
    for (const [post, bytes] of posts) {
      // `place` puts the request at the next multiple of 8.
      const place = a.guest.alloc(8) + 8;
      let reads = 0;
      memory.watch = {
        read(address, length) {
          if (address + length <= place || address >= place + bytes.length) return;
          reads++;
          memory.scribble(place, new Uint8Array(bytes.length).fill(0xff));
        },
      };
      post(bytes);
      expect(a.guest.peek(place, bytes.length)).toEqual(bytes);
      reads = 0;
      memory.scribble(place, bytes);
      a.guest.world.settle();
      expect(reads).toBe(1);
      memory.watch = {};
    }
    b.guest.postSend(b.qpn, sendRequest({ wrId: 3, inline: Uint8Array.of(5) }));
    a.guest.world.settle();
    expect(a.guest.poll(a.cqn).map(({ wr_id, status }) => [wr_id, status])).toEqual([
      [6, SUCCESS],
      [7, SUCCESS],
      [5, SUCCESS],
    ]);
    expect([...b.guest.peek(b.buffer, 4), ...b.guest.peek(b.buffer + 64, 2)]).toEqual([1, 2, 3, 4, 9, 8]);
    expect(a.guest.peek(a.buffer + 1024, 1)[0]).toBe(5);
  });
});

describe('the chain of a request', () => {
  it('[DATA-23] is not written to, not even where the driver lets it', () => {
    const memory = new WatchedMemory();
    const { a, b } = pairOfGuests(new World(), { memory });
    const { sq, rq } = a.guest.queues;
    const room = { address: a.guest.place(new Uint8Array(64).fill(UNWRITTEN)), length: 64 };
    const before = a.guest.peek(room.address, 64);
    const send = sendRequest({ wrId: 1, sges: [whole(a)] });
    const recv = recvRequest(2, [{ ...whole(a), addr: a.buffer + 512 }]);
    const writes: [number, number][] = [];
    a.guest.makeAvailable(rq(a.qpn), recv, room);
    a.guest.makeAvailable(sq(a.qpn), send, room);
    b.guest.postRecv(b.qpn, recvRequest(3, [whole(b)]));
    b.guest.postSend(b.qpn, sendRequest({ inline: Uint8Array.of(1) }));
    // From here on it is the device that writes: the message, and two completions.
    memory.watch = { written: (address, length) => void writes.push([address, length]) };
    a.guest.world.settle();
    expect(writes.filter(([address]) => address === a.buffer + 512)).toEqual([[a.buffer + 512, 1]]);
    expect(writes.filter(([, length]) => length === 48)).toHaveLength(2);
    expect(writes).toHaveLength(3);
    expect(a.guest.peek(room.address, 64)).toEqual(before);
    expect(
      [...a.guest.returned(sq(a.qpn)), ...a.guest.returned(rq(a.qpn))].map(({ written }) => written),
    ).toEqual([0, 0]);
  });

  it('[HOST-05] of a completion buffer is not read, whatever is in it', () => {
    const memory = new WatchedMemory();
    const { a, b } = pairOfGuests(new World(), { memory, buffers: 0 });
    const places = [0, 1, 2].map(() => a.guest.place(new Uint8Array(48).fill(0xff)));
    const index = a.guest.queues.cq(a.cqn);
    for (const address of places) a.guest.makeAvailable(index, new Uint8Array(0), { address, length: 48 });
    let reads = 0;
    memory.watch = {
      read: (address, length) => {
        if (places.some(place => address < place + 48 && address + length > place)) reads++;
      },
    };
    for (let i = 0; i < 3; i++) {
      b.guest.postRecv(b.qpn, recvRequest(i));
      a.guest.postSend(a.qpn, sendRequest({ wrId: i }));
    }
    a.guest.world.settle();
    expect(reads).toBe(0);
    expect(outcomes(a)).toEqual([0, 1, 2].map(wrId => [wrId, SUCCESS, 0, 0]));
  });

  it('[HOST-05] may hold readable bytes before its room: they change nothing', () => {
    const { a, b } = pairOfGuests(new World(), { buffers: 0 });
    const index = a.guest.queues.cq(a.cqn);
    const address = a.guest.place(new Uint8Array(48).fill(0xff));
    a.guest.makeAvailable(index, new Uint8Array(64).fill(0xff), { address, length: 48 });
    b.guest.postRecv(b.qpn, recvRequest(1));
    a.guest.postSend(a.qpn, sendRequest({ wrId: 1 }));
    a.guest.world.settle();
    expect(outcomes(a)).toEqual([[1, SUCCESS, 0, 0]]);
  });

  it('[DATA-27] is not returned before the request is done with', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const world = new World(new SeededChoices(seed));
      const { a, b } = pairOfGuests(world);
      let acknowledged = 0;
      let arrived = 0;
      world.fabric.observe({
        sent: () => undefined,
        dropped: () => undefined,
        delivered: packet => {
          const name = packetOpcodeName(packet.opcode);
          if (name === 'RC SEND_ONLY') arrived = Math.max(arrived, packet.psn + 1);
          // An acknowledgement that is none has its upper bits set.
          if (name === 'RC ACKNOWLEDGE' && packet.syndrome < 32) acknowledged = packet.psn + 1;
        },
      });
      const back = { sends: 0, recvs: 0 };
      for (let i = 0; i < 4; i++) a.guest.postSend(a.qpn, sendRequest({ wrId: i, flags: 0 }));
      for (let step = 0; !world.scheduler.quiet; step++) {
        if (step % 9 === 8 && step < 40) b.guest.postRecv(b.qpn, recvRequest(step));
        world.scheduler.step();
        back.sends += a.guest.returned(a.guest.queues.sq(a.qpn)).length;
        back.recvs += b.guest.returned(b.guest.queues.rq(b.qpn)).length;
        expect(back.sends, `seed ${seed}`).toBeLessThanOrEqual(acknowledged);
        expect(back.recvs, `seed ${seed}`).toBeLessThanOrEqual(arrived);
      }
      expect(back.sends).toBe(4);
      expect(back.recvs).toBe(4);
    }
  });
});

describe('flags', () => {
  const { FENCE, SIGNALED, SOLICITED, INLINE } = SendFlag;
  const sets = Array.from({ length: 16 }, (_, flags) => flags);

  it('[DATA-08] mean the same each, whatever others are set', () => {
    for (const flags of sets) {
      const world = new World();
      const { a, b } = pairOfGuests(world);
      a.guest.memory.write(a.buffer, Uint8Array.of(1, 1), 0, 2);
      b.guest.postRecv(b.qpn, recvRequest(1, [whole(b)]));
      b.guest.arm(b.cqn, 1);
      const wire: string[] = [];
      world.fabric.observe({
        sent: packet => void wire.push(packetOpcodeName(packet.opcode)),
        delivered: () => undefined,
        dropped: () => undefined,
      });
      const rdma = { remote_addr: b.buffer, rkey: b.rkey };
      const read = { opcode: WrOpcode.RDMA_READ, sges: [{ ...whole(a), addr: a.buffer + 512 }], rdma };
      a.guest.postSend(a.qpn, sendRequest({ ...read, flags: 0 }));
      const data = flags & INLINE ? { inline: Uint8Array.of(2, 2) } : { sges: [{ ...whole(a), length: 2 }] };
      a.guest.postSend(a.qpn, sendRequest({ wrId: 9, flags, ...data }));
      world.settle();
      const interrupts = b.guest.interruptsOf(b.guest.queues.cq(b.cqn));
      expect(outcomes(a).length, `flags ${flags}`).toBe(flags & SIGNALED ? 1 : 0);
      expect(interrupts, `flags ${flags}`).toBe(flags & SOLICITED ? 1 : 0);
      expect(b.guest.peek(b.buffer, 1)[0], `flags ${flags}`).toBe(flags & INLINE ? 2 : 1);
      const sent = wire.indexOf('RC SEND_ONLY');
      const waited = wire.slice(0, sent).includes('RC READ_RESPONSE_ONLY');
      expect(waited, `flags ${flags}`).toBe((flags & FENCE) !== 0);
    }
  });

  type Setting = readonly [name: string, make: (world: World) => { a: Side; b: Side; request: SendFields }];
  const datagrams = (type: number) => (world: World) => {
    const { a, b, qkey } = datagramPair(world, { type }, { type });
    const ah = defined(a.guest.createAh(a.pdn, b.gid));
    return { a, b, request: { ud: { remote_qpn: b.qpn, remote_qkey: qkey, ah } } };
  };
  const settings: readonly Setting[] = [
    ['UC', world => ({ ...pairOnUc(world), request: {} })],
    ['UD', datagrams(QpType.UD)],
    ['GSI', datagrams(QpType.GSI)],
  ];

  it.each(settings)('[DATA-10] FENCE means nothing on %s', (_, make) => {
    const seen = [0, FENCE].map(fence => {
      const world = new World();
      const { a, b, request } = make(world);
      const wire: unknown[] = [];
      world.fabric.observe({
        sent: ({ opcode, psn, ackRequest, solicited }) =>
          void wire.push([world.scheduler.nowNs, opcode, psn, ackRequest, solicited]),
        delivered: () => undefined,
        dropped: () => undefined,
      });
      for (let i = 0; i < 3; i++) {
        b.guest.postRecv(b.qpn, recvRequest(i, [{ ...whole(b), length: 200 }]));
        a.guest.postSend(
          a.qpn,
          sendRequest({ wrId: i, flags: SIGNALED | fence, inline: Uint8Array.of(i), ...request }),
        );
      }
      world.settle();
      return { wire, a: outcomes(a), b: outcomes(b) };
    });
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[0].a).toHaveLength(3);
    expect(seen[0].b).toHaveLength(3);
  });
});

describe('elements of no bytes', () => {
  const nothing = { addr: 0xdead_beef, length: 0, lkey: 0x7777_7777 };

  it('[DATA-42] are not looked at in gather and scatter lists', () => {
    const cap = { max_send_wr: 4, max_recv_wr: 4, max_send_sge: 3, max_recv_sge: 3, max_inline_data: 0 };
    const { a, b } = pairOfGuests(new World(), { cap }, { cap });
    a.guest.memory.write(a.buffer, Uint8Array.of(1, 2, 3, 4), 0, 4);
    const first = (s: Side) => [{ ...whole(s), length: 4 }];
    for (const place of [0, 1]) {
      const around = (s: Side, sges = first(s)) => sges.toSpliced(place, 0, nothing, { ...nothing, lkey: 0 });
      b.guest.postRecv(b.qpn, recvRequest(1, around(b)));
      a.guest.postSend(a.qpn, sendRequest({ wrId: 1, sges: around(a) }));
      const rdma = { remote_addr: b.buffer, rkey: b.rkey };
      const into = around(a, [{ ...whole(a), addr: a.buffer + 256, length: 4 }]);
      a.guest.postSend(a.qpn, sendRequest({ wrId: 2, opcode: WrOpcode.RDMA_READ, sges: into, rdma }));
      a.guest.world.settle();
      expect(outcomes(a).map(([wrId, status]) => [wrId, status])).toEqual([
        [1, SUCCESS],
        [2, SUCCESS],
      ]);
      expect(outcomes(b).map(([, status, , bytes]) => [status, bytes])).toEqual([[SUCCESS, 4]]);
      expect([...a.guest.peek(a.buffer + 256, 4)]).toEqual([1, 2, 3, 4]);
      a.guest.memory.write(a.buffer + 256, new Uint8Array(4), 0, 4);
    }
  });
});

describe('MODIFY_QP', () => {
  const { PATH_MTU, RQ_PSN, DEST_QPN, AV, MAX_DEST_RD_ATOMIC, MIN_RNR_TIMER, ACCESS_FLAGS } = QpAttrMask;
  const { TIMEOUT, RETRY_CNT, RNR_RETRY, SQ_PSN, MAX_QP_RD_ATOMIC } = QpAttrMask;
  const steps: readonly Partial<StructValue<typeof modifyQpCommand>>[] = [
    { attr_mask: STATE | ACCESS_FLAGS, qp_state: QpState.INIT, qp_access_flags: 2 },
    {
      attr_mask: STATE | AV | PATH_MTU | DEST_QPN | RQ_PSN | MAX_DEST_RD_ATOMIC | MIN_RNR_TIMER,
      qp_state: QpState.RTR,
      path_mtu: 2,
      dest_qp_num: 77,
      rq_psn: 5,
      max_dest_rd_atomic: 3,
      min_rnr_timer: 4,
    },
    {
      attr_mask: STATE | TIMEOUT | RETRY_CNT | RNR_RETRY | SQ_PSN | MAX_QP_RD_ATOMIC,
      qp_state: QpState.RTS,
      timeout: 9,
      retry_cnt: 2,
      rnr_retry: 1,
      sq_psn: 33,
      max_rd_atomic: 2,
    },
    { attr_mask: MIN_RNR_TIMER, min_rnr_timer: 6 },
  ];
  /** Members of the command by the bit that names them; `attr_mask` and `qpn` are always looked at. */
  const named: Readonly<Record<string, number>> = {
    qp_state: STATE,
    qp_access_flags: ACCESS_FLAGS,
    ah_attr: AV,
    path_mtu: PATH_MTU,
    dest_qp_num: DEST_QPN,
    rq_psn: RQ_PSN,
    max_dest_rd_atomic: MAX_DEST_RD_ATOMIC,
    min_rnr_timer: MIN_RNR_TIMER,
    timeout: TIMEOUT,
    retry_cnt: RETRY_CNT,
    rnr_retry: RNR_RETRY,
    sq_psn: SQ_PSN,
    max_rd_atomic: MAX_QP_RD_ATOMIC,
  };

  function walked(fill: (step: Partial<StructValue<typeof modifyQpCommand>>) => Uint8Array): Uint8Array {
    const s = side(new World());
    for (const step of steps) {
      const fields = { qpn: s.qpn, ah_attr: addressVector(s.gid), ...step };
      expect(s.guest.call(Command.MODIFY_QP, fill(fields))).toBeDefined();
    }
    return bytesOf(queryQpAck, defined(s.guest.queryQp(s.qpn)));
  }

  it('[QP-31] ignores the members that its mask does not name', () => {
    const plain = walked(step => bytesOf(modifyQpCommand, { ...modifyQpCommand.zero(), ...step }));
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: modifyQpCommand.size, maxLength: modifyQpCommand.size }),
        noise => {
          const filled = walked(step => {
            const fields = modifyQpCommand.decode(viewOf(noise), 0);
            const { qpn, attr_mask = 0 } = step;
            const kept = Object.entries(step).filter(([name]) => (attr_mask & (named[name] ?? 0)) !== 0);
            return bytesOf(modifyQpCommand, {
              ...fields,
              qpn: qpn ?? 0,
              attr_mask,
              ...Object.fromEntries(kept),
            });
          });
          expect(filled).toEqual(plain);
        },
      ),
      { numRuns: 60 },
    );
  });
});
