/**
 * The vocabulary of verbs: attributes, work requests, completions. Numbers are those of the ABI tables (`QpType`,
 * `QpState`, `WrOpcode`, `WcStatus`, ... in `src/abi/enums.ts`).
 */
import type { QpState, QpType, WcOpcode, WcStatus, WrOpcode } from '../abi/index.js';

/** A GID as 32 lower-case hexadecimal digits, in network order. */
export type Gid = string;

/** Limits of a device, as QUERY_DEVICE answers them. Counts, unless the name says otherwise. */
export interface DeviceAttributes {
  readonly maxMrSizeBytes: number;
  /** Bit n set: pages of 2^n bytes are supported. */
  readonly pageSizeCap: number;
  /** `max_rdma_qps` of the configuration: one above the largest queue pair number. */
  readonly maxQp: number;
  readonly maxQpWr: number;
  readonly maxSendSge: number;
  readonly maxRecvSge: number;
  readonly maxSgeRd: number;
  /** `max_rdma_cqs` of the configuration. */
  readonly maxCq: number;
  readonly maxCqe: number;
  readonly maxMr: number;
  readonly maxPd: number;
  readonly maxAh: number;
  /** Reads that a queue pair answers at one time. */
  readonly maxQpRdAtom: number;
  /** Reads that a queue pair has outstanding at one time. */
  readonly maxQpInitRdAtom: number;
}

export interface PortAttributes {
  readonly gidTableLength: number;
  /** Longest RC or UC message; at most 2^31. */
  readonly maxMsgSizeBytes: number;
  /** Largest path MTU code (1..5) that the port carries. */
  readonly activeMtu: number;
}

export interface QpCap {
  readonly maxSendWr: number;
  readonly maxRecvWr: number;
  readonly maxSendSge: number;
  readonly maxRecvSge: number;
  /** At most 512. */
  readonly maxInlineData: number;
}

/** Address vector: where a datagram goes, or the peer of a connection. */
export interface AhAttributes {
  readonly dgid: Gid;
  readonly sgidIndex: number;
  /** 20 bits. */
  readonly flowLabel: number;
  readonly hopLimit: number;
  readonly trafficClass: number;
}

/**
 * Attributes of a queue pair. In `modifyQp` a member that is present is in the attribute mask and one that is absent is
 * not; `queryQp` fills all that apply.
 */
export interface QpAttributes {
  readonly qpState?: QpState;
  readonly curQpState?: QpState;
  readonly pathMtu?: number;
  readonly maxRdAtomic?: number;
  readonly maxDestRdAtomic?: number;
  readonly minRnrTimer?: number;
  readonly timeout?: number;
  readonly retryCnt?: number;
  readonly rnrRetry?: number;
  readonly qkey?: number;
  readonly rqPsn?: number;
  readonly sqPsn?: number;
  readonly destQpNum?: number;
  readonly qpAccessFlags?: number;
  readonly rateLimit?: number;
  readonly cap?: QpCap;
  readonly ahAttr?: AhAttributes;
}

/** What `queryQp` answers. */
export interface QpSnapshot {
  readonly qpState: QpState;
  readonly sqDraining: boolean;
  readonly pathMtu: number;
  readonly maxRdAtomic: number;
  readonly maxDestRdAtomic: number;
  readonly minRnrTimer: number;
  readonly timeout: number;
  readonly retryCnt: number;
  readonly rnrRetry: number;
  readonly qkey: number;
  readonly rqPsn: number;
  readonly sqPsn: number;
  readonly destQpNum: number;
  readonly qpAccessFlags: number;
  readonly rateLimit: number;
  readonly cap: QpCap;
  /** Undefined while the queue pair has no address vector. */
  readonly ahAttr: AhAttributes | undefined;
}

/** One element of a gather or scatter list. */
export interface Sge {
  readonly addr: number;
  readonly length: number;
  readonly lkey: number;
}

/** A send work request. `A` is the address handle type of the layer that takes it. */
export interface SendWorkRequest<A = AddressHandle> {
  /** 0 .. 2^53-1, handed back in the completion. */
  readonly wrId: number;
  readonly opcode: WrOpcode;
  /** Bits of `SendFlag`. */
  readonly sendFlags: number;
  /** Gather list, or scatter list of a read; ignored with the INLINE flag. */
  readonly sges: readonly Sge[];
  /** The data of a request with the INLINE flag; copied before `postSend` returns. */
  readonly inlineData?: Uint8Array;
  /** Four bytes as an unsigned number, big-endian: the first byte on the wire is the highest. */
  readonly immData?: number;
  readonly remoteAddr?: number;
  readonly rkey?: number;
  readonly ah?: A;
  readonly remoteQpn?: number;
  readonly remoteQkey?: number;
}

export interface RecvWorkRequest {
  readonly wrId: number;
  readonly sges: readonly Sge[];
}

/** A completion. Filled in place by `pollCq`; on a status other than SUCCESS only wrId, status, qpNum and vendorErr are valid. */
export interface WorkCompletion {
  wrId: number;
  status: WcStatus;
  opcode: WcOpcode;
  vendorErr: number;
  byteLen: number;
  immData: number;
  qpNum: number;
  srcQp: number;
  /** Bits of `WcFlag`. */
  wcFlags: number;
}

export function emptyCompletion(): WorkCompletion {
  return {
    wrId: 0,
    status: 0,
    opcode: 0,
    vendorErr: 0,
    byteLen: 0,
    immData: 0,
    qpNum: 0,
    srcQp: 0,
    wcFlags: 0,
  };
}

export interface ProtectionDomain {
  readonly kind: 'pd';
}
export interface CompletionQueue {
  readonly kind: 'cq';
  /** Entries granted, at least as many as asked. */
  readonly cqe: number;
}
export interface MemoryRegion {
  readonly kind: 'mr';
  readonly lkey: number;
  /** 0 without remote rights. */
  readonly rkey: number;
}
export interface QueuePair {
  readonly kind: 'qp';
  readonly qpNum: number;
  readonly type: QpType;
  /** Capacities granted, each at least as many as asked. */
  readonly cap: QpCap;
}
export interface AddressHandle {
  readonly kind: 'ah';
}

export interface QpInit<C = CompletionQueue> {
  readonly type: QpType;
  readonly sqSigAll: boolean;
  readonly sendCq: C;
  readonly recvCq: C;
  readonly cap: QpCap;
}

export interface MrInit {
  /** First address, in the caller's address space. */
  readonly addr: number;
  /** Bytes; 1 or more. */
  readonly length: number;
  /** Bits of `AccessFlag`. */
  readonly access: number;
}

/** Memory that a queue pair's data moves to and from. Both calls return false, and move nothing, outside the memory. */
export interface DmaMemory {
  /** Copies `length` bytes at `address` to `target` from `targetOffset` on. */
  read(address: number, target: Uint8Array, targetOffset: number, length: number): boolean;
  /** Copies `length` bytes of `source` from `sourceOffset` on to `address`. */
  write(address: number, source: Uint8Array, sourceOffset: number, length: number): boolean;
}
