/** What depends on nothing but time is told from what a program comes to whatever the times are. */
import { describe, expect, it } from 'vitest';
import { compare, runBare } from '../../src/conformance/bare-metal.js';
import { dependsOnTiming } from '../../src/conformance/depends-on-timing.js';
import { smallLimits } from '../../src/conformance/limits.js';
import { MonitorBook } from '../../src/conformance/monitors/book.js';
import type { Action, Program } from '../../src/conformance/program.js';
import { program } from './hand-made.js';

const ARENA = 65_536;

/** A connected pair of two machines, the time-out of its sender given as its code; no retries. */
function connected(timeout: number): Action[] {
  const objects = (vm: number): Action[] => [
    { op: 'addGid', vm, index: 0, gid: 0 },
    { op: 'createPd', vm, as: 'pd0' },
    { op: 'createCq', vm, as: 'cq0', cqe: 4 },
    { op: 'regMr', vm, as: 'mr0', pd: 'pd0', at: 0, length: ARENA, access: 1 },
    { op: 'createQp', vm, as: 'qp0', pd: 'pd0', type: 'RC', sendCq: 'cq0', recvCq: 'cq0' },
  ];
  const up = (vm: number): Action[] => {
    const peer = { vm: 1 - vm, qp: 'qp0' };
    const path = { dest: peer, to: { vm: 1 - vm, gid: 0 } } as const;
    const rtr = { state: 'RTR', pathMtu: 3, rqPsn: 5, maxDestRdAtomic: 1, minRnrTimer: 12, ...path } as const;
    const rts = { state: 'RTS', sqPsn: 5, timeout, retryCnt: 0, rnrRetry: 7, maxRdAtomic: 1 } as const;
    return [
      { op: 'modifyQp', vm, qp: 'qp0', set: { state: 'INIT', access: 0 } },
      { op: 'modifyQp', vm, qp: 'qp0', set: rtr },
      { op: 'modifyQp', vm, qp: 'qp0', set: rts },
    ];
  };
  return [...objects(0), ...objects(1), ...up(0), ...up(1)];
}

function message(bytes: number): Action[] {
  const sges = [{ at: 0, length: bytes, mr: 'mr0' }];
  return [
    { op: 'postRecv', vm: 1, qp: 'qp0', requests: [{ sges }] },
    { op: 'postSend', vm: 0, qp: 'qp0', requests: [{ opcode: 'SEND', sges }] },
    { op: 'pollCq', vm: 1, cq: 'cq0' },
  ];
}

const options = {
  profile: 'roce',
  limits: smallLimits,
  book: new MonitorBook(),
  memories: undefined,
} as const;

async function depends(asked: Program): Promise<boolean> {
  return dependsOnTiming(asked, options, await runBare(asked, options));
}

describe('a settled program', () => {
  const settled = (timeout: number, bytes: number): Program => ({
    ...program,
    hosts: [0, 1],
    arenaBytes: ARENA,
    actions: [...connected(timeout), ...message(bytes)],
  });

  it('comes to the same when answers have all the time that they need', async () => {
    expect(await depends(settled(14, 16))).toBe(false);
    expect(await depends(settled(14, ARENA))).toBe(false);
  });

  it('is a matter of time when an answer from afar comes too late', async () => {
    // 8 microseconds for an answer.
    expect(await depends(settled(1, 16))).toBe(true);
  });

  it('is a matter of time when a long message on a slow link comes too late', async () => {
    // 131 microseconds, and 64 KiB take 524 at a gigabit.
    expect(await depends(settled(5, 16))).toBe(false);
    expect(await depends(settled(5, ARENA))).toBe(true);
  });
});

describe('a program whose parties race', () => {
  /** The receiver does `others` other things before it looks for the message. */
  const racing = (others: number, change: Partial<Program> = {}): Program => {
    const [receive, send, poll] = message(16);
    const between = Array.from({ length: others }, (): Action => ({
      op: 'writeMemory',
      vm: 1,
      at: 0,
      length: 1,
      fill: 1,
    }));
    const actions = [...connected(14), receive, send, ...between, poll];
    return { ...program, mode: 'racing', hosts: [0, 1], arenaBytes: ARENA, actions, ...change };
  };

  /** The first seed behind the four that are tried whose turns come, or do not come, to something else than turns by the clock. */
  async function seedWhere(differs: boolean, asked: Program): Promise<number> {
    const usual = await runBare(asked, options);
    for (let seed = 5; seed < 100; seed++) {
      const other = await runBare({ ...asked, seed, choices: { list: [], only: false } }, options);
      if ((compare(other, usual) !== undefined) === differs) return seed;
    }
    throw new Error('no seed comes to that');
  }

  it('depends on whose turn is when, whatever its own seed would come to', async () => {
    const seed = await seedWhere(false, racing(0));
    expect(await depends(racing(0, { seed }))).toBe(true);
  });

  it('keeps its turns while the times of the network are others', async () => {
    const seed = await seedWhere(true, racing(3));
    expect(await depends(racing(3, { seed }))).toBe(false);
  });

  it('does not depend on them when there is time enough', async () => {
    expect(await depends(racing(30))).toBe(false);
  });
});
