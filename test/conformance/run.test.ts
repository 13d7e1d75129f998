/** What the run notes about a program's objects, on which the laws rely. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { judge } from '../../src/conformance/judge.js';
import { RunObserver } from '../../src/conformance/observer.js';
import type { Program } from '../../src/conformance/program.js';
import { madeUpKey } from '../../src/conformance/records.js';
import type { WrRecord } from '../../src/conformance/records.js';
import { parseProgram } from '../../src/conformance/replay.js';
import { Run } from '../../src/conformance/run/run.js';
import { paravirtualWorld } from '../../src/conformance/world.js';
import { program } from './hand-made.js';

it('keeps the attributes of a queue pair when modifies overlap', async () => {
  // A send without a time-out waits for ever here, and the law of completions must know that it may: a modify without a state
  // was under way while the queue pair was still in RESET, and took nothing away.
  const url = new URL('programs/overlapping-modifies.json', import.meta.url);
  const overlapping = parseProgram(readFileSync(url, 'utf8'), 'overlapping-modifies.json');
  const { broken } = await judge(overlapping, { profile: 'roce' });
  expect(broken).toBeUndefined();
});

it('notes which requests were posted while a RESET was under way', async () => {
  const actions: Program['actions'] = [
    { op: 'createPd', vm: 0, as: 'pd0' },
    { op: 'createCq', vm: 0, as: 'cq0', cqe: 4 },
    { op: 'createQp', vm: 0, as: 'qp0', pd: 'pd0', type: 'UD', sendCq: 'cq0', recvCq: 'cq0' },
    { op: 'modifyQp', vm: 0, qp: 'qp0', set: { state: 'INIT', qkey: 5 } },
    { op: 'postRecv', vm: 0, qp: 'qp0', requests: [{ sges: [] }] },
    { op: 'modifyQp', vm: 0, qp: 'qp0', set: { state: 'RESET' } },
    { op: 'postRecv', vm: 0, qp: 'qp0', requests: [{ sges: [] }] },
    { op: 'modifyQp', vm: 0, qp: 'qp0', set: { state: 'INIT', qkey: 5 } },
    { op: 'postRecv', vm: 0, qp: 'qp0', requests: [{ sges: [] }] },
  ];
  const notes = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const choices = { list: [], only: false };
    const racing: Program = { ...program, mode: 'racing', seed, choices, actions };
    const noting = new (class extends RunObserver {
      readonly seen: string[] = [];
      override posted({ behindReset }: WrRecord): void {
        this.seen.push(behindReset === true ? 'behind' : 'not');
      }
    })();
    await new Run(racing, await paravirtualWorld(racing, { profile: 'roce' }), [noting]).execute();
    notes.add(noting.seen.join(' '));
  }
  // A driver that has heard of the reset, or not yet of INIT, refuses.
  expect([...notes]).toContain('not not');
  expect([...notes]).toContain('behind');
});

it('makes up keys that no region has had, where a device counts them up', () => {
  const known = new Set([7, 8, 9, 11]);
  expect(madeUpKey(known, 7, 0)).toBe(7);
  expect(madeUpKey(known, 7, 1)).toBe(10);
  expect(madeUpKey(known, 8, -1)).toBe(6);
  expect(madeUpKey(new Set([0]), 1, -1)).toBe(0xffff_ffff);
});
