/** Draws attacks: a program at work, and a device that breaks one thing after the other, in one family of ways or in all. */
import fc from 'fast-check';
import { completionFieldNames } from './attack.js';
import type { Act, Attack } from './attack.js';

export const attackFamilies = {
  answers: 'acks, results and used lengths of commands',
  'used-elements': 'ids, lengths, indices, places and marks in the used rings',
  completions: 'fields and lengths of completions',
  memory: "bytes that are the driver's, and elements after they were published",
  registers: 'status, configuration, generation, DEVICE_NEEDS_RESET',
  notifications: 'interrupts that come too often, too early or never, wishes that make no sense',
  restarts: 'starts of the driver in mid-flight',
  everything: 'all of it together',
} as const;
export type AttackFamily = keyof typeof attackFamilies;

const pick = fc.integer({ min: 0, max: 0xff });
const byte = fc.oneof(fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xff), fc.integer({ min: 0, max: 0xff }));
const edges = fc.constantFrom(
  0,
  1,
  2,
  3,
  4,
  5,
  7,
  8,
  15,
  16,
  47,
  48,
  49,
  0x7fff,
  0x8000,
  0xffff,
  0x1_0000,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_fffe,
  0xffff_ffff,
);
const word = fc.oneof(
  { weight: 4, arbitrary: edges },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff_ffff }) },
);
const index = fc.oneof(
  fc.constantFrom(-1, 1, 2, 7, 8, 9, 16, -8, 0x7fff, -0x8000),
  fc.integer({ min: -0x8000, max: 0x7fff }),
);
const queue = fc.constantFrom('control', 'cq0', 'cq1', 'sq', 'rq');
const cq = fc.integer({ min: 0, max: 1 });
const half = fc.integer({ min: 0, max: 0xffff });
/** AVAIL and USED in every combination, and NEXT, WRITE and INDIRECT. */
const flags = fc
  .tuple(fc.constantFrom(0, 0x80, 0x8000, 0x8080), fc.nat({ max: 7 }))
  .map(([marks, others]) => marks | others);

const program: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ act: fc.constant('verb'), verb: pick, at: pick }) },
  {
    weight: 3,
    arbitrary: fc.record({
      act: fc.constant('post'),
      side: fc.constantFrom('send', 'receive'),
      count: fc.integer({ min: 1, max: 5 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ act: fc.constant('poll'), at: pick, max: fc.integer({ min: 0, max: 8 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      act: fc.constant('honest'),
      what: fc.constantFrom('answers', 'requests', 'completions', 'traffic'),
    }),
  },
);

const answer: fc.Arbitrary<Act> = fc.record(
  { act: fc.constant('answer'), at: pick, ack: byte, result: fc.array(word, { maxLength: 4 }), length: word },
  { requiredKeys: ['act', 'at'] },
);
const element: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('used'),
  queue,
  chain: fc.constantFrom('oldest', 'youngest', 'returned', 'none'),
  id: word,
  length: word,
});
const misplaced: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('misplaced'),
  queue,
  chain: fc.constantFrom('oldest', 'youngest', 'returned', 'none'),
  id: word,
  length: fc.oneof(fc.constantFrom(0, 1), word),
  ahead: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat({ max: 16 })),
  turned: fc.oneof(fc.nat({ max: 7 }), flags),
});
const batch: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('batch'),
  queue,
  from: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat({ max: 2 })),
  count: fc.integer({ min: 1, max: 4 }),
  length: fc.oneof(fc.constant(0), word),
});
const used: fc.Arbitrary<Act> = fc.oneof(
  { weight: 2, arbitrary: element },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('index'), queue, by: index }) },
  { weight: 3, arbitrary: misplaced },
  { weight: 2, arbitrary: batch },
);
const completion: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record(
      {
        act: fc.constant('completion'),
        cq,
        field: fc.constantFrom(...completionFieldNames),
        value: word,
        length: word,
      },
      { requiredKeys: ['act', 'cq', 'field', 'value'] },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({ act: fc.constant('garbage'), cq, seed: fc.integer({ min: 0, max: 0xffff_ffff }) }),
  },
);
const memory: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('scribble'),
  queue,
  area: fc.constantFrom('descriptors', 'available', 'used', 'readable'),
  at: fc.integer({ min: 0, max: 4095 }),
  value: byte,
});
const registers: fc.Arbitrary<Act> = fc.oneof(
  fc.record({
    act: fc.constant('status'),
    value: fc.oneof(fc.constantFrom(0, 7, 0x0f, 0x4f, 0x8f, 0xff), byte),
  }),
  fc.record({ act: fc.constant('needs-reset'), tells: fc.boolean() }),
  fc.record({ act: fc.constant('config'), at: pick, value: byte, tells: fc.boolean() }),
);
const notifications: fc.Arbitrary<Act> = fc.oneof(
  fc.record({
    act: fc.constant('interrupt'),
    source: fc.integer({ min: -1, max: 40 }),
    times: fc.integer({ min: 1, max: 64 }),
  }),
  fc.record({ act: fc.constant('wishes'), queue, flags: half, event: half }),
);
const restarts: fc.Arbitrary<Act> = fc.record({ act: fc.constant('restart') });

const hostile: Readonly<Record<AttackFamily, fc.Arbitrary<Act>>> = {
  answers: answer,
  'used-elements': used,
  completions: completion,
  memory,
  registers,
  notifications,
  restarts: fc.oneof(restarts, answer, completion, notifications),
  everything: fc.oneof(
    { weight: 6, arbitrary: answer },
    { weight: 4, arbitrary: used },
    { weight: 6, arbitrary: completion },
    { weight: 4, arbitrary: memory },
    { weight: 2, arbitrary: registers },
    { weight: 3, arbitrary: notifications },
    { weight: 1, arbitrary: restarts },
  ),
};

/** Attacks of one family: up to `actsMax` acts, about half of them hostile. */
export function attackArbitrary(family: AttackFamily = 'everything', actsMax = 24): fc.Arbitrary<Attack> {
  const act = fc.oneof({ weight: 1, arbitrary: program }, { weight: 1, arbitrary: hostile[family] });
  return fc.record({
    version: fc.constant(1),
    indirect: fc.boolean(),
    eventIdx: fc.boolean(),
    packed: fc.boolean(),
    inOrder: fc.boolean(),
    oneCq: fc.boolean(),
    acts: fc.array(act, { minLength: 1, maxLength: actsMax, size: 'max' }),
  });
}
