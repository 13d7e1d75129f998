/**
 * The same seed gives the same trace, byte for byte: on repeated runs, and on every version of Node, since each compares with
 * the same digests. A change of the protocol or of the generator changes them on purpose; a clock, a random number or an
 * order that the language leaves open changes them by accident.
 */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { judge } from '../../src/conformance/index.js';
import type { Program } from '../../src/conformance/index.js';
import { writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import { limitsOf } from '../../src/conformance/limits.js';
import { TraceRecorder, traceHeader, traceToText } from '../../src/conformance/trace.js';

/** Digests of what the tests below compute. When a change is meant, the failing test shows the new one. */
const golden = {
  settled: 'c88bced903dac683aa87b1e7bb6ef049',
  racing: 'c980a1a58174fe5628ef4fd7b3b545dc',
  generated: 'd6658d31f46b8a39879068504ec6886d',
};

const cap = { sendWr: 16, recvWr: 16, sendSge: 2, recvSge: 2, inline: 64 };

/** Two connected machines on a network that loses, doubles and reorders packets; a drained queue, an error, a new start. */
function lossyProgram(mode: Program['mode']): Program {
  const ends = [0, 1];
  const objects = (vm: number): Program['actions'] => [
    { op: 'addGid', vm, index: 0, gid: 0 },
    { op: 'createPd', vm, as: 'pd0' },
    { op: 'createCq', vm, as: 'cq0', cqe: 32 },
    { op: 'regMr', vm, as: 'mr0', pd: 'pd0', at: 0, length: 16_384, access: 7 },
    { op: 'createQp', vm, as: 'qp0', pd: 'pd0', type: 'RC', sendCq: 'cq0', recvCq: 'cq0', cap },
  ];
  const raise = (vm: number): Program['actions'] => {
    const peer = { vm: 1 - vm, qp: 'qp0' };
    const rtr = { pathMtu: 1, dest: peer, rqPsn: 0xfffffd, to: { vm: 1 - vm, gid: 0 }, maxDestRdAtomic: 4 };
    const rts = { sqPsn: 0xfffffd, timeout: 6, retryCnt: 7, rnrRetry: 7, maxRdAtomic: 2 };
    return [
      { op: 'modifyQp', vm, qp: 'qp0', set: { state: 'INIT', access: 7 } },
      { op: 'modifyQp', vm, qp: 'qp0', set: { state: 'RTR', ...rtr, minRnrTimer: 2 } },
      { op: 'modifyQp', vm, qp: 'qp0', set: { state: 'RTS', ...rts } },
    ];
  };
  const exchange = (vm: number, length: number): Program['actions'] => [
    { op: 'postRecv', vm: 1 - vm, qp: 'qp0', requests: [{ sges: [{ at: 0, length: 2048, mr: 'mr0' }] }] },
    { op: 'waitCq', vm: 1 - vm, cq: 'cq0' },
    {
      op: 'postSend',
      vm,
      qp: 'qp0',
      requests: [{ opcode: 'SEND', sges: [{ at: 4096, length, mr: 'mr0' }] }],
    },
    {
      op: 'postSend',
      vm,
      qp: 'qp0',
      requests: [
        {
          opcode: 'RDMA_READ',
          sges: [{ at: 8192, length, mr: 'mr0' }],
          remote: { vm: 1 - vm, at: 12_288, mr: 'mr0' },
          signaled: false,
        },
      ],
    },
    { op: 'pollCq', vm, cq: 'cq0' },
  ];
  const traffic = Array.from({ length: 12 }, (_, i) => exchange(i % 2, 100 + 90 * i)).flat();
  return {
    version: 1,
    mode,
    hosts: [0, 1],
    arenaBytes: 16_384,
    indirect: true,
    eventIdx: true,
    faults: { drop: 60, duplicate: 40, reorder: 40 },
    seed: 20_261_123,
    choices: { list: [3, 1, 4, 1, 5], only: false },
    actions: [
      ...ends.flatMap(objects),
      ...ends.flatMap(raise),
      ...traffic,
      { op: 'modifyQp', vm: 0, qp: 'qp0', set: { state: 'SQD' } },
      ...exchange(0, 700),
      { op: 'modifyQp', vm: 0, qp: 'qp0', set: { state: 'ERR' } },
      { op: 'queryQp', vm: 0, qp: 'qp0' },
      ...ends.map(vm => ({ op: 'modifyQp' as const, vm, qp: 'qp0', set: { state: 'RESET' as const } })),
      ...ends.flatMap(raise),
      ...traffic,
    ],
  };
}

/** A digest of everything that was seen of the programs, in order. */
async function digestOf(programs: readonly Program[]): Promise<string> {
  const hash = createHash('sha256');
  for (const program of programs) {
    const recorder = new TraceRecorder();
    const { broken, calls } = await judge(program, { profile: 'roce', recorder });
    expect(broken).toBeUndefined();
    const header = traceHeader('roce', limitsOf(program));
    hash.update(`${calls} calls\n`).update(traceToText(header, recorder.events));
  }
  return hash.digest('hex').slice(0, 32);
}

describe('the same seed, the same trace', () => {
  for (const mode of ['settled', 'racing'] as const) {
    it(`twice in one process and on every version of Node: a ${mode} program on a bad network`, async () => {
      const program = lossyProgram(mode);
      const first = await digestOf([program]);
      expect(await digestOf([program])).toBe(first);
      expect(first).toBe(golden[mode]);
    });
  }

  it('another seed gives another trace', async () => {
    const program = lossyProgram('racing');
    expect(await digestOf([{ ...program, seed: program.seed + 1 }])).not.toBe(golden.racing);
  });

  it('on every version of Node: the programs that the generator writes, and their traces', async () => {
    const programs = Array.from({ length: 24 }, (_, seed) =>
      writeProgram(seed, { mode: seed % 2 === 0 ? 'settled' : 'racing', actionsMax: 160 }),
    );
    expect(await digestOf(programs)).toBe(golden.generated);
  });
});
