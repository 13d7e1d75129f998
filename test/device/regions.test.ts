/** Memory regions as the device keeps them: pages, rights, keys, ends, and when memory is looked at. */
import { describe, expect, it } from 'vitest';
import {
  AccessFlag,
  Command,
  QpState,
  SendFlag,
  WcStatus,
  WrOpcode,
  getDmaMrAck,
  getDmaMrCommand,
} from '../../src/abi/index.js';
import { SeededChoices } from '../../src/fabric/index.js';
import { GuestMemory } from '../../src/virtio/index.js';
import { MEMORY_START, World, defined, recvRequest, sendRequest, viewOf } from './guest.js';
import { pairOfGuests } from './pairs.js';
import type { Side } from './pairs.js';
import { WatchedMemory, overlap } from './watched-memory.js';

const { SUCCESS, LOC_PROT_ERR, REM_ACCESS_ERR } = WcStatus;
const { LOCAL_WRITE, REMOTE_READ, REMOTE_WRITE } = AccessFlag;
const statuses = (s: Side) => s.guest.poll(s.cqn).map(({ status }) => status);

/** Moves the pair, which has failed, back to RTS. */
function again(a: Side, b: Side): void {
  for (const s of [a, b]) s.guest.modifyQp({ qpn: s.qpn, attr_mask: 1, qp_state: QpState.RESET });
  a.guest.connectRc(a.qpn, b.gid, b.qpn);
  b.guest.connectRc(b.qpn, a.gid, a.qpn);
}

/** Status of an RDMA_WRITE or RDMA_READ from a to b that ends well or puts both queue pairs into ERR. */
function reach(
  a: Side,
  b: Side,
  opcode: number,
  rdma: { remote_addr: number; rkey: number },
  length = 4,
): number {
  const sges = [{ addr: a.buffer, length, lkey: a.lkey }];
  a.guest.postSend(a.qpn, sendRequest({ opcode, sges, rdma }));
  a.guest.world.settle();
  const [status] = statuses(a);
  if (status !== SUCCESS) again(a, b);
  return status;
}

describe('regions', () => {
  it('[MEM-06] may overlap, and may name a page more than once', () => {
    const { a, b } = pairOfGuests(new World());
    const page = b.guest.alloc(4096, 4096);
    const next = b.guest.alloc(4096, 4096);
    const fields = { pdn: b.pdn, access_flags: LOCAL_WRITE | REMOTE_WRITE | REMOTE_READ };
    const both = { ...fields, virt_addr: page, length: 8192 };
    const straight = defined(b.guest.registerMr(both, [page, next]));
    const twice = defined(b.guest.registerMr(both, [page, page]));
    const tail = defined(b.guest.registerMr({ ...fields, virt_addr: 0x9000_0fff, length: 2 }, [page, next]));
    const write = (value: number, remote_addr: number, rkey: number) => {
      a.guest.memory.write(a.buffer, Uint8Array.of(value), 0, 1);
      expect(reach(a, b, WrOpcode.RDMA_WRITE, { remote_addr, rkey }, 1)).toBe(SUCCESS);
    };
    write(1, page + 4096, straight.rkey);
    write(2, page + 4096, twice.rkey);
    write(3, 0x9000_0fff, tail.rkey);
    expect([page, page + 4095, next].map(at => b.guest.peek(at, 1)[0])).toEqual([2, 3, 1]);
    write(4, page + 8191, twice.rkey);
    expect(b.guest.peek(page + 4095, 1)[0]).toBe(4);
  });

  it('[MEM-07] have each its own rights, whatever others on the same memory have', () => {
    const { a, b } = pairOfGuests(new World());
    const page = b.guest.alloc(4096, 4096);
    const register = (access_flags: number) =>
      defined(b.guest.registerMr({ pdn: b.pdn, access_flags, virt_addr: page, length: 4096 }, [page]));
    // The side's own region has every right; here are three more, on one page.
    const regions = [LOCAL_WRITE | REMOTE_WRITE, REMOTE_READ, LOCAL_WRITE].map(access => ({
      access,
      ...register(access),
    }));
    for (const { access, rkey, lkey } of regions) {
      for (const [opcode, right] of [
        [WrOpcode.RDMA_WRITE, REMOTE_WRITE],
        [WrOpcode.RDMA_READ, REMOTE_READ],
      ]) {
        const status = reach(a, b, opcode, { remote_addr: page, rkey });
        expect(status, `access ${access}, opcode ${opcode}`).toBe(
          (access & right) !== 0 ? SUCCESS : REM_ACCESS_ERR,
        );
      }
      b.guest.postRecv(b.qpn, recvRequest(1, [{ addr: page, length: 4, lkey }]));
      a.guest.postSend(a.qpn, sendRequest({ inline: Uint8Array.of(1) }));
      a.guest.world.settle();
      const [received] = statuses(b).slice(-1);
      expect(received, `access ${access}, receive`).toBe(
        (access & LOCAL_WRITE) !== 0 ? SUCCESS : LOC_PROT_ERR,
      );
      statuses(a);
      if (received !== SUCCESS) again(a, b);
    }
  });

  it('[MEM-13] of before a reset have keys that open nothing, though the same regions are registered again', () => {
    const { a, b } = pairOfGuests(new World());
    const old = { ...b };
    const ofA = { ...a };
    for (const s of [a, b]) {
      s.guest.device.writeStatus(0);
      s.guest.start();
      s.guest.addGid(0, s.gid);
      s.guest.createPd();
      s.guest.addBuffers(0, 16);
      s.guest.createCq(16);
      expect(s.guest.createQp({ pdn: 1, send_cqn: 0, recv_cqn: 0 })).toBe(s.qpn);
    }
    const anew = (s: Side): Side => ({ ...s, pdn: 1, ...s.guest.registerAt(1, s.buffer, 4096) });
    const newA = anew(a);
    const newB = anew(b);
    again(newA, newB);
    const rdma = { remote_addr: b.buffer, rkey: old.rkey };
    expect(reach(newA, newB, WrOpcode.RDMA_WRITE, rdma)).toBe(REM_ACCESS_ERR);
    expect(reach({ ...newA, lkey: ofA.lkey }, newB, WrOpcode.RDMA_WRITE, { ...rdma, rkey: newB.rkey })).toBe(
      LOC_PROT_ERR,
    );
    expect(reach(newA, newB, WrOpcode.RDMA_WRITE, { ...rdma, rkey: newB.rkey })).toBe(SUCCESS);
  });
});

describe('an access that would end above 2^64 - 1', () => {
  /** Guests with memory at address 0, and a region over all of it. */
  function guestsFromZero(): { a: Side; b: Side; keys: readonly { lkey: number; rkey: number }[] } {
    const memoryOf = () => {
      const memory = new GuestMemory();
      memory.addRegion(0, new Uint8Array(8192));
      memory.addRegion(MEMORY_START, new Uint8Array(1 << 20));
      return memory;
    };
    const { a, b } = pairOfGuests(new World(), { memory: memoryOf() }, { memory: memoryOf() });
    const keys = [a, b].map(s => {
      s.guest.memory.write(0, new Uint8Array(64).fill(0x11), 0, 64);
      return defined(
        s.guest.ask(Command.GET_DMA_MR, getDmaMrCommand, { pdn: s.pdn, access_flags: 7 }, getDmaMrAck),
      );
    });
    return { a, b, keys };
  }
  const unchanged = new Uint8Array(64).fill(0x11);
  const TOP = 0xffff_ffff_ffff_fffcn;

  it('[MEM-24] fails in an element, and does not go on at address 0', () => {
    for (const how of ['gather', 'receive', 'read'] as const) {
      const { a, b, keys } = guestsFromZero();
      const s = how === 'receive' ? b : a;
      const sges = [{ addr: 0, length: 32, lkey: keys[how === 'receive' ? 1 : 0].lkey }];
      const rdma = { remote_addr: b.buffer, rkey: b.rkey };
      const bytes =
        how === 'receive'
          ? recvRequest(1, sges)
          : sendRequest({ sges, rdma, opcode: how === 'read' ? WrOpcode.RDMA_READ : WrOpcode.RDMA_WRITE });
      viewOf(bytes).setBigUint64(bytes.length - 16, TOP, true);
      if (how === 'receive') {
        b.guest.postRecv(b.qpn, bytes);
        a.guest.postSend(a.qpn, sendRequest({ inline: new Uint8Array(32).fill(0xee) }));
      } else a.guest.postSend(a.qpn, bytes);
      a.guest.world.settle();
      expect(statuses(s), how).toEqual([LOC_PROT_ERR]);
      for (const end of [a, b]) expect(end.guest.peek(0, 64)).toEqual(unchanged);
      if (how === 'gather') expect(b.guest.peek(b.buffer, 32)).toEqual(new Uint8Array(32));
    }
  });

  it('[MEM-24] fails at the peer, and does not go on at address 0', () => {
    for (const opcode of [WrOpcode.RDMA_WRITE, WrOpcode.RDMA_READ]) {
      const { a, b, keys } = guestsFromZero();
      const sges = [{ addr: a.buffer, length: 32, lkey: a.lkey }];
      const bytes = sendRequest({ opcode, sges, rdma: { remote_addr: 0, rkey: keys[1].rkey } });
      viewOf(bytes).setBigUint64(16, TOP, true);
      a.guest.postSend(a.qpn, bytes);
      a.guest.world.settle();
      expect(statuses(a)).toEqual([REM_ACCESS_ERR]);
      expect(b.guest.peek(0, 64)).toEqual(unchanged);
      expect(a.guest.peek(a.buffer, 32)).toEqual(new Uint8Array(32));
    }
  });
});

describe('the memory of a region', () => {
  it('[MEM-28] is seen as the driver has written it when the request is made available', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const world = new World(new SeededChoices(seed));
      const { a, b } = pairOfGuests(world);
      const sges = [{ addr: a.buffer, length: 3, lkey: a.lkey }];
      for (let round = 1; round <= 8; round++) {
        const data = Uint8Array.of(round, seed, round ^ seed);
        b.guest.postRecv(
          b.qpn,
          recvRequest(round, [{ addr: b.buffer + 8 * round, length: 3, lkey: b.lkey }]),
        );
        const rdma = { remote_addr: b.buffer + 1024 + 8 * round, rkey: b.rkey };
        a.guest.memory.write(a.buffer, data, 0, 3);
        a.guest.postSend(a.qpn, sendRequest({ sges, flags: 0 }));
        a.guest.postSend(a.qpn, sendRequest({ opcode: WrOpcode.RDMA_WRITE, sges, rdma }));
        while (statuses(a).length === 0) world.scheduler.step();
        expect(b.guest.peek(b.buffer + 8 * round, 3), `seed ${seed}`).toEqual(data);
        expect(b.guest.peek(b.buffer + 1024 + 8 * round, 3), `seed ${seed}`).toEqual(data);
      }
    }
  });

  it('[DATA-34] that a request names is not touched any more when its chain is back', () => {
    const SLICE = 2560;
    const faults = { dropPer1024: 120, duplicatePer1024: 120, reorderPer1024: 120 };
    let touched = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const world = new World(new SeededChoices(seed), faults, seed);
      const returned = { a: 0, b: 0 };
      const memories = { a: new WatchedMemory(), b: new WatchedMemory() };
      const ring = (who: 'a' | 'b', queueOf: (s: Side) => number) => ({
        available: () => undefined,
        published: () => undefined,
        taken: () => undefined,
        interrupt: () => undefined,
        consumed: () => undefined,
        asleep: () => undefined,
        used: (queue: number) => {
          if (made.sides !== undefined && queue === queueOf(made.sides[who])) returned[who]++;
        },
      });
      const made: { sides?: { a: Side; b: Side } } = {};
      const sides = pairOfGuests(
        world,
        { memory: memories.a, ring: ring('a', s => s.guest.queues.sq(s.qpn)) },
        { memory: memories.b, ring: ring('b', s => s.guest.queues.rq(s.qpn)) },
      );
      made.sides = sides;
      const { a, b } = sides;
      const areas = [a, b].map(s => {
        const start = s.guest.alloc(4 * SLICE, 4096);
        return { start, lkey: s.guest.registerAt(s.pdn, start, 4 * SLICE).lkey };
      });
      const remote = b.guest.alloc(SLICE, 4096);
      const { rkey } = b.guest.registerAt(b.pdn, remote, SLICE);
      const late: string[] = [];
      const watch = (who: 'a' | 'b', start: number) => (address: number, length: number) => {
        for (let slice = 0; slice < 4; slice++) {
          if (overlap(address, length, start + slice * SLICE, SLICE) === 0) continue;
          touched++;
          if (slice < returned[who])
            late.push(`${who}: slice ${slice} when ${returned[who]} chains are back`);
        }
      };
      for (const [i, who] of (['a', 'b'] as const).entries()) {
        const touch = watch(who, areas[i].start);
        memories[who].watch = { read: touch, written: touch };
      }
      const opcodes = [WrOpcode.SEND, WrOpcode.RDMA_READ, WrOpcode.RDMA_WRITE, WrOpcode.SEND];
      const slices = opcodes.map((_, i) =>
        areas.map(({ start, lkey }) => ({ addr: start + i * SLICE, length: SLICE, lkey })),
      );
      for (const [i, opcode] of opcodes.entries()) {
        const [ofA, ofB] = slices[i];
        b.guest.postRecv(b.qpn, recvRequest(i, [ofB]));
        const rdma = { remote_addr: remote, rkey };
        a.guest.postSend(
          a.qpn,
          sendRequest({ wrId: i, opcode, flags: SendFlag.SIGNALED, sges: [ofA], rdma }),
        );
      }
      world.settle();
      expect(late, `seed ${seed}`).toEqual([]);
      expect(statuses(a), `seed ${seed}`).toEqual([SUCCESS, SUCCESS, SUCCESS, SUCCESS]);
      expect(returned).toEqual({ a: 4, b: 2 });
    }
    expect(touched).toBeGreaterThan(60 * 4 * 3);
  });
});
