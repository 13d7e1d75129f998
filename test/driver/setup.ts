/** Objects that many driver tests start from. */
import { AccessFlag, QpState, QpType, SendFlag, WrOpcode } from '../../src/abi/index.js';
import { emptyCompletion } from '../../src/verbs/index.js';
import type {
  CompletionQueue,
  ProtectionDomain,
  QpAttributes,
  QpCap,
  QueuePair,
  SendWorkRequest,
  WorkCompletion,
} from '../../src/verbs/index.js';
import type { FakeWorld } from './fake-device.js';

export const smallCap: QpCap = {
  maxSendWr: 4,
  maxRecvWr: 4,
  maxSendSge: 2,
  maxRecvSge: 2,
  maxInlineData: 32,
};

export interface Objects {
  readonly pd: ProtectionDomain;
  readonly sendCq: CompletionQueue;
  readonly recvCq: CompletionQueue;
  readonly qp: QueuePair;
}

export interface ObjectsInit {
  readonly type?: QpType;
  readonly cap?: QpCap;
  readonly oneCq?: boolean;
  readonly cqe?: number;
  readonly state?: QpState;
}

export async function createObjects(world: FakeWorld, init: ObjectsInit = {}): Promise<Objects> {
  const { driver } = world;
  const cqe = init.cqe ?? 8;
  const pd = await world.settle(driver.createPd());
  const sendCq = await world.settle(driver.createCq(cqe));
  const recvCq = init.oneCq ? sendCq : await world.settle(driver.createCq(cqe));
  const qp = await world.settle(
    driver.createQp(pd, {
      type: init.type ?? QpType.RC,
      sqSigAll: false,
      sendCq,
      recvCq,
      cap: init.cap ?? smallCap,
    }),
  );
  await walkTo(world, qp, init.state ?? QpState.RTS);
  return { pd, sendCq, recvCq, qp };
}

/** Moves a queue pair through the states up to one of RESET, INIT, RTR, RTS. */
export async function walkTo(world: FakeWorld, qp: QueuePair, state: QpState): Promise<void> {
  const rights = AccessFlag.LOCAL_WRITE;
  const connected = qp.type === QpType.RC || qp.type === QpType.UC;
  const first: QpAttributes = connected ? { qpAccessFlags: rights } : { qkey: 1 };
  const steps: QpAttributes[] = [
    { qpState: QpState.INIT, ...first },
    { qpState: QpState.RTR },
    { qpState: QpState.RTS, maxRdAtomic: 1 },
  ];
  for (const attributes of steps.slice(0, state)) await world.settle(world.driver.modifyQp(qp, attributes));
}

export function sendRequest(wrId: number, over: Partial<SendWorkRequest> = {}): SendWorkRequest {
  return {
    wrId,
    opcode: WrOpcode.SEND,
    sendFlags: SendFlag.SIGNALED,
    sges: [{ addr: 0x1000, length: 16, lkey: 1 }],
    ...over,
  };
}

export const oneElement = [{ addr: 0x2000, length: 64, lkey: 2 }];

export function completions(count: number): WorkCompletion[] {
  return Array.from({ length: count }, emptyCompletion);
}

/** The errno of a verb that fails; 'ok' when it does not. */
export async function errnoOf(work: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof work === 'function' ? work() : work);
    return 'ok';
  } catch (error) {
    return error instanceof Error && 'errno' in error ? String(error.errno) : String(error);
  }
}
