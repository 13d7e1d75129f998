/** The law that what arrives is what was sent: what counts as arrived, which bytes are held against which, and which are not. */
import { describe, expect, it } from 'vitest';
import { QpState, QpType, WcFlag, WcOpcode, WcStatus, WrOpcode } from '../../../src/abi/index.js';
import { DataArrives, peerMachine } from '../../../src/conformance/invariants/data.js';
import { gidOf, patternBytes } from '../../../src/conformance/patterns.js';
import type { Program, SendRequestSpec, SgeSpec } from '../../../src/conformance/program.js';
import type { MrRecord, QpRecord, WrRecord } from '../../../src/conformance/records.js';
import { bareMetalWorld } from '../../../src/conformance/world.js';
import type { WorkCompletion } from '../../../src/verbs/index.js';
import { completion, cqRecord, mrRecord, pdRecord, program as alone, qpRecord } from '../hand-made.js';

const PAGE = 4096;
const program: Program = { ...alone, hosts: [0, 0, 0], arenaBytes: 3 * PAGE };
const sge = (at: number, length: number, mr: SgeSpec['mr'] = 'mr0'): SgeSpec => ({ at, length, mr });

function connected(vm: number, to: number, type: QpType = QpType.RC, destQpNum = 2): QpRecord {
  const ahAttr = { dgid: gidOf(to, 0), sgidIndex: 0, flowLabel: 0, hopLimit: 1, trafficClass: 0 };
  return { ...qpRecord(type), vm, attributes: { ahAttr, destQpNum } };
}

/** A run of three machines, told to the law; what the network would do with bytes is done by hand. */
class Told {
  readonly #world = bareMetalWorld(program, { profile: 'roce' });
  readonly law = new DataArrives(program, this.#world);
  #next = 0;

  send(qp: QpRecord, spec: Partial<SendRequestSpec>, wrId = this.#next): WrRecord {
    const opcode = spec.opcode ?? 'SEND';
    const request = this.#request(qp, true, WrOpcode[opcode], wrId);
    this.law.posted(request, { opcode, sges: [], ...spec });
    return request;
  }
  recv(qp: QpRecord, ...sges: readonly SgeSpec[]): WrRecord {
    const request = this.#request(qp, false, WrOpcode.SEND, this.#next);
    this.law.posted(request, { sges });
    return request;
  }
  #request(qp: QpRecord, send: boolean, opcode: number, wrId: number): WrRecord {
    return { wrId, qp, send, opcode, signaled: true, id: this.#next++, state: 'posted' };
  }

  put(vm: number, at: number, bytes: Uint8Array): void {
    this.#world.machines[vm].guest.writeArena(at, bytes);
  }
  read(vm: number, at: number, length = 1): Uint8Array {
    return this.#world.machines[vm].guest.readArena(at, length);
  }
  copy(from: readonly [vm: number, at: number], to: readonly [vm: number, at: number], length: number): void {
    this.put(...to, this.read(...from, length));
  }
  flip(vm: number, at: number): void {
    this.put(vm, at, Uint8Array.of(this.read(vm, at)[0] ^ 0xff));
  }
  /** The program writes, as far as the law hears of it. */
  wrote(vm: number, at: number, length: number): void {
    this.law.actionStarted(0, { op: 'writeMemory', vm, at, length, fill: 0 });
  }

  /** What the law says of a completion, undefined when it holds. */
  done(request: WrRecord, change: Partial<WorkCompletion> = {}): string | undefined {
    const { qp } = request;
    try {
      this.law.completed(
        request.send ? qp.sendCq : qp.recvCq,
        completion(request.wrId, { opcode: request.send ? WcOpcode.SEND : WcOpcode.RECV, ...change }),
        request,
      );
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

const noMessage = 'no message of that length and content was posted';
const withImm = (immData: number): Partial<WorkCompletion> => ({ wcFlags: WcFlag.WITH_IMM, immData });

describe('[DATA-46] a message that was received', () => {
  /** A message of 8 inline bytes from machine 1 to machine 0, arrived as it was sent; says what the law makes of it. */
  function arrival(
    change: Partial<WorkCompletion>,
    spec: Partial<SendRequestSpec> = {},
    types: readonly [QpType, QpType] = [QpType.RC, QpType.RC],
  ): string | undefined {
    const told = new Told();
    const datagram = types[1] === QpType.UD || types[1] === QpType.GSI;
    told.send({ ...qpRecord(types[0]), vm: 1 }, { inline: 8, ...spec }, 5);
    const recv = told.recv(qpRecord(types[1]), sge(100, 64));
    told.put(0, datagram ? 140 : 100, patternBytes(5, 8));
    return told.done(recv, change);
  }

  it('has the length of one that was sent', () => {
    expect(arrival({ byteLen: 8 })).toBeUndefined();
    for (const byteLen of [0, 7, 9, 48])
      expect(arrival({ byteLen })).toBe(`receive 1 of qp0, machine 0, got ${byteLen} bytes: ${noMessage}`);
  });

  it('has the immediate data of that message, and none where it has none', () => {
    const imm = { opcode: 'SEND_WITH_IMM', imm: 7 } as const;
    expect(arrival({ byteLen: 8, ...withImm(7) }, imm)).toBeUndefined();
    expect(arrival({ byteLen: 8, ...withImm(8) }, imm)).toBe(
      `receive 1 of qp0, machine 0, got 8 bytes and immediate data 8: ${noMessage}`,
    );
    expect(arrival({ byteLen: 8, immData: 7 }, imm)).toContain(noMessage);
    expect(arrival({ byteLen: 8, ...withImm(0) })).toContain(noMessage);
    expect(arrival({ byteLen: 8, ...withImm(0) }, { opcode: 'SEND_WITH_IMM' })).toBeUndefined();
    // What a plain send says of immediate data is not sent.
    expect(arrival({ byteLen: 8, wcFlags: WcFlag.GRH, immData: 7 }, { imm: 7 })).toBeUndefined();
  });

  it('is of the same service; the GSI queue pair and others talk to each other, behind 40 bytes of route', () => {
    const { RC, UC, UD, GSI } = QpType;
    for (const type of [RC, UC]) expect(arrival({ byteLen: 8 }, {}, [type, type])).toBeUndefined();
    for (const pair of [
      [UD, UD],
      [UD, GSI],
      [GSI, UD],
      [GSI, GSI],
    ] as const) {
      expect(arrival({ byteLen: 48 }, {}, pair)).toBeUndefined();
      expect(arrival({ byteLen: 8 }, {}, pair)).toContain(noMessage);
      expect(arrival({ byteLen: 47 }, {}, pair)).toContain('got 47 bytes');
    }
    expect(arrival({ byteLen: 8 }, {}, [UC, RC])).toContain(noMessage);
    expect(arrival({ byteLen: 8 }, {}, [RC, UC])).toContain(noMessage);
    expect(arrival({ byteLen: 48 }, {}, [RC, UD])).toContain(noMessage);
    // Neither is one of another service whose length makes up for it.
    expect(arrival({ byteLen: 8 }, { inline: 40 }, [RC, UC])).toContain(noMessage);
    expect(arrival({ byteLen: 8 }, { inline: 40 }, [UC, RC])).toContain(noMessage);
    const write = { opcode: 'RDMA_WRITE_WITH_IMM', imm: 9 } as const;
    for (const type of [RC, UC])
      expect(arrival({ byteLen: 48, ...withImm(9) }, write, [type, UD])).toContain(noMessage);
    const written = { byteLen: 8, ...withImm(9), opcode: WcOpcode.RECV_RDMA_WITH_IMM };
    const pairs = [
      [RC, UC],
      [UC, RC],
    ] as const;
    for (const pair of pairs) expect(arrival(written, { ...write, inline: 40 }, pair)).toContain(noMessage);
  });

  it('is not looked at when it failed, or when nobody knows of it', () => {
    expect(arrival({ byteLen: 3, status: WcStatus.LOC_LEN_ERR })).toBeUndefined();
    const { law } = new Told();
    expect(() => law.completed(cqRecord(), completion(0), undefined)).not.toThrow();
  });

  it('is a write with immediate data where the completion says so, and its bytes are elsewhere', () => {
    const write = { opcode: 'RDMA_WRITE_WITH_IMM', imm: 9, remote: { vm: 0, at: 500, mr: 'mr0' } } as const;
    const opcode = WcOpcode.RECV_RDMA_WITH_IMM;
    expect(arrival({ byteLen: 8, ...withImm(9), opcode }, write)).toBeUndefined();
    expect(arrival({ byteLen: 8, ...withImm(9) }, write)).toContain(noMessage);
    expect(arrival({ byteLen: 7, ...withImm(9), opcode }, write)).toContain(noMessage);
    expect(arrival({ byteLen: 8, ...withImm(9), opcode }, { opcode: 'SEND_WITH_IMM', imm: 9 })).toContain(
      noMessage,
    );
    expect(arrival({ byteLen: 8, opcode }, { ...write, opcode: 'RDMA_WRITE' })).toContain(noMessage);
    // Whatever the receive's own buffer holds.
    const told = new Told();
    told.send({ ...qpRecord(), vm: 1 }, { ...write, inline: 8 });
    const recv = told.recv(qpRecord(), sge(100, 64));
    expect(told.done(recv, { byteLen: 8, ...withImm(9), opcode })).toBeUndefined();
  });

  it('may be any of those that were sent with its length', () => {
    for (const wrId of [5, 6, 7]) {
      const told = new Told();
      for (const each of [5, 6, 7]) told.send(qpRecord(), { inline: 8 }, each);
      const recv = told.recv(qpRecord(), sge(100, 8));
      told.put(0, 100, patternBytes(wrId, 8));
      expect(told.done(recv, { byteLen: 8 })).toBeUndefined();
    }
    const told = new Told();
    for (const each of [5, 6, 7]) told.send(qpRecord(), { inline: 8 }, each);
    const recv = told.recv(qpRecord(), sge(100, 8));
    told.put(0, 100, patternBytes(8, 8));
    expect(told.done(recv, { byteLen: 8 })).toContain(noMessage);
  });
});

describe('[DATA-47] the bytes of a message', () => {
  /** From two buffers of machine 1 into three of machine 0, with the bytes of the message at `wrong` changed on the way. */
  function scattered(
    wrong: readonly number[],
    meanwhile: (told: Told) => void = () => undefined,
  ): Told & { said: string | undefined } {
    const told = new Told();
    told.send({ ...qpRecord(), vm: 1 }, { sges: [sge(1000, 6), sge(0, 0), sge(2000, 10)] });
    const recv = told.recv(qpRecord(), sge(10, 3), sge(50, 4), sge(60, 20));
    const bytes = new Uint8Array([...told.read(1, 1000, 6), ...told.read(1, 2000, 10)]);
    for (const at of wrong) bytes[at] ^= 0xff;
    told.put(0, 10, bytes.subarray(0, 3));
    told.put(0, 50, bytes.subarray(3, 7));
    told.put(0, 60, bytes.subarray(7));
    meanwhile(told);
    return Object.assign(told, { said: told.done(recv, { byteLen: 16 }) });
  }

  it('are those of its buffers, one behind the other, each of them', () => {
    const { said, law } = scattered([]);
    expect(said).toBeUndefined();
    expect(law.compared).toBe(16);
    for (let at = 0; at < 16; at++) expect(scattered([at]).said).toContain(noMessage);
  });

  it('do not count where the program has written since, here or there', () => {
    expect(scattered([0, 1], told => told.wrote(0, 10, 2)).said).toBeUndefined();
    expect(scattered([0, 1, 2], told => told.wrote(0, 10, 2)).said).toContain(noMessage);
    expect(scattered([5, 6], told => told.wrote(1, 1005, 1)).said).toContain(noMessage);
    expect(scattered([5], told => told.wrote(1, 1005, 1)).said).toBeUndefined();
    expect(scattered([5], told => told.wrote(2, 1005, 1)).said).toContain(noMessage);
    expect(
      scattered([5], told =>
        told.law.actionStarted(0, { op: 'expectMemory', vm: 1, at: 1005, length: 1, fill: 0 }),
      ).said,
    ).toContain(noMessage);
  });

  it('do not count where another request may write, here or there', () => {
    const other = (told: Told, vm: number, at: number): WrRecord =>
      told.recv({ ...qpRecord(), vm }, sge(at, 1));
    expect(scattered([0], told => other(told, 0, 10)).said).toBeUndefined();
    expect(scattered([1], told => other(told, 0, 10)).said).toContain(noMessage);
    expect(scattered([5], told => other(told, 1, 1005)).said).toBeUndefined();
    // Also when that one is done by now, or may have been on its way when this one was posted.
    expect(
      scattered([0], told => told.done(other(told, 0, 10), { status: WcStatus.WR_FLUSH_ERR })).said,
    ).toBeUndefined();
  });

  it('count again in a buffer whose earlier receive is done, well or not', () => {
    for (const status of [WcStatus.SUCCESS, WcStatus.WR_FLUSH_ERR]) {
      const told = new Told();
      told.send({ ...qpRecord(), vm: 1 }, { inline: 8 }, 5);
      const first = told.recv(qpRecord(), sge(10, 8));
      told.put(0, 10, patternBytes(5, 8));
      expect(told.done(first, { byteLen: 8, status })).toBeUndefined();
      const second = told.recv(qpRecord(), sge(10, 8));
      expect(told.done(second, { byteLen: 8 })).toBeUndefined();
      const third = told.recv(qpRecord(), sge(10, 8));
      told.flip(0, 17);
      expect(told.done(third, { byteLen: 8 })).toContain(noMessage);
    }
  });

  it('of a message that was written before it was posted are those', () => {
    const told = new Told();
    told.wrote(1, 1000, 8);
    told.send({ ...qpRecord(), vm: 1 }, { sges: [sge(1000, 8)] });
    told.wrote(0, 10, 8);
    const recv = told.recv(qpRecord(), sge(10, 8));
    told.copy([1, 1000], [0, 10], 8);
    told.flip(0, 12);
    expect(told.done(recv, { byteLen: 8 })).toContain(noMessage);
  });

  it('behind the header of a datagram begin in whatever buffer that ends', () => {
    for (const [cut, wrong] of [
      [[16, 24, 60], 0],
      [[40, 60], 3],
      [[44, 60], 7],
      [[10, 31, 60], 1],
    ] as const) {
      for (const right of [true, false]) {
        const told = new Told();
        told.send({ ...qpRecord(QpType.UD), vm: 1 }, { inline: 8 }, 5);
        let at = 0;
        const bytes = new Uint8Array(200);
        bytes.set(patternBytes(5, 8), 40);
        if (!right) bytes[40 + wrong] ^= 1;
        let done = 0;
        const sges = cut.map((length, i) => {
          at = 100 + 300 * i;
          told.put(0, at, bytes.subarray(done, done + length));
          done += length;
          return sge(at, length);
        });
        // The buffers have to be posted before they are written by the device, but the law looks at the end only.
        const recv = told.recv(qpRecord(QpType.UD), ...sges);
        expect(told.done(recv, { byteLen: 48 }) === undefined).toBe(right);
      }
    }
  });

  it('that no buffer has room for, or that lie outside the memory, are not there to be compared', () => {
    const told = new Told();
    told.send({ ...qpRecord(), vm: 1 }, { inline: 8 }, 5);
    told.send({ ...qpRecord(), vm: 1 }, { sges: [sge(-4, 9)] });
    const small = told.recv(qpRecord(), sge(10, 2));
    told.put(0, 10, patternBytes(5, 2));
    expect(told.done(small, { byteLen: 8 })).toBeUndefined();
    expect(told.law.compared).toBe(2);
    const outside = told.recv(qpRecord(), sge(-3, 4), sge(3 * PAGE - 1, 5));
    told.put(0, 0, patternBytes(5, 8).subarray(3, 4));
    told.put(0, 3 * PAGE - 1, patternBytes(5, 8).subarray(4, 5));
    expect(told.done(outside, { byteLen: 8 })).toBeUndefined();
    expect(told.law.compared).toBe(4);
    const again = told.recv(qpRecord(), sge(-3, 4), sge(3 * PAGE - 1, 5));
    told.flip(0, 3 * PAGE - 1);
    expect(told.done(again, { byteLen: 8 })).toContain(noMessage);
    const none = told.recv(qpRecord());
    expect(told.done(none, { byteLen: 8 })).toBeUndefined();
    const short = told.recv(qpRecord(), sge(200, 2));
    told.copy([1, 0], [0, 202], 5);
    expect(told.done(short, { byteLen: 9 })).toBeUndefined();
    const headless = told.recv(qpRecord(QpType.UD), sge(300, 30), sge(400, 5));
    told.send({ ...qpRecord(QpType.UD), vm: 1 }, { inline: 8 }, 5);
    expect(told.done(headless, { byteLen: 48 })).toBeUndefined();
    const longer = told.recv(qpRecord(), sge(100, 20));
    told.copy([1, 0], [0, 104], 5);
    expect(told.done(longer, { byteLen: 9 })).toBeUndefined();
  });
});

describe('[DATA-37] [DATA-38] a transfer that is done', () => {
  /** A write from machine 0 to machine 1, or a read the other way, of two buffers; byte `wrong` differs at the target. */
  function transfer(
    how: {
      readonly read?: boolean;
      readonly wrong?: number;
      readonly qp?: QpRecord;
      readonly spec?: Partial<SendRequestSpec>;
      readonly result?: Partial<WorkCompletion>;
      readonly before?: (told: Told) => void;
      readonly meanwhile?: (told: Told, request: WrRecord) => void;
    } = {},
  ): { readonly said: string | undefined; readonly told: Told } {
    const told = new Told();
    const { read = false, wrong, qp = connected(0, 1) } = how;
    how.before?.(told);
    const request = told.send(
      qp,
      {
        opcode: read ? 'RDMA_READ' : 'RDMA_WRITE',
        sges: [sge(10, 6), sge(30, 4)],
        // The machine that the queue pair is connected with counts, not the one that was thought of.
        remote: { vm: 2, at: 1000, mr: 'mr0' },
        ...how.spec,
      },
      3,
    );
    if (read) {
      told.copy([1, 1000], [0, 10], 6);
      told.copy([1, 1006], [0, 30], 4);
      if (wrong !== undefined) told.flip(0, wrong < 6 ? 10 + wrong : 24 + wrong);
    } else {
      told.copy([0, 10], [1, 1000], 6);
      told.copy([0, 30], [1, 1006], 4);
      if (wrong !== undefined) told.flip(1, 1000 + wrong);
    }
    how.meanwhile?.(told, request);
    return { said: told.done(request, { opcode: WcOpcode.RDMA_WRITE, ...how.result }), told };
  }

  it('has put each byte in its place', () => {
    for (const read of [false, true]) {
      const { said, told } = transfer({ read });
      expect(said).toBeUndefined();
      expect(told.law.compared).toBe(10);
      for (let wrong = 0; wrong < 10; wrong++) {
        const broken = transfer({ read, wrong });
        const [is, not] = read
          ? [broken.told.read(0, wrong < 6 ? 10 + wrong : 24 + wrong), broken.told.read(1, 1000 + wrong)]
          : [broken.told.read(1, 1000 + wrong), broken.told.read(0, wrong < 6 ? 10 + wrong : 24 + wrong)];
        expect(broken.said).toBe(
          `request 3 of qp0, machine 0, is done, and its byte ${wrong} is ${is[0]} and not ${not[0]}`,
        );
      }
    }
  });

  it('has put the pattern of an inline write', () => {
    const inline = { sges: [], inline: 4 };
    const put = (told: Told): void => told.put(1, 1000, patternBytes(3, 4));
    expect(transfer({ spec: inline, meanwhile: put }).said).toBeUndefined();
    const wrong = (told: Told): void => told.put(1, 1000, patternBytes(3, 4).with(2, 1));
    expect(transfer({ spec: inline, meanwhile: wrong }).said).toBe(
      `request 3 of qp0, machine 0, is done, and its byte 2 is 1 and not ${patternBytes(3, 4)[2]}`,
    );
    const long = { sges: [], inline: 300 };
    const rest = (told: Told): void => told.put(1, 1000, patternBytes(3, 300));
    expect(transfer({ spec: long, meanwhile: rest }).said).toBeUndefined();
  });

  it('with immediate data has put them all the same', () => {
    const spec = { opcode: 'RDMA_WRITE_WITH_IMM', imm: 1 } as const;
    expect(transfer({ spec }).said).toBeUndefined();
    expect(transfer({ spec, wrong: 9 }).said).toContain('its byte 9 is');
  });

  it('is not judged when it failed, nor a write of a service without acknowledgements', () => {
    const failed = { status: WcStatus.REM_ACCESS_ERR };
    for (const read of [false, true])
      expect(transfer({ read, wrong: 0, result: failed }).said).toBeUndefined();
    expect(transfer({ wrong: 0, qp: connected(0, 1, QpType.UC) }).said).toBeUndefined();
  });

  it('without a place at the peer has nothing to show', () => {
    for (const read of [false, true])
      expect(transfer({ read, wrong: 0, spec: { remote: undefined } }).said).toBeUndefined();
    expect(transfer({ wrong: 0, qp: connected(0, 9) }).said).toBeUndefined();
    expect(transfer({ read: true, wrong: 0, qp: connected(0, 9) }).said).toBeUndefined();
    expect(transfer({ wrong: 0, qp: connected(0, 9), spec: { sges: [], inline: 4 } }).said).toBeUndefined();
  });

  it('is not judged by bytes that others may have written', () => {
    const other = (vm: number, at: number) => (told: Told) =>
      void told.recv({ ...qpRecord(), vm }, sge(at, 1));
    expect(transfer({ wrong: 2, meanwhile: other(1, 1002) }).said).toBeUndefined();
    expect(transfer({ wrong: 2, meanwhile: other(0, 12) }).said).toBeUndefined();
    expect(transfer({ wrong: 2, meanwhile: other(1, 1003) }).said).toContain('its byte 2 is');
    expect(transfer({ wrong: 2, before: other(0, 12) }).said).toBeUndefined();
    expect(transfer({ wrong: 2, before: other(1, 1002) }).said).toBeUndefined();
    const wrote = (told: Told): void => told.wrote(1, 1002, 1);
    expect(transfer({ wrong: 2, meanwhile: told => told.wrote(9, 1002, 1) }).said).toContain('its byte 2 is');
    expect(transfer({ wrong: 2, meanwhile: wrote }).said).toBeUndefined();
    expect(transfer({ wrong: 2, before: wrote }).said).toContain('its byte 2 is');
  });

  it('writes no more when it was acknowledged, and may be still on its way when it failed', () => {
    const again = (first: WcStatus, type: QpType = QpType.RC): string | undefined => {
      const earlier = (told: Told): void => {
        const write = told.send(connected(0, 1, type), {
          opcode: 'RDMA_WRITE',
          sges: [sge(500, 8)],
          remote: { vm: 1, at: 1000, mr: 'mr0' },
        });
        told.copy([0, 500], [1, 1000], 8);
        expect(told.done(write, { status: first })).toBeUndefined();
      };
      return transfer({ wrong: 2, before: earlier }).said;
    };
    expect(again(WcStatus.SUCCESS)).toContain('its byte 2 is');
    expect(again(WcStatus.WR_FLUSH_ERR)).toBeUndefined();
    expect(again(WcStatus.SUCCESS, QpType.UC)).toBeUndefined();
    const read = (status: WcStatus) => (told: Told) => {
      const earlier = told.send(connected(1, 2), {
        opcode: 'RDMA_READ',
        sges: [sge(1000, 8)],
        remote: { vm: 2, at: 0, mr: 'mr0' },
      });
      told.copy([2, 0], [1, 1000], 8);
      expect(told.done(earlier, { status })).toBeUndefined();
    };
    for (const status of [WcStatus.SUCCESS, WcStatus.WR_FLUSH_ERR])
      expect(transfer({ wrong: 2, before: read(status) }).said).toContain('its byte 2 is');
    // The far side of a read is not written.
    expect(
      transfer({
        wrong: 2,
        before: told =>
          void told.send(connected(2, 1), {
            opcode: 'RDMA_READ',
            sges: [sge(1000, 8)],
            remote: { vm: 1, at: 1000, mr: 'mr0' },
          }),
      }).said,
    ).toContain('its byte 2 is');
  });

  it('of a send is not looked at', () => {
    const told = new Told();
    const plain = told.send(connected(0, 1), { sges: [sge(0, 8)], remote: { vm: 1, at: 0, mr: 'mr0' } });
    expect(told.done(plain)).toBeUndefined();
    expect(told.law.compared).toBe(0);
  });

  it('is judged in the first life of both ends alone', () => {
    const said = (before: (told: Told) => void): string | undefined => transfer({ wrong: 2, before }).said;
    const qp = connected(0, 1);
    const peer = { ...connected(1, 0), handle: { ...qp.handle } };
    expect(said(({ law }) => law.modified(qp, QpState.RESET))).toBeUndefined();
    expect(said(({ law }) => law.modified(peer, QpState.RESET))).toBeUndefined();
    expect(said(({ law }) => law.destroyed(peer))).toBeUndefined();
    expect(said(({ law }) => law.modified(qp, QpState.INIT))).toContain('its byte 2');
    expect(said(({ law }) => law.modified(qp, undefined))).toContain('its byte 2');
    expect(said(({ law }) => law.modified(connected(2, 0), QpState.RESET))).toContain('its byte 2');
    const third = { ...qp, handle: { ...qp.handle, qpNum: 3 } };
    expect(said(({ law }) => law.modified(third, QpState.RESET))).toContain('its byte 2');
    expect(said(({ law }) => law.destroyed(pdRecord()))).toContain('its byte 2');
    // A queue pair that was never told its peer is taken for one connected with number 0 of its own machine.
    const lonely = { ...qpRecord(), vm: 1 };
    const zero = { ...lonely, handle: { ...lonely.handle, qpNum: 0 } };
    const own = (before: (told: Told) => void): string | undefined =>
      transfer({ wrong: 2, qp: qpRecord(), spec: { remote: { vm: 1, at: 1000, mr: 'mr0' } }, before }).said;
    expect(own(() => undefined)).toContain('its byte 2');
    expect(own(({ law }) => law.modified({ ...zero, vm: 0 }, QpState.RESET))).toBeUndefined();
    expect(own(({ law }) => law.modified(zero, QpState.RESET))).toContain('its byte 2');
  });

  it('is not judged when a region over all memory was used across pages, nor are the bytes of a message then', () => {
    const dma = (vm: number, change: Partial<MrRecord> = {}): MrRecord => ({
      ...mrRecord(pdRecord()),
      vm,
      name: 'dma',
      dma: true,
      ...change,
    });
    const used = (region: MrRecord, vm: number, at: number, length: number, mr: SgeSpec['mr'] = 'dma') =>
      transfer({
        wrong: 2,
        before: told => {
          told.law.created(pdRecord());
          told.law.created(region);
          told.recv({ ...qpRecord(), vm }, sge(at, length, mr));
        },
      }).said;
    expect(used(dma(2), 2, PAGE - 1, 2)).toBeUndefined();
    expect(used(dma(2), 2, 2 * PAGE - 8, 9)).toBeUndefined();
    expect(used(dma(2), 2, 2 * PAGE - 8, 8)).toContain('its byte 2');
    expect(used(dma(2), 2, PAGE, PAGE)).toContain('its byte 2');
    expect(used(dma(2), 2, PAGE - 1, 0)).toContain('its byte 2');
    expect(used(dma(2, { dma: false }), 2, PAGE - 1, 2)).toContain('its byte 2');
    expect(used(dma(1), 2, PAGE - 1, 2)).toContain('its byte 2');
    expect(used(dma(2), 2, PAGE - 1, 2, { of: 'dma', delta: 0 })).toContain('its byte 2');
    const far = (at: number): string | undefined =>
      transfer({
        wrong: 2,
        before: told => {
          told.law.created(dma(2));
          told.send(connected(1, 2), {
            opcode: 'RDMA_WRITE',
            sges: [],
            inline: 4,
            remote: { vm: 0, at, mr: 'dma' },
          });
        },
      }).said;
    expect(far(PAGE - 3)).toBeUndefined();
    expect(far(PAGE - 4)).toContain('its byte 2');
    const told = new Told();
    told.law.created(dma(0));
    told.send(qpRecord(), { inline: 8 }, 5);
    const recv = told.recv(qpRecord(), sge(PAGE - 1, 8, 'dma'));
    expect(told.done(recv, { byteLen: 8 })).toBeUndefined();
    const shorter = told.recv(qpRecord(), sge(PAGE - 1, 8, 'dma'));
    expect(told.done(shorter, { byteLen: 7 })).toContain(noMessage);
  });
});

describe('the machine of a peer', () => {
  it('is that of the address of the connection, and the one thought of without', () => {
    expect(peerMachine(connected(0, 2), 1)).toBe(2);
    expect(peerMachine(qpRecord(), 1)).toBe(1);
  });
});

describe('bytes of which nothing is promised', () => {
  const failed = { status: WcStatus.REM_INV_REQ_ERR };
  const [a, b] = [connected(0, 1), connected(1, 0)];

  it('are those of receives and reads that failed, or that the device still has', () => {
    const told = new Told();
    const short = told.recv(b, sge(100, 50), sge(300, 20));
    const read = told.send(a, {
      opcode: 'RDMA_READ',
      sges: [sge(700, 8)],
      remote: { vm: 1, at: 0, mr: 'mr0' },
    });
    told.recv(a, sge(900, 10));
    expect(told.done(short, { status: WcStatus.LOC_LEN_ERR })).toBeUndefined();
    expect(told.done(read, failed)).toBeUndefined();
    expect(told.law.unpromised()).toEqual([
      { vm: 1, at: 100, length: 50 },
      { vm: 1, at: 300, length: 20 },
      { vm: 0, at: 700, length: 8 },
      { vm: 0, at: 900, length: 10 },
    ]);
  });

  it('are those where a write was going that failed, at the peer', () => {
    const told = new Told();
    const write = told.send(a, {
      opcode: 'RDMA_WRITE',
      sges: [sge(0, 64)],
      remote: { vm: 1, at: 512, mr: 'mr0' },
    });
    expect(told.done(write, failed)).toBeUndefined();
    expect(told.law.unpromised()).toEqual([{ vm: 1, at: 512, length: 64 }]);
  });

  it('are none of what is done, of sends, and of writes that are under way', () => {
    const told = new Told();
    const remote = { vm: 1, at: 512, mr: 'mr0' };
    const send = told.send(a, { sges: [sge(0, 64)] });
    const done = told.send(a, { opcode: 'RDMA_WRITE', sges: [sge(0, 8)], remote });
    told.send(a, { opcode: 'RDMA_WRITE', sges: [sge(0, 8)], remote });
    told.copy([0, 0], [1, 512], 8);
    expect(told.done(send, failed)).toBeUndefined();
    expect(told.done(done)).toBeUndefined();
    expect(told.law.unpromised()).toEqual([]);
  });
});
