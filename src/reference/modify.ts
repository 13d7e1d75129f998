/**
 * MODIFY_QP: everything is checked first, then attributes are set, then the state changes; a refused change changes
 * nothing. The table of states and masks is in `src/statemachines/qp-table.ts`; the values are checked here.
 */
import { AccessFlag, QpAttrMask, QpState } from '../abi/index.js';
import { qpModifyAllowed } from '../statemachines/qp-table.js';
import { VerbsError } from '../verbs/index.js';
import type { QpAttributes, QpSnapshot } from '../verbs/index.js';
import { faultOfAddress } from './address-handle.js';
import { psnMask } from './psn.js';
import type { QueuePair } from './queue-pair.js';

/** Which mask bit each attribute is. */
const attributeBits: readonly (readonly [keyof QpAttributes, number])[] = [
  ['qpState', QpAttrMask.STATE],
  ['curQpState', QpAttrMask.CUR_STATE],
  ['pathMtu', QpAttrMask.PATH_MTU],
  ['maxRdAtomic', QpAttrMask.MAX_QP_RD_ATOMIC],
  ['maxDestRdAtomic', QpAttrMask.MAX_DEST_RD_ATOMIC],
  ['minRnrTimer', QpAttrMask.MIN_RNR_TIMER],
  ['timeout', QpAttrMask.TIMEOUT],
  ['retryCnt', QpAttrMask.RETRY_CNT],
  ['rnrRetry', QpAttrMask.RNR_RETRY],
  ['qkey', QpAttrMask.QKEY],
  ['rqPsn', QpAttrMask.RQ_PSN],
  ['sqPsn', QpAttrMask.SQ_PSN],
  ['destQpNum', QpAttrMask.DEST_QPN],
  ['qpAccessFlags', QpAttrMask.ACCESS_FLAGS],
  ['rateLimit', QpAttrMask.RATE_LIMIT],
  ['cap', QpAttrMask.CAP],
  ['ahAttr', QpAttrMask.AV],
];

export function attributeMask(attributes: QpAttributes): number {
  let mask = 0;
  for (const [name, bit] of attributeBits) if (attributes[name] !== undefined) mask |= bit;
  return mask;
}

/** Throws EINVAL, or changes the queue pair. */
export function modifyQueuePair(qp: QueuePair, attributes: QpAttributes): void {
  const mask = attributeMask(attributes);
  const allowed = qpModifyAllowed({
    type: qp.type,
    current: qp.state,
    draining: qp.draining,
    mask,
    to: attributes.qpState ?? qp.state,
    claimed: attributes.curQpState ?? qp.state,
  });
  if (!allowed) {
    const to = attributes.qpState ?? qp.state;
    const detail = `state ${qp.state} to ${to} with attribute mask 0x${mask.toString(16)} is not in the table of changes`;
    throw new VerbsError('EINVAL', 'modifyQp', detail);
  }
  const fault = faultOfValues(qp, attributes);
  if (fault !== undefined) throw new VerbsError('EINVAL', 'modifyQp', fault);
  setValues(qp, attributes);
  if (attributes.qpState !== undefined) enterState(qp, attributes.qpState);
}

/** Queue pair numbers have 24 bits. */
function qpnMask(qpn: number): number {
  return qpn & 0xff_ffff;
}

const KNOWN_ACCESS = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_READ | AccessFlag.REMOTE_WRITE;

function faultOfValues(qp: QueuePair, attributes: QpAttributes): string | undefined {
  const { context } = qp;
  const { attributes: limits, port } = context;
  const fault =
    faultOfRange('path_mtu', attributes.pathMtu, 1, port.activeMtu) ??
    faultOfRange('max_rd_atomic', attributes.maxRdAtomic, 0, limits.maxQpInitRdAtom) ??
    faultOfRange('max_dest_rd_atomic', attributes.maxDestRdAtomic, 0, limits.maxQpRdAtom) ??
    faultOfRange('min_rnr_timer', attributes.minRnrTimer, 0, 31) ??
    faultOfRange('timeout', attributes.timeout, 0, 31) ??
    faultOfRange('retry_cnt', attributes.retryCnt, 0, 7) ??
    faultOfRange('rnr_retry', attributes.rnrRetry, 0, 7) ??
    faultOfRange('qkey', attributes.qkey, 0, 0xffff_ffff);
  if (fault !== undefined) return fault;
  const flags = attributes.qpAccessFlags;
  if (flags !== undefined && (flags & ~KNOWN_ACCESS) !== 0) return 'unknown bits in qp_access_flags';
  return attributes.ahAttr === undefined ? undefined : faultOfAddress(attributes.ahAttr, context.gids);
}

function faultOfRange(
  name: string,
  value: number | undefined,
  least: number,
  most: number,
): string | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= least && value <= most)) return undefined;
  return `${name} is ${value}, must be ${least} to ${most}`;
}

function setValues(qp: QueuePair, attributes: QpAttributes): void {
  const { values } = qp;
  values.pathMtu = attributes.pathMtu ?? values.pathMtu;
  values.maxRdAtomic = attributes.maxRdAtomic ?? values.maxRdAtomic;
  values.maxDestRdAtomic = attributes.maxDestRdAtomic ?? values.maxDestRdAtomic;
  values.minRnrTimer = attributes.minRnrTimer ?? values.minRnrTimer;
  values.timeout = attributes.timeout ?? values.timeout;
  values.retryCnt = attributes.retryCnt ?? values.retryCnt;
  values.rnrRetry = attributes.rnrRetry ?? values.rnrRetry;
  values.qkey = attributes.qkey ?? values.qkey;
  // Numbers of more than 24 bits are cut off, not refused [QP-38].
  values.destQpNum = qpnMask(attributes.destQpNum ?? values.destQpNum);
  values.qpAccessFlags = attributes.qpAccessFlags ?? values.qpAccessFlags;
  if (attributes.ahAttr !== undefined) values.ahAttr = { ...attributes.ahAttr };
  if (attributes.rqPsn !== undefined) qp.responder.expectedPsn = psnMask(attributes.rqPsn);
  if (attributes.sqPsn !== undefined) qp.requester.setPsn(psnMask(attributes.sqPsn));
  if (attributes.retryCnt !== undefined || attributes.rnrRetry !== undefined) qp.requester.retriesChanged();
}

function enterState(qp: QueuePair, state: QpState): void {
  switch (state) {
    case QpState.RESET:
      return qp.enterReset();
    case QpState.ERR:
      qp.enterError();
      return;
    case QpState.SQD:
      if (qp.state !== QpState.SQD) qp.draining = qp.requester.started > qp.sendQueue.head;
      qp.state = state;
      return;
    case QpState.RTS:
      // What was queued behind the failed send is flushed, not sent.
      if (qp.state === QpState.SQE) qp.flushSends();
      // A completion queue may have overrun meanwhile.
      if (qp.state === QpState.ERR) return;
      qp.state = state;
      return qp.kick();
    default:
      qp.state = state;
  }
}

export function queryQueuePair(qp: QueuePair): QpSnapshot {
  const { values } = qp;
  return {
    qpState: qp.state,
    sqDraining: qp.draining,
    pathMtu: values.pathMtu,
    maxRdAtomic: values.maxRdAtomic,
    maxDestRdAtomic: values.maxDestRdAtomic,
    minRnrTimer: values.minRnrTimer,
    timeout: values.timeout,
    retryCnt: values.retryCnt,
    rnrRetry: values.rnrRetry,
    qkey: values.qkey,
    rqPsn: qp.responder.expectedPsn,
    sqPsn: qp.requester.newPsn,
    destQpNum: values.destQpNum,
    qpAccessFlags: values.qpAccessFlags,
    rateLimit: 0,
    cap: qp.cap,
    ahAttr: values.ahAttr,
  };
}
