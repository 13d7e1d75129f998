/** Objects that many cases start from, made by the driver's own verbs and answered honestly. */
import { AccessFlag, QpState, QpType, SendFlag, WrOpcode } from '../../../abi/index.js';
import type {
  AddressHandle,
  AhAttributes,
  CompletionQueue,
  MemoryRegion,
  ProtectionDomain,
  QpAttributes,
  QpCap,
  QueuePair,
  RecvWorkRequest,
  SendWorkRequest,
  Sge,
} from '../../../verbs/index.js';
import type { Bench } from './bench.js';
import { ARENA_BASE } from './probe-guest.js';

export const smallCap: QpCap = {
  maxSendWr: 4,
  maxRecvWr: 4,
  maxSendSge: 3,
  maxRecvSge: 2,
  maxInlineData: 64,
};

export const someAddress: AhAttributes = {
  dgid: 'fe800000000000000001020304050607',
  sgidIndex: 2,
  flowLabel: 0xabcde,
  hopLimit: 63,
  trafficClass: 0x5a,
};

export interface Objects {
  readonly pd: ProtectionDomain;
  readonly sendCq: CompletionQueue;
  readonly recvCq: CompletionQueue;
  readonly qp: QueuePair;
  /** Numbers that the device gave. */
  readonly sendCqn: number;
  readonly recvCqn: number;
  readonly qpn: number;
}

export interface ObjectsInit {
  readonly type?: QpType;
  readonly cap?: Partial<QpCap>;
  /** One completion queue for both directions. */
  readonly oneCq?: boolean;
  readonly cqe?: number;
  readonly sqSigAll?: boolean;
  /** State to go to; RTS when absent. */
  readonly state?: QpState;
}

/** A queue pair with its objects, brought to a state by legal steps. The first completion queues get numbers 0 and 1. */
export function makeObjects(bench: Bench, init: ObjectsInit = {}): Promise<Objects> {
  return bench.scene('a queue pair with its objects is made and brought to its state', () =>
    made(bench, init),
  );
}

async function made(bench: Bench, init: ObjectsInit): Promise<Objects> {
  const { type = QpType.RC, cqe = 8, sqSigAll = false, state = QpState.RTS } = init;
  const pd = await bench.do('createPd()', verbs => verbs.createPd());
  const sendCq = await bench.do(`createCq(${cqe})`, verbs => verbs.createCq(cqe));
  const recvCq =
    init.oneCq === true ? sendCq : await bench.do(`createCq(${cqe})`, verbs => verbs.createCq(cqe));
  const cap = { ...smallCap, ...init.cap };
  const qp = await bench.do('createQp()', verbs =>
    verbs.createQp(pd, { type, sqSigAll, sendCq, recvCq, cap }),
  );
  await walkTo(bench, qp, type, state);
  return { pd, sendCq, recvCq, qp, sendCqn: 0, recvCqn: init.oneCq === true ? 0 : 1, qpn: qp.qpNum };
}

/** Attributes of each step from RESET up, every required one with a value of its own. */
export function stepTo(type: QpType, state: QpState): QpAttributes {
  const connected = type === QpType.RC || type === QpType.UC;
  const reliable = type === QpType.RC;
  switch (state) {
    case QpState.INIT:
      return {
        qpState: state,
        ...(connected ? { qpAccessFlags: AccessFlag.LOCAL_WRITE } : { qkey: 0x1234 }),
      };
    case QpState.RTR:
      if (!connected) return { qpState: state };
      return {
        qpState: state,
        ahAttr: someAddress,
        pathMtu: 3,
        rqPsn: 0x123456,
        destQpNum: 0x654321,
        ...(reliable ? { minRnrTimer: 7, maxDestRdAtomic: 4 } : {}),
      };
    case QpState.RTS:
      return {
        qpState: state,
        sqPsn: 0xabcdef,
        ...(reliable ? { timeout: 14, retryCnt: 5, rnrRetry: 6, maxRdAtomic: 3 } : {}),
      };
    default:
      return { qpState: state };
  }
}

const ways: Readonly<Record<QpState, readonly QpState[]>> = {
  [QpState.RESET]: [],
  [QpState.INIT]: [QpState.INIT],
  [QpState.RTR]: [QpState.INIT, QpState.RTR],
  [QpState.RTS]: [QpState.INIT, QpState.RTR, QpState.RTS],
  [QpState.SQD]: [QpState.INIT, QpState.RTR, QpState.RTS, QpState.SQD],
  [QpState.SQE]: [],
  [QpState.ERR]: [QpState.INIT, QpState.ERR],
};

export function walkTo(bench: Bench, qp: QueuePair, type: QpType, state: QpState): Promise<void> {
  return bench.scene(`modifyQp up to state ${state}`, async () => {
    for (const to of ways[state])
      await bench.do(`modifyQp(to ${to})`, verbs => verbs.modifyQp(qp, stepTo(type, to)));
  });
}

export async function makeRegion(
  bench: Bench,
  pd: ProtectionDomain,
  init: { readonly at?: number; readonly length?: number; readonly access?: number } = {},
): Promise<MemoryRegion> {
  const { at = 0, length = 4096, access = AccessFlag.LOCAL_WRITE } = init;
  return bench.do('regMr()', verbs => verbs.regMr(pd, { addr: ARENA_BASE + at, length, access }));
}

export async function makeAddress(bench: Bench, pd: ProtectionDomain): Promise<AddressHandle> {
  return bench.do('createAh()', verbs => verbs.createAh(pd, someAddress));
}

export const oneElement: readonly Sge[] = [{ addr: 0x7f00_0000_1000, length: 64, lkey: 0x1234 }];

/** A signaled SEND of 64 bytes, with what the case wants otherwise. */
export function aSend(wrId: number, changes: Partial<SendWorkRequest> = {}): SendWorkRequest {
  return { wrId, opcode: WrOpcode.SEND, sendFlags: SendFlag.SIGNALED, sges: oneElement, ...changes };
}
export function aRecv(wrId: number, changes: Partial<RecvWorkRequest> = {}): RecvWorkRequest {
  return { wrId, sges: oneElement, ...changes };
}
