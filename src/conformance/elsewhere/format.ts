/**
 * The trace: what was seen of a system, as events at points of observation. In process it is plain objects; on disk it is JSON
 * Lines, a header first, then one event a line, in the order in which things happened. docs/traces.md explains each.
 */
import { z } from 'zod';
import { acks, commands, qpStates, qpTypes, wcStatuses } from '../../abi/index.js';

/** 1 was for people to read; it named no objects. */
export const TRACE_VERSION = 2;

/** Points of observation that a trace may hold; a partial trace names the ones that it has. */
export const tracePoints = ['verbs', 'control', 'ring', 'machine', 'wire'] as const;
export type TracePoint = (typeof tracePoints)[number];

/** A number or a name of the recorder's own; unique among the objects of a kind and machine that exist at one time. */
const handle = z.union([z.int().min(0), z.string().min(1).max(64)]);
const vm = z.int().min(0).max(255).default(0);
const natural = z.int().min(0);

export const headerSchema = z.strictObject({
  vrdmaTrace: z.literal(TRACE_VERSION),
  points: z.array(z.enum(tracePoints)).min(1),
  /** `middle`: objects may be older than the trace; what is not known of them is not judged. */
  from: z.enum(['start', 'middle']).default('start'),
  /** What recorded it; only shown. */
  source: z.string().optional(),
  /** Virtqueues of a machine, and the most entries that one has. */
  queues: z.int().min(1).max(65_536).default(64),
  queueSizeMax: z.int().min(1).max(32_768).default(1024),
  /** Sides of rings and control queue that were recorded; of one that was not, the machines are told what must have been. */
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

/** Nanoseconds on the recorder's clock; only shown. */
const t = natural.optional();
/** For people who read the trace; nothing is judged by it. */
const text = z.string().optional();
const verbsEvent = { point: z.literal('verbs'), t, vm, text };

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
  /** modifyQp: the state, if one is asked for, and attr_mask, in which STATE stands when one is. */
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
  /** A name, or the number that was seen. */
  status: z.union([z.enum(wcStatuses.names), z.int().min(0).max(255)]),
});

export const eventSchema = z.strictObject({ ...verbsEvent, what: z.literal('event'), cq: handle });

/** What no other line tells, such as a post that was refused. Nothing is judged by it. */
export const noteSchema = z.strictObject({
  ...verbsEvent,
  what: z.literal('note'),
  by: z.enum(['program', 'driver']),
  text: z.string(),
});

export const controlSchema = z.strictObject({
  point: z.literal('control'),
  t,
  vm,
  side: z.enum(['driver', 'device']),
  what: z.enum(['command', 'answer']),
  /** The recorder's number of the command; unique on a side among those under way. */
  id: natural,
  /** A name, or the number that was seen; -1 when the request was too short to hold one. */
  command: z.union([z.enum(commands.names), z.int().min(-1).max(255)]),
  ack: z.enum(acks.names).optional(),
});

export const ringSchema = z.strictObject({
  point: z.literal('ring'),
  t,
  vm,
  queue: natural,
  /**
   * Of the driver: `available` a chain put in the ring, `published` the index raised, `consumed` a used element taken,
   * `asleep`. Of the device: `taken`, `used`, `interrupt` decided, `asleep`. `notified`: a kick has arrived. `woke`: who was
   * asleep looks again without having been told. `reset`: the queue, or the whole device, was reset; all chains are free.
   */
  what: z.enum([
    'available',
    'published',
    'notified',
    'taken',
    'used',
    'interrupt',
    'consumed',
    'asleep',
    'woke',
    'reset',
  ]),
  /** Head of the chain, for `available`, `taken`, `used` and `consumed`. */
  head: natural.optional(),
  /** `published` and `interrupt`: whether a notification goes out. */
  notify: z.boolean().optional(),
  /** `asleep` and `woke`: who. */
  side: z.enum(['driver', 'device']).optional(),
  /** Bytes for the device to read (`available`), or that it wrote (`used`, `consumed`); only shown. */
  bytes: natural.optional(),
});

export const machineSchema = z.strictObject({
  point: z.literal('machine'),
  t,
  /** A machine of `vrdma machines`, and the instance that is meant. */
  machine: z.string(),
  key: handle,
  /** An event of the machine; `open` begins an instance, `close` ends one. */
  event: z.string(),
  /** Argument of the event, and what guards compare the counter with. */
  arg: z.int().min(0).max(0x7fff_ffff).optional(),
  limit: z.int().min(0).max(0x7fff_ffff).optional(),
});

/** A packet; shown and not judged. */
export const wireSchema = z.strictObject({
  point: z.literal('wire'),
  t,
  what: z.enum(['sent', 'delivered', 'dropped']),
  packet: z.string(),
  from: z.string(),
  to: z.string(),
  destQpn: natural,
  psn: natural,
  bytes: natural,
  why: z.string().optional(),
});

/** By the member `what` of verbs events. */
export const verbsSchemas = {
  call: callSchema,
  result: resultSchema,
  post: postSchema,
  completion: completionSchema,
  event: eventSchema,
  note: noteSchema,
};

/** Any line of a trace; the header is the first. */
export const traceLineSchema = z.union([
  headerSchema,
  z.discriminatedUnion('what', [
    callSchema,
    resultSchema,
    postSchema,
    completionSchema,
    eventSchema,
    noteSchema,
  ]),
  controlSchema,
  ringSchema,
  machineSchema,
  wireSchema,
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
export type NoteEvent = z.infer<typeof noteSchema>;
export type WireEvent = z.infer<typeof wireSchema>;
export type VerbsEvent = CallEvent | ResultEvent | PostEvent | CompletionEvent | CqEvent | NoteEvent;
export type TraceEvent = VerbsEvent | ControlEvent | RingEvent | MachineEvent | WireEvent;

/** The schema as a JSON Schema document, for docs/trace.schema.json. */
export function traceSchemaText(): string {
  const schema = z.toJSONSchema(traceLineSchema, { io: 'input' });
  const about = {
    $schema: schema.$schema,
    title: `One line of a vrdma trace, version ${TRACE_VERSION}`,
    description: 'JSON Lines: the first line is a header, each other line an event. See traces.md.',
  };
  return `${JSON.stringify({ ...about, ...schema }, undefined, 2)}\n`;
}
