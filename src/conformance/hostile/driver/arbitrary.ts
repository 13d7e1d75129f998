/** Attacks at random, by family: each breaks one kind of rule, between acts that are nearly sound so that it gets far. */
import fc from 'fast-check';
import { ringWords } from '../../probes/device/pen.js';
import { placeSchema } from './attack.js';
import type { Act, Attack, Message, Publication } from './attack.js';

/** Integers at the edges of their types, and small ones. */
const edge: fc.Arbitrary<number> = fc.oneof(
  fc.nat({ max: 40 }),
  fc.constantFrom(
    0,
    1,
    15,
    16,
    17,
    47,
    48,
    255,
    256,
    4095,
    4096,
    0x7fff,
    0x8000,
    0xfffe,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
  ),
);
const small = edge.map(value => value & 0xffff);

/** Flags of a descriptor of a packed ring, with every combination of AVAIL and USED. */
const marks = fc
  .tuple(fc.constantFrom(0, 0x80, 0x8000, 0x8080), fc.nat({ max: 7 }))
  .map(([mark, flags]) => mark | flags);

const place = fc.constantFrom(...placeSchema.options);
const likelyPlace = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('readable' as const, 'arena' as const) },
  { weight: 1, arbitrary: place },
);

/** Mostly as a sound driver does. */
const publication: fc.Arbitrary<Publication> = fc.oneof(
  { weight: 12, arbitrary: fc.constant({ jump: 1 }) },
  { weight: 1, arbitrary: fc.record({ jump: small }) },
  { weight: 1, arbitrary: fc.record({ jump: fc.constant(1), head: small }) },
);
const soundly: fc.Arbitrary<Publication> = fc.constant({ jump: 1 });

const message = (published: fc.Arbitrary<Publication> = soundly, mutations = 3): fc.Arbitrary<Message> =>
  fc.record({
    mutations: fc.array(
      fc.record({
        at: fc.oneof(fc.nat({ max: 64 }), fc.nat({ max: 700 })),
        value: edge,
        width: fc.constantFrom(1 as const, 2 as const, 4 as const),
      }),
      { maxLength: mutations },
    ),
    short: fc.oneof(
      { weight: 6, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: -40, max: 700 }) },
    ),
    publication: published,
  });

const queue = fc.oneof({ weight: 8, arbitrary: fc.nat({ max: 30 }) }, { weight: 1, arbitrary: edge });

const part = fc.record({
  place: likelyPlace,
  length: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(0, 2, 48, 64, 576) },
    { weight: 1, arbitrary: edge.filter(length => length <= 0xffff || length >= 2 ** 31) },
  ),
  writable: fc.boolean(),
});

const chain: fc.Arbitrary<Act> = fc.record(
  {
    act: fc.constant('chain' as const),
    queue,
    parts: fc.array(part, { minLength: 1, maxLength: 5 }),
    next: small,
    publication,
  },
  { requiredKeys: ['act', 'queue', 'parts', 'publication'] },
);
const tabled: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('chain' as const),
  queue,
  parts: fc.array(part, { minLength: 1, maxLength: 5 }),
  table: fc.record(
    {
      length: fc.oneof(fc.constantFrom(16, 32, 48, 64, 80), edge),
      flags: fc.constantFrom(4, 4, 5, 6, 7, 0xffff),
      place,
    },
    { requiredKeys: ['length', 'flags'] },
  ),
  publication: soundly,
});
/** A descriptor that a device could take, but for the marks and the id of its own that some have. */
const marked = fc.record(
  {
    place: fc.constantFrom('readable' as const, 'arena' as const),
    length: fc.constantFrom(0, 2, 48, 64),
    writable: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.boolean()),
    turned: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, marks),
    next: small,
  },
  { requiredKeys: ['place', 'length', 'writable', 'turned'] },
);
/** As a sound driver does, or with the name of a chain that is in flight or was a moment ago, or one below the size of the ring. */
const renamed: fc.Arbitrary<Publication> = fc.oneof(
  { weight: 1, arbitrary: soundly },
  { weight: 1, arbitrary: fc.record({ jump: fc.constant(1), again: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 2, arbitrary: fc.record({ jump: fc.constant(1), head: fc.nat({ max: 31 }) }) },
);
/** Lists as long as a ring and longer, with marks and ids of their own in every descriptor. */
const list: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('chain' as const),
  queue: fc.oneof(queue, fc.integer({ min: 10, max: 16 })),
  parts: fc.array(marked, { minLength: 1, maxLength: 4 }),
  // A ring has 32 descriptors: what goes on behind the last one overwrites where the list began.
  times: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 }), fc.constantFrom(8, 16, 31, 32, 33)),
  publication: renamed,
});
const markedTable: fc.Arbitrary<Act> = fc
  .tuple(list, fc.constantFrom(4, 4, 4, 5, 6), fc.integer({ min: 1, max: 40 }))
  .map(([chain, flags, entries]) => ({ ...chain, table: { length: 16 * entries, flags } }));
const command: fc.Arbitrary<Act> = fc
  .tuple(
    fc.oneof({ weight: 12, arbitrary: fc.nat({ max: 17 }) }, { weight: 1, arbitrary: fc.nat({ max: 255 }) }),
    fc.oneof(fc.constant(129), fc.nat({ max: 140 })),
    message(publication),
  )
  .map(([code, writable, rest]) => ({ act: 'command', code, writable, ...rest }));
const queuePair = fc.nat({ max: 3 });
const memory = fc.nat({ max: 7 });
const send: fc.Arbitrary<Act> = fc
  .tuple(
    queuePair,
    fc.oneof({ weight: 8, arbitrary: fc.nat({ max: 4 }) }, { weight: 1, arbitrary: fc.nat({ max: 255 }) }),
    fc.oneof({ weight: 8, arbitrary: fc.nat({ max: 15 }) }, { weight: 1, arbitrary: fc.nat({ max: 255 }) }),
    memory,
    message(publication, 2),
  )
  .map(([qp, opcode, flags, where, rest]) => ({ act: 'send', qp, opcode, flags, memory: where, ...rest }));
const receive: fc.Arbitrary<Act> = fc
  .tuple(queuePair, memory, message(publication, 2))
  .map(([qp, where, rest]) => ({ act: 'receive', qp, memory: where, ...rest }));
/** Requests as they should be, which stay in flight, under names that are out. */
const renamedOf = (request: fc.Arbitrary<Act>): fc.Arbitrary<Act> =>
  fc.tuple(request, renamed).map(([act, publication]) => ({ ...act, mutations: [], short: 0, publication }));
const sendAgain = renamedOf(send);
const receiveAgain = renamedOf(receive);
const modify: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('modify' as const),
  qp: queuePair,
  state: fc.oneof(
    { weight: 8, arbitrary: fc.nat({ max: 6 }) },
    { weight: 1, arbitrary: fc.nat({ max: 255 }) },
  ),
  mask: fc.oneof(fc.constant(1), edge),
});
const scribble: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('scribble' as const),
  queue: fc.nat({ max: 30 }),
  field: fc.constantFrom(...ringWords),
  at: fc.nat({ max: 31 }),
  value: fc.oneof(
    { weight: 2, arbitrary: edge.filter(value => value <= 0xffff || value >= 2 ** 31) },
    { weight: 1, arbitrary: marks },
  ),
});
const ambush: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('ambush' as const),
  reading: fc.nat({ max: 60 }),
  at: fc.nat({ max: 20 }),
  value: fc.nat({ max: 255 }),
});
const kick: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('kick' as const),
  queue,
  times: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 300 })),
});
const steps: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('steps' as const),
  count: fc.nat({ max: 50 }),
});
const status: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('status' as const),
  value: fc.oneof(fc.constantFrom(0, 1, 3, 11, 15, 64, 128), fc.nat({ max: 255 })),
});
const features: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('features' as const),
  low: edge,
  high: edge,
});
const enable: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('enable' as const),
  queue,
  size: edge,
  place,
});
const resetQueue: fc.Arbitrary<Act> = fc.record({
  act: fc.constant('reset-queue' as const),
  queue,
  again: fc.boolean(),
});
const reset: fc.Arbitrary<Act> = fc.constant({ act: 'status', value: 0 });

/** What an attack is made of: acts of its kind, and others that make them meet something. */
const families = {
  rings: [chain, scribble, send, receive, kick, steps],
  indirect: [tabled, tabled, chain, steps],
  lists: [
    list,
    markedTable,
    sendAgain,
    sendAgain,
    receiveAgain,
    receiveAgain,
    receiveAgain,
    receiveAgain,
    steps,
  ],
  commands: [command, command, command, steps, send],
  requests: [send, send, receive, receive, modify, steps],
  registers: [status, features, enable, resetQueue, kick, command, steps],
  notifications: [kick, kick, kick, command, send, receive, steps],
  'self-modifying': [ambush, ambush, chain, command, send, receive, steps],
  'reset-in-flight': [send, receive, command, steps, reset, resetQueue],
  everything: [
    chain,
    tabled,
    list,
    command,
    send,
    receive,
    modify,
    scribble,
    ambush,
    kick,
    steps,
    status,
    features,
    enable,
    resetQueue,
  ],
} as const satisfies Readonly<Record<string, readonly fc.Arbitrary<Act>[]>>;

export type AttackFamily = keyof typeof families;
export const attackFamilies = Object.keys(families).filter((name): name is AttackFamily => name in families);

/** Attacks of a family, of all kinds together when none is named. At most `actsMax` acts. */
export function attackArbitrary(family: AttackFamily = 'everything', actsMax = 24): fc.Arbitrary<Attack> {
  return fc.record({
    indirect: fc.boolean(),
    eventIdx: fc.boolean(),
    packed: fc.boolean(),
    inOrder: fc.boolean(),
    acts: fc.array(fc.oneof(...families[family]), { minLength: 1, maxLength: actsMax, size: 'max' }),
  });
}
