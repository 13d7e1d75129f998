/**
 * Law: whatever a device does, a driver throws nothing but errors of verbs, comes to rest, hands out no completion of a request
 * that was not posted or twice, and in the end either every verb is EIO or every verb that waits is answered.
 */
import { describe, expect, it } from 'vitest';
import { CaseBroken } from '../../src/conformance/cases/case.js';
import type { CaseContext } from '../../src/conformance/cases/case.js';
import {
  attackOnce,
  attackSchema,
  hostileDeviceCases,
  runAttack,
} from '../../src/conformance/hostile/device/index.js';
import type { Attack } from '../../src/conformance/hostile/device/index.js';

const context = (seed: number, profile: 'roce' | 'rdma' = 'rdma'): CaseContext => ({
  profile,
  implementation: {},
  seed,
});

describe.each(['roce', 'rdma'] as const)('the bundled driver under attack, profile %s', profile => {
  for (const each of hostileDeviceCases) {
    it(`${each.id} [${each.requirements.join('] [')}]`, async () => {
      if (each.how.kind !== 'hostile') throw new Error('not a hostile case');
      try {
        expect((await each.how.run(context(1, profile))).actions).toBeGreaterThan(100);
      } catch (error) {
        if (!(error instanceof CaseBroken)) throw error;
        const steps = error.steps.map(({ from, to, text }) => `  ${from} -> ${to}: ${text}`).join('\n');
        throw new Error(`[${error.requirements.join(', ')}] ${error.message}\n${steps}`, { cause: error });
      }
    });
  }
});

it('[HOST-33] [HOST-34] [HOST-35] keeps the law under attacks of every family mixed, each of them plain data', async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const { attack, broken } = await attackOnce(context(seed));
    expect(broken?.message).toBeUndefined();
    expect(attackSchema.parse(JSON.parse(JSON.stringify(attack)))).toEqual(attack);
  }
});

/** Both return more requests without a word than a driver can remember, found by a soak. */
const beyondAnyRecord: readonly Attack[] = [
  {
    version: 1,
    indirect: false,
    eventIdx: false,
    oneCq: false,
    acts: [
      { act: 'post', side: 'receive', count: 3 },
      { act: 'scribble', queue: 'rq', area: 'descriptors', at: 2865, value: 1 },
      { act: 'honest', what: 'requests' },
      { act: 'post', side: 'receive', count: 3 },
      { act: 'honest', what: 'requests' },
      { act: 'post', side: 'receive', count: 5 },
      { act: 'honest', what: 'traffic' },
    ],
  },
  {
    version: 1,
    indirect: false,
    eventIdx: false,
    oneCq: true,
    acts: [
      { act: 'honest', what: 'completions' },
      { act: 'verb', verb: 3, at: 154 },
      { act: 'post', side: 'send', count: 5 },
      { act: 'honest', what: 'answers' },
      { act: 'post', side: 'receive', count: 2 },
      { act: 'completion', cq: 1, field: 'opcode', value: 0 },
      { act: 'poll', at: 0, max: 2 },
      { act: 'honest', what: 'traffic' },
      { act: 'post', side: 'receive', count: 2 },
      { act: 'post', side: 'receive', count: 1 },
      { act: 'honest', what: 'traffic' },
      { act: 'poll', at: 0, max: 1 },
      { act: 'post', side: 'receive', count: 4 },
      { act: 'completion', cq: 0, field: 'byte_len', value: 127 },
    ],
  },
];

it('[HOST-23] a device that gets past what a driver can remember convicts nobody', async () => {
  for (const attack of beyondAnyRecord) await runAttack(attack, context(1));
});

it.each(['split', 'packed'])(
  '[HOST-33] [HOST-34] [VQ-115] used elements with any marks, in and behind their place, do no harm: %s rings',
  async format => {
    for (const turned of [0, 1, 2, 4, 0x80, 0x8000, 0x8080, 0x8087])
      for (const ahead of [0, 1, 7, 8])
        for (const chain of ['oldest', 'returned', 'none'] as const) {
          const misplaced = {
            act: 'misplaced',
            queue: 'sq',
            chain,
            id: 3,
            length: 0,
            ahead,
            turned,
          } as const;
          const acts: Attack['acts'] = [
            { act: 'post', side: 'send', count: 3 },
            misplaced,
            { act: 'post', side: 'send', count: 1 },
            { act: 'honest', what: 'traffic' },
            { act: 'poll', at: 0, max: 8 },
          ];
          const features = { indirect: false, eventIdx: false, packed: format === 'packed', oneCq: false };
          await runAttack({ version: 1, ...features, acts }, context(1));
        }
  },
);

it('[HOST-34] a command that an attack has cut short where it lay is refused, and convicts nobody', async () => {
  const acts: Attack['acts'] = [
    { act: 'verb', verb: 122, at: 0 },
    { act: 'verb', verb: 9, at: 0 },
    { act: 'misplaced', queue: 'control', chain: 'none', id: 0, length: 2, ahead: 0, turned: 130 },
  ];
  const features = { indirect: false, eventIdx: false, packed: true, oneCq: false };
  await runAttack({ version: 1, ...features, acts }, context(1, 'roce'));
});

it('[PERF-16] what a device writes where a descriptor of its own making leads is no write of the driver', async () => {
  const scribble = { act: 'scribble', queue: 'cq0', area: 'descriptors', at: 2, value: 3 } as const;
  const acts: Attack['acts'] = [scribble, { act: 'honest', what: 'completions' }];
  await runAttack({ version: 1, indirect: false, eventIdx: false, oneCq: false, acts }, context(1));
});
