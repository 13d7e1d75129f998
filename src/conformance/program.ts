/**
 * The verbs program: a list of verbs actions with symbolic handles, as plain data. It is what is generated, what a
 * counterexample is, and what a scenario file holds.
 */
import { z } from 'zod';
import { commands, qpStates, wcStatuses, wrOpcodes } from '../abi/index.js';

export const PROGRAM_VERSION = 1;

/** A name such as `qp0`: unique within its virtual machine. */
const name = z.string().regex(/^[a-z]+[0-9]+$/, 'a letter-digit name such as qp0');
const vm = z.int().min(0).max(3);
const natural = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const u32 = z.int().min(0).max(0xffff_ffff);

/** A key: of a region, or one that is wrong in a chosen way. */
const key = z.union([
  name,
  z.strictObject({ of: name, delta: z.int().min(-255).max(255) }),
  z.strictObject({ raw: u32 }),
]);

const sgeSchema = z.strictObject({
  /** Bytes from the start of the machine's arena. */
  at: z.int(),
  length: u32,
  mr: key,
});

/** Attributes as in `QpAttributes`, with symbolic peers. */
const attributes = z.strictObject({
  state: z.enum(qpStates.names).optional(),
  curState: z.enum(qpStates.names).optional(),
  pathMtu: z.int().min(0).max(255).optional(),
  maxRdAtomic: z.int().min(0).max(255).optional(),
  maxDestRdAtomic: z.int().min(0).max(255).optional(),
  minRnrTimer: z.int().min(0).max(255).optional(),
  timeout: z.int().min(0).max(255).optional(),
  retryCnt: z.int().min(0).max(255).optional(),
  rnrRetry: z.int().min(0).max(255).optional(),
  qkey: u32.optional(),
  rqPsn: u32.optional(),
  sqPsn: u32.optional(),
  /** The peer's queue pair, or a number. */
  dest: z.union([z.strictObject({ vm, qp: name }), u32]).optional(),
  access: u32.optional(),
  rateLimit: u32.optional(),
  cap: z.literal(true).optional(),
  /** The peer's GID table entry. */
  to: z
    .strictObject({ vm, gid: z.int().min(0).max(255), sgidIndex: z.int().min(0).max(255).optional() })
    .optional(),
});

const caps = z.strictObject({
  sendWr: u32,
  recvWr: u32,
  sendSge: u32,
  recvSge: u32,
  inline: u32,
});

/** The same once more, this often in all; default: once. */
const times = z.int().min(1).max(2048).optional();

const sendRequest = z.strictObject({
  opcode: z.enum(wrOpcodes.names),
  /** Default: true. */
  signaled: z.boolean().optional(),
  solicited: z.boolean().optional(),
  fence: z.boolean().optional(),
  /** Bytes of inline data, made from the request's number; replaces `sges`. */
  inline: z.int().min(0).max(4096).optional(),
  sges: z.array(sgeSchema).max(40),
  imm: u32.optional(),
  /** Target of a write or read: an offset in the peer's arena and a key of the peer. */
  remote: z.strictObject({ vm, at: z.int(), mr: key }).optional(),
  /** Target of a datagram. */
  ah: name.optional(),
  dest: z.union([z.strictObject({ vm, qp: name }), u32]).optional(),
  qkey: u32.optional(),
  times,
});

/** Attributes that QUERY_QP must show. */
const expectedAttributes = z.strictObject({
  draining: z.boolean().optional(),
  pathMtu: u32.optional(),
  maxRdAtomic: u32.optional(),
  maxDestRdAtomic: u32.optional(),
  minRnrTimer: u32.optional(),
  timeout: u32.optional(),
  retryCnt: u32.optional(),
  rnrRetry: u32.optional(),
  qkey: u32.optional(),
  rqPsn: u32.optional(),
  sqPsn: u32.optional(),
  access: u32.optional(),
});

const step = <K extends string, S extends z.ZodRawShape>(op: K, shape: S) =>
  z.strictObject({ op: z.literal(op), vm, ...shape });

/** What an action must come to, for scenario files; actions without it are judged by the laws alone. */
const expect = z.enum(['ok', 'EINVAL', 'ENOMEM', 'EBUSY', 'refused']).optional();

export const actionSchema = z.discriminatedUnion('op', [
  step('queryDevice', { expect }),
  step('queryPort', { expect }),
  step('createPd', { as: name, expect }),
  step('destroyPd', { pd: name, expect }),
  step('createCq', { as: name, cqe: u32, expect }),
  step('destroyCq', { cq: name, expect }),
  step('regMr', { as: name, pd: name, at: z.int(), length: natural, access: u32, expect }),
  step('getDmaMr', { as: name, pd: name, access: u32, expect }),
  step('deregMr', { mr: name, expect }),
  step('createQp', {
    as: name,
    pd: name,
    type: z.enum(['RC', 'UC', 'UD', 'GSI', 'SMI']),
    sendCq: name,
    recvCq: name,
    cap: caps.optional(),
    sigAll: z.boolean().optional(),
    expect,
  }),
  step('modifyQp', { qp: name, set: attributes, expect }),
  step('queryQp', {
    qp: name,
    expectState: z.enum(qpStates.names).optional(),
    expectSet: expectedAttributes.optional(),
    expect,
  }),
  step('destroyQp', { qp: name, expect }),
  step('createAh', {
    as: name,
    pd: name,
    to: z.strictObject({ vm, gid: z.int().min(0).max(255), sgidIndex: z.int().min(0).max(255).optional() }),
    expect,
  }),
  step('destroyAh', { ah: name, expect }),
  /** `of`: whose GID it is; another machine's is an attempt to take its address. */
  step('addGid', { index: u32, gid: z.int().min(0).max(255), of: vm.optional(), expect }),
  step('delGid', { index: u32, expect }),
  step('reqNotifyCq', { cq: name, solicitedOnly: z.boolean().optional(), expect }),
  step('postSend', { qp: name, requests: z.array(sendRequest).min(1).max(64), expect }),
  step('postRecv', {
    qp: name,
    requests: z
      .array(z.strictObject({ sges: z.array(sgeSchema).max(40), times }))
      .min(1)
      .max(600),
    expect,
  }),
  /**
   * Polls up to `max`. `expectWc`: the completions that must come, in order, and no more. `expectEvents`: the completion
   * events that the queue must have raised since it was created.
   */
  step('pollCq', {
    cq: name,
    max: z.int().min(1).max(1024).optional(),
    expectWc: z
      .array(
        z.strictObject({
          status: z.enum(wcStatuses.names),
          opcode: z.enum(['SEND', 'RDMA_WRITE', 'RDMA_READ', 'RECV', 'RECV_RDMA_WITH_IMM']).optional(),
          byteLen: u32.optional(),
          imm: u32.optional(),
          /** Bits of WcFlag. */
          flags: u32.optional(),
          /** The queue pair that the datagram came from. */
          from: z.strictObject({ vm, qp: name }).optional(),
          /** Number of the request; with `times`, of the first one. */
          wr: natural.optional(),
          times,
        }),
      )
      .optional(),
    expectEvents: natural.optional(),
  }),
  /** Arm, poll, sleep until the event if nothing was there, poll: the pattern that loses wake-ups when anything is wrong. */
  step('waitCq', { cq: name, solicitedOnly: z.boolean().optional() }),
  /** The program writes its own memory: `length` bytes made from `fill`. */
  step('writeMemory', { at: z.int().min(0), length: u32, fill: z.int().min(0).max(255) }),
  /** The bytes must be what `fill` makes, or those that it lists in hexadecimal, over and over. */
  step('expectMemory', {
    at: z.int().min(0),
    length: u32,
    fill: z.union([z.int().min(0).max(255), z.string().regex(/^(?:[0-9a-f]{2})+$/)]),
  }),
]);

export const programSchema = z.strictObject({
  version: z.literal(PROGRAM_VERSION),
  name: z.string().optional(),
  doc: z.string().optional(),
  /** Settled: each action runs until quiet. Racing: actions overlap. */
  mode: z.enum(['settled', 'racing']),
  /** Number of virtual machines, and the host each is on. */
  hosts: z.array(z.int().min(0).max(1)).min(1).max(4),
  /** Bytes of each machine's arena; whole pages. */
  arenaBytes: z
    .int()
    .min(4096)
    .max(64 * 1024 * 1024),
  /** Ring features offered, queue sizes. */
  indirect: z.boolean(),
  eventIdx: z.boolean(),
  /** Packed rings in place of split ones. */
  packed: z.literal(true).optional(),
  /** Chains are returned in order, and the driver knows; notifications say how far it has come. */
  inOrder: z.literal(true).optional(),
  /** Of 1024 packets, how many the fabric loses, doubles or delays past others. */
  faults: z.strictObject({ drop: u32, duplicate: u32, reorder: u32 }),
  /** Seed of everything the program leaves open: who steps next, which packets meet a fault. */
  seed: u32,
  /** Choices that come before those from the seed; `only` takes the first option after them. */
  choices: z.strictObject({ list: z.array(u32), only: z.boolean() }),
  /** Deeper queues, larger packets and longer messages than the usual limits allow. */
  wide: z.literal(true).optional(),
  actions: z.array(actionSchema),
});

export type Action = z.infer<typeof actionSchema>;
export type ActionOf<K extends Action['op']> = Extract<Action, { op: K }>;
export type RecvRequestSpec = ActionOf<'postRecv'>['requests'][number];
export type ExpectedAttributes = z.infer<typeof expectedAttributes>;
export type SendRequestSpec = z.infer<typeof sendRequest>;
export type SgeSpec = z.infer<typeof sgeSchema>;
export type KeySpec = z.infer<typeof key>;
export type AttributesSpec = z.infer<typeof attributes>;
export type Program = z.infer<typeof programSchema>;

/** Names of the 18 commands, for coverage tables. */
export const commandNames = commands.names;
