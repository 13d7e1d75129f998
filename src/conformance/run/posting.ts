/** Actions that post work, and how the symbolic addresses and keys of a program become real ones. */
import { QpState, SendFlag, WrOpcode } from '../../abi/index.js';
import type { AddressHandle, RecvWorkRequest, SendWorkRequest, Sge } from '../../verbs/index.js';
import { repeated } from '../expectations.js';
import type { RequestSpec } from '../observer.js';
import { patternBytes } from '../patterns.js';
import type { ActionOf, KeySpec, RecvRequestSpec, SendRequestSpec, SgeSpec } from '../program.js';
import { madeUpKey, mayHaveFailedUnseen } from '../records.js';
import type { QpRecord, WrRecord } from '../records.js';
import type { PostedList, VerbsMachine } from '../verbs-world.js';
import { qpNumberOf } from './queue-pairs.js';
import { errnoOf } from './stage.js';
import type { Stage } from './stage.js';

export function postSend(
  stage: Stage,
  index: number,
  action: ActionOf<'postSend'>,
  machine: VerbsMachine,
): void {
  const qp = stage.names.find(action.vm, action.qp, 'qp');
  if (qp === undefined) return stage.skip(index, action);
  if (qp.state < QpState.RTS && mayHaveFailedUnseen(qp)) return stage.skip(index, action);
  const { verbs, lists } = machine;
  const first = stage.requests[action.vm].length;
  const poster: Poster<SendRequestSpec, SendWorkRequest> = {
    stage,
    qp,
    send: true,
    request: (spec, place) => sendRequest(stage, spec, qp, machine, first + place),
    opcode: ({ opcode }) => WrOpcode[opcode],
    signaled: spec => qp.sigAll || (spec.signaled ?? true),
    post: request => verbs.postSend(qp.handle, request),
    postList: lists && (requests => lists.postSends(qp.handle, requests)),
  };
  stage.end(index, action, postAll(poster, action.requests));
}

export function postRecv(
  stage: Stage,
  index: number,
  action: ActionOf<'postRecv'>,
  machine: VerbsMachine,
): void {
  const qp = stage.names.find(action.vm, action.qp, 'qp');
  if (qp === undefined) return stage.skip(index, action);
  if (qp.state === QpState.RESET && mayHaveFailedUnseen(qp)) return stage.skip(index, action);
  const { verbs, lists } = machine;
  const first = stage.requests[action.vm].length;
  const poster: Poster<RecvRequestSpec, RecvWorkRequest> = {
    stage,
    qp,
    send: false,
    request: (spec, place) => ({ wrId: first + place, sges: elements(stage, spec.sges, machine) }),
    opcode: () => 0,
    signaled: () => true,
    post: request => verbs.postRecv(qp.handle, request),
    postList: lists && (requests => lists.postRecvs(qp.handle, requests)),
  };
  stage.end(index, action, postAll(poster, action.requests));
}

/** How the requests of one action are posted. */
interface Poster<S extends RequestSpec, R> {
  readonly stage: Stage;
  readonly qp: QpRecord;
  readonly send: boolean;
  /** The request of a spec that is the action's number `place`. */
  request(spec: S, place: number): R;
  opcode(spec: S): number;
  signaled(spec: S): boolean;
  post(request: R): void;
  readonly postList: ((requests: readonly R[]) => PostedList) | undefined;
}

/** Posts until one is refused; returns the errno of the refusal. */
function postAll<S extends RequestSpec & { readonly times?: number | undefined }, R>(
  poster: Poster<S, R>,
  specs: readonly S[],
): string | undefined {
  const { stage, postList, qp, send } = poster;
  let place = 0;
  if (postList === undefined) {
    for (const spec of repeated(specs)) {
      stage.calls++;
      const record = recordOf(poster, spec);
      const request = poster.request(spec, place++);
      stage.requests[qp.vm].push(record);
      try {
        poster.post(request);
      } catch (error) {
        return refused(poster, record, error);
      }
      accepted(poster, record, spec);
    }
    return undefined;
  }
  const list = repeated(specs);
  const requests = list.map(spec => poster.request(spec, place++));
  let outcome: PostedList;
  try {
    outcome = postList(requests);
  } catch (error) {
    return errnoOf(error, send ? 'postSend' : 'postRecv');
  }
  stage.calls += outcome.posted;
  for (let i = 0; i < outcome.posted; i++) {
    const record = recordOf(poster, list[i]);
    stage.requests[qp.vm].push(record);
    accepted(poster, record, list[i]);
  }
  if (outcome.refused === undefined) return undefined;
  stage.calls++;
  const record = recordOf(poster, list[outcome.posted]);
  stage.requests[qp.vm].push(record);
  return refused(poster, record, outcome.refused);
}

/** The record of the machine's next request. */
function recordOf<S extends RequestSpec, R>(poster: Poster<S, R>, spec: S): WrRecord {
  const { stage, qp, send } = poster;
  return {
    wrId: stage.requests[qp.vm].length,
    qp,
    send,
    opcode: poster.opcode(spec),
    signaled: poster.signaled(spec),
    id: stage.counts.wr++,
    behindReset: qp.resetting > 0,
    state: 'posted',
  };
}

function accepted<S extends RequestSpec, R>(
  { stage, qp, send }: Poster<S, R>,
  record: WrRecord,
  spec: S,
): void {
  (send ? qp.sends : qp.recvs).push(record);
  for (const observer of stage.observers) observer.posted(record, spec);
}

function refused<S extends RequestSpec, R>(
  { stage, qp, send }: Poster<S, R>,
  record: WrRecord,
  error: unknown,
): string {
  stage.requests[qp.vm][record.wrId] = undefined;
  const errno = errnoOf(error, send ? 'postSend' : 'postRecv');
  for (const observer of stage.observers) observer.postRefused(qp, send, errno);
  return errno;
}

function sendRequest(
  stage: Stage,
  spec: SendRequestSpec,
  qp: QpRecord,
  machine: VerbsMachine,
  wrId: number,
): SendWorkRequest {
  const { vm } = qp;
  const sendFlags =
    ((spec.signaled ?? true) ? SendFlag.SIGNALED : 0) |
    (spec.solicited === true ? SendFlag.SOLICITED : 0) |
    (spec.fence === true ? SendFlag.FENCE : 0) |
    (spec.inline === undefined ? 0 : SendFlag.INLINE);
  const { remote } = spec;
  const peer = remote === undefined ? undefined : stage.world.machines[remote.vm];
  const ah = spec.ah === undefined ? undefined : stage.names.find(vm, spec.ah, 'ah');
  return {
    wrId,
    opcode: WrOpcode[spec.opcode],
    sendFlags,
    sges: spec.inline === undefined ? elements(stage, spec.sges, machine) : [],
    inlineData: spec.inline === undefined ? undefined : patternBytes(wrId & 0xff, spec.inline),
    immData: spec.imm,
    remoteAddr: remote && peer ? addressOf(stage, remote.mr, peer, remote.at) : undefined,
    rkey: remote && keyOf(stage, remote.mr, remote.vm, 'rkey'),
    ah: ah?.handle as AddressHandle | undefined,
    remoteQpn: spec.dest === undefined ? undefined : qpNumberOf(stage, spec.dest),
    remoteQkey: spec.qkey,
  };
}

function elements(stage: Stage, sges: readonly SgeSpec[], machine: VerbsMachine): Sge[] {
  return sges.map(sge => ({
    addr: addressOf(stage, sge.mr, machine, sge.at),
    length: sge.length,
    lkey: keyOf(stage, sge.mr, machine.vm, 'lkey'),
  }));
}

/** Regions over all memory are addressed as the device sees memory, others as the program does. */
function addressOf(stage: Stage, key: KeySpec, machine: VerbsMachine, at: number): number {
  const name = typeof key === 'string' ? key : 'of' in key ? key.of : undefined;
  const mr = name === undefined ? undefined : stage.names.find(machine.vm, name, 'mr');
  return mr?.dma === true ? machine.dmaAddress(at) : machine.guest.arenaAddress(at);
}

function keyOf(stage: Stage, key: KeySpec, vm: number, which: 'lkey' | 'rkey'): number {
  if (typeof key === 'object' && 'raw' in key) return key.raw;
  const [name, delta] = typeof key === 'string' ? [key, 0] : [key.of, key.delta];
  const mr = stage.names.find(vm, name, 'mr');
  return madeUpKey(stage.keys, mr === undefined ? 0 : mr[which], delta);
}
