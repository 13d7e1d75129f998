/** Verbs of a machine that an agent holds: each is a call on the line. */
import { qpStates, qpTypes, wcOpcodes, wcStatuses, wrOpcodes } from '../../abi/index.js';
import type { QpState, WcOpcode, WcStatus } from '../../abi/index.js';
import { VerbsError } from '../../verbs/index.js';
import type {
  AddressHandle,
  AhAttributes,
  CompletionHandler,
  CompletionQueue,
  DeviceAttributes,
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
} from '../../verbs/index.js';
import type { ListPosting, PostedList } from '../verbs-world.js';
import { BadAnswer, isFields, NATURAL, numberOf, shown, U16, U32, U8 } from './broken-line.js';
import type { Fields } from './broken-line.js';
import type { AgentCall } from './protocol.js';
import { refusalOf } from './session.js';

type Kind = 'pd' | 'cq' | 'mr' | 'qp' | 'ah';
type Handle = ProtectionDomain | CompletionQueue | MemoryRegion | QueuePair | AddressHandle;

/** Where calls go. */
export interface Conversation {
  /** The promise settles when the result is there. */
  control<T>(call: AgentCall, read: (result: Fields) => T): Promise<T>;
  /** Returns the result at once. */
  data<T>(call: AgentCall, read: (result: Fields) => T): T;
  /** Number that no object has, where the other side is to judge handles that are not its own. */
  readonly stranger?: number;
}

export class RemoteVerbs implements Verbs, ListPosting {
  readonly #session: Conversation;
  readonly #vm: number;
  /** Numbers of objects by their handles. */
  readonly #numbers = new WeakMap<Handle, number>();
  readonly #handlers = new Map<
    number,
    { readonly cq: CompletionQueue; readonly onEvent: CompletionHandler }
  >();
  #next = 1;

  constructor(session: Conversation, vm: number) {
    this.#session = session;
    this.#vm = vm;
  }

  /** A completion event of the queue with that number. */
  event(cq: number): void {
    const known = this.#handlers.get(cq);
    if (known !== undefined) known.onEvent(known.cq);
    else if (!(cq >= 1 && cq < this.#next))
      throw new BadAnswer(`an event names completion queue ${cq} of machine ${this.#vm}, which never was`);
  }

  queryDevice(): Promise<DeviceAttributes> {
    return this.#control({ vm: this.#vm, call: 'queryDevice' }, result => deviceAttributesOf(result));
  }

  queryPort(): Promise<PortAttributes> {
    return this.#control({ vm: this.#vm, call: 'queryPort' }, result => ({
      gidTableLength: numberOf(result, 'gidTableLength', U16, 'queryPort'),
      maxMsgSizeBytes: numberOf(result, 'maxMsgSizeBytes', U32, 'queryPort'),
      activeMtu: numberOf(result, 'activeMtu', U8, 'queryPort'),
    }));
  }

  createPd(): Promise<ProtectionDomain> {
    const pd = this.#next++;
    return this.#control({ vm: this.#vm, call: 'createPd', pd }, () => this.#made(pd, { kind: 'pd' }));
  }

  destroyPd(pd: ProtectionDomain): Promise<void> {
    return this.#void({ vm: this.#vm, call: 'destroyPd', pd: this.#numberOf(pd) });
  }

  createCq(cqe: number, onEvent?: CompletionHandler): Promise<CompletionQueue> {
    const cq = this.#next++;
    return this.#control({ vm: this.#vm, call: 'createCq', cq, cqe }, result => {
      const made: CompletionQueue = { kind: 'cq', cqe: numberOf(result, 'cqe', U32, 'createCq') };
      if (onEvent !== undefined) this.#handlers.set(cq, { cq: made, onEvent });
      return this.#made(cq, made);
    });
  }

  destroyCq(cq: CompletionQueue): Promise<void> {
    return this.#void({ vm: this.#vm, call: 'destroyCq', cq: this.#numberOf(cq) });
  }

  reqNotifyCq(cq: CompletionQueue, solicitedOnly: boolean): Promise<void> {
    return this.#void({ vm: this.#vm, call: 'reqNotifyCq', cq: this.#numberOf(cq), solicitedOnly });
  }

  regMr(pd: ProtectionDomain, { addr, length, access }: MrInit): Promise<MemoryRegion> {
    const mr = this.#next++;
    const call: AgentCall = {
      vm: this.#vm,
      call: 'regMr',
      mr,
      pd: this.#numberOf(pd),
      addr,
      length,
      access,
    };
    return this.#control(call, result => this.#made(mr, regionOf(result, 'regMr')));
  }

  getDmaMr(pd: ProtectionDomain, access: number): Promise<MemoryRegion> {
    const mr = this.#next++;
    const call: AgentCall = { vm: this.#vm, call: 'getDmaMr', mr, pd: this.#numberOf(pd), access };
    return this.#control(call, result => this.#made(mr, regionOf(result, 'getDmaMr')));
  }

  deregMr(mr: MemoryRegion): Promise<void> {
    return this.#void({ vm: this.#vm, call: 'deregMr', mr: this.#numberOf(mr) });
  }

  createQp(pd: ProtectionDomain, init: QpInit): Promise<QueuePair> {
    const qp = this.#next++;
    const { type, sqSigAll, sendCq, recvCq, cap } = init;
    const call: AgentCall = {
      vm: this.#vm,
      call: 'createQp',
      qp,
      pd: this.#numberOf(pd),
      type: nameOf(qpTypes, type),
      sqSigAll,
      sendCq: this.#numberOf(sendCq),
      recvCq: this.#numberOf(recvCq),
      cap,
    };
    return this.#control(call, result =>
      this.#made(qp, {
        kind: 'qp',
        type,
        qpNum: numberOf(result, 'qpNum', U32, 'createQp'),
        cap: capOf(result, 'createQp'),
      }),
    );
  }

  modifyQp(qp: QueuePair, { qpState, curQpState, ...rest }: QpAttributes): Promise<void> {
    const attributes = {
      ...(qpState === undefined ? {} : { qpState: nameOf(qpStates, qpState) }),
      ...(curQpState === undefined ? {} : { curQpState: nameOf(qpStates, curQpState) }),
      ...rest,
    };
    return this.#void({ vm: this.#vm, call: 'modifyQp', qp: this.#numberOf(qp), attributes });
  }

  queryQp(qp: QueuePair): Promise<QpSnapshot> {
    return this.#control({ vm: this.#vm, call: 'queryQp', qp: this.#numberOf(qp) }, snapshotOf);
  }

  destroyQp(qp: QueuePair): Promise<void> {
    return this.#void({ vm: this.#vm, call: 'destroyQp', qp: this.#numberOf(qp) });
  }

  createAh(pd: ProtectionDomain, attributes: AhAttributes): Promise<AddressHandle> {
    const ah = this.#next++;
    const call: AgentCall = { vm: this.#vm, call: 'createAh', ah, pd: this.#numberOf(pd), attributes };
    return this.#control(call, () => this.#made(ah, { kind: 'ah' }));
  }

  destroyAh(ah: AddressHandle): Promise<void> {
    return this.#void({ vm: this.#vm, call: 'destroyAh', ah: this.#numberOf(ah) });
  }

  addGid(index: number, gid: Gid): Promise<void> {
    return this.#void({ vm: this.#vm, call: 'addGid', index, gid });
  }

  delGid(index: number): Promise<void> {
    return this.#void({ vm: this.#vm, call: 'delGid', index });
  }

  postSend(qp: QueuePair, request: SendWorkRequest): void {
    const { refused } = this.postSends(qp, [request]);
    if (refused !== undefined) throw refused;
  }

  postRecv(qp: QueuePair, request: RecvWorkRequest): void {
    const { refused } = this.postRecvs(qp, [request]);
    if (refused !== undefined) throw refused;
  }

  postSends(qp: QueuePair, requests: readonly SendWorkRequest[]): PostedList {
    const list = requests.map(({ opcode, sges, inlineData, ah, ...rest }) => ({
      ...rest,
      opcode: nameOf(wrOpcodes, opcode),
      sges: sges.map(elementOf),
      ...(inlineData === undefined ? {} : { inlineData: Buffer.from(inlineData).toString('base64') }),
      ...(ah === undefined ? {} : { ah: this.#numberOf(ah) }),
    }));
    const call: AgentCall = { vm: this.#vm, call: 'postSend', qp: this.#numberOf(qp), requests: list };
    return this.#session.data(call, result => postedOf(result, 'postSend', list.length));
  }

  postRecvs(qp: QueuePair, requests: readonly RecvWorkRequest[]): PostedList {
    const list = requests.map(({ wrId, sges }) => ({ wrId, sges: sges.map(elementOf) }));
    const call: AgentCall = { vm: this.#vm, call: 'postRecv', qp: this.#numberOf(qp), requests: list };
    return this.#session.data(call, result => postedOf(result, 'postRecv', list.length));
  }

  pollCq(cq: CompletionQueue, completions: WorkCompletion[], max: number): number {
    const call: AgentCall = { vm: this.#vm, call: 'pollCq', cq: this.#numberOf(cq), max };
    return this.#session.data(call, result => {
      const refused = refusalOf(result, 'pollCq');
      if (refused !== undefined) throw refused;
      const { completions: list } = result;
      if (!Array.isArray(list))
        throw new BadAnswer(`completions of pollCq is ${shown(list)}; expected an array`);
      for (let i = 0; i < Math.min(list.length, max); i++) fillCompletion(completions[i], list[i]);
      return list.length;
    });
  }

  #control<T>(call: AgentCall, read: (result: Fields) => T): Promise<T> {
    return this.#session.control(call, result => {
      const refused = refusalOf(result, call.call);
      if (refused !== undefined) throw refused;
      return read(result);
    });
  }

  #void(call: AgentCall): Promise<void> {
    return this.#control(call, () => undefined);
  }

  #made<H extends Handle>(number: number, handle: H): H {
    this.#numbers.set(handle, number);
    return handle;
  }

  /** @param handle one that this interface made */
  #numberOf(handle: Handle): number {
    const number = this.#numbers.get(handle);
    if (number !== undefined) return number;
    if (this.#session.stranger !== undefined) return this.#session.stranger;
    const kind: Kind = handle.kind;
    throw new VerbsError('EINVAL', kind, `a handle that machine ${this.#vm} did not make`);
  }
}

function elementOf({ addr, length, lkey }: Sge): [number, number, number] {
  return [addr, length, lkey];
}

/** The name of a number. Every number that a program can hold has one; others stand for themselves, and no agent knows them. */
function nameOf<N extends string>(table: { nameOf(value: number): N | undefined }, value: number): N {
  return table.nameOf(value) ?? (String(value) as N);
}

function regionOf(result: Fields, verb: string): MemoryRegion {
  return {
    kind: 'mr',
    lkey: numberOf(result, 'lkey', U32, verb),
    rkey: numberOf(result, 'rkey', U32, verb),
  };
}

function capOf(result: Fields, verb: string): QpCap {
  const cap = result['cap'];
  if (!isFields(cap)) throw new BadAnswer(`cap of ${verb} is ${shown(cap)}; expected an object`);
  return {
    maxSendWr: numberOf(cap, 'maxSendWr', U32, verb),
    maxRecvWr: numberOf(cap, 'maxRecvWr', U32, verb),
    maxSendSge: numberOf(cap, 'maxSendSge', U32, verb),
    maxRecvSge: numberOf(cap, 'maxRecvSge', U32, verb),
    maxInlineData: numberOf(cap, 'maxInlineData', U32, verb),
  };
}

function postedOf(result: Fields, verb: string, count: number): PostedList {
  const refused = refusalOf(result, verb);
  if (refused === undefined) return { posted: count, refused };
  const posted =
    result['posted'] === undefined ? 0 : numberOf(result, 'posted', count - 1, `the refusal of ${verb}`);
  return { posted, refused };
}

const limitNames = [
  'maxMrSizeBytes',
  'pageSizeCap',
  'maxQp',
  'maxQpWr',
  'maxSendSge',
  'maxRecvSge',
  'maxSgeRd',
  'maxCq',
  'maxCqe',
  'maxMr',
  'maxPd',
  'maxAh',
  'maxQpRdAtom',
  'maxQpInitRdAtom',
] as const;

function deviceAttributesOf(result: Fields): DeviceAttributes {
  const entries = limitNames.map(name => [name, numberOf(result, name, NATURAL, 'queryDevice')] as const);
  return Object.fromEntries(entries) as unknown as DeviceAttributes;
}

function snapshotOf(result: Fields): QpSnapshot {
  const of = (name: string): number =>
    result[name] === undefined ? 0 : numberOf(result, name, U32, 'queryQp');
  return {
    qpState: numberOfName(qpStates, result['qpState'], 'qpState of queryQp') as QpState,
    sqDraining: result['sqDraining'] === true,
    pathMtu: of('pathMtu'),
    maxRdAtomic: of('maxRdAtomic'),
    maxDestRdAtomic: of('maxDestRdAtomic'),
    minRnrTimer: of('minRnrTimer'),
    timeout: of('timeout'),
    retryCnt: of('retryCnt'),
    rnrRetry: of('rnrRetry'),
    qkey: of('qkey'),
    rqPsn: of('rqPsn'),
    sqPsn: of('sqPsn'),
    destQpNum: of('destQpNum'),
    qpAccessFlags: of('qpAccessFlags'),
    rateLimit: of('rateLimit'),
    cap:
      result['cap'] === undefined
        ? { maxSendWr: 0, maxRecvWr: 0, maxSendSge: 0, maxRecvSge: 0, maxInlineData: 0 }
        : capOf(result, 'queryQp'),
    ahAttr: vectorOf(result['ahAttr']),
  };
}

/** An address vector that was answered; undefined where there is none. */
function vectorOf(found: unknown): AhAttributes | undefined {
  if (found === undefined) return undefined;
  if (!isFields(found) || typeof found['dgid'] !== 'string')
    throw new BadAnswer(`ahAttr of queryQp is ${shown(found)}; expected an address vector`);
  return {
    dgid: found['dgid'],
    sgidIndex: numberOf(found, 'sgidIndex', U8, 'queryQp'),
    flowLabel: numberOf(found, 'flowLabel', U32, 'queryQp'),
    hopLimit: numberOf(found, 'hopLimit', U8, 'queryQp'),
    trafficClass: numberOf(found, 'trafficClass', U8, 'queryQp'),
  };
}

/** The number of a name in a table. */
function numberOfName(
  { values }: { readonly values: Readonly<Record<string, number>> },
  name: unknown,
  where: string,
): number {
  if (typeof name === 'string' && Object.hasOwn(values, name)) return values[name];
  throw new BadAnswer(`${where} is ${shown(name)}; expected one of ${Object.keys(values).join(', ')}`);
}

function fillCompletion(target: WorkCompletion, source: unknown): void {
  if (!isFields(source)) throw new BadAnswer(`a completion is ${shown(source)}; expected an object`);
  const of = (name: string): number =>
    source[name] === undefined ? 0 : numberOf(source, name, U32, 'a completion');
  target.wrId = numberOf(source, 'wrId', NATURAL, 'a completion');
  target.status = numberOfName(wcStatuses, source['status'], 'status of a completion') as WcStatus;
  target.qpNum = numberOf(source, 'qpNum', U32, 'a completion');
  const opcode = source['opcode'];
  target.opcode = (
    opcode === undefined ? 0 : numberOfName(wcOpcodes, opcode, 'opcode of a completion')
  ) as WcOpcode;
  target.vendorErr = of('vendorErr');
  target.byteLen = of('byteLen');
  target.immData = of('immData');
  target.srcQp = of('srcQp');
  target.wcFlags = of('wcFlags');
}
