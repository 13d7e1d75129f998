/**
 * Traces that somebody else's system has recorded: JSON Lines, a header first, then one event a line. The schemas say what a
 * line may hold; `checked-event.ts` checks the same at the speed of a long trace.
 */
import { z } from 'zod';
import { acks, commands, qpStates, qpTypes, wcStatuses } from '../../abi/index.js';

export const ELSEWHERE_VERSION = 2;

/** Points of observation that a trace may hold; a partial trace names the ones that it has. */
export const tracePoints = ['verbs', 'control', 'ring', 'machine'] as const;
export type TracePoint = (typeof tracePoints)[number];

/** A number or a name of the recorder's own; unique among the objects of a kind and machine that exist at one time. */
const handle = z.union([z.int().min(0), z.string().min(1).max(64)]);
const vm = z.int().min(0).max(255).default(0);
const natural = z.int().min(0);

export const headerSchema = z.strictObject({
  vrdmaTrace: z.literal(ELSEWHERE_VERSION),
  points: z.array(z.enum(tracePoints)).min(1),
  /** `middle`: objects may be older than the trace; what is not known of them is not judged. */
  from: z.enum(['start', 'middle']).default('start'),
  /** What recorded it; only shown. */
  source: z.string().optional(),
  /** Virtqueues of a machine, and the most entries that one has. */
  queues: z.int().min(1).max(65_536).default(64),
  queueSizeMax: z.int().min(1).max(32_768).default(1024),
  /** Sides of the control queue that were recorded; of one that was not, the machine is told what must have been. */
  sides: z
    .array(z.enum(['driver', 'device']))
    .min(1)
    .default(['driver', 'device']),
  /** First completion virtqueue and their number: interrupts there follow arming, not the ring. */
  completionQueues: z.tuple([natural, natural]).default([1, 0]),
});
export type TraceHeader = z.infer<typeof headerSchema>;

/** Verbs that the machines follow; others may stand in a trace and change nothing. */
export const tracedVerbs = [
  'queryDevice',
  'queryPort',
  'createPd',
  'destroyPd',
  'createCq',
  'destroyCq',
  'reqNotifyCq',
  'regMr',
  'getDmaMr',
  'deregMr',
  'createQp',
  'modifyQp',
  'queryQp',
  'destroyQp',
  'createAh',
  'destroyAh',
  'addGid',
  'delGid',
] as const;
export type TracedVerb = (typeof tracedVerbs)[number];

const verbsEvent = { point: z.literal('verbs'), t: natural.optional(), vm };

export const callSchema = z.strictObject({
  ...verbsEvent,
  what: z.literal('call'),
  /** Number of the call, for its result; unique among the calls under way. */
  call: natural,
  verb: z.enum(tracedVerbs),
  /** The object that is meant, for all verbs but the creating ones. */
  id: handle.optional(),
  pd: handle.optional(),
  sendCq: handle.optional(),
  recvCq: handle.optional(),
  type: z.enum(qpTypes.names).optional(),
  /** modifyQp: the state, if one is asked for, and attr_mask with STATE among its bits. */
  to: z.enum(qpStates.names).optional(),
  mask: z.int().min(0).max(0x7fff_ffff).optional(),
});

export const resultSchema = z.strictObject({
  ...verbsEvent,
  what: z.literal('result'),
  call: natural,
  ok: z.boolean(),
  /** The object that was created. */
  id: handle.optional(),
  /** queryQp: what it showed. */
  state: z.enum(qpStates.names).optional(),
});

export const postSchema = z.strictObject({
  ...verbsEvent,
  what: z.literal('post'),
  qp: handle,
  queue: z.enum(['send', 'recv']),
  wr: handle,
  /** Sends only; true too on a queue pair that signals all. */
  signaled: z.boolean().default(true),
});

export const completionSchema = z.strictObject({
  ...verbsEvent,
  what: z.literal('completion'),
  cq: handle,
  qp: handle,
  queue: z.enum(['send', 'recv']),
  wr: handle,
  status: z.enum(wcStatuses.names),
});

export const eventSchema = z.strictObject({ ...verbsEvent, what: z.literal('event'), cq: handle });

export const controlSchema = z.strictObject({
  point: z.literal('control'),
  t: natural.optional(),
  vm,
  side: z.enum(['driver', 'device']),
  what: z.enum(['command', 'answer']),
  /** The recorder's number of the command; unique on a side among those under way. */
  id: natural,
  command: z.enum(commands.names),
  ack: z.enum(acks.names).optional(),
});

export const ringSchema = z.strictObject({
  point: z.literal('ring'),
  t: natural.optional(),
  vm,
  queue: natural,
  /**
   * Of the driver: `available` a chain put in the ring, `published` the index raised, `consumed` a used element taken,
   * `asleep`. Of the device: `taken`, `used`, `interrupt` decided, `asleep`. `notified`: a kick has arrived.
   */
  what: z.enum(['available', 'published', 'notified', 'taken', 'used', 'interrupt', 'consumed', 'asleep']),
  /** Head of the chain, for `available`, `taken`, `used` and `consumed`. */
  head: natural.optional(),
  /** `published` and `interrupt`: whether a notification goes out. */
  notify: z.boolean().optional(),
  /** `asleep`: who. */
  side: z.enum(['driver', 'device']).optional(),
});

export const machineSchema = z.strictObject({
  point: z.literal('machine'),
  t: natural.optional(),
  /** A machine of `vrdma machines`, and the instance that is meant. */
  machine: z.string(),
  key: handle,
  /** An event of the machine; `open` begins an instance, `close` ends one. */
  event: z.string(),
  /** Argument of the event, and what guards compare the counter with. */
  arg: z.int().min(0).max(0x7fff_ffff).optional(),
  limit: z.int().min(0).max(0x7fff_ffff).optional(),
});

export const traceLineSchema = z.union([
  headerSchema,
  z.discriminatedUnion('what', [callSchema, resultSchema, postSchema, completionSchema, eventSchema]),
  controlSchema,
  ringSchema,
  machineSchema,
]);

export type Handle = number | string;
export type CallEvent = z.infer<typeof callSchema>;
export type ResultEvent = z.infer<typeof resultSchema>;
export type PostEvent = z.infer<typeof postSchema>;
export type CompletionEvent = z.infer<typeof completionSchema>;
export type CqEvent = z.infer<typeof eventSchema>;
export type ControlEvent = z.infer<typeof controlSchema>;
export type RingEvent = z.infer<typeof ringSchema>;
export type MachineEvent = z.infer<typeof machineSchema>;
export type VerbsEvent = CallEvent | ResultEvent | PostEvent | CompletionEvent | CqEvent;
export type ElsewhereEvent = VerbsEvent | ControlEvent | RingEvent | MachineEvent;
