/** The other side of a comparison: who is to blame when it does not come to its end, and who has to be told what it comes to. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { runBare, runBareFirst, waitsByMarks } from '../../src/conformance/bare-metal.js';
import type { BareOptions } from '../../src/conformance/bare-metal.js';
import type { Implementation } from '../../src/conformance/implementation.js';
import { LawBroken, laws } from '../../src/conformance/laws.js';
import { smallLimits } from '../../src/conformance/limits.js';
import { MonitorBook } from '../../src/conformance/monitors/book.js';
import type { Action, Program } from '../../src/conformance/program.js';
import { ReferenceHca } from '../../src/reference/index.js';
import { machineByName } from '../../src/statemachines/index.js';
import { overlay } from './faults/fault.js';
import { program } from './hand-made.js';

const outsideDevice = { limits: smallLimits, machinesMax: 1, showsStatus: true };

function options(change: Partial<BareOptions> = {}): BareOptions {
  return {
    profile: 'roce',
    limits: smallLimits,
    book: new MonitorBook(),
    memories: undefined,
    ...change,
  };
}

/** A queue pair with one receive, which it flushes. */
const flushing: Program = {
  ...program,
  actions: [
    { op: 'createPd', vm: 0, as: 'pd0' },
    { op: 'createCq', vm: 0, as: 'cq0', cqe: 4 },
    { op: 'createQp', vm: 0, as: 'qp0', pd: 'pd0', type: 'UD', sendCq: 'cq0', recvCq: 'cq0' },
    { op: 'modifyQp', vm: 0, qp: 'qp0', set: { state: 'INIT', qkey: 5 } },
    { op: 'postRecv', vm: 0, qp: 'qp0', requests: [{ sges: [] }] },
    { op: 'modifyQp', vm: 0, qp: 'qp0', set: { state: 'ERR' } },
    { op: 'pollCq', vm: 0, cq: 'cq0' },
  ],
};

describe('a reference that breaks a law', () => {
  afterEach(() => vi.restoreAllMocks());

  it('is a fault of the kit: by a machine that its adapter does not follow', async () => {
    expect((await runBare(flushing, options())).run.observation).toBeDefined();
    const sound = machineByName('CQ');
    const added = sound.transitions.filter(
      ({ from, event }) => from !== 'DISARMED' || !event.startsWith('ADD'),
    );
    const wrong = { ...sound, transitions: added };
    const book = new MonitorBook([wrong]);
    await expect(runBare(flushing, options({ book }))).rejects.toThrow(
      /^the reference adapter broke a law: CQ number 0/,
    );
  });

  it('is a fault of the kit: by a completion that comes twice', async () => {
    const open = ReferenceHca.prototype.openFunction;
    vi.spyOn(ReferenceHca.prototype, 'openFunction').mockImplementation(function (this: ReferenceHca) {
      const inner = open.call(this);
      return overlay(inner, {
        pollCq(cq, into, max) {
          const count = inner.pollCq(cq, into, max);
          if (count > 0) Object.assign(into[1], into[0]);
          return 2 * count;
        },
      });
    });
    await expect(runBare(flushing, options())).rejects.toMatchObject({ law: laws.completesOnce.name });
  });
});

describe('bare metal that goes first', () => {
  const wanting: Program = { ...program, actions: [{ op: 'createPd', vm: 0, as: 'pd0', expect: 'EBUSY' }] };

  it('says why a program is none for a device with limits of its own', async () => {
    const implementation: Implementation = { outsideDevice };
    expect(await runBareFirst(wanting, options({ implementation }))).toContain(
      'it was written for other limits than those of the device: ',
    );
    const right: Action[] = [{ op: 'createPd', vm: 0, as: 'pd0' }];
    expect(await runBareFirst({ ...program, actions: right }, options({ implementation }))).toHaveProperty(
      'run',
    );
  });

  it('throws what a program expects in vain of a device of the kit', async () => {
    for (const implementation of [undefined, {}])
      await expect(runBareFirst(wanting, options({ implementation }))).rejects.toMatchObject({
        law: laws.expected.name,
      });
  });

  it('throws whatever else goes wrong: that is no matter of limits', async () => {
    for (const thrown of [new LawBroken(laws.worksBounded, 'no end'), new Error('a fault')]) {
      const memories = {
        take: () => {
          throw thrown;
        },
        give: () => undefined,
      };
      const given = options({ implementation: { outsideDevice }, memories });
      await expect(runBareFirst(wanting, given)).rejects.toBe(thrown);
    }
  });
});

describe('what a program comes to', () => {
  it('has to be told to parties outside, and to machines that rest by it', () => {
    const outside = { poll: () => false, rest: () => false };
    const remote = (restsByExpected: boolean) => ({
      name: 'elsewhere',
      restsByExpected,
      missingFor: () => undefined,
      without: (asked: Program) => asked,
      open: () => {
        throw new Error('not opened');
      },
      close: () => undefined,
    });
    expect([undefined, {}, { outside }].map(waitsByMarks)).toEqual([false, false, true]);
    expect([false, true].map(rests => waitsByMarks({ remote: remote(rests) }))).toEqual([false, true]);
  });
});
