/**
 * What a device needs of an HCA. The reference HCA implements it; a device talks to any implementation.
 *
 * An HCA gives each virtual machine (or each process on bare metal) a *function*: a port of its own with its own GID
 * table, queue pair numbers, keys and objects. Nothing of one function is visible in another. Calls act at once and
 * throw a `VerbsError`, having changed nothing, when they refuse.
 */
import type {
  AhAttributes,
  DeviceAttributes,
  DmaMemory,
  Gid,
  PortAttributes,
  QpAttributes,
  QpInit,
  QpSnapshot,
  QpCap,
  RecvWorkRequest,
  SendWorkRequest,
  WorkCompletion,
} from '../verbs/index.js';
import type { WcStatus } from '../abi/index.js';

/** Limits of every function. */
export interface HcaLimits {
  readonly attributes: DeviceAttributes;
  readonly port: PortAttributes;
}

export interface Hca {
  openFunction(): HcaFunction;
}

export interface HcaPd {
  readonly kind: 'hca-pd';
}
export interface HcaCq {
  readonly kind: 'hca-cq';
  readonly cqe: number;
}
export interface HcaMr {
  readonly kind: 'hca-mr';
  readonly lkey: number;
  /** 0 without remote rights. */
  readonly rkey: number;
}
export interface HcaAh {
  readonly kind: 'hca-ah';
}
export interface HcaQp {
  readonly kind: 'hca-qp';
  readonly qpNum: number;
  readonly cap: QpCap;
}

/** Memory of a region: addresses `iova .. iova+length-1` lie in pages of `pageBytes` whose places are listed. */
export interface HcaMrInit {
  readonly access: number;
  readonly iova: number;
  readonly length: number;
  readonly memory: DmaMemory;
  /** Power of two. The first page holds `iova`, at offset `iova % pageBytes`. */
  readonly pageBytes: number;
  /** Place of each page in `memory`; undefined: addresses are places. */
  readonly pages: Float64Array | undefined;
}

/** Told by a completion queue, so that its owner can move completions on. */
export interface HcaCqOwner {
  /**
   * A completion was added. Called in the step that adds it; the entry is lent. `solicited`: it counts as solicited, by its
   * message or by its error.
   */
  completionAdded(cq: HcaCq, completion: Readonly<WorkCompletion>, solicited: boolean): void;
  /** The armed queue had a matching completion; it is disarmed now. */
  eventRaised(cq: HcaCq): void;
  /**
   * Completions that the owner has taken but its program has not consumed yet; they count against the queue's capacity.
   * Asked when a completion is added.
   */
  unconsumed(cq: HcaCq): number;
  /** The queue overran: a completion was lost, every queue pair of the queue is in error, nothing is added any more. */
  overran(cq: HcaCq): void;
}

/**
 * Told by a queue pair when a request leaves it. `cookie` is what came with the post. A request's completion, if it has one,
 * is added behind its own leaving and before the next request of this function leaves.
 */
export interface HcaQpOwner {
  /** The send is done with, completed or flushed or discarded, in posting order; before its completion, if any, is added. */
  sendRetired(qp: HcaQp, cookie: number): void;
  /** The same for a receive. */
  recvRetired(qp: HcaQp, cookie: number): void;
}

export interface HcaFunction {
  readonly attributes: DeviceAttributes;
  readonly port: PortAttributes;

  createPd(): HcaPd;
  destroyPd(pd: HcaPd): void;

  createCq(cqe: number, owner: HcaCqOwner): HcaCq;
  destroyCq(cq: HcaCq): void;
  reqNotifyCq(cq: HcaCq, solicitedOnly: boolean): void;
  /** Takes up to `max` completions, oldest first. */
  pollCq(cq: HcaCq, completions: WorkCompletion[], max: number): number;

  registerMr(pd: HcaPd, init: HcaMrInit): HcaMr;
  deregisterMr(mr: HcaMr): void;

  createAh(pd: HcaPd, attributes: AhAttributes): HcaAh;
  destroyAh(ah: HcaAh): void;

  /** `qpNum` asks for a number; without it the lowest free one from 2 on is taken, 1 for GSI. */
  createQp(pd: HcaPd, init: QpInit<HcaCq>, owner: HcaQpOwner, qpNum?: number): HcaQp;
  modifyQp(qp: HcaQp, attributes: QpAttributes): void;
  queryQp(qp: HcaQp): QpSnapshot;
  /** Retires every request that is left, without completions. */
  destroyQp(qp: HcaQp): void;

  addGid(index: number, gid: Gid): void;
  delGid(index: number): void;

  /** Copies all it needs of the request before it returns. Throws EINVAL or ENOMEM as `Verbs.postSend` does. */
  postSend(qp: HcaQp, request: SendWorkRequest<HcaAh>, cookie: number): void;
  postRecv(qp: HcaQp, request: RecvWorkRequest, cookie: number): void;
  /**
   * Posts a request that was found malformed: at its turn it completes with `status` and acts on the queue pair like any
   * local error. Throws as the plain post does for the state and a full queue.
   */
  postFaultySend(qp: HcaQp, wrId: number, status: WcStatus, cookie: number): void;
  postFaultyRecv(qp: HcaQp, wrId: number, status: WcStatus, cookie: number): void;

  /** Destroys every object in silence: no completion, no event, no packet from here on. GIDs are cleared too. */
  reset(): void;
}
