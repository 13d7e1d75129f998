/** What the device's work costs, in counts: when it wants to be told, what payload it moves, how much it takes in one turn. */
import { describe, expect, it } from 'vitest';
import { Command, QpAttrMask, QpState, WrOpcode } from '../../src/abi/index.js';
import { SeededChoices } from '../../src/fabric/index.js';
import type { RingObserver } from '../../src/virtio/index.js';
import { World, defined, recvRequest, sendRequest } from './guest.js';
import type { Guest, GuestOptions } from './guest.js';
import { datagramPair, lonelySide, pairOfGuests, pairOnUc } from './pairs.js';
import type { Side } from './pairs.js';
import { intercepting } from './recording.js';
import { WatchedMemory, overlap } from './watched-memory.js';

const { STATE } = QpAttrMask;
const NO_NOTIFY = 1;

/** A ring observer of which most does nothing. */
function ringObserver(of: Partial<RingObserver>): RingObserver {
  const nothing = () => undefined;
  return {
    available: nothing,
    published: nothing,
    taken: nothing,
    used: nothing,
    interrupt: nothing,
    consumed: nothing,
    asleep: nothing,
    ...of,
  };
}

const word = (guest: Guest, address: number): number => {
  const [low, high] = guest.peek(address, 2);
  return low | (high << 8);
};

/** Whether the driver would have to tell of a chain that it makes available now or soon. */
function wantsNotification(guest: Guest, index: number, eventIdx: boolean): boolean {
  const { device, driver } = defined(guest.addresses.get(index));
  if (!eventIdx) return (word(guest, device) & NO_NOTIFY) === 0;
  const { size } = guest.queue(index).state();
  const event = word(guest, device + 4 + 8 * size);
  const available = word(guest, driver + 2);
  return ((event - available) & 0xffff) < 0x8000;
}

describe('notifications', () => {
  it.each([false, true])(
    '[PERF-03] are off while chains are taken from a queue: event index %s',
    eventIdx => {
      let takes = 0;
      const completionQueues = [1, 2, 3, 4];
      for (let seed = 1; seed <= 40; seed++) {
        const world = new World(new SeededChoices(seed));
        const watched: { guest?: Guest } = {};
        const on: number[] = [];
        const ring = ringObserver({
          taken: index => {
            const { guest } = watched;
            if (guest === undefined || completionQueues.includes(index)) return;
            takes++;
            if (wantsNotification(guest, index, eventIdx)) on.push(index);
          },
        });
        const { a, b } = pairOfGuests(world, { eventIdx, ring }, { eventIdx });
        watched.guest = a.guest;
        for (let round = 0; round < 6; round++) {
          b.guest.postRecv(b.qpn, recvRequest(round));
          a.guest.postRecv(a.qpn, recvRequest(round));
          a.guest.postSend(a.qpn, sendRequest({ flags: 0 }));
          // A command that finds requests in the rings takes them itself.
          if (round === 3)
            a.guest.modifyQp({ qpn: a.qpn, attr_mask: QpAttrMask.MIN_RNR_TIMER, min_rnr_timer: 2 });
          for (let step = 0; step < (seed * (round + 1)) % 13; step++) world.scheduler.step();
        }
        a.guest.postRecv(a.qpn, recvRequest(9));
        a.guest.modifyQp({ qpn: a.qpn, attr_mask: STATE, qp_state: QpState.RESET });
        world.settle();
        expect(on, `seed ${seed}`).toEqual([]);
      }
      expect(takes).toBeGreaterThan(40 * 10);
    },
  );

  it.each([false, true])(
    '[PERF-04] of a completion queue are off unless it holds a completion back: event index %s',
    eventIdx => {
      for (let seed = 1; seed <= 40; seed++) {
        const world = new World(new SeededChoices(seed));
        const s = lonelySide(world, { eventIdx, buffers: 0, cqe: 8 });
        const index = s.guest.queues.cq(s.cqn);
        s.guest.modifyQp({ qpn: s.qpn, attr_mask: STATE, qp_state: QpState.ERR });
        let completed = 0;
        let buffers = 0;
        const wants = () => wantsNotification(s.guest, index, eventIdx);
        expect(wants()).toBe(false);
        for (let round = 0; round < 4; round++) {
          s.guest.postRecv(s.qpn, recvRequest(round));
          world.settle();
          completed++;
          expect(wants(), `seed ${seed}, round ${round}`).toBe(completed > buffers);
          if (seed % 3 === round % 3) {
            s.guest.addBuffers(s.cqn, 2);
            buffers += 2;
          }
          if (round % 2 === 0) s.guest.arm(s.cqn, 2);
          world.settle();
          expect(wants(), `seed ${seed}, round ${round}`).toBe(completed > buffers);
        }
      }
    },
  );

  it('[PERF-04] of a completion queue are off as soon as a command has given what was held back', () => {
    const world = new World();
    const s = lonelySide(world, { buffers: 0, cqe: 4 });
    const index = s.guest.queues.cq(s.cqn);
    s.guest.modifyQp({ qpn: s.qpn, attr_mask: STATE, qp_state: QpState.ERR });
    s.guest.postRecv(s.qpn, recvRequest(1));
    world.settle();
    expect(wantsNotification(s.guest, index, false)).toBe(true);
    const answer = s.guest.place(Uint8Array.of(9));
    const data = s.guest.commandBytes(Command.REQ_NOTIFY_CQ, Uint8Array.of(s.cqn, 0, 0, 0, 2, 0, 0, 0));
    s.guest.makeAvailable(s.guest.queues.control, data, { address: answer, length: 1 });
    s.guest.addBuffers(s.cqn, 1);
    while (s.guest.peek(answer, 1)[0] === 9) world.scheduler.step();
    expect(s.guest.poll(s.cqn)).toHaveLength(1);
    expect(wantsNotification(s.guest, index, false)).toBe(false);
  });
});

describe('payload', () => {
  type Count = { read: number; written: number };
  const LENGTHS = [0, 1, 100, 1023, 1024, 1025, 3000];

  /** Bytes of the side's buffer that the device read and wrote while `act` ran. */
  function counted(world: World, sides: readonly [Side, WatchedMemory][], act: () => void): Count[] {
    const counts = sides.map(([s, memory]) => {
      const count = { read: 0, written: 0 };
      memory.watch = {
        read: (address, length) => void (count.read += overlap(address, length, s.buffer, 4096)),
        written: (address, length) => void (count.written += overlap(address, length, s.buffer, 4096)),
      };
      return count;
    });
    act();
    world.settle();
    for (const [, memory] of sides) memory.watch = {};
    return counts;
  }

  it.each([
    ['RC', pairOfGuests],
    ['UC', pairOnUc],
  ] as const)('[PERF-15] is read once and written once on %s, whatever its length', (service, connected) => {
    const world = new World();
    const memories = [new WatchedMemory(), new WatchedMemory()] as const;
    const { a, b } = connected(world, { memory: memories[0] }, { memory: memories[1] });
    const sides: readonly [Side, WatchedMemory][] = [
      [a, memories[0]],
      [b, memories[1]],
    ];
    for (const length of LENGTHS) {
      const sges = [{ addr: a.buffer, length, lkey: a.lkey }];
      const rdma = { remote_addr: b.buffer, rkey: b.rkey };
      b.guest.postRecv(b.qpn, recvRequest(1, [{ addr: b.buffer, length: 4096, lkey: b.lkey }]));
      world.settle();
      for (const opcode of [WrOpcode.SEND, WrOpcode.RDMA_WRITE, WrOpcode.RDMA_READ]) {
        if (opcode === WrOpcode.RDMA_READ && service === 'UC') continue;
        const request = sendRequest({ opcode, flags: 0, sges, rdma });
        const counts = counted(world, sides, () => a.guest.postSend(a.qpn, request));
        const moved = { read: length, written: 0 };
        const landed = { read: 0, written: length };
        const expected = opcode === WrOpcode.RDMA_READ ? [landed, moved] : [moved, landed];
        expect(counts, `opcode ${opcode}, ${length} bytes`).toEqual(expected);
      }
      b.guest.poll(b.cqn);
    }
  });

  it('[PERF-15] of a datagram is written with 40 bytes more', () => {
    const world = new World();
    const memories = [new WatchedMemory(), new WatchedMemory()] as const;
    const { a, b, qkey } = datagramPair(world, { memory: memories[0] }, { memory: memories[1] });
    const ah = defined(a.guest.createAh(a.pdn, b.gid));
    const sides: readonly [Side, WatchedMemory][] = [
      [a, memories[0]],
      [b, memories[1]],
    ];
    for (const length of [0, 1, 100, 1024]) {
      b.guest.postRecv(b.qpn, recvRequest(1, [{ addr: b.buffer, length: 2048, lkey: b.lkey }]));
      world.settle();
      const ud = { remote_qpn: b.qpn, remote_qkey: qkey, ah };
      const request = sendRequest({ flags: 0, sges: [{ addr: a.buffer, length, lkey: a.lkey }], ud });
      const counts = counted(world, sides, () => a.guest.postSend(a.qpn, request));
      expect(counts).toEqual([
        { read: length, written: 0 },
        { read: 0, written: length + 40 },
      ]);
    }
  });
});

describe('one turn of the device', () => {
  /** Steps until quiet; returns the most chains that one step took of any one queue. */
  function mostInOneTurn(world: World, taken: Map<number, number>, enough: () => boolean): number {
    let most = 0;
    while (!world.scheduler.quiet && !enough()) {
      taken.clear();
      world.scheduler.step();
      most = Math.max(most, ...taken.values());
    }
    return most;
  }

  /** Fills a receive queue up whenever one of its chains comes back, as a driver on another processor can. */
  function refilled(size: number, options: GuestOptions) {
    const taken = new Map<number, number>();
    const state: { refills: number; fill: () => void } = { refills: 0, fill: () => undefined };
    const ring = ringObserver({
      taken: index => void taken.set(index, (taken.get(index) ?? 0) + 1),
      used: index => {
        if (index === filled.rq && state.refills < 100) state.fill();
      },
    });
    const filled = { rq: -1 };
    const world = new World();
    const queueSize = (index: number) => (index > 4 ? size : 16);
    const cap = {
      max_send_wr: size,
      max_recv_wr: size,
      max_send_sge: 1,
      max_recv_sge: 1,
      max_inline_data: 0,
    };
    const s = lonelySide(world, { ring, queueSize, cap, ...options });
    filled.rq = s.guest.queues.rq(s.qpn);
    state.fill = () => {
      s.guest.returned(filled.rq);
      while (s.guest.queue(filled.rq).freeDescriptors > 0) {
        s.guest.makeAvailable(filled.rq, recvRequest(state.refills));
        state.refills++;
      }
    };
    return { s, world, taken, state };
  }

  it.each([1, 2, 4, 16])(
    '[PERF-20] takes no more chains than a queue of %i has entries, though requests are done with at once',
    size => {
      // An adapter that is done with a receive before its post returns.
      let owner: unknown;
      const wrap = intercepting((name, call, args) => {
        if (name === 'createQp') [, , owner] = args;
        if (name !== 'postRecv') return call();
        const [qp, , cookie] = args;
        const retired: unknown = Reflect.get(Object(owner), 'recvRetired');
        if (typeof retired === 'function') Reflect.apply(retired, owner, [qp, cookie]);
        return undefined;
      });
      const { world, taken, state } = refilled(size, { wrap });
      state.fill();
      expect(mostInOneTurn(world, taken, () => state.refills >= 100)).toBeLessThanOrEqual(size);
      expect(state.refills).toBeGreaterThanOrEqual(100);
    },
  );

  it.each([1, 2, 4, 16])(
    '[PERF-20] takes no more chains than a queue of %i has entries for a move to RESET either',
    size => {
      const { s, world, taken, state } = refilled(size, {});
      const answer = s.guest.place(Uint8Array.of(9));
      const fields = Uint8Array.of(s.qpn, 0, 0, 0, STATE, 0, 0, 0, QpState.RESET, ...new Uint8Array(119));
      const data = s.guest.commandBytes(Command.MODIFY_QP, fields);
      s.guest.makeAvailable(s.guest.queues.control, data, { address: answer, length: 1 });
      state.fill();
      const done = () => s.guest.peek(answer, 1)[0] !== 9;
      expect(mostInOneTurn(world, taken, done)).toBe(size);
      expect(state.refills).toBe(2 * size);
    },
  );
});
