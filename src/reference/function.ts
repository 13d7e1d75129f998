/**
 * One function of the reference HCA: its objects, its GID table, its port. Control verbs are checked here and handed on;
 * packets from the fabric find their queue pair here.
 */
import { AccessFlag, INLINE_DATA_MAX, QpType } from '../abi/index.js';
import type { WcStatus } from '../abi/index.js';
import { operationOf, PacketOperation } from '../fabric/index.js';
import type { Fabric, FabricPort, Packet, PacketReceiver, Scheduler } from '../fabric/index.js';
import { VerbsError } from '../verbs/index.js';
import type { Errno, QpAttributes, QpInit, QpSnapshot, RecvWorkRequest } from '../verbs/index.js';
import type { AhAttributes, DeviceAttributes, Gid, PortAttributes, QpCap } from '../verbs/index.js';
import type { SendWorkRequest, WorkCompletion } from '../verbs/index.js';
import { AddressHandle, faultOfAddress, validGid } from './address-handle.js';
import { CompletionQueue } from './completion-queue.js';
import { Counters } from './counters.js';
import type { FunctionContext } from './function-context.js';
import { halvesOf } from './halves-of.js';
import type {
  HcaAh,
  HcaCq,
  HcaCqOwner,
  HcaFunction,
  HcaLimits,
  HcaMr,
  HcaMrInit,
  HcaPd,
  HcaQp,
  HcaQpOwner,
} from './hca.js';
import { MemoryKeys, MemoryRegion } from './memory-keys.js';
import { modifyQueuePair, queryQueuePair } from './modify.js';
import { DEFAULT_PARTITION_KEY } from './packet-sender.js';
import { postFaultyRecv, postFaultySend, postRecv, postSend } from './post.js';
import { ProtectionDomain } from './protection-domain.js';
import { QueuePair } from './queue-pair.js';

const GSI_QPN = 1;
const FIRST_QPN = 2;
const KNOWN_ACCESS = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;

export class ReferenceFunction implements HcaFunction, PacketReceiver {
  readonly attributes: DeviceAttributes;
  readonly port: PortAttributes;
  readonly counters = new Counters();
  readonly #fabric: Fabric;
  readonly #fabricPort: FabricPort;
  readonly #context: FunctionContext;
  readonly #keys = new MemoryKeys();
  readonly #gids: (Gid | undefined)[];
  readonly #pds = new Set<HcaPd>();
  readonly #cqs = new Set<HcaCq>();
  readonly #ahs = new Set<HcaAh>();
  readonly #qps = new Map<number, QueuePair>();

  constructor(scheduler: Scheduler, fabric: Fabric, limits: HcaLimits) {
    this.attributes = limits.attributes;
    this.port = limits.port;
    this.#fabric = fabric;
    this.#fabricPort = fabric.attach(this);
    this.#gids = Array.from({ length: limits.port.gidTableLength }, () => undefined);
    this.#context = {
      scheduler,
      fabric,
      fabricPort: this.#fabricPort,
      attributes: limits.attributes,
      port: limits.port,
      keys: this.#keys,
      counters: this.counters,
      gids: this.#gids,
    };
  }

  createPd(): ProtectionDomain {
    checkRoom('createPd', this.#pds.size, this.attributes.maxPd);
    const pd = new ProtectionDomain();
    this.#pds.add(pd);
    return pd;
  }

  destroyPd(pd: HcaPd): void {
    const found = this.#pd('destroyPd', pd);
    if (found.users > 0) refuse('EBUSY', 'destroyPd', `${found.users} objects use it`);
    this.#pds.delete(pd);
  }

  createCq(cqe: number, owner: HcaCqOwner): CompletionQueue {
    const { maxCqe, maxCq } = this.attributes;
    if (!Number.isInteger(cqe) || cqe < 1 || cqe > maxCqe)
      refuse('EINVAL', 'createCq', `cqe is ${cqe}, must be 1 to ${maxCqe}`);
    checkRoom('createCq', this.#cqs.size, maxCq);
    const cq = new CompletionQueue(cqe, owner, this.counters);
    this.#cqs.add(cq);
    return cq;
  }

  destroyCq(cq: HcaCq): void {
    const found = this.#cq('destroyCq', cq);
    if (found.users.size > 0) refuse('EBUSY', 'destroyCq', `${found.users.size} queue pairs use it`);
    this.#cqs.delete(cq);
  }

  reqNotifyCq(cq: HcaCq, solicitedOnly: boolean): void {
    this.#cq('reqNotifyCq', cq).arm(solicitedOnly);
  }

  pollCq(cq: HcaCq, completions: WorkCompletion[], max: number): number {
    return this.#cq('pollCq', cq).poll(completions, max);
  }

  registerMr(pd: HcaPd, init: HcaMrInit): HcaMr {
    const owner = this.#pd('registerMr', pd);
    const fault = faultOfRegion(init, this.attributes.maxMrSizeBytes);
    if (fault !== undefined) refuse('EINVAL', 'registerMr', fault);
    checkRoom('registerMr', this.#keys.count, this.attributes.maxMr);
    owner.users++;
    return this.#keys.add(key => new MemoryRegion(key, owner, init, this.counters));
  }

  deregisterMr(mr: HcaMr): void {
    const known = mr instanceof MemoryRegion && this.#keys.remove(mr);
    if (!known) return refuse('EINVAL', 'deregisterMr', 'it is not a memory region of this function');
    mr.pd.users--;
  }

  createAh(pd: HcaPd, attributes: AhAttributes): AddressHandle {
    const owner = this.#pd('createAh', pd);
    const fault = faultOfAddress(attributes, this.#gids);
    if (fault !== undefined) refuse('EINVAL', 'createAh', fault);
    checkRoom('createAh', this.#ahs.size, this.attributes.maxAh);
    const ah = new AddressHandle(owner, attributes);
    owner.users++;
    this.#ahs.add(ah);
    return ah;
  }

  destroyAh(ah: HcaAh): void {
    if (!(ah instanceof AddressHandle) || !this.#ahs.delete(ah))
      return refuse('EINVAL', 'destroyAh', 'it is not an address handle of this function');
    ah.destroyed = true;
    ah.pd.users--;
  }

  createQp(pd: HcaPd, init: QpInit<HcaCq>, owner: HcaQpOwner, qpNum?: number): QueuePair {
    const domain = this.#pd('createQp', pd);
    const sendCq = this.#cq('createQp', init.sendCq);
    const recvCq = this.#cq('createQp', init.recvCq);
    this.#checkCap(init.cap);
    const number = this.#chooseQpNum(init.type, qpNum);
    if (number !== GSI_QPN) this.#checkQpRoom();
    const qp = new QueuePair(this.#context, number, domain, { ...init, sendCq, recvCq }, owner, halvesOf);
    this.#qps.set(number, qp);
    domain.users++;
    sendCq.users.add(qp);
    recvCq.users.add(qp);
    return qp;
  }

  modifyQp(qp: HcaQp, attributes: QpAttributes): void {
    modifyQueuePair(this.#qp('modifyQp', qp), attributes);
  }

  queryQp(qp: HcaQp): QpSnapshot {
    return queryQueuePair(this.#qp('queryQp', qp));
  }

  destroyQp(qp: HcaQp): void {
    const found = this.#qp('destroyQp', qp);
    this.#qps.delete(found.qpNum);
    found.pd.users--;
    found.sendCq.users.delete(found);
    found.recvCq.users.delete(found);
    found.destroy(true);
  }

  addGid(index: number, gid: Gid): void {
    this.#checkGidIndex('addGid', index);
    if (!validGid(gid)) refuse('EINVAL', 'addGid', `${gid} is not a GID`);
    if (this.#gids[index] === gid) return;
    if (this.#gids.includes(gid) || !this.#fabric.claimGid(this.#fabricPort, gid))
      refuse('EADDRINUSE', 'addGid', `GID ${gid} is in a table already`);
    this.#clearGid(index);
    this.#gids[index] = gid;
  }

  delGid(index: number): void {
    this.#checkGidIndex('delGid', index);
    if (this.#gids[index] === undefined) refuse('EINVAL', 'delGid', `GID table entry ${index} is empty`);
    this.#clearGid(index);
  }

  postSend(qp: HcaQp, request: SendWorkRequest<HcaAh>, cookie: number): void {
    postSend(this.#qp('postSend', qp), request, cookie);
  }

  postRecv(qp: HcaQp, request: RecvWorkRequest, cookie: number): void {
    postRecv(this.#qp('postRecv', qp), request, cookie);
  }

  postFaultySend(qp: HcaQp, wrId: number, status: WcStatus, cookie: number): void {
    postFaultySend(this.#qp('postSend', qp), wrId, status, cookie);
  }

  postFaultyRecv(qp: HcaQp, wrId: number, status: WcStatus, cookie: number): void {
    postFaultyRecv(this.#qp('postRecv', qp), wrId, status, cookie);
  }

  reset(): void {
    for (const qp of this.#qps.values()) qp.destroy(false);
    this.#qps.clear();
    this.#cqs.clear();
    this.#ahs.clear();
    this.#pds.clear();
    this.#keys.clear();
    for (let index = 0; index < this.#gids.length; index++) this.#clearGid(index);
  }

  /** How many objects of each kind there are, by their name in words; nothing of it is left after {@link reset}. */
  inventory(): ReadonlyMap<string, number> {
    return new Map([
      ['protection domains', this.#pds.size],
      ['completion queues', this.#cqs.size],
      ['memory regions', this.#keys.count],
      ['address handles', this.#ahs.size],
      ['queue pairs', this.#qps.size],
      ['GIDs', this.#gids.filter(gid => gid !== undefined).length],
    ]);
  }

  /** A packet has arrived; see {@link PacketReceiver}. */
  receive(packet: Packet): void {
    this.counters.packetsReceived++;
    const qp = this.#qps.get(packet.destQpn);
    if (qp === undefined) return this.#drop(packet, 'unknown queue pair');
    if (!qp.speaks(packet) || packet.partitionKey !== DEFAULT_PARTITION_KEY)
      return this.#drop(packet, 'wrong transport, partition key or queue key');
    const operation = operationOf(packet.opcode);
    const response =
      operation >= PacketOperation.READ_RESPONSE_FIRST && operation <= PacketOperation.ACKNOWLEDGE;
    if (response ? !qp.sending : !qp.receiving)
      return this.#drop(packet, 'queue pair does not take packets in its state');
    if (!qp.knowsSender(packet)) return this.#drop(packet, 'not from the connected peer');
    qp.receive(packet, response);
  }

  #drop(packet: Packet, why: Parameters<Fabric['reportDrop']>[1]): void {
    this.counters.packetsDropped++;
    this.#fabric.reportDrop(packet, why);
  }

  #clearGid(index: number): void {
    const gid = this.#gids[index];
    if (gid !== undefined) this.#fabric.releaseGid(this.#fabricPort, gid);
    this.#gids[index] = undefined;
  }

  #checkGidIndex(verb: string, index: number): void {
    const { length } = this.#gids;
    if (!Number.isInteger(index) || index < 0 || index >= length)
      refuse('EINVAL', verb, `GID index ${index} is beyond the table of ${length}`);
  }

  #checkCap(cap: QpCap): void {
    const limits = this.attributes;
    const ranges: readonly (readonly [string, number, number])[] = [
      ['max_send_wr', cap.maxSendWr, limits.maxQpWr],
      ['max_recv_wr', cap.maxRecvWr, limits.maxQpWr],
      ['max_send_sge', cap.maxSendSge, limits.maxSendSge],
      ['max_recv_sge', cap.maxRecvSge, limits.maxRecvSge],
      ['max_inline_data', cap.maxInlineData, INLINE_DATA_MAX],
    ];
    for (const [name, value, most] of ranges)
      if (!(Number.isInteger(value) && value >= 0 && value <= most))
        refuse('EINVAL', 'createQp', `${name} is ${value}, must be 0 to ${most}`);
  }

  /** `maxQp` counts the numbers that are set aside too: 0, which nobody has, and 1, which is the GSI queue pair's. */
  #checkQpRoom(): void {
    const others = this.#qps.size - (this.#qps.has(GSI_QPN) ? 1 : 0);
    checkRoom('createQp', others, this.attributes.maxQp - FIRST_QPN);
  }

  #chooseQpNum(type: QpType, asked: number | undefined): number {
    if (type === QpType.SMI) refuse('EINVAL', 'createQp', 'type SMI does not exist on RoCE');
    const known = type === QpType.GSI || type === QpType.RC || type === QpType.UC || type === QpType.UD;
    if (!known) refuse('EINVAL', 'createQp', `unknown type ${String(type)}`);
    if (type === QpType.GSI) {
      if (asked !== undefined && asked !== GSI_QPN) refuse('EINVAL', 'createQp', 'GSI is queue pair 1');
      if (this.#qps.has(GSI_QPN)) refuse('EBUSY', 'createQp', 'there is a GSI queue pair already');
      return GSI_QPN;
    }
    if (asked !== undefined) {
      const usable = Number.isInteger(asked) && asked >= FIRST_QPN && asked <= 0xff_ffff;
      if (!usable || this.#qps.has(asked))
        refuse('EINVAL', 'createQp', `queue pair number ${asked} is not free`);
      return asked;
    }
    let number = FIRST_QPN;
    while (this.#qps.has(number)) number++;
    return number;
  }

  #pd(verb: string, pd: HcaPd): ProtectionDomain {
    if (pd instanceof ProtectionDomain && this.#pds.has(pd)) return pd;
    return refuse('EINVAL', verb, 'it is not a protection domain of this function');
  }

  #cq(verb: string, cq: HcaCq): CompletionQueue {
    if (cq instanceof CompletionQueue && this.#cqs.has(cq)) return cq;
    return refuse('EINVAL', verb, 'it is not a completion queue of this function');
  }

  #qp(verb: string, qp: HcaQp): QueuePair {
    if (qp instanceof QueuePair && qp.context === this.#context && !qp.destroyed) return qp;
    return refuse('EINVAL', verb, 'it is not a queue pair of this function');
  }
}

/** What is wrong with a region to be registered, or undefined. A region without page list has no greatest size. */
function faultOfRegion(init: HcaMrInit, maxBytes: number): string | undefined {
  const { access, iova, length, pageBytes, pages } = init;
  if ((access & ~KNOWN_ACCESS) !== 0) return 'unknown bits in access';
  if ((access & AccessFlag.REMOTE_WRITE) !== 0 && (access & AccessFlag.LOCAL_WRITE) === 0)
    return 'REMOTE_WRITE needs LOCAL_WRITE';
  if (!(Number.isInteger(length) && length >= 1)) return `the length is ${length}, must be 1 or more`;
  if (!(Number.isInteger(iova) && iova >= 0 && iova + length <= Number.MAX_SAFE_INTEGER))
    return 'the range wraps around';
  if (pages === undefined) return undefined;
  if (length > maxBytes) return `the length is ${length}, at most ${maxBytes}`;
  const offset = iova % pageBytes;
  const needed = Math.ceil((offset + length) / pageBytes);
  if (pages.length !== needed) return `${pages.length} pages, the range needs ${needed}`;
  return memoryHasPages(init, pages) ? undefined : 'a page is not in memory';
}

const probe = new Uint8Array(1);

/** Whether the first and the last byte of each page are there. */
function memoryHasPages({ memory, pageBytes }: HcaMrInit, pages: Float64Array): boolean {
  for (const page of pages) {
    if (page % pageBytes !== 0) return false;
    if (!memory.read(page, probe, 0, 1) || !memory.read(page + pageBytes - 1, probe, 0, 1)) return false;
  }
  return true;
}

function checkRoom(verb: string, count: number, limit: number): void {
  if (count >= limit) refuse('ENOMEM', verb, `all ${limit} are taken`);
}

function refuse(errno: Errno, verb: string, detail: string): never {
  throw new VerbsError(errno, verb, detail);
}
