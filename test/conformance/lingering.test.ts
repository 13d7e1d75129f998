/** A party outside has a clock of its own: a run does not end while that owes something, and waits no longer than for that. */
import { describe, expect, it } from 'vitest';
import { bundledDevice } from '../../src/conformance/bundled.js';
import type { Implementation } from '../../src/conformance/implementation.js';
import { judge } from '../../src/conformance/judge.js';
import type { Program } from '../../src/conformance/program.js';
import { overlay } from './faults/fault.js';
import { program } from './hand-made.js';

/** A datagram to nobody, which completes when it has left. */
const sending: Program = {
  ...program,
  mode: 'racing',
  seed: 1,
  actions: [
    { op: 'addGid', vm: 0, index: 0, gid: 0 },
    { op: 'createPd', vm: 0, as: 'pd0' },
    { op: 'createCq', vm: 0, as: 'cq0', cqe: 4 },
    { op: 'createAh', vm: 0, as: 'ah0', pd: 'pd0', to: { vm: 0, gid: 0 } },
    { op: 'createQp', vm: 0, as: 'qp0', pd: 'pd0', type: 'UD', sendCq: 'cq0', recvCq: 'cq0' },
    { op: 'modifyQp', vm: 0, qp: 'qp0', set: { state: 'INIT', qkey: 5 } },
    { op: 'modifyQp', vm: 0, qp: 'qp0', set: { state: 'RTR' } },
    { op: 'modifyQp', vm: 0, qp: 'qp0', set: { state: 'RTS', sqPsn: 0 } },
    {
      op: 'postSend',
      vm: 0,
      qp: 'qp0',
      requests: [{ opcode: 'SEND', sges: [], ah: 'ah0', dest: 77, qkey: 5 }],
    },
  ],
};

interface Lingered {
  readonly times: number;
  readonly broken: string | undefined;
}

/** Judges a device with a party outside that says twice that something has come. */
async function linger(change: Partial<Implementation> = {}): Promise<Lingered> {
  let times = 0;
  const outside = { poll: () => false, rest: () => false, linger: () => ++times < 3 };
  const implementation = { device: bundledDevice, outside, ...change };
  const { broken } = await judge(sending, { profile: 'roce', implementation });
  return { times, broken: broken?.message };
}

describe('a run with a party outside', () => {
  it('ends at once when nothing is owed', async () => {
    expect(await linger()).toEqual({ times: 0, broken: undefined });
  });

  it('[CQ-01] waits for a completion that is owed as long as anything comes, and then says that it is missing', async () => {
    const adapter: Implementation['adapter'] = inner => overlay(inner, { postSend: () => undefined });
    const { times, broken } = await linger({ adapter });
    expect(broken).toContain('never completed although nothing is left to happen');
    expect(times).toBe(3);
  });
});
