/** Queue pairs: creation with their request memory, attributes, and the clean-up when their work is discarded. */
import {
  Command,
  INLINE_DATA_MAX,
  QpAttrMask,
  QpState,
  QpType,
  createQpAck,
  createQpCommand,
  destroyQpCommand,
  modifyQpCommand,
  queryQpAck,
  queryQpCommand,
  rqReq,
  sge,
  sqReq,
} from '../abi/index.js';
import type {
  DeviceAttributes,
  ProtectionDomain,
  QpAttributes,
  QpCap,
  QpInit,
  QpSnapshot,
  QueuePair,
} from '../verbs/index.js';
import { refuse, u32 } from './checks.js';
import { structData } from './command-engine.js';
import type { DriverContext } from './context.js';
import { harvest } from './cq.js';
import { DriverQp, claimCq, claimPd, claimQp } from './objects.js';
import type { DriverCq, WorkQueue } from './objects.js';
import { QUERY_MASK, decodeSnapshot, encodeModify } from './qp-attributes.js';
import { reclaim } from './reclaim.js';
import { WorkLog } from './work-log.js';

/** Number of the one general-services queue pair; ordinary ones have higher numbers. */
const GSI_NUMBER = 1;

export async function createQp(
  context: DriverContext,
  pdHandle: ProtectionDomain,
  init: QpInit,
): Promise<DriverQp> {
  const verb = 'createQp';
  const { session, engine, qps, limits } = context;
  const pd = claimPd(session, verb, pdHandle);
  const sendCq = claimCq(session, verb, init.sendCq);
  const recvCq = claimCq(session, verb, init.recvCq);
  if (init.type === QpType.SMI) throw refuse(verb, 'SMI queue pairs do not exist on RoCE');
  const cap = checkCap(verb, init.cap, limits);
  const { type, sqSigAll } = init;
  const sendStride = sqReq.size + cap.maxSendSge * sge.size;
  const recvStride = roundUp8(rqReq.size + cap.maxRecvSge * sge.size);
  const sendMemory = session.alloc(Math.max(1, cap.maxSendWr) * sendStride, 8);
  const recvMemory = session.alloc(Math.max(1, cap.maxRecvWr) * recvStride, 8);
  for (const used of [pd, sendCq, recvCq]) used.users++;
  qps.creating();
  return engine.run({
    verb,
    code: Command.CREATE_QP,
    data: structData(createQpCommand, {
      pdn: pd.number,
      qp_type: type,
      sq_sig_all: sqSigAll ? 1 : 0,
      send_cqn: sendCq.number,
      recv_cqn: recvCq.number,
      cap: {
        max_send_wr: cap.maxSendWr,
        max_recv_wr: cap.maxRecvWr,
        max_send_sge: cap.maxSendSge,
        max_recv_sge: cap.maxRecvSge,
        max_inline_data: cap.maxInlineData,
      },
    }),
    resultBytes: createQpAck.size,
    refused: () => {
      session.free(sendMemory);
      session.free(recvMemory);
      for (const used of [pd, sendCq, recvCq]) used.users--;
      return qps.refused(verb, mostFor(context, type));
    },
    accept: result => {
      const { qpn } = createQpAck.decode(result, 0);
      const fault = numberFault(context, qpn, type);
      if (fault !== undefined) throw session.fault(verb, fault);
      const { sqs, rqs } = context.queues;
      const send = workQueue(sqs[qpn], sendMemory, sendStride, cap.maxSendWr, sendCq);
      const recv = workQueue(rqs[qpn], recvMemory, recvStride, cap.maxRecvWr, recvCq);
      const qp = new DriverQp(qpn, { type, cap, pd, sendCq, recvCq, send, recv });
      qps.created(qpn, qp);
      return qp;
    },
  });
}

function workQueue(
  queue: WorkQueue['queue'],
  memory: WorkQueue['memory'],
  stride: number,
  slots: number,
  cq: DriverCq,
): WorkQueue {
  // Between two polled completions lie at most those that fill the completion queue and those with the device.
  return { queue, memory, stride, slots, next: 0, oldest: 0, log: new WorkLog(slots + cq.cqe) };
}

/**
 * Queue pairs of any type that there are when no number for this type is left: number 0 is never used, and 1 is the GSI
 * queue pair's alone.
 */
function mostFor({ session, qps }: DriverContext, type: number): number {
  const gsi = qps.get(GSI_NUMBER) === undefined ? 0 : 1;
  if (type === QpType.GSI) return gsi === 1 ? 0 : Number.POSITIVE_INFINITY;
  return session.maxQps - (GSI_NUMBER + 1) + gsi;
}

function numberFault({ session, qps }: DriverContext, qpn: number, type: QpType): string | undefined {
  if (type === QpType.GSI ? qpn !== GSI_NUMBER : qpn <= GSI_NUMBER)
    return `queue pair number ${qpn} for type ${type}`;
  if (qpn >= session.maxQps) return `queue pair number ${qpn} of ${session.maxQps}`;
  return qps.fault(qpn);
}

/** Capacities are granted as asked; inline data has its place in the request whatever the number of elements. */
function checkCap(verb: string, cap: QpCap, limits: DeviceAttributes): QpCap {
  atMost(verb, 'maxSendWr', cap.maxSendWr, limits.maxQpWr);
  atMost(verb, 'maxRecvWr', cap.maxRecvWr, limits.maxQpWr);
  atMost(verb, 'maxSendSge', cap.maxSendSge, limits.maxSendSge);
  atMost(verb, 'maxRecvSge', cap.maxRecvSge, limits.maxRecvSge);
  atMost(verb, 'maxInlineData', cap.maxInlineData, INLINE_DATA_MAX);
  return { ...cap };
}

function atMost(verb: string, name: string, value: number, limit: number): void {
  if (u32(verb, name, value) > limit) throw refuse(verb, `${name} ${value} is above the limit of ${limit}`);
}

function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

export async function modifyQp(
  context: DriverContext,
  handle: QueuePair,
  attributes: QpAttributes,
): Promise<void> {
  const verb = 'modifyQp';
  const { session, engine } = context;
  const qp = claimQp(session, verb, handle);
  const command = encodeModify(verb, qp.number, attributes);
  const { qpState, maxRdAtomic } = attributes;
  const toReset = qpState === QpState.RESET;
  refuseFromReset(qp, qpState ?? qp.state, command.attr_mask);
  if (toReset) qp.resetting++;
  qp.modifying++;
  const sequence = ++qp.submitted;
  return engine.run({
    verb,
    code: Command.MODIFY_QP,
    data: structData(modifyQpCommand, command),
    resultBytes: 0,
    refused: () => {
      qp.modifying--;
      if (toReset) qp.resetting--;
      return refuse(verb, 'the device refused');
    },
    accept: () => {
      qp.modifying--;
      if (toReset) {
        qp.resetting--;
        const fault = discarded(qp);
        if (fault !== undefined) throw session.fault(verb, fault);
      }
      if (sequence < qp.learnt) return;
      qp.learnt = sequence;
      if (qpState !== undefined) qp.state = qpState;
      if (toReset) qp.maxRdAtomic = 0;
      if (maxRdAtomic !== undefined) qp.maxRdAtomic = maxRdAtomic;
    },
  });
}

/**
 * A queue pair leaves RESET only when it is told to, so what the table of states refuses from there is refused here. Every
 * other state may have changed unseen, and the device is asked.
 */
function refuseFromReset(qp: DriverQp, to: QpState, mask: number): void {
  if (qp.state !== QpState.RESET || qp.modifying > 0) return;
  const connected = qp.type === QpType.RC || qp.type === QpType.UC;
  const toInit = QpAttrMask.STATE | (connected ? QpAttrMask.ACCESS_FLAGS : QpAttrMask.QKEY);
  if (to === QpState.INIT ? mask === toInit : to === QpState.RESET && (mask & ~QpAttrMask.STATE) === 0)
    return;
  throw refuse('modifyQp', `from RESET to state ${to} with attributes 0x${mask.toString(16)}`);
}

export async function queryQp(context: DriverContext, handle: QueuePair): Promise<QpSnapshot> {
  const verb = 'queryQp';
  const { session, engine } = context;
  const qp = claimQp(session, verb, handle);
  const sequence = ++qp.submitted;
  return engine.run({
    verb,
    code: Command.QUERY_QP,
    data: structData(queryQpCommand, { qpn: qp.number, attr_mask: QUERY_MASK }),
    resultBytes: queryQpAck.size,
    refused: () => refuse(verb, 'the device refused'),
    accept: result => {
      const snapshot = decodeSnapshot(result);
      if (typeof snapshot === 'string') throw session.fault(verb, snapshot);
      if (sequence > qp.learnt) {
        qp.learnt = sequence;
        qp.state = snapshot.qpState;
      }
      return snapshot;
    },
  });
}

export async function destroyQp(context: DriverContext, handle: QueuePair): Promise<void> {
  const verb = 'destroyQp';
  const { session, engine, qps } = context;
  const qp = claimQp(session, verb, handle);
  qp.alive = false;
  return engine.run({
    verb,
    code: Command.DESTROY_QP,
    data: structData(destroyQpCommand, { qpn: qp.number }),
    resultBytes: 0,
    refused: () => {
      qp.alive = true;
      return refuse(verb, 'the device refused');
    },
    accept: () => {
      const fault = discarded(qp);
      if (fault !== undefined) throw session.fault(verb, fault);
      qps.destroyed(qp.number);
      session.free(qp.send.memory);
      session.free(qp.recv.memory);
      for (const used of [qp.pd, qp.sendCq, qp.recvCq]) used.users--;
    },
  });
}

/** After the ack of a destroy or a reset: what completed is saved, and every request must have come back. */
function discarded(qp: DriverQp): string | undefined {
  if (harvest(qp) !== undefined) return qp.session.failure;
  for (const half of [qp.send, qp.recv]) {
    const fault = reclaim(half);
    if (fault !== undefined) return fault;
    if (half.queue.outstanding > 0) {
      return `queue ${half.queue.index} kept ${half.queue.outstanding} requests of a queue pair that is reset or gone`;
    }
    half.log.clear();
  }
  return undefined;
}
