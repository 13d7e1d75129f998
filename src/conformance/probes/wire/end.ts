/** One end of a connection on the bench: a queue pair of a judged machine with all that it needs, used through the verbs. */
import { AccessFlag, PathMtu, QpState, QpType, SendFlag, WrOpcode, wcStatuses } from '../../../abi/index.js';
import { emptyCompletion } from '../../../verbs/index.js';
import type {
  AddressHandle,
  AhAttributes,
  CompletionQueue,
  MemoryRegion,
  ProtectionDomain,
  QpAttributes,
  QueuePair,
  SendWorkRequest,
  Sge,
  WorkCompletion,
} from '../../../verbs/index.js';
import { gidOf } from '../../patterns.js';
import type { SimulatedGuest } from '../../simulated-guest.js';
import type { Machine } from '../../world.js';
import type { WireBench } from './bench.js';

export type Service = 'RC' | 'UC' | 'UD';

export interface EndOptions {
  readonly service?: Service;
  /** GID of the end; the first one of its machine when absent. */
  readonly gid?: string;
  /** Its place in the machine's table. */
  readonly gidIndex?: number;
  /** Shares protection domain, completion queues and region with this end of the same machine. */
  readonly beside?: End;
}

/** Where a connected end sends. */
export interface Peer {
  readonly gid: string;
  readonly qpn: number;
}

export const QKEY = 0x1111_1111;
export const ALL_ACCESS = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_READ | AccessFlag.REMOTE_WRITE;

/** Attributes of the way up to RTS; a case names those that it is about. */
export interface Connection {
  readonly pathMtu?: number;
  readonly sqPsn?: number;
  readonly rqPsn?: number;
  readonly timeout?: number;
  readonly retryCnt?: number;
  readonly rnrRetry?: number;
  readonly minRnrTimer?: number;
  readonly maxRdAtomic?: number;
  readonly maxDestRdAtomic?: number;
}

const usual = {
  pathMtu: PathMtu.MTU_256,
  sqPsn: 0,
  rqPsn: 0,
  timeout: 14,
  retryCnt: 7,
  rnrRetry: 6,
  minRnrTimer: 1,
  maxRdAtomic: 4,
  maxDestRdAtomic: 4,
} satisfies Required<Connection>;

const CQE = 64;
const CAP = { maxSendWr: 32, maxRecvWr: 32, maxSendSge: 4, maxRecvSge: 4, maxInlineData: 64 };
const types = { RC: QpType.RC, UC: QpType.UC, UD: QpType.UD } as const;

/** The objects of a machine that queue pairs share. */
interface Belongings {
  readonly pd: ProtectionDomain;
  readonly sendCq: CompletionQueue;
  readonly recvCq: CompletionQueue;
  readonly mr: MemoryRegion;
}

export class End {
  readonly bench: WireBench;
  readonly machine: Machine;
  readonly gid: string;
  readonly gidIndex: number;
  readonly service: Service;
  readonly belongings: Belongings;
  readonly qp: QueuePair;

  static async of(bench: WireBench, vm: number, options: EndOptions = {}): Promise<End> {
    const { service = 'RC', gidIndex = 0, gid = gidOf(vm, gidIndex), beside } = options;
    const machine = bench.world.machines[vm];
    const { verbs } = machine;
    if (beside?.gid !== gid) await bench.call('addGid', verbs.addGid(gidIndex, gid));
    const belongings = beside?.belongings ?? (await furnish(bench, machine));
    const { pd, sendCq, recvCq } = belongings;
    const init = { type: types[service], sqSigAll: false, sendCq, recvCq, cap: CAP };
    const qp = await bench.call('createQp', verbs.createQp(pd, init));
    return new End(bench, machine, { service, gid, gidIndex }, belongings, qp);
  }

  private constructor(
    bench: WireBench,
    machine: Machine,
    { service, gid, gidIndex }: { service: Service; gid: string; gidIndex: number },
    belongings: Belongings,
    qp: QueuePair,
  ) {
    this.bench = bench;
    this.machine = machine;
    this.service = service;
    this.gid = gid;
    this.gidIndex = gidIndex;
    this.belongings = belongings;
    this.qp = qp;
  }

  get qpn(): number {
    return this.qp.qpNum;
  }
  get guest(): SimulatedGuest {
    return this.machine.guest;
  }
  get rkey(): number {
    return this.belongings.mr.rkey;
  }
  /** Whose requests and packets are told in a failure. */
  get name(): string {
    return `vm${this.machine.vm}`;
  }

  // ---------------------------------------------------------------- states

  modify(attributes: QpAttributes): Promise<void> {
    return this.bench.call('modifyQp', this.machine.verbs.modifyQp(this.qp, attributes));
  }

  /** From RESET to RTS. */
  async raise(peer: Peer, connection: Connection = {}): Promise<void> {
    const all = { ...usual, ...connection };
    const reliable = this.service === 'RC';
    const { pathMtu, rqPsn, sqPsn, minRnrTimer, maxDestRdAtomic } = all;
    const { timeout, retryCnt, rnrRetry, maxRdAtomic } = all;
    if (this.service === 'UD') {
      await this.modify({ qpState: QpState.INIT, qkey: QKEY });
      await this.modify({ qpState: QpState.RTR });
    } else {
      await this.modify({ qpState: QpState.INIT, qpAccessFlags: ALL_ACCESS });
      const route = { ahAttr: this.address(peer.gid), destQpNum: peer.qpn, pathMtu, rqPsn };
      await this.modify({
        ...route,
        qpState: QpState.RTR,
        ...(reliable ? { minRnrTimer, maxDestRdAtomic } : {}),
      });
    }
    await this.modify({
      qpState: QpState.RTS,
      sqPsn,
      ...(reliable ? { timeout, retryCnt, rnrRetry, maxRdAtomic } : {}),
    });
  }

  address(dgid: string): AhAttributes {
    return { dgid, sgidIndex: this.gidIndex, flowLabel: 0, hopLimit: 64, trafficClass: 0 };
  }

  handleTo(dgid: string): Promise<AddressHandle> {
    const { pd } = this.belongings;
    return this.bench.call('createAh', this.machine.verbs.createAh(pd, this.address(dgid)));
  }

  destroy(): Promise<void> {
    return this.bench.call('destroyQp', this.machine.verbs.destroyQp(this.qp));
  }

  // ---------------------------------------------------------------- requests

  /** Bytes of the arena as an element; empty for none. */
  sges(at: number, length: number): readonly Sge[] {
    const { lkey } = this.belongings.mr;
    return length === 0 ? [] : [{ addr: this.guest.arenaAddress(at), length, lkey }];
  }

  /** A signaled SEND without bytes unless something else is named. */
  send(wrId: number, request: Partial<SendWorkRequest> = {}): void {
    const base = { wrId, opcode: WrOpcode.SEND, sendFlags: SendFlag.SIGNALED, sges: [] };
    this.bench.note(this.name, this.name, `post of request ${wrId}`);
    this.machine.verbs.postSend(this.qp, { ...base, ...request });
  }

  /** A read into arena bytes from `at` on. */
  read(wrId: number, at: number, length: number, from: Pick<SendWorkRequest, 'remoteAddr' | 'rkey'>): void {
    this.send(wrId, { opcode: WrOpcode.RDMA_READ, sges: this.sges(at, length), ...from });
  }

  recv(wrId: number, sges: readonly Sge[] = []): void {
    this.machine.verbs.postRecv(this.qp, { wrId, sges });
  }

  /** A place of this end's memory, for its peer. */
  remote(at: number): { readonly remoteAddr: number; readonly rkey: number } {
    return { remoteAddr: this.guest.arenaAddress(at), rkey: this.rkey };
  }

  // ---------------------------------------------------------------- what came of it

  polledSends(): readonly WorkCompletion[] {
    return poll(this.machine, this.belongings.sendCq);
  }
  polledReceives(): readonly WorkCompletion[] {
    return poll(this.machine, this.belongings.recvCq);
  }
  /** New completions of sends, as `1 SUCCESS`. */
  sends(): readonly string[] {
    return this.polledSends().map(completionText);
  }
  receives(): readonly string[] {
    return this.polledReceives().map(completionText);
  }
}

async function furnish(bench: WireBench, { verbs, guest }: Machine): Promise<Belongings> {
  const pd = await bench.call('createPd', verbs.createPd());
  const sendCq = await bench.call('createCq', verbs.createCq(CQE));
  const recvCq = await bench.call('createCq', verbs.createCq(CQE));
  const place = { addr: guest.arenaAddress(0), length: guest.arenaBytes, access: ALL_ACCESS };
  return { pd, sendCq, recvCq, mr: await bench.call('regMr', verbs.regMr(pd, place)) };
}

function poll({ verbs }: Machine, cq: CompletionQueue): readonly WorkCompletion[] {
  const found = Array.from({ length: CQE }, emptyCompletion);
  return found.slice(0, verbs.pollCq(cq, found, CQE));
}

function completionText({ wrId, status }: WorkCompletion): string {
  return `${wrId} ${wcStatuses.nameOf(status) ?? `status ${status}`}`;
}

/** `1 SUCCESS`, `2 SUCCESS` and so on, for these requests. */
export function successes(...wrIds: readonly number[]): readonly string[] {
  return wrIds.map(wrId => `${wrId} SUCCESS`);
}

/** Two ends on machines 0 and 1, or on the only one, connected and in RTS. */
export async function pairOf(
  bench: WireBench,
  connection: Connection = {},
  service: Service = 'RC',
): Promise<readonly [End, End]> {
  const lonely = bench.world.machines.length === 1;
  return bench.scene(`two ${service} queue pairs are connected with each other`, async () => {
    const a = await End.of(bench, 0, { service });
    const b = await End.of(bench, lonely ? 0 : 1, { service, ...(lonely ? { beside: a } : {}) });
    await a.raise(b, connection);
    await b.raise(a, connection);
    return [a, b];
  });
}
