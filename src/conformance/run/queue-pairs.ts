/** Actions on queue pairs: create, modify, query. */
import { QpState, QpType, qpStates } from '../../abi/index.js';
import type { ProtectionDomain, QpAttributes } from '../../verbs/index.js';
import { expectAttributes, unexpected } from '../expectations.js';
import type { ActionOf, AttributesSpec } from '../program.js';
import { mayHaveFailedUnseen } from '../records.js';
import type { QpRecord } from '../records.js';
import type { VerbsMachine } from '../verbs-world.js';
import { create, discardRequests } from './lifecycle.js';
import { route } from './route.js';
import type { Stage } from './stage.js';

const defaultCap = { sendWr: 16, recvWr: 16, sendSge: 2, recvSge: 2, inline: 64 };

/** What a query must answer alike; numbers and capacities are the implementation's. */
const compared = [
  'qpState',
  'sqDraining',
  'pathMtu',
  'maxRdAtomic',
  'maxDestRdAtomic',
  'minRnrTimer',
  'timeout',
  'retryCnt',
  'rnrRetry',
  'qkey',
  'rqPsn',
  'sqPsn',
  'qpAccessFlags',
  'rateLimit',
] as const;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A number that no queue pair has. */
const NOBODY = 0xffffff;

export function createQp(
  stage: Stage,
  index: number,
  action: ActionOf<'createQp'>,
  machine: VerbsMachine,
): void {
  const pd = stage.names.find(action.vm, action.pd, 'pd');
  const sendCq = stage.names.find(action.vm, action.sendCq, 'cq');
  const recvCq = stage.names.find(action.vm, action.recvCq, 'cq');
  if (pd === undefined || sendCq === undefined || recvCq === undefined) return stage.skip(index, action);
  const { sendWr, recvWr, sendSge, recvSge, inline } = action.cap ?? defaultCap;
  const init = {
    type: QpType[action.type],
    sqSigAll: action.sigAll ?? false,
    sendCq: sendCq.handle,
    recvCq: recvCq.handle,
    cap: {
      maxSendWr: sendWr,
      maxRecvWr: recvWr,
      maxSendSge: sendSge,
      maxRecvSge: recvSge,
      maxInlineData: inline,
    },
  };
  const call = () => machine.verbs.createQp(pd.handle as ProtectionDomain, init);
  create(stage, index, action, call, qp => ({
    kind: 'qp',
    vm: action.vm,
    name: action.as,
    id: stage.counts.qp++,
    handle: qp,
    alive: true,
    destroying: false,
    type: init.type,
    pd,
    sendCq,
    recvCq,
    sigAll: init.sqSigAll,
    state: QpState.RESET,
    attributes: {},
    sends: [],
    recvs: [],
    sendsDone: 0,
    recvsDone: 0,
    sendFailed: false,
    recvFailed: false,
    resetting: 0,
  }));
}

export function modifyQp(
  stage: Stage,
  index: number,
  action: ActionOf<'modifyQp'>,
  machine: VerbsMachine,
): void {
  const qp = stage.names.find(action.vm, action.qp, 'qp');
  if (qp === undefined) return stage.skip(index, action);
  if (qp.state === QpState.RESET && mayHaveFailedUnseen(qp)) return stage.skip(index, action);
  const attributes = attributesOf(stage, action.set, qp);
  const to = attributes.qpState;
  const resets = to === QpState.RESET ? 1 : 0;
  qp.resetting += resets;
  stage.control(
    index,
    action,
    () => machine.verbs.modifyQp(qp.handle, attributes),
    () => {
      qp.resetting -= resets;
      if (to !== undefined) qp.state = to;
      qp.attributes = to === QpState.RESET ? {} : { ...qp.attributes, ...attributes };
      for (const observer of stage.observers) observer.modified(qp, to);
      if (to === QpState.RESET) discardRequests(qp);
    },
    () => {
      qp.resetting -= resets;
      for (const observer of stage.observers) observer.modifyRefused(qp);
    },
  );
}

export function queryQp(
  stage: Stage,
  index: number,
  action: ActionOf<'queryQp'>,
  machine: VerbsMachine,
): void {
  const qp = stage.names.find(action.vm, action.qp, 'qp');
  if (qp === undefined) return stage.skip(index, action);
  stage.control(
    index,
    action,
    () => machine.verbs.queryQp(qp.handle),
    snapshot => {
      for (const name of compared) stage.observation.note(index, name, Number(snapshot[name]));
      for (const observer of stage.observers) observer.queried(qp, snapshot.qpState);
      const { expectState, expectSet } = action;
      if (expectState !== undefined && QpState[expectState] !== snapshot.qpState) {
        const state = qpStates.nameOf(snapshot.qpState) ?? `state ${snapshot.qpState}`;
        throw unexpected(index, `${action.qp} is in ${state}`, expectState);
      }
      if (expectSet !== undefined) expectAttributes(index, snapshot, expectSet);
    },
  );
}

/** The number of a peer's queue pair. */
export function qpNumberOf(stage: Stage, dest: { vm: number; qp: string } | number): number {
  if (typeof dest === 'number') return dest;
  return stage.names.find(dest.vm, dest.qp, 'qp')?.handle.qpNum ?? NOBODY;
}

function attributesOf(stage: Stage, set: AttributesSpec, qp: QpRecord): QpAttributes {
  const all: Mutable<QpAttributes> = {};
  if (set.state !== undefined) all.qpState = QpState[set.state];
  if (set.curState !== undefined) all.curQpState = QpState[set.curState];
  if (set.access !== undefined) all.qpAccessFlags = set.access;
  if (set.qkey !== undefined) all.qkey = set.qkey;
  if (set.to !== undefined) all.ahAttr = route(set.to);
  if (set.pathMtu !== undefined) all.pathMtu = set.pathMtu;
  if (set.timeout !== undefined) all.timeout = set.timeout;
  if (set.retryCnt !== undefined) all.retryCnt = set.retryCnt;
  if (set.rnrRetry !== undefined) all.rnrRetry = set.rnrRetry;
  if (set.rqPsn !== undefined) all.rqPsn = set.rqPsn;
  if (set.maxRdAtomic !== undefined) all.maxRdAtomic = set.maxRdAtomic;
  if (set.minRnrTimer !== undefined) all.minRnrTimer = set.minRnrTimer;
  if (set.sqPsn !== undefined) all.sqPsn = set.sqPsn;
  if (set.maxDestRdAtomic !== undefined) all.maxDestRdAtomic = set.maxDestRdAtomic;
  if (set.cap !== undefined) all.cap = qp.handle.cap;
  if (set.dest !== undefined) all.destQpNum = qpNumberOf(stage, set.dest);
  if (set.rateLimit !== undefined) all.rateLimit = set.rateLimit;
  return all;
}
