/**
 * The `Verbs` interface: what a guest driver, the reference HCA and a remote agent all offer, and all that the judge
 * uses of any of them.
 *
 * Control verbs are asynchronous: the promise settles when the answer is there and rejects with a `VerbsError`. Data
 * verbs act at once: they return, or throw a `VerbsError` and have no effect.
 */
import type {
  AddressHandle,
  AhAttributes,
  CompletionQueue,
  DeviceAttributes,
  Gid,
  MemoryRegion,
  MrInit,
  PortAttributes,
  ProtectionDomain,
  QpAttributes,
  QpInit,
  QpSnapshot,
  QueuePair,
  RecvWorkRequest,
  SendWorkRequest,
  WorkCompletion,
} from './types.js';

/** Called once for each completion event of a completion queue; the queue is disarmed by then. */
export type CompletionHandler = (cq: CompletionQueue) => void;

export interface Verbs {
  queryDevice(): Promise<DeviceAttributes>;
  queryPort(): Promise<PortAttributes>;

  createPd(): Promise<ProtectionDomain>;
  /** Rejects EBUSY while a memory region, queue pair or address handle uses it. */
  destroyPd(pd: ProtectionDomain): Promise<void>;

  /** `cqe` is 1 or more; rejects EINVAL above the device's limit, ENOMEM when all completion queues are taken. */
  createCq(cqe: number, onEvent?: CompletionHandler): Promise<CompletionQueue>;
  /** Rejects EBUSY while a queue pair uses it. */
  destroyCq(cq: CompletionQueue): Promise<void>;
  /** Arms the queue for one event. */
  reqNotifyCq(cq: CompletionQueue, solicitedOnly: boolean): Promise<void>;

  regMr(pd: ProtectionDomain, init: MrInit): Promise<MemoryRegion>;
  /** A region over all memory; addresses are those the device sees. */
  getDmaMr(pd: ProtectionDomain, access: number): Promise<MemoryRegion>;
  /** When it resolves no access through the region's keys is possible any more. */
  deregMr(mr: MemoryRegion): Promise<void>;

  createQp(pd: ProtectionDomain, init: QpInit): Promise<QueuePair>;
  /** All or nothing: a refused change changes no attribute and no state. */
  modifyQp(qp: QueuePair, attributes: QpAttributes): Promise<void>;
  queryQp(qp: QueuePair): Promise<QpSnapshot>;
  /** When it resolves no completion of this queue pair is added and no memory is touched on its behalf any more. */
  destroyQp(qp: QueuePair): Promise<void>;

  createAh(pd: ProtectionDomain, attributes: AhAttributes): Promise<AddressHandle>;
  destroyAh(ah: AddressHandle): Promise<void>;

  addGid(index: number, gid: Gid): Promise<void>;
  delGid(index: number): Promise<void>;

  /** Throws EINVAL (state, opcode, SGE count, inline length) or ENOMEM (queue full). */
  postSend(qp: QueuePair, request: SendWorkRequest): void;
  /** Throws EINVAL (state, SGE count) or ENOMEM (queue full). */
  postRecv(qp: QueuePair, request: RecvWorkRequest): void;
  /** Fills up to `max` completions, oldest first, and returns how many. */
  pollCq(cq: CompletionQueue, completions: WorkCompletion[], max: number): number;
}
