/**
 * The line protocol by which a program in any language offers verbs: JSON Lines, one request of the kit a line, one line of
 * the agent for each. The schemas here are the definition; docs/agent.schema.json is made from them, and
 * docs/agent-protocol.md explains them.
 */
import { z } from 'zod';
import { qpStates, qpTypes, wcOpcodes, wcStatuses, wrOpcodes } from '../../abi/index.js';

export const AGENT_PROTOCOL = 'vrdma-agent';
/** Goes up when an agent of an older version could not be understood. */
export const AGENT_PROTOCOL_VERSION = 1;

const vm = z.int().min(0).max(3);
const u8 = z.int().min(0).max(0xff);
const u16 = z.int().min(0).max(0xffff);
const u32 = z.int().min(0).max(0xffff_ffff);
const natural = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
/** An address may miss the arena on purpose. */
const address = z.int();
const base64 = z.string();
const gid = z.string().regex(/^[0-9a-f]{32}$/);
/** Number of an object: the kit gives it when the object is made; no two objects of a machine have the same. */
const object = natural;

/** What an agent may say that it does not offer. */
export const lackable = [
  'RC',
  'UC',
  'UD',
  'GSI',
  'SEND_WITH_IMM',
  'RDMA_WRITE',
  'RDMA_WRITE_WITH_IMM',
  'RDMA_READ',
  'inline',
  'fence',
  'SQD',
  'getDmaMr',
  'queryQp',
  'createAh',
  'delGid',
  'reqNotifyCq',
] as const;
export type Lackable = (typeof lackable)[number];

export const errnoNames = [
  'EINVAL',
  'ENOMEM',
  'EBUSY',
  'EOPNOTSUPP',
  'EACCES',
  'EFAULT',
  'EADDRINUSE',
  'ENODEV',
  'EIO',
] as const;

const capSchema = z.object({
  maxSendWr: u32,
  maxRecvWr: u32,
  maxSendSge: u32,
  maxRecvSge: u32,
  maxInlineData: u32,
});

const ahAttributes = z.object({
  dgid: gid,
  sgidIndex: u8,
  flowLabel: u32,
  hopLimit: u8,
  trafficClass: u8,
});

const deviceAttributes = z.object({
  maxMrSizeBytes: natural,
  pageSizeCap: natural,
  maxQp: u32,
  maxQpWr: u32,
  maxSendSge: u32,
  maxRecvSge: u32,
  maxSgeRd: u32,
  maxCq: u32,
  maxCqe: u32,
  maxMr: u32,
  maxPd: u32,
  maxAh: u32,
  maxQpRdAtom: u8,
  maxQpInitRdAtom: u8,
});

const portAttributes = z.object({ gidTableLength: u16, maxMsgSizeBytes: u32, activeMtu: u8 });

const qpAttributes = z
  .object({
    qpState: z.enum(qpStates.names),
    curQpState: z.enum(qpStates.names),
    pathMtu: u8,
    maxRdAtomic: u8,
    maxDestRdAtomic: u8,
    minRnrTimer: u8,
    timeout: u8,
    retryCnt: u8,
    rnrRetry: u8,
    qkey: u32,
    rqPsn: u32,
    sqPsn: u32,
    destQpNum: u32,
    qpAccessFlags: u32,
    rateLimit: u32,
    cap: capSchema,
    ahAttr: ahAttributes,
  })
  .partial();

/** Address, length, local key. */
const sge = z.tuple([address, u32, u32]);

const sendRequest = z.object({
  wrId: natural,
  opcode: z.enum(wrOpcodes.names),
  /** Bits: 1 fence, 2 signaled, 4 solicited, 8 inline. */
  sendFlags: u32,
  sges: z.array(sge),
  inlineData: base64.optional(),
  immData: u32.optional(),
  remoteAddr: address.optional(),
  rkey: u32.optional(),
  ah: object.optional(),
  remoteQpn: u32.optional(),
  remoteQkey: u32.optional(),
});
const recvRequest = z.object({ wrId: natural, sges: z.array(sge) });

const call = <K extends string, S extends z.ZodRawShape>(name: K, shape: S) =>
  z.object({ vm, call: z.literal(name), ...shape });

/** What has happened since `open`, by machine, on bare metal. */
const expectedSchema = z.object({ completions: z.array(natural), events: z.array(natural) });

const callSchema = z.discriminatedUnion('call', [
  call('queryDevice', {}),
  call('queryPort', {}),
  call('createPd', { pd: object }),
  call('destroyPd', { pd: object }),
  call('createCq', { cq: object, cqe: u32 }),
  call('destroyCq', { cq: object }),
  call('reqNotifyCq', { cq: object, solicitedOnly: z.boolean() }),
  call('regMr', { mr: object, pd: object, addr: address, length: natural, access: u32 }),
  call('getDmaMr', { mr: object, pd: object, access: u32 }),
  call('deregMr', { mr: object }),
  call('createQp', {
    qp: object,
    pd: object,
    type: z.enum(qpTypes.names),
    sqSigAll: z.boolean(),
    sendCq: object,
    recvCq: object,
    cap: capSchema,
  }),
  call('modifyQp', { qp: object, attributes: qpAttributes }),
  call('queryQp', { qp: object }),
  call('destroyQp', { qp: object }),
  call('createAh', { ah: object, pd: object, attributes: ahAttributes }),
  call('destroyAh', { ah: object }),
  call('addGid', { index: u32, gid }),
  call('delGid', { index: u32 }),
  call('postSend', { qp: object, requests: z.array(sendRequest).min(1) }),
  call('postRecv', { qp: object, requests: z.array(recvRequest).min(1) }),
  call('pollCq', { cq: object, max: u32 }),
  call('readMemory', { at: natural, length: natural }),
  call('writeMemory', { at: natural, bytes: base64 }),
  z.object({ call: z.literal('settle'), expected: expectedSchema.optional() }),
]);

/** A device at a unix socket, where the agent is the front-end, and the memory that both share. */
const deviceSchema = z.object({
  kind: z.literal('vhost-user'),
  socket: z.string(),
  /** Device type of virtio: 1 network, 42 RDMA. */
  type: u16,
  /** Largest size of each queue; vhost-user has no message that asks for it. */
  queueSizes: z.array(u16),
  memory: z.object({
    /** To be opened and mapped as a whole: it is all of the machine's memory. */
    file: z.string(),
    bytes: natural,
    /** Guest-physical address of its first byte. */
    address: natural,
    /** The part of the file that is the driver's for DMA memory. */
    dmaAt: natural,
    dmaBytes: natural,
    /** Offset in the file of each page of the arena, which are 4096 bytes long. */
    pages: z.array(natural),
  }),
});

const openSchema = z.object({
  machines: z.array(
    z.object({
      vm,
      host: z.int().min(0).max(1),
      arena: z.object({
        bytes: natural,
        /** Address that the arena shall have. */
        base: natural,
        /** File that holds the arena, for an agent that asked for one. */
        file: z.string().optional(),
      }),
      /** The device to drive, for an agent that asked for one. */
      device: deviceSchema.optional(),
    }),
  ),
  /** What queryDevice and queryPort shall answer, and what the agent shall hold to. */
  limits: z.object({ attributes: deviceAttributes, port: portAttributes }),
});

const helloSchema = z.object({
  protocol: z.literal(AGENT_PROTOCOL),
  version: z.int().min(1),
  kit: z.string(),
});

const id = natural;
const requestSchema = z.union([
  z.object({ id, hello: helloSchema }),
  z.object({ id, open: openSchema }),
  z.object({ id, calls: z.array(callSchema).min(1) }),
]);

export const agentHelloSchema = z.object({
  protocol: z.literal(AGENT_PROTOCOL),
  version: z.literal(AGENT_PROTOCOL_VERSION),
  /** What reports call the agent. */
  name: z.string().min(1).max(80),
  /** What is not offered: cases about it are unsupported, and generated programs do without it. */
  lacks: z.array(z.enum(lackable)).optional(),
  /** `file`: the arenas lie in files that the agent maps; else they are read and written by calls. */
  arena: z.enum(['calls', 'file']).optional(),
  /**
   * How a settle knows that nothing is in progress: `known`: the agent can tell; `expected`: it is told how much happens on
   * bare metal, and waits for that.
   */
  rest: z.enum(['known', 'expected']).optional(),
  /** `vhost-user`: the agent is a driver, and drives a device of the kit's for each machine that is opened. */
  device: z.enum(['vhost-user']).optional(),
});
export type AgentHello = z.infer<typeof agentHelloSchema>;

export const agentOpenSchema = z.object({
  machines: z.array(
    z.object({
      /** Address of the arena's first byte, where it is not the one that was asked for. */
      base: natural.optional(),
      /** Address of that byte in a region over all memory; without it the same as `base`. */
      dma: natural.optional(),
    }),
  ),
});

const refusalSchema = z.object({
  errno: z.enum(errnoNames),
  text: z.string().optional(),
  /** Of a list of requests: how many were posted before the one that was refused. */
  posted: natural.optional(),
});

const completionSchema = z.object({
  wrId: natural,
  status: z.enum(wcStatuses.names),
  qpNum: u32,
  opcode: z.enum(wcOpcodes.names).optional(),
  vendorErr: u32.optional(),
  byteLen: u32.optional(),
  immData: u32.optional(),
  srcQp: u32.optional(),
  /** Bits of `WcFlag`: 1 a global route header precedes the data, 2 immediate data. */
  wcFlags: u32.optional(),
});

/** What calls come to, by call; one that is not listed answers `{}`. */
const resultSchemas = {
  queryDevice: deviceAttributes,
  queryPort: portAttributes,
  createCq: z.object({ cqe: u32 }),
  regMr: z.object({ lkey: u32, rkey: u32 }),
  getDmaMr: z.object({ lkey: u32, rkey: u32 }),
  createQp: z.object({ qpNum: u32, cap: capSchema }),
  queryQp: qpAttributes.extend({ sqDraining: z.boolean().optional() }),
  pollCq: z.object({ completions: z.array(completionSchema) }),
  readMemory: z.object({ bytes: base64 }),
} as const;

/** A control call that is still under way has a number of the agent's choice; its result comes under it in `done`. */
const pendingSchema = z.object({ pending: natural });
const resultSchema = z.union([
  ...Object.values(resultSchemas),
  refusalSchema,
  pendingSchema,
  z.strictObject({}),
]);

/** A completion event, which came before the result number `at`; without it, after all of them. */
const eventSchema = z.object({ vm, cq: object, at: natural.optional() });

const answerSchema = z.union([
  z.object({ id, hello: agentHelloSchema }),
  z.object({ id, open: agentOpenSchema }),
  z.object({
    id,
    results: z.array(resultSchema),
    events: z.array(eventSchema).optional(),
    done: z.array(z.object({ pending: natural, result: resultSchema })).optional(),
  }),
  /** The agent cannot go on, and says why. */
  z.object({ id, error: z.string() }),
]);

export type AgentRequest = z.infer<typeof requestSchema>;
export type AgentCall = z.infer<typeof callSchema>;
export type AgentOpen = z.infer<typeof openSchema>;
export type AgentAnswer = z.infer<typeof answerSchema>;

/** The schema of both directions as text, with a newline at its end. */
export function agentSchemaText(): string {
  const schema = z.toJSONSchema(z.union([requestSchema, answerSchema]), { io: 'input', reused: 'ref' });
  const about = {
    $schema: schema.$schema,
    title: `One line of the vrdma agent protocol, version ${AGENT_PROTOCOL_VERSION}`,
    description: 'JSON Lines: requests of the kit and answers of the agent. See agent-protocol.md.',
  };
  return `${JSON.stringify({ ...about, ...schema }, undefined, 2)}\n`;
}

/** Held against the schemas by tests only: the line itself is read by hand. */
export const agentSchemas = { request: requestSchema, answer: answerSchema, results: resultSchemas };
