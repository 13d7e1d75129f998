/** Two functions of reference HCAs on one fabric, with memory, and the short words that the tests here use. */
import { AccessFlag, PathMtu, QpState, QpType, SendFlag, WrOpcode } from '../../src/abi/index.js';
import type { WcStatus } from '../../src/abi/index.js';
import { wcStatuses } from '../../src/abi/index.js';
import { Fabric, firstChoice, noFaults, packetOpcodeName, Scheduler } from '../../src/fabric/index.js';
import type { Choices, FaultRates } from '../../src/fabric/index.js';
import { ReferenceHca } from '../../src/reference/index.js';
import type {
  HcaAh,
  HcaCq,
  HcaCqOwner,
  HcaLimits,
  HcaMr,
  HcaPd,
  HcaQp,
  HcaQpOwner,
  ReferenceFunction,
} from '../../src/reference/index.js';
import type { DmaMemory, QpAttributes, QpCap, SendWorkRequest, Sge } from '../../src/verbs/index.js';
import type { WorkCompletion } from '../../src/verbs/index.js';

export const limits: HcaLimits = {
  attributes: {
    maxMrSizeBytes: 2 ** 31,
    pageSizeCap: 4096,
    maxQp: 16,
    maxQpWr: 512,
    maxSendSge: 8,
    maxRecvSge: 8,
    maxSgeRd: 4,
    maxCq: 16,
    maxCqe: 1024,
    maxMr: 64,
    maxPd: 8,
    maxAh: 16,
    maxQpRdAtom: 8,
    maxQpInitRdAtom: 8,
  },
  port: { gidTableLength: 4, maxMsgSizeBytes: 2 ** 17, activeMtu: PathMtu.MTU_4096 },
};

export const caps: QpCap = {
  maxSendWr: 64,
  maxRecvWr: 64,
  maxSendSge: 4,
  maxRecvSge: 4,
  maxInlineData: 128,
};

export const { LOCAL_WRITE, REMOTE_READ, REMOTE_WRITE } = AccessFlag;
export const FULL_ACCESS = LOCAL_WRITE | REMOTE_READ | REMOTE_WRITE;
const MEMORY_BYTES = 1 << 18;

/** For long strings of bytes, which `toEqual` is slow with. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

export class FlatMemory implements DmaMemory {
  readonly bytes: Uint8Array;

  constructor(length = MEMORY_BYTES) {
    this.bytes = new Uint8Array(length);
  }

  read(address: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    if (address < 0 || address + length > this.bytes.length) return false;
    for (let i = 0; i < length; i++) target[targetOffset + i] = this.bytes[address + i];
    return true;
  }

  write(address: number, source: Uint8Array, sourceOffset: number, length: number): boolean {
    if (address < 0 || address + length > this.bytes.length) return false;
    for (let i = 0; i < length; i++) this.bytes[address + i] = source[sourceOffset + i];
    return true;
  }

  /** Writes `length` bytes made from `seed`. */
  fill(address: number, length: number, seed: number): void {
    for (let i = 0; i < length; i++) this.bytes[address + i] = (seed + i * 7 + (i >> 8)) & 0xff;
  }

  slice(address: number, length: number): Uint8Array {
    return this.bytes.slice(address, address + length);
  }
}

const cqOwner: HcaCqOwner = {
  completionAdded() {},
  eventRaised() {},
  overran() {},
  unconsumed: () => 0,
};

export interface SideOptions {
  readonly cqe?: number;
  readonly cqOwner?: HcaCqOwner;
}

/** One machine: a function, a memory with one region over it, completion queues for sends and receives. */
export class Side {
  readonly gid: string;
  readonly fn: ReferenceFunction;
  readonly memory = new FlatMemory();
  readonly pd: HcaPd;
  readonly sendCq: HcaCq;
  readonly recvCq: HcaCq;
  readonly mr: HcaMr;
  /** Cookies of retired requests, in order. */
  readonly retired: string[] = [];
  readonly owner: HcaQpOwner = {
    sendRetired: (_qp, cookie) => this.retired.push(`s${cookie}`),
    recvRetired: (_qp, cookie) => this.retired.push(`r${cookie}`),
  };

  constructor(hca: ReferenceHca, gid: string, options: SideOptions = {}) {
    this.gid = gid;
    this.fn = hca.openFunction();
    this.fn.addGid(0, gid);
    this.pd = this.fn.createPd();
    this.sendCq = this.fn.createCq(options.cqe ?? 256, options.cqOwner ?? cqOwner);
    this.recvCq = this.fn.createCq(options.cqe ?? 256, options.cqOwner ?? cqOwner);
    this.mr = this.register(0, MEMORY_BYTES, FULL_ACCESS);
  }

  register(iova: number, length: number, access: number, pd = this.pd): HcaMr {
    const { memory } = this;
    return this.fn.registerMr(pd, { access, iova, length, memory, pageBytes: 4096, pages: undefined });
  }

  qp(type: QpType = QpType.RC, cap: QpCap = caps, sqSigAll = false): HcaQp {
    const { sendCq, recvCq } = this;
    return this.fn.createQp(this.pd, { type, sqSigAll, sendCq, recvCq, cap }, this.owner);
  }

  sge(addr: number, length: number, lkey = this.mr.lkey): Sge {
    return { addr, length, lkey };
  }

  send(qp: HcaQp, wrId: number, request: Partial<SendWorkRequest<HcaAh>> = {}): void {
    const base = { wrId, opcode: WrOpcode.SEND, sendFlags: SendFlag.SIGNALED, sges: [] };
    this.fn.postSend(qp, { ...base, ...request }, wrId);
  }

  recv(qp: HcaQp, wrId: number, sges: readonly Sge[] = []): void {
    this.fn.postRecv(qp, { wrId, sges }, wrId);
  }

  poll(cq: HcaCq): WorkCompletion[] {
    const completions: WorkCompletion[] = [];
    this.fn.pollCq(cq, completions, 10_000);
    return completions;
  }

  /** Completions of sends as `[wrId, status name]`. */
  sends(): (readonly [number, string])[] {
    return this.poll(this.sendCq).map(pair);
  }

  recvs(): (readonly [number, string])[] {
    return this.poll(this.recvCq).map(pair);
  }

  state(qp: HcaQp): QpState {
    return this.fn.queryQp(qp).qpState;
  }
}

function pair(completion: WorkCompletion): readonly [number, string] {
  return [completion.wrId, statusName(completion.status)];
}

export function statusName(status: WcStatus): string {
  return wcStatuses.nameOf(status) ?? 'unknown';
}

export interface PairOptions extends SideOptions {
  readonly choices?: Choices;
  readonly faults?: Partial<FaultRates>;
  readonly faultSeed?: number;
  readonly limits?: HcaLimits;
  readonly latencyNs?: number;
  readonly bandwidthBitsPerSecond?: number;
}

export const GID_A = 'fe80000000000000000000000000000a';
export const GID_B = 'fe80000000000000000000000000000b';

export class Pair {
  readonly scheduler: Scheduler;
  readonly fabric: Fabric;
  readonly hca: ReferenceHca;
  readonly a: Side;
  readonly b: Side;

  constructor(options: PairOptions = {}) {
    this.scheduler = new Scheduler(options.choices ?? firstChoice);
    this.fabric = new Fabric(this.scheduler, {
      latencyNs: options.latencyNs ?? 1000,
      bandwidthBitsPerSecond: options.bandwidthBitsPerSecond ?? 100e9,
      faults: { ...noFaults, ...options.faults },
      faultSeed: options.faultSeed ?? 1,
    });
    this.hca = new ReferenceHca(this.scheduler, this.fabric, options.limits ?? limits);
    this.a = new Side(this.hca, GID_A, options);
    this.b = new Side(this.hca, GID_B, options);
  }

  /** Connects two queue pairs, and brings both to RTS. */
  connect(type: QpType, a: HcaQp, b: HcaQp, set: QpAttributes = {}, setB: QpAttributes = set): void {
    this.connectTo(type, this.a, a, this.b, b, set, setB);
  }

  /** Connects queue pairs of any two sides. */
  connectTo(
    type: QpType,
    sideA: Side,
    a: HcaQp,
    sideB: Side,
    b: HcaQp,
    set: QpAttributes = {},
    setB: QpAttributes = set,
  ): void {
    toRts(type, sideA, a, sideB.gid, b.qpNum, set);
    toRts(type, sideB, b, sideA.gid, a.qpNum, setB);
  }

  /** A connected pair of RC queue pairs. */
  rc(set: QpAttributes = {}, setB: QpAttributes = set, cap = caps): readonly [HcaQp, HcaQp] {
    const a = this.a.qp(QpType.RC, cap);
    const b = this.b.qp(QpType.RC, cap);
    this.connect(QpType.RC, a, b, set, setB);
    return [a, b];
  }

  uc(set: QpAttributes = {}): readonly [HcaQp, HcaQp] {
    const a = this.a.qp(QpType.UC);
    const b = this.b.qp(QpType.UC);
    this.connect(QpType.UC, a, b, set);
    return [a, b];
  }

  /** Two datagram queue pairs with Q_Key 0x1234, and an address handle from a to b. */
  ud(type: QpType = QpType.UD): readonly [HcaQp, HcaQp, HcaAh] {
    const qps = [this.a, this.b].map(side => {
      const qp = side.qp(type);
      side.fn.modifyQp(qp, { qpState: QpState.INIT, qkey: 0x1234 });
      side.fn.modifyQp(qp, { qpState: QpState.RTR });
      side.fn.modifyQp(qp, { qpState: QpState.RTS, sqPsn: 0 });
      return qp;
    });
    return [qps[0], qps[1], this.a.fn.createAh(this.a.pd, address(this.b.gid))];
  }

  /** Writes down, from now on, every packet that is sent: its opcode and sequence number. */
  tap(): string[] {
    const sent: string[] = [];
    this.fabric.observe({
      sent: packet => sent.push(`${packetOpcodeName(packet.opcode)} ${packet.psn}`),
      delivered() {},
      dropped() {},
    });
    return sent;
  }

  /** Steps until nothing but endless retries is left. */
  settle(maxSteps = 1_000_000): void {
    if (!this.scheduler.runUntilQuiet(maxSteps)) throw new Error('the pair does not settle');
  }

  /** Lets virtual time pass until `atNs`, with everything that happens until then. */
  runUntil(atNs: number): void {
    const { scheduler } = this;
    const alarm = scheduler.schedule(atNs - scheduler.nowNs, { run() {} }, 'timer');
    while (alarm.armed) scheduler.step();
  }
}

export function address(dgid: string) {
  return { dgid, sgidIndex: 0, flowLabel: 0, hopLimit: 64, trafficClass: 0 };
}

const connectedDefaults = {
  pathMtu: PathMtu.MTU_1024,
  rqPsn: 0,
  sqPsn: 0,
  minRnrTimer: 1,
  maxDestRdAtomic: 8,
  maxRdAtomic: 8,
  timeout: 14,
  retryCnt: 7,
  rnrRetry: 6,
  qpAccessFlags: FULL_ACCESS,
};

export function toRts(
  type: QpType,
  side: Side,
  qp: HcaQp,
  dgid: string,
  destQpNum: number,
  set: QpAttributes = {},
): void {
  const all = { ...connectedDefaults, ...set };
  const rc = type === QpType.RC;
  const { pathMtu, rqPsn, sqPsn } = all;
  side.fn.modifyQp(qp, { qpState: QpState.INIT, qpAccessFlags: all.qpAccessFlags });
  side.fn.modifyQp(qp, {
    qpState: QpState.RTR,
    ahAttr: address(dgid),
    pathMtu,
    rqPsn,
    destQpNum,
    ...(rc && { minRnrTimer: all.minRnrTimer, maxDestRdAtomic: all.maxDestRdAtomic }),
  });
  side.fn.modifyQp(qp, {
    qpState: QpState.RTS,
    sqPsn,
    ...(rc && {
      timeout: all.timeout,
      retryCnt: all.retryCnt,
      rnrRetry: all.rnrRetry,
      maxRdAtomic: all.maxRdAtomic,
    }),
  });
}
