/** What a hostile driver does, as plain JSON data: a list of acts, each of them one hostile input. */
import { z } from 'zod';
import { ringWords } from '../../probes/device/pen.js';

const byteCount = z.int().min(0).max(4096);
const word = z.int().min(0).max(0xffff_ffff);

/** A queue by its index, whether it exists or not. */
const queue = z.int().min(0).max(0xffff_ffff);

/** Where something lies: in memory that the attacker means to use, over a ring, or where there is no memory. */
export const placeSchema = z.enum([
  'readable',
  'arena',
  'own-descriptors',
  'own-available-ring',
  'own-used-ring',
  'control-used-ring',
  'first-byte',
  'last-byte',
  'behind-memory',
  'before-memory',
  'zero',
  'low-half',
  'near-2-53',
  'near-2-64',
]);

const half = z.int().min(0).max(0xffff);

const partSchema = z.object({
  place: placeSchema,
  length: word,
  writable: z.boolean(),
  /** Bits of the flags that are turned over: the marks of a packed ring as well as NEXT, WRITE and INDIRECT, in tables too. */
  turned: half.optional(),
  /** In place of what belongs there: of a split ring the descriptor that follows, of a packed one the buffer id. */
  next: half.optional(),
});

/** Overwrites bytes of a message before it is published. */
const mutationSchema = z.object({
  at: byteCount,
  value: word,
  width: z.union([z.literal(1), z.literal(2), z.literal(4)]),
});

/**
 * How a chain is published: how far the index goes on, and which head its slot names in place of the chain's own. In a packed
 * ring: how far on the next chain stands, and the buffer id. `again` names the chain as the one so many before it, which may
 * be in flight still.
 */
const publicationSchema = z.object({
  jump: half,
  head: half.optional(),
  again: z.int().min(1).max(64).optional(),
});

const messageSchema = z.object({
  mutations: z.array(mutationSchema).max(6),
  /** Bytes cut off the end, or added when negative. */
  short: z.int().min(-64).max(4096),
  publication: publicationSchema,
});

export const actSchema = z.discriminatedUnion('act', [
  z.object({
    act: z.literal('chain'),
    queue,
    parts: z.array(partSchema).max(6),
    /** The parts so often, as one list: longer than the ring, or than what is free of it. */
    times: z.int().min(1).max(64).optional(),
    /** Lets the last descriptor go on to this one: a loop, or a wild next. In a packed ring it goes on to whatever is there. */
    next: half.optional(),
    /** Puts the chain into an indirect table whose naming descriptor has this length and these flags. */
    table: z.object({ length: word, flags: half, place: placeSchema.optional() }).optional(),
    publication: publicationSchema,
  }),
  z.object({
    act: z.literal('command'),
    code: z.int().min(0).max(255),
    writable: byteCount,
    ...messageSchema.shape,
  }),
  z.object({
    act: z.literal('send'),
    qp: z.int().min(0).max(3),
    opcode: z.int().min(0).max(255),
    flags: z.int().min(0).max(255),
    memory: z.int().min(0).max(7),
    ...messageSchema.shape,
  }),
  z.object({
    act: z.literal('receive'),
    qp: z.int().min(0).max(3),
    memory: z.int().min(0).max(7),
    ...messageSchema.shape,
  }),
  z.object({
    act: z.literal('modify'),
    qp: z.int().min(0).max(3),
    state: z.int().min(0).max(255),
    mask: word,
  }),
  /** Writes a word of a queue's rings as they are. */
  z.object({
    act: z.literal('scribble'),
    queue,
    field: z.enum(ringWords),
    at: z.int().min(0).max(0xffff),
    value: word,
  }),
  /** The same, but at the moment of the device's n-th reading from here on. */
  z.object({
    act: z.literal('ambush'),
    reading: z.int().min(0).max(200),
    at: byteCount,
    value: z.int().min(0).max(255),
  }),
  z.object({ act: z.literal('kick'), queue, times: z.int().min(1).max(300) }),
  z.object({ act: z.literal('steps'), count: z.int().min(0).max(50) }),
  z.object({ act: z.literal('status'), value: z.int().min(0).max(255) }),
  z.object({ act: z.literal('features'), low: word, high: word }),
  z.object({ act: z.literal('enable'), queue, size: word, place: placeSchema }),
  z.object({ act: z.literal('reset-queue'), queue, again: z.boolean() }),
]);

export const attackSchema = z.object({
  /** Features that the attacker negotiates. */
  indirect: z.boolean(),
  eventIdx: z.boolean(),
  packed: z.boolean().optional(),
  /** With packed rings alone. */
  inOrder: z.boolean().optional(),
  acts: z.array(actSchema).max(200),
});

export type Place = z.infer<typeof placeSchema>;
export type Act = z.infer<typeof actSchema>;
export type Attack = z.infer<typeof attackSchema>;
export type Message = z.infer<typeof messageSchema>;
export type Publication = z.infer<typeof publicationSchema>;
