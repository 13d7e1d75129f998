/** The frame that all commands share: header, struct, ack, result, whatever the descriptors are. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Ack,
  Command,
  createCqCommand,
  createPdAck,
  createQpCommand,
  profiles,
  queryDeviceAck,
  queryPortAck,
  regUserMrCommand,
} from '../../src/abi/index.js';
import { UNREADABLE_COMMAND } from '../../src/device/index.js';
import { GuestMemory } from '../../src/virtio/index.js';
import {
  Guest,
  MEMORY_BYTES,
  MEMORY_START,
  UNWRITTEN,
  World,
  bytesOf,
  defined,
  limits,
  viewOf,
} from './guest.js';
import { side } from './pairs.js';
import { recording } from './recording.js';

const allCommands = Object.entries(Command);

/** Bytes of the struct and of the result of each command that has them, from the tables of the spec. */
const sizes: Record<string, readonly [struct: number, result: number]> = {
  QUERY_DEVICE: [0, 128],
  QUERY_PORT: [0, 32],
  CREATE_CQ: [4, 4],
  DESTROY_CQ: [4, 0],
  CREATE_PD: [0, 4],
  DESTROY_PD: [4, 0],
  GET_DMA_MR: [8, 12],
  REG_USER_MR: [32, 12],
  DEREG_MR: [4, 0],
  CREATE_QP: [56, 4],
  MODIFY_QP: [128, 0],
  QUERY_QP: [8, 120],
  DESTROY_QP: [4, 0],
  CREATE_AH: [48, 4],
  DESTROY_AH: [8, 0],
  ADD_GID: [24, 0],
  DEL_GID: [2, 0],
  REQ_NOTIFY_CQ: [8, 0],
};

/** A guest on which every command of {@link acceptable} succeeds once. */
function prepared(log: string[] = []): { guest: Guest; acceptable: Record<string, Uint8Array> } {
  const s = side(new World(), { wrap: recording(log), indirect: true });
  const { guest } = s;
  guest.createAh(s.pdn, s.gid);
  const emptyPd = defined(guest.createPd());
  const emptyCq = defined(guest.createCq(2));
  const registration = new Uint8Array(regUserMrCommand.size + 8);
  const fields = { pdn: s.pdn, access_flags: 1, virt_addr: 0x1000, length: 10, npages: 1 };
  regUserMrCommand.encode(viewOf(registration), 0, fields);
  viewOf(registration).setUint32(regUserMrCommand.size, s.buffer, true);
  const newQp = { ...createQpCommand.zero(), pdn: s.pdn, qp_type: 2, send_cqn: s.cqn, recv_cqn: s.cqn };
  const modify = new Uint8Array(128);
  modify.set([s.qpn, 0, 0, 0, 1, 0, 0, 0, 0]);
  const vector = new Uint8Array(48);
  vector[0] = s.pdn;
  vector.set(s.gid, 8);
  const gid = new Uint8Array(24);
  gid[0] = 1;
  gid.set(guest.world.newGid(), 8);
  return {
    guest,
    acceptable: {
      QUERY_DEVICE: new Uint8Array(0),
      QUERY_PORT: new Uint8Array(0),
      CREATE_CQ: bytesOf(createCqCommand, { cqe: 3 }),
      DESTROY_CQ: Uint8Array.of(emptyCq, 0, 0, 0),
      CREATE_PD: new Uint8Array(0),
      DESTROY_PD: Uint8Array.of(emptyPd, 0, 0, 0),
      GET_DMA_MR: Uint8Array.of(s.pdn, 0, 0, 0, 7, 0, 0, 0),
      REG_USER_MR: registration,
      DEREG_MR: Uint8Array.of(s.mrn, 0, 0, 0),
      CREATE_QP: bytesOf(createQpCommand, newQp),
      MODIFY_QP: modify,
      QUERY_QP: Uint8Array.of(s.qpn, 0, 0, 0, 0, 0, 0, 0),
      DESTROY_QP: Uint8Array.of(s.qpn, 0, 0, 0),
      CREATE_AH: vector,
      DESTROY_AH: Uint8Array.of(s.pdn, 0, 0, 0, 1, 0, 0, 0),
      ADD_GID: gid,
      DEL_GID: Uint8Array.of(0, 0),
      REQ_NOTIFY_CQ: Uint8Array.of(s.cqn, 0, 0, 0, 2, 0, 0, 0),
    },
  };
}

describe('every command', () => {
  for (const [name, code] of allCommands) {
    const [structBytes, resultBytes] = sizes[name];

    it(`[CTRL-01] [CTRL-02] ${name} is acknowledged with OK and answered with its whole result`, () => {
      const { guest, acceptable } = prepared();
      const answer = defined(guest.raw(guest.commandBytes(code, acceptable[name]), 1 + resultBytes));
      expect(answer.bytes[0]).toBe(Ack.OK);
      expect(answer.written).toBe(1 + resultBytes);
    });

    it(`[CTRL-11] [CTRL-12] ${name} ignores what is behind its struct and leaves what is behind its answer`, () => {
      const { guest, acceptable } = prepared();
      const longer = new Uint8Array([...acceptable[name], ...new Array<number>(19).fill(0xff)]);
      const answer = defined(guest.raw(guest.commandBytes(code, longer), 1 + resultBytes + 7));
      expect(answer.bytes[0]).toBe(Ack.OK);
      expect(answer.written).toBe(1 + resultBytes);
      expect([...answer.bytes.subarray(1 + resultBytes)]).toEqual(new Array(7).fill(UNWRITTEN));
    });

    it(`[CTRL-03] [CTRL-04] [CTRL-10] ${name} is refused when its answer would not fit`, () => {
      const log: string[] = [];
      const { guest, acceptable } = prepared(log);
      log.length = 0;
      for (let room = 1; room < 1 + resultBytes; room++) {
        const answer = defined(guest.raw(guest.commandBytes(code, acceptable[name]), room));
        expect(answer.written).toBe(1);
        expect([...answer.bytes]).toEqual([Ack.ERR, ...new Array<number>(room - 1).fill(UNWRITTEN)]);
      }
      expect(log).toEqual([]);
    });

    it(`[CTRL-09] ${name} is refused when its struct is cut short, and changes nothing`, () => {
      const log: string[] = [];
      const { guest, acceptable } = prepared(log);
      log.length = 0;
      for (let length = 0; length < structBytes; length++) {
        const data = acceptable[name].subarray(0, length);
        expect(guest.call(code, data, resultBytes)).toBeUndefined();
      }
      expect(log).toEqual([]);
    });

    it(`[CTRL-05] ${name} in a chain without a writable byte comes back empty and is not carried out`, () => {
      const log: string[] = [];
      const { guest, acceptable } = prepared(log);
      log.length = 0;
      const answer = defined(guest.raw(guest.commandBytes(code, acceptable[name]), 0));
      expect(answer.written).toBe(0);
      expect(log).toEqual([]);
    });

    it(`[CTRL-06] ${name} is refused in another class`, () => {
      const log: string[] = [];
      const { guest, acceptable } = prepared(log);
      log.length = 0;
      for (const wrongClass of [1, 6, 255]) {
        const bytes = guest.commandBytes(code, acceptable[name]);
        bytes[0] = wrongClass;
        const answer = defined(guest.raw(bytes, 1 + resultBytes));
        expect([answer.written, answer.bytes[0]]).toEqual([1, Ack.ERR]);
      }
      expect(log).toEqual([]);
    });

    it(`[CTRL-13] [VQ-13] ${name} is answered alike however it is cut`, () => {
      const whole = (() => {
        const { guest, acceptable } = prepared();
        return defined(guest.raw(guest.commandBytes(code, acceptable[name]), 1 + resultBytes));
      })();
      const cutPlace = fc.nat({ max: 140 });
      const cuts = fc.array(cutPlace, { maxLength: 5 });
      fc.assert(
        fc.property(cuts, cuts, fc.boolean(), (readableCuts, writableCuts, indirect) => {
          const s = prepared();
          const bytes = s.guest.commandBytes(code, s.acceptable[name]);
          const answer = s.guest.raw(bytes, 1 + resultBytes, readableCuts, writableCuts, indirect);
          expect(answer).toEqual(whole);
        }),
        { numRuns: 15 },
      );
    });
  }
});

describe('a chain that is no command', () => {
  it('[CTRL-07] is refused when its code is unknown, and changes nothing', () => {
    const log: string[] = [];
    const { guest } = prepared(log);
    log.length = 0;
    for (let code = 18; code < 256; code++) expect(guest.call(code, new Uint8Array(8), 200)).toBeUndefined();
    expect(log).toEqual([]);
  });

  it('[CTRL-08] is refused when it has less than two readable bytes', () => {
    const { guest } = prepared();
    for (const readable of [new Uint8Array(0), Uint8Array.of(0)]) {
      const answer = defined(guest.raw(readable, 9));
      expect([answer.written, answer.bytes[0]]).toEqual([1, Ack.ERR]);
    }
  });
});

describe('the profiles', () => {
  it('[CTRL-06] differ in class and place of the control queue, and in nothing else of a command', () => {
    const guest = new Guest(new World(), { profile: 'roce' });
    expect(guest.queues.control).toBe(2);
    const bytes = Uint8Array.of(profiles.roce.controlClass, Command.CREATE_PD);
    const answer = defined(guest.raw(bytes, 1 + createPdAck.size));
    expect(answer.bytes[0]).toBe(Ack.OK);
    bytes[0] = profiles.rdma.controlClass;
    expect(defined(guest.raw(bytes, 1 + createPdAck.size)).bytes[0]).toBe(Ack.ERR);
  });
});

describe('the observer of commands', () => {
  it('sees each command once, and its answer, also when it cannot be read', () => {
    const seen: number[][] = [];
    const control = {
      command: (id: number, command: number) => void seen.push([id, command]),
      answer: (id: number, command: number, ack: number) => void seen.push([id, command, ack]),
    };
    const guest = new Guest(new World(), { control });
    guest.createPd();
    guest.raw(Uint8Array.of(0), 1);
    expect(seen).toEqual([
      [0, Command.CREATE_PD],
      [0, Command.CREATE_PD, Ack.OK],
      [1, UNREADABLE_COMMAND],
      [1, UNREADABLE_COMMAND, Ack.ERR],
    ]);
  });
});

/** Guest memory that changes as soon as it has been read: every byte that was read is 0xff from then on. */
class FleetingMemory extends GuestMemory {
  fleeting = false;

  override read(address: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    const done = super.read(address, target, targetOffset, length);
    if (done && this.fleeting) super.write(address, new Uint8Array(length).fill(0xff), 0, length);
    return done;
  }
}

describe('memory that changes under the reader', () => {
  for (const [name, code] of allCommands) {
    it(`[CTRL-15] ${name} goes by the first reading`, () => {
      const memory = new FleetingMemory();
      memory.addRegion(MEMORY_START, new Uint8Array(MEMORY_BYTES));
      const [, resultBytes] = sizes[name];
      const steady = prepared();
      const expected = steady.guest.call(code, steady.acceptable[name], resultBytes);
      const s = side(new World(), { memory });
      const { guest } = s;
      guest.createAh(s.pdn, s.gid);
      guest.createPd();
      guest.createCq(2);
      const bytes = guest.commandBytes(code, steady.acceptable[name]);
      memory.fleeting = true;
      const address = guest.place(new Uint8Array(1 + resultBytes));
      guest.makeAvailable(guest.queues.control, bytes, { address, length: 1 + resultBytes });
      guest.world.settle();
      memory.fleeting = false;
      const answer = guest.peek(address, 1 + resultBytes);
      expect(answer[0]).toBe(Ack.OK);
      expect([...answer.subarray(1)]).toEqual([...new Uint8Array(defined(expected).buffer).subarray(1)]);
    });
  }
});

describe('the limits', () => {
  it('[CTRL-27] [CTRL-28] [CTRL-29] [CTRL-30] QUERY_DEVICE answers what is enforced', () => {
    const guest = new Guest(new World());
    const view = defined(guest.call(Command.QUERY_DEVICE, new Uint8Array(0), queryDeviceAck.size));
    const { attributes } = limits;
    expect(queryDeviceAck.decode(view, 0)).toEqual({
      device_cap_flags: 1,
      max_mr_size: attributes.maxMrSizeBytes,
      page_size_cap: 4096,
      hw_ver: 0,
      max_qp_wr: 16,
      max_send_sge: attributes.maxSendSge,
      max_recv_sge: attributes.maxRecvSge,
      max_sge_rd: attributes.maxSgeRd,
      max_cqe: 16,
      max_mr: attributes.maxMr,
      max_pd: attributes.maxPd,
      max_qp_rd_atom: attributes.maxQpRdAtom,
      max_qp_init_rd_atom: attributes.maxQpInitRdAtom,
      max_ah: attributes.maxAh,
      local_ca_ack_delay: 0,
    });
  });

  it('[CTRL-32] QUERY_PORT answers the GID table and the longest message', () => {
    const guest = new Guest(new World());
    const view = defined(guest.call(Command.QUERY_PORT, new Uint8Array(0), queryPortAck.size));
    expect(queryPortAck.decode(view, 0)).toEqual({ gid_tbl_len: 4, max_msg_sz: 64 * 1024 });
  });

  it('[CTRL-31] both answer the same whatever happened meanwhile', () => {
    const { guest } = prepared();
    const ask = () =>
      [
        guest.call(Command.QUERY_DEVICE, new Uint8Array(0), queryDeviceAck.size),
        guest.call(Command.QUERY_PORT, new Uint8Array(0), queryPortAck.size),
      ].map(view => [...new Uint8Array(defined(view).buffer)]);
    const before = ask();
    guest.createPd();
    guest.createCq(1);
    expect(ask()).toEqual(before);
  });
});
