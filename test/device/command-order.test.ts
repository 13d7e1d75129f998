/** Commands against the data path and against resets: an effect is there before its OK, a request behind an OK comes after it. */
import { describe, expect, it } from 'vitest';
import {
  Ack,
  Command,
  QpAttrMask,
  QpState,
  QpType,
  WcStatus,
  addGidCommand,
  createCqCommand,
  createQpCommand,
  delGidCommand,
  deregMrCommand,
  destroyAhCommand,
  destroyCqCommand,
  destroyPdCommand,
  destroyQpCommand,
  getDmaMrCommand,
  modifyQpCommand,
  profiles,
  queryDeviceAck,
  queryPortAck,
  reqNotifyCommand,
} from '../../src/abi/index.js';
import type { Struct } from '../../src/abi/index.js';
import { SeededChoices } from '../../src/fabric/index.js';
import { World, bytesOf, defined, recvRequest, sendRequest, smallCap } from './guest.js';
import type { Guest } from './guest.js';
import { datagramPair, lonelySide, pairOfGuests, side } from './pairs.js';
import type { Side } from './pairs.js';
import { intercepting } from './recording.js';

const { STATE } = QpAttrMask;
const { SUCCESS, LOC_PROT_ERR, LOC_QP_OP_ERR, WR_FLUSH_ERR } = WcStatus;
const sq = (s: Side) => s.guest.queues.sq(s.qpn);
const rq = (s: Side) => s.guest.queues.rq(s.qpn);

type Fields = Record<string, unknown>;
/** A command whose effect is a call of the adapter, and what it needs first. */
type Effect = readonly [name: string, code: number, prepare: (guest: Guest) => Uint8Array];

function command<V extends Fields>(
  name: string,
  code: number,
  struct: Struct<V>,
  fields: (guest: Guest) => Partial<V>,
): Effect {
  return [name, code, guest => bytesOf(struct, { ...struct.zero(), ...fields(guest) })];
}

describe('the OK of a command', () => {
  /** On a guest with PD 1, completion queue 0, queue pair 2 and a GID. */
  const effects: readonly Effect[] = [
    ['createPd', Command.CREATE_PD, () => new Uint8Array(0)],
    command('destroyPd', Command.DESTROY_PD, destroyPdCommand, guest => ({ pdn: defined(guest.createPd()) })),
    command('createCq', Command.CREATE_CQ, createCqCommand, () => ({ cqe: 2 })),
    command('destroyCq', Command.DESTROY_CQ, destroyCqCommand, guest => ({
      cqn: defined(guest.createCq(1)),
    })),
    command('registerMr', Command.GET_DMA_MR, getDmaMrCommand, () => ({ pdn: 1, access_flags: 1 })),
    command('deregisterMr', Command.DEREG_MR, deregMrCommand, guest => {
      const page = guest.alloc(4096, 4096);
      return { mrn: guest.registerAt(1, page, 10).mrn };
    }),
    command('createQp', Command.CREATE_QP, createQpCommand, () => ({
      pdn: 1,
      qp_type: QpType.UD,
      cap: smallCap,
    })),
    command('modifyQp', Command.MODIFY_QP, modifyQpCommand, () => ({
      qpn: 2,
      attr_mask: STATE | QpAttrMask.ACCESS_FLAGS,
      qp_state: QpState.INIT,
    })),
    command('destroyQp', Command.DESTROY_QP, destroyQpCommand, () => ({ qpn: 2 })),
    command('destroyAh', Command.DESTROY_AH, destroyAhCommand, guest => ({
      pdn: 1,
      ah: defined(guest.createAh(1, guest.world.newGid())),
    })),
    command('addGid', Command.ADD_GID, addGidCommand, guest => ({ index: 1, gid: guest.world.newGid() })),
    command('delGid', Command.DEL_GID, delGidCommand, () => ({ index: 0 })),
  ];

  it.each(effects)(
    '[ORD-17] comes when %s is carried out, and nothing of it follows',
    (name, code, prepare) => {
      const log: string[] = [];
      const quiet = ['queryQp', 'pollCq'];
      const wrap = intercepting((method, call) => {
        const result = call();
        if (!quiet.includes(method)) log.push(method);
        return result;
      });
      const control = {
        command: () => undefined,
        answer: (_: number, __: number, ack: number) => void log.push(ack === Ack.OK ? 'OK' : 'ERR'),
      };
      const { guest } = side(new World(), { wrap, control });
      const data = prepare(guest);
      log.length = 0;
      const answer = guest.raw(guest.commandBytes(code, data), 64);
      expect(answer?.bytes[0]).toBe(Ack.OK);
      guest.world.settle();
      expect(log).toEqual([name, 'OK']);
    },
  );

  type Ending = readonly [name: string, commandOf: (s: Side) => readonly [code: number, data: Uint8Array]];
  const endings: readonly Ending[] = [
    ['DESTROY_QP', s => [Command.DESTROY_QP, bytesOf(destroyQpCommand, { qpn: s.qpn })]],
    [
      'a move to RESET',
      s => {
        const fields = { ...modifyQpCommand.zero(), qpn: s.qpn, attr_mask: STATE, qp_state: QpState.RESET };
        return [Command.MODIFY_QP, bytesOf(modifyQpCommand, fields)];
      },
    ],
  ];

  it.each(endings)('[ORD-17] of %s is seen when all chains are back, whoever steps when', (_, commandOf) => {
    for (let seed = 1; seed <= 30; seed++) {
      const world = new World(new SeededChoices(seed));
      const s = lonelySide(world);
      for (let i = 0; i < 6; i++) s.guest.postRecv(s.qpn, recvRequest(i));
      for (let i = 0; i < 6; i++) s.guest.postSend(s.qpn, sendRequest({ wrId: i }));
      const answer = s.guest.place(Uint8Array.of(9));
      s.guest.makeAvailable(s.guest.queues.control, s.guest.commandBytes(...commandOf(s)), {
        address: answer,
        length: 1,
      });
      let back = 0;
      while (s.guest.returned(s.guest.queues.control).length === 0) {
        world.scheduler.step();
        if (s.guest.peek(answer, 1)[0] === 9) continue;
        back += s.guest.returned(sq(s)).length + s.guest.returned(rq(s)).length;
        expect(back, `seed ${seed}`).toBe(12);
      }
      expect(s.guest.peek(answer, 1)[0]).toBe(Ack.OK);
      world.settle();
      expect([...s.guest.returned(sq(s)), ...s.guest.returned(rq(s)), ...s.guest.poll(s.cqn)]).toEqual([]);
    }
  });

  it('[ORD-17] of REQ_NOTIFY_CQ is seen when the queue is armed', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const world = new World(new SeededChoices(seed));
      const s = lonelySide(world);
      s.guest.modifyQp({ qpn: s.qpn, attr_mask: STATE, qp_state: QpState.ERR });
      send(s, Command.REQ_NOTIFY_CQ, bytesOf(reqNotifyCommand, { cqn: s.cqn, flags: 2 }));
      s.guest.postRecv(s.qpn, recvRequest(1));
      world.settle();
      expect(s.guest.interruptsOf(s.guest.queues.cq(s.cqn)), `seed ${seed}`).toBe(1);
    }
  });
});

/** Sends a command and steps until its OK is in the ring, no further. */
function send(s: Side, code: number, data: Uint8Array): void {
  const answer = s.guest.place(Uint8Array.of(9));
  const { control } = s.guest.queues;
  s.guest.makeAvailable(control, s.guest.commandBytes(code, data), { address: answer, length: 1 });
  while (s.guest.returned(control).length === 0) s.guest.world.scheduler.step();
  expect(s.guest.peek(answer, 1)[0]).toBe(Ack.OK);
}

describe('a request that is made available after the OK of a command', () => {
  const seeds = Array.from({ length: 30 }, (_, i) => i + 1);
  const results = (s: Side) => s.guest.poll(s.cqn).map(({ wr_id, status }) => [wr_id, status]);
  const moved = (s: Side, qp_state: number) =>
    bytesOf(modifyQpCommand, { ...modifyQpCommand.zero(), qpn: s.qpn, attr_mask: STATE, qp_state });

  it('[ORD-18] is flushed after a move to ERR', () => {
    for (const seed of seeds) {
      const { a, b } = pairOfGuests(new World(new SeededChoices(seed)));
      b.guest.postRecv(b.qpn, recvRequest(0));
      send(a, Command.MODIFY_QP, moved(a, QpState.ERR));
      a.guest.postSend(a.qpn, sendRequest({ wrId: 1 }));
      a.guest.postRecv(a.qpn, recvRequest(2));
      a.guest.world.settle();
      const flushed = results(a);
      expect(flushed).toHaveLength(2);
      expect(flushed).toEqual(
        expect.arrayContaining([
          [1, WR_FLUSH_ERR],
          [2, WR_FLUSH_ERR],
        ]),
      );
      expect(results(b)).toEqual([]);
    }
  });

  it('[ORD-18] stays in the ring after a move to RESET', () => {
    for (const seed of seeds) {
      const { a } = pairOfGuests(new World(new SeededChoices(seed)));
      a.guest.postRecv(a.qpn, recvRequest(1));
      send(a, Command.MODIFY_QP, moved(a, QpState.RESET));
      expect(a.guest.returned(rq(a))).toHaveLength(1);
      a.guest.postRecv(a.qpn, recvRequest(2));
      a.guest.postSend(a.qpn, sendRequest({ wrId: 3 }));
      a.guest.world.settle();
      expect([...a.guest.returned(rq(a)), ...a.guest.returned(sq(a))], `seed ${seed}`).toEqual([]);
      expect(results(a)).toEqual([]);
    }
  });

  it('[ORD-18] is sent after a move to RTS', () => {
    for (const seed of seeds) {
      const world = new World(new SeededChoices(seed));
      const a = side(world);
      const b = side(world);
      a.guest.connectRc(a.qpn, b.gid, b.qpn, QpState.RTR);
      b.guest.connectRc(b.qpn, a.gid, a.qpn);
      b.guest.postRecv(b.qpn, recvRequest(7));
      world.settle();
      const { TIMEOUT, RETRY_CNT, RNR_RETRY, SQ_PSN, MAX_QP_RD_ATOMIC } = QpAttrMask;
      const attr_mask = STATE | TIMEOUT | RETRY_CNT | RNR_RETRY | SQ_PSN | MAX_QP_RD_ATOMIC;
      const fields = { qpn: a.qpn, attr_mask, qp_state: QpState.RTS, timeout: 10, retry_cnt: 1 };
      send(a, Command.MODIFY_QP, bytesOf(modifyQpCommand, { ...modifyQpCommand.zero(), ...fields }));
      a.guest.postSend(a.qpn, sendRequest({ wrId: 1 }));
      world.settle();
      expect([results(a), results(b)], `seed ${seed}`).toEqual([[[1, SUCCESS]], [[7, SUCCESS]]]);
    }
  });

  it('[ORD-18] finds a region or an address handle gone after its end', () => {
    for (const seed of seeds) {
      const { a, b: peer } = pairOfGuests(new World(new SeededChoices(seed)));
      // With a receive the message goes through at the first try, or not at all.
      peer.guest.postRecv(peer.qpn, recvRequest(0, [{ addr: peer.buffer, length: 1, lkey: peer.lkey }]));
      peer.guest.world.settle();
      send(a, Command.DEREG_MR, bytesOf(deregMrCommand, { mrn: a.mrn }));
      a.guest.postSend(a.qpn, sendRequest({ wrId: 1, sges: [{ addr: a.buffer, length: 1, lkey: a.lkey }] }));
      a.guest.world.settle();
      expect(results(a), `seed ${seed}`).toEqual([[1, LOC_PROT_ERR]]);
      const { a: d, b, qkey } = datagramPair(new World(new SeededChoices(seed)));
      const ah = defined(d.guest.createAh(d.pdn, b.gid));
      send(d, Command.DESTROY_AH, bytesOf(destroyAhCommand, { pdn: d.pdn, ah }));
      d.guest.postSend(d.qpn, sendRequest({ wrId: 2, ud: { remote_qpn: b.qpn, remote_qkey: qkey, ah } }));
      d.guest.world.settle();
      expect(results(d), `seed ${seed}`).toEqual([[2, LOC_QP_OP_ERR]]);
    }
  });
});

describe('the reset of a device', () => {
  it.each(['roce', 'rdma'] as const)('[RST-35] leaves what it offers as it was: %s', profile => {
    const { guest } = lonelySide(new World(), { profile });
    const { device } = guest;
    const offers = () => ({
      deviceId: device.deviceId,
      features: device.deviceFeatures,
      config: [...new Uint8Array(device.readConfig().buffer)],
      sizes: Array.from({ length: device.queueCount }, (_, index) => device.queueSizeMax(index)),
      queueCount: device.queueCount,
    });
    const limitsOf = () => [
      [
        ...new Uint8Array(
          defined(guest.call(Command.QUERY_DEVICE, new Uint8Array(0), queryDeviceAck.size)).buffer,
        ),
      ],
      [
        ...new Uint8Array(
          defined(guest.call(Command.QUERY_PORT, new Uint8Array(0), queryPortAck.size)).buffer,
        ),
      ],
    ];
    const [before, limitsBefore] = [offers(), limitsOf()];
    device.writeStatus(0);
    expect(offers()).toEqual(before);
    guest.start();
    expect(limitsOf()).toEqual(limitsBefore);
    expect(offers()).toEqual(before);
    expect(before.deviceId).toBe(profiles[profile].deviceId);
  });
});
