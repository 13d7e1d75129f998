/** Actions that post work, and how the symbolic addresses and keys of a program become real ones. */
import { QpState, SendFlag, WrOpcode } from '../../abi/index.js';
import type { AddressHandle, SendWorkRequest, Sge } from '../../verbs/index.js';
import { repeated } from '../expectations.js';
import type { RequestSpec } from '../observer.js';
import { patternBytes } from '../patterns.js';
import type { ActionOf, KeySpec, SendRequestSpec, SgeSpec } from '../program.js';
import { mayHaveFailedUnseen } from '../records.js';
import type { QpRecord, WrRecord } from '../records.js';
import type { Machine } from '../world.js';
import { qpNumberOf } from './queue-pairs.js';
import { errnoOf } from './stage.js';
import type { Stage } from './stage.js';

export function postSend(stage: Stage, index: number, action: ActionOf<'postSend'>, machine: Machine): void {
  const qp = stage.names.find(action.vm, action.qp, 'qp');
  if (qp === undefined) return stage.skip(index, action);
  if (qp.state < QpState.RTS && mayHaveFailedUnseen(qp)) return stage.skip(index, action);
  let errno: string | undefined;
  for (const spec of repeated(action.requests)) {
    const request = sendRequest(stage, spec, qp, machine);
    const signaled = qp.sigAll || (spec.signaled ?? true);
    const { opcode, wrId } = request;
    const record: WrRecord = {
      wrId,
      qp,
      send: true,
      opcode,
      signaled,
      id: stage.counts.wr++,
      state: 'posted',
    };
    errno = post(stage, record, spec, () => machine.verbs.postSend(qp.handle, request));
    if (errno !== undefined) break;
  }
  stage.end(index, action, errno);
}

export function postRecv(stage: Stage, index: number, action: ActionOf<'postRecv'>, machine: Machine): void {
  const qp = stage.names.find(action.vm, action.qp, 'qp');
  if (qp === undefined) return stage.skip(index, action);
  if (qp.state === QpState.RESET && mayHaveFailedUnseen(qp)) return stage.skip(index, action);
  let errno: string | undefined;
  for (const spec of repeated(action.requests)) {
    const wrId = stage.requests[action.vm].length;
    const request = { wrId, sges: elements(stage, spec.sges, machine) };
    const record: WrRecord = {
      wrId,
      qp,
      send: false,
      opcode: 0,
      signaled: true,
      id: stage.counts.wr++,
      state: 'posted',
    };
    errno = post(stage, record, spec, () => machine.verbs.postRecv(qp.handle, request));
    if (errno !== undefined) break;
  }
  stage.end(index, action, errno);
}

/** Posts one request; returns the errno of a refusal. */
function post(stage: Stage, record: WrRecord, spec: RequestSpec, call: () => void): string | undefined {
  stage.calls++;
  const { qp, send, wrId } = record;
  const requests = stage.requests[qp.vm];
  requests.push(record);
  try {
    call();
  } catch (error) {
    requests[wrId] = undefined;
    const errno = errnoOf(error, send ? 'postSend' : 'postRecv');
    for (const observer of stage.observers) observer.postRefused(qp, send, errno);
    return errno;
  }
  (send ? qp.sends : qp.recvs).push(record);
  for (const observer of stage.observers) observer.posted(record, spec);
  return undefined;
}

function sendRequest(stage: Stage, spec: SendRequestSpec, qp: QpRecord, machine: Machine): SendWorkRequest {
  const { vm } = qp;
  const wrId = stage.requests[vm].length;
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

function elements(stage: Stage, sges: readonly SgeSpec[], machine: Machine): Sge[] {
  return sges.map(sge => ({
    addr: addressOf(stage, sge.mr, machine, sge.at),
    length: sge.length,
    lkey: keyOf(stage, sge.mr, machine.vm, 'lkey'),
  }));
}

/** Regions over all memory are addressed as the device sees memory, others as the program does. */
function addressOf(stage: Stage, key: KeySpec, machine: Machine, at: number): number {
  const name = typeof key === 'string' ? key : 'of' in key ? key.of : undefined;
  const mr = name === undefined ? undefined : stage.names.find(machine.vm, name, 'mr');
  return mr?.dma === true ? machine.dmaAddress(at) : machine.guest.arenaAddress(at);
}

function keyOf(stage: Stage, key: KeySpec, vm: number, which: 'lkey' | 'rkey'): number {
  if (typeof key === 'object' && 'raw' in key) return key.raw;
  const [name, delta] = typeof key === 'string' ? [key, 0] : [key.of, key.delta];
  const mr = stage.names.find(vm, name, 'mr');
  return ((mr === undefined ? 0 : mr[which]) + delta) >>> 0;
}
