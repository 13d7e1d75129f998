/** The law that no byte changes which nobody may write: for each way to be allowed to, the bytes that it covers and those beside them. */
import { describe, expect, it } from 'vitest';
import { AccessFlag, WrOpcode } from '../../../src/abi/index.js';
import { MemoryUntouched } from '../../../src/conformance/invariants/memory.js';
import type { RequestSpec } from '../../../src/conformance/observer.js';
import { gidOf, initialArena } from '../../../src/conformance/patterns.js';
import type { Program, SendRequestSpec } from '../../../src/conformance/program.js';
import type { MrRecord, QpRecord, WrRecord } from '../../../src/conformance/records.js';
import { bareMetalWorld } from '../../../src/conformance/world.js';
import { mrRecord, pdRecord, program as alone, qpRecord } from '../hand-made.js';

const BYTES = alone.arenaBytes;
const program: Program = { ...alone, hosts: [0, 0, 0] };

/** A run of three machines, told to the law; then bytes change, and the law says what it finds. */
class Told {
  readonly #world = bareMetalWorld(program, { profile: 'roce' });
  readonly law = new MemoryUntouched(program, this.#world);

  post(opcode: WrOpcode, spec: RequestSpec, qp: QpRecord = qpRecord(), send = true): this {
    const request: WrRecord = { wrId: 0, qp, send, opcode, signaled: true, id: 0, state: 'posted' };
    this.law.posted(request, spec);
    return this;
  }

  region(change: Partial<MrRecord> = {}): MrRecord {
    const usual = { vm: 1, at: 1000, length: 100, access: AccessFlag.REMOTE_WRITE, rkey: 77 };
    const region = { ...mrRecord(pdRecord()), ...usual, ...change };
    this.law.created(region);
    return region;
  }

  /** A write to a region of machine 1 unless said otherwise. */
  write(change: Partial<SendRequestSpec> = {}, qp?: QpRecord): this {
    return this.post(
      WrOpcode.RDMA_WRITE,
      {
        opcode: 'RDMA_WRITE',
        sges: [{ at: 0, length: 8, mr: 'mr0' }],
        remote: { vm: 1, at: 1000, mr: 'mr0' },
        ...change,
      },
      qp,
    );
  }

  /** What the law says at the end when these bytes have changed, undefined when it holds; they are put back. */
  says(vm: number, ...touched: readonly number[]): string | undefined {
    const { guest } = this.#world.machines[vm];
    for (const at of touched) guest.writeArena(at, Uint8Array.of(guest.readArena(at, 1)[0] ^ 0xff));
    try {
      this.law.ended();
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      for (const at of touched) guest.writeArena(at, Uint8Array.of(guest.readArena(at, 1)[0] ^ 0xff));
    }
  }

  /** Of the bytes of a machine around `from` to `to`, those that may change. */
  covered(vm: number, from: number, to: number): readonly number[] {
    const bytes = Array.from({ length: to - from }, (_, i) => from + i);
    return bytes.filter(at => this.says(vm, at) === undefined);
  }
}

const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);
const change = (vm: number, at: number): string => {
  const before = initialArena(vm, BYTES)[at];
  return `byte ${at} of machine ${vm} changed from ${before} to ${before ^ 0xff} and no request covers it`;
};

describe('[ISO-08] [DATA-37] a byte that nobody may write', () => {
  it('is every byte of every machine when nothing was posted, the first and the last among them', () => {
    const told = new Told();
    expect(told.says(0)).toBeUndefined();
    for (const vm of [0, 1, 2])
      for (const at of [0, 1, 100, BYTES - 1]) expect(told.says(vm, at)).toBe(change(vm, at));
    expect(told.says(1, 9, 300)).toBe(change(1, 9));
  });

  it('is what lies beside the buffers of a receive', () => {
    const sges = [
      { at: 10, length: 5, mr: 'mr0' },
      { at: 20, length: 1, mr: 'mr0' },
      { at: BYTES - 1, length: 9, mr: 'mr0' },
      { at: 30, length: 0, mr: 'mr0' },
    ];
    const told = new Told().post(WrOpcode.SEND, { sges }, { ...qpRecord(), vm: 1 }, false);
    expect(told.covered(1, 8, 32)).toEqual([...range(10, 15), 20]);
    expect(told.covered(1, BYTES - 2, BYTES)).toEqual([BYTES - 1]);
    expect(told.covered(0, 8, 22)).toEqual([]);
    expect(told.says(1, 12, 16)).toBe(change(1, 16));
    expect(told.says(1, 14, 20, 21)).toBe(change(1, 21));
  });

  it('is not the buffer of a read, but is what the read is of', () => {
    const told = new Told();
    told.region();
    told.post(WrOpcode.RDMA_READ, {
      opcode: 'RDMA_READ',
      sges: [{ at: 10, length: 5, mr: 'mr0' }],
      remote: { vm: 1, at: 1000, mr: 'mr0' },
    });
    expect(told.covered(0, 8, 20)).toEqual(range(10, 15));
    expect(told.covered(1, 998, 1010)).toEqual([]);
  });

  it('is what a send gathers from, and what a write without a target does', () => {
    const sges = [{ at: 10, length: 5, mr: 'mr0' }];
    const told = new Told();
    told.region({ vm: 0, at: 0 });
    told.post(WrOpcode.SEND, { opcode: 'SEND', sges });
    told.post(WrOpcode.RDMA_WRITE, { opcode: 'RDMA_WRITE', sges });
    told.post(WrOpcode.RDMA_WRITE, { sges });
    told.post(WrOpcode.RDMA_WRITE, { opcode: 'RDMA_WRITE', sges, remote: undefined });
    expect(told.covered(0, 0, 20)).toEqual([]);
  });

  it('is not what the program writes itself, on the machine on which it does', () => {
    const told = new Told();
    told.law.actionStarted(0, { op: 'writeMemory', vm: 1, at: 40, length: 3, fill: 1 });
    told.law.actionStarted(1, { op: 'expectMemory', vm: 1, at: 50, length: 3, fill: 1 });
    expect(told.covered(1, 38, 55)).toEqual([40, 41, 42]);
    expect(told.covered(0, 38, 45)).toEqual([]);
  });
});

describe('[MEM-20] [MEM-21] what a peer may write', () => {
  it('is as many bytes as the write gathers, or as it has inline, from its target on, in the machine that it names', () => {
    const told = new Told();
    told.region();
    told.write({
      sges: [
        { at: 0, length: 2, mr: 'mr0' },
        { at: 9, length: 3, mr: 'mr0' },
      ],
    });
    expect(told.covered(1, 998, 1010)).toEqual(range(1000, 1005));
    expect(told.covered(0, 998, 1010)).toEqual([]);
    const inline = new Told();
    inline.region();
    inline.write({ sges: [], inline: 4 });
    expect(inline.covered(1, 998, 1010)).toEqual(range(1000, 1004));
  });

  it('is the region to its edges, and nothing of a write that crosses one', () => {
    const whole = { sges: [{ at: 0, length: 100, mr: 'mr0' }] };
    const fits = new Told();
    fits.region();
    expect(fits.write(whole).covered(1, 998, 1102)).toEqual(range(1000, 1100));
    for (const at of [999, 1001]) {
      const crosses = new Told();
      crosses.region();
      crosses.write({ ...whole, remote: { vm: 1, at, mr: 'mr0' } });
      expect(crosses.covered(1, 998, 1003)).toEqual([]);
    }
    const last = new Told();
    last.region();
    last.write({ sges: [{ at: 0, length: 1, mr: 'mr0' }], remote: { vm: 1, at: 1099, mr: 'mr0' } });
    expect(last.covered(1, 1097, 1102)).toEqual([1099]);
  });

  it('needs a region that lives, with the right, under the key that was used', () => {
    const coveredBy = (region: Partial<MrRecord>, mr: NonNullable<SendRequestSpec['remote']>['mr']) => {
      const told = new Told();
      told.region(region);
      told.write({ remote: { vm: 1, at: 1000, mr } });
      return told.covered(1, 999, 1009).length;
    };
    expect(coveredBy({}, 'mr0')).toBe(8);
    expect(coveredBy({ access: AccessFlag.REMOTE_WRITE | AccessFlag.LOCAL_WRITE }, 'mr0')).toBe(8);
    expect(coveredBy({ access: AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_READ }, 'mr0')).toBe(0);
    expect(coveredBy({ alive: false }, 'mr0')).toBe(0);
    expect(coveredBy({}, 'mr1')).toBe(0);
    expect(coveredBy({ vm: 2 }, 'mr0')).toBe(0);
    expect(coveredBy({}, { of: 'mr0', delta: 0 })).toBe(8);
    expect(coveredBy({}, { of: 'mr0', delta: 1 })).toBe(0);
    expect(coveredBy({}, { raw: 78 })).toBe(0);
    expect(coveredBy({}, { raw: 77 })).toBe(8);
  });

  it('may come behind the write that names its key, and a key that is made up is that of no region before it', () => {
    const write = (told: Told) => told.write({ remote: { vm: 1, at: 1000, mr: { of: 'mr0', delta: 1 } } });
    const late = { name: 'mr1', rkey: 78, lkey: 78 };
    const before = new Told();
    before.region();
    before.region(late);
    write(before);
    expect(before.covered(1, 999, 1009)).toEqual([]);
    before.region({ ...late, name: 'mr2', rkey: 79 });
    expect(before.covered(1, 999, 1009)).toEqual(range(1000, 1008));
    const behind = new Told();
    behind.region();
    write(behind);
    expect(behind.covered(1, 999, 1009)).toEqual([]);
    behind.region({ ...late, vm: 2 });
    behind.region({ ...late, access: AccessFlag.REMOTE_READ });
    expect(behind.covered(1, 999, 1009)).toEqual([]);
    behind.region(late);
    expect(behind.covered(1, 999, 1009)).toEqual(range(1000, 1008));
  });

  it('is found by name and machine among all objects, and by key among the regions of the target', () => {
    const told = new Told();
    told.law.created({ ...pdRecord(), vm: 1, name: 'mr0' });
    told.region({ vm: 0, rkey: 5, at: 2000 });
    told.region({ vm: 2, name: 'elsewhere', rkey: 6, at: 3000 });
    told.region({ name: 'mr1', rkey: 5, at: 500 });
    told.region({ rkey: 6, at: 600 });
    told.write({ remote: { vm: 1, at: 600, mr: 'mr0' } });
    expect(told.covered(1, 598, 610)).toEqual(range(600, 608));
    expect(told.covered(1, 498, 510)).toEqual([]);
    expect(told.covered(0, 1998, 2010)).toEqual([]);
    expect(told.covered(2, 2998, 3010)).toEqual([]);
  });

  it('is on the machine that the queue pair is connected with, where the key is that of a region by chance', () => {
    const connected = (vm: number): QpRecord => ({
      ...qpRecord(),
      attributes: {
        ahAttr: { dgid: gidOf(vm, 0), sgidIndex: 0, flowLabel: 0, hopLimit: 1, trafficClass: 0 },
      },
    });
    const told = new Told();
    told.region({ alive: false });
    told.region({ vm: 2, name: 'other', at: 990, rkey: 77 });
    told.write({}, connected(2));
    expect(told.covered(2, 998, 1010)).toEqual(range(1000, 1008));
    expect(told.covered(1, 998, 1010)).toEqual([]);
    const elsewhere = new Told();
    elsewhere.region();
    elsewhere.region({ vm: 9 });
    elsewhere.write({}, connected(9));
    expect(elsewhere.covered(1, 998, 1010)).toEqual([]);
  });
});
