/**
 * Verbs without a hypervisor in between: a thin shell around a function of an HCA and a flat memory. Promises settle at
 * once. A completion handler is called in the step that adds the completion, before anything else can happen.
 */
import type { QpType, WrOpcode } from '../abi/index.js';
import { VerbsError } from '../verbs/index.js';
import type {
  AddressHandle,
  AhAttributes,
  CompletionHandler,
  CompletionQueue,
  DeviceAttributes,
  DmaMemory,
  Gid,
  MemoryRegion,
  MrInit,
  PortAttributes,
  ProtectionDomain,
  QpAttributes,
  QpCap,
  QpInit,
  QpSnapshot,
  QueuePair,
  RecvWorkRequest,
  SendWorkRequest,
  Sge,
  Verbs,
  WorkCompletion,
} from '../verbs/index.js';
import type {
  HcaAh,
  HcaCq,
  HcaCqOwner,
  HcaFunction,
  HcaMr,
  HcaMrInit,
  HcaPd,
  HcaQp,
  HcaQpOwner,
} from './hca.js';

/** A region without page list has no pages; the contract wants a size all the same. */
const PAGE_BYTES = 4096;

export class NativeVerbs implements Verbs {
  readonly #fn: HcaFunction;
  readonly #memory: DmaMemory;
  readonly #request = new NativeSendRequest();
  readonly #probe = new Uint8Array(1);

  /** @param memory what addresses in scatter and gather lists mean. */
  constructor(fn: HcaFunction, memory: DmaMemory) {
    this.#fn = fn;
    this.#memory = memory;
  }

  async queryDevice(): Promise<DeviceAttributes> {
    return this.#fn.attributes;
  }

  async queryPort(): Promise<PortAttributes> {
    return this.#fn.port;
  }

  async createPd(): Promise<ProtectionDomain> {
    return new NativePd(this.#fn.createPd());
  }

  async destroyPd(pd: ProtectionDomain): Promise<void> {
    this.#fn.destroyPd(hcaPd(pd));
  }

  async createCq(cqe: number, onEvent?: CompletionHandler): Promise<CompletionQueue> {
    const owner = new NativeCqOwner(onEvent);
    const cq = new NativeCq(this.#fn.createCq(cqe, owner));
    owner.cq = cq;
    return cq;
  }

  async destroyCq(cq: CompletionQueue): Promise<void> {
    this.#fn.destroyCq(hcaCq(cq));
  }

  async reqNotifyCq(cq: CompletionQueue, solicitedOnly: boolean): Promise<void> {
    this.#fn.reqNotifyCq(hcaCq(cq), solicitedOnly);
  }

  async regMr(pd: ProtectionDomain, init: MrInit): Promise<MemoryRegion> {
    const { addr, length, access } = init;
    const { maxMrSizeBytes } = this.#fn.attributes;
    if (length > maxMrSizeBytes) throw new VerbsError('EINVAL', 'regMr', `more than ${maxMrSizeBytes} bytes`);
    const region = this.#register(pd, addr, length, access);
    if (this.#has(addr) && this.#has(addr + length - 1)) return region;
    this.#fn.deregisterMr(region.hca);
    throw new VerbsError('EFAULT', 'regMr', `${length} bytes at ${addr} are not all in memory`);
  }

  async getDmaMr(pd: ProtectionDomain, access: number): Promise<MemoryRegion> {
    return this.#register(pd, 0, Number.MAX_SAFE_INTEGER, access);
  }

  async deregMr(mr: MemoryRegion): Promise<void> {
    if (!(mr instanceof NativeMr)) throw foreign('deregMr');
    this.#fn.deregisterMr(mr.hca);
  }

  async createQp(pd: ProtectionDomain, init: QpInit): Promise<QueuePair> {
    const { type, sqSigAll, cap } = init;
    const own = { type, sqSigAll, cap, sendCq: hcaCq(init.sendCq), recvCq: hcaCq(init.recvCq) };
    return new NativeQp(this.#fn.createQp(hcaPd(pd), own, nobody), type);
  }

  async modifyQp(qp: QueuePair, attributes: QpAttributes): Promise<void> {
    this.#fn.modifyQp(hcaQp(qp), attributes);
  }

  async queryQp(qp: QueuePair): Promise<QpSnapshot> {
    return this.#fn.queryQp(hcaQp(qp));
  }

  async destroyQp(qp: QueuePair): Promise<void> {
    this.#fn.destroyQp(hcaQp(qp));
  }

  async createAh(pd: ProtectionDomain, attributes: AhAttributes): Promise<AddressHandle> {
    return new NativeAh(this.#fn.createAh(hcaPd(pd), attributes));
  }

  async destroyAh(ah: AddressHandle): Promise<void> {
    if (!(ah instanceof NativeAh)) throw foreign('destroyAh');
    this.#fn.destroyAh(ah.hca);
  }

  async addGid(index: number, gid: Gid): Promise<void> {
    this.#fn.addGid(index, gid);
  }

  async delGid(index: number): Promise<void> {
    this.#fn.delGid(index);
  }

  postSend(qp: QueuePair, request: SendWorkRequest): void {
    this.#fn.postSend(hcaQp(qp), this.#request.set(request), 0);
  }

  postRecv(qp: QueuePair, request: RecvWorkRequest): void {
    this.#fn.postRecv(hcaQp(qp), request, 0);
  }

  pollCq(cq: CompletionQueue, completions: WorkCompletion[], max: number): number {
    return this.#fn.pollCq(hcaCq(cq), completions, max);
  }

  #register(pd: ProtectionDomain, iova: number, length: number, access: number): NativeMr {
    const memory = this.#memory;
    const init: HcaMrInit = { access, iova, length, memory, pageBytes: PAGE_BYTES, pages: undefined };
    return new NativeMr(this.#fn.registerMr(hcaPd(pd), init));
  }

  #has(address: number): boolean {
    return this.#memory.read(address, this.#probe, 0, 1);
  }
}

class NativePd implements ProtectionDomain {
  readonly kind = 'pd';
  readonly hca: HcaPd;
  constructor(hca: HcaPd) {
    this.hca = hca;
  }
}

class NativeCq implements CompletionQueue {
  readonly kind = 'cq';
  readonly cqe: number;
  readonly hca: HcaCq;
  constructor(hca: HcaCq) {
    this.hca = hca;
    this.cqe = hca.cqe;
  }
}

class NativeMr implements MemoryRegion {
  readonly kind = 'mr';
  readonly lkey: number;
  readonly rkey: number;
  readonly hca: HcaMr;
  constructor(hca: HcaMr) {
    this.hca = hca;
    this.lkey = hca.lkey;
    this.rkey = hca.rkey;
  }
}

class NativeQp implements QueuePair {
  readonly kind = 'qp';
  readonly qpNum: number;
  readonly type: QpType;
  readonly cap: QpCap;
  readonly hca: HcaQp;
  constructor(hca: HcaQp, type: QpType) {
    this.hca = hca;
    this.qpNum = hca.qpNum;
    this.type = type;
    this.cap = hca.cap;
  }
}

class NativeAh implements AddressHandle {
  readonly kind = 'ah';
  readonly hca: HcaAh;
  constructor(hca: HcaAh) {
    this.hca = hca;
  }
}

/** The HCA holds completions itself until they are polled, so none is ever unconsumed outside it. */
class NativeCqOwner implements HcaCqOwner {
  cq: CompletionQueue | undefined = undefined;
  readonly #onEvent: CompletionHandler | undefined;

  constructor(onEvent: CompletionHandler | undefined) {
    this.#onEvent = onEvent;
  }

  completionAdded(): void {}
  overran(): void {}
  unconsumed(): number {
    return 0;
  }
  eventRaised(): void {
    if (this.cq !== undefined) this.#onEvent?.(this.cq);
  }
}

const nobody: HcaQpOwner = { sendRetired() {}, recvRetired() {} };

/** The caller's request with the HCA's address handle in place of the caller's; one object for all posts. */
class NativeSendRequest implements SendWorkRequest<HcaAh> {
  wrId = 0;
  opcode: WrOpcode = 0;
  sendFlags = 0;
  sges: readonly Sge[] = [];
  inlineData: Uint8Array | undefined = undefined;
  immData = 0;
  remoteAddr = 0;
  rkey = 0;
  ah: HcaAh | undefined = undefined;
  remoteQpn = 0;
  remoteQkey = 0;

  set(request: SendWorkRequest): this {
    this.wrId = request.wrId;
    this.opcode = request.opcode;
    this.sendFlags = request.sendFlags;
    this.sges = request.sges;
    this.inlineData = request.inlineData;
    this.immData = request.immData ?? 0;
    this.remoteAddr = request.remoteAddr ?? 0;
    this.rkey = request.rkey ?? 0;
    this.ah = request.ah instanceof NativeAh ? request.ah.hca : undefined;
    this.remoteQpn = request.remoteQpn ?? 0;
    this.remoteQkey = request.remoteQkey ?? 0;
    return this;
  }
}

function hcaPd(pd: ProtectionDomain): HcaPd {
  if (pd instanceof NativePd) return pd.hca;
  throw foreign('protection domain');
}

function hcaCq(cq: CompletionQueue): HcaCq {
  if (cq instanceof NativeCq) return cq.hca;
  throw foreign('completion queue');
}

function hcaQp(qp: QueuePair): HcaQp {
  if (qp instanceof NativeQp) return qp.hca;
  throw foreign('queue pair');
}

function foreign(what: string): VerbsError {
  return new VerbsError('EINVAL', 'verbs', `the ${what} was not made by this device`);
}
