/** The attribute mask that a set of attributes stands for. */
import { QpAttrMask } from '../abi/index.js';
import type { QpAttributes } from '../verbs/index.js';
import type { AttributesSpec } from './program.js';

const bits: readonly (readonly [keyof QpAttributes, number])[] = [
  ['qpState', QpAttrMask.STATE],
  ['curQpState', QpAttrMask.CUR_STATE],
  ['qpAccessFlags', QpAttrMask.ACCESS_FLAGS],
  ['qkey', QpAttrMask.QKEY],
  ['ahAttr', QpAttrMask.AV],
  ['pathMtu', QpAttrMask.PATH_MTU],
  ['timeout', QpAttrMask.TIMEOUT],
  ['retryCnt', QpAttrMask.RETRY_CNT],
  ['rnrRetry', QpAttrMask.RNR_RETRY],
  ['rqPsn', QpAttrMask.RQ_PSN],
  ['maxRdAtomic', QpAttrMask.MAX_QP_RD_ATOMIC],
  ['minRnrTimer', QpAttrMask.MIN_RNR_TIMER],
  ['sqPsn', QpAttrMask.SQ_PSN],
  ['maxDestRdAtomic', QpAttrMask.MAX_DEST_RD_ATOMIC],
  ['cap', QpAttrMask.CAP],
  ['destQpNum', QpAttrMask.DEST_QPN],
  ['rateLimit', QpAttrMask.RATE_LIMIT],
];

/** Bits of `QpAttrMask` for the members that are present. */
export function qpAttrMaskOf(attributes: QpAttributes): number {
  let mask = 0;
  for (const [name, bit] of bits) if (attributes[name] !== undefined) mask |= bit;
  return mask;
}

const specBits: readonly (readonly [keyof AttributesSpec, number])[] = [
  ['state', QpAttrMask.STATE],
  ['curState', QpAttrMask.CUR_STATE],
  ['access', QpAttrMask.ACCESS_FLAGS],
  ['qkey', QpAttrMask.QKEY],
  ['to', QpAttrMask.AV],
  ['pathMtu', QpAttrMask.PATH_MTU],
  ['timeout', QpAttrMask.TIMEOUT],
  ['retryCnt', QpAttrMask.RETRY_CNT],
  ['rnrRetry', QpAttrMask.RNR_RETRY],
  ['rqPsn', QpAttrMask.RQ_PSN],
  ['maxRdAtomic', QpAttrMask.MAX_QP_RD_ATOMIC],
  ['minRnrTimer', QpAttrMask.MIN_RNR_TIMER],
  ['sqPsn', QpAttrMask.SQ_PSN],
  ['maxDestRdAtomic', QpAttrMask.MAX_DEST_RD_ATOMIC],
  ['cap', QpAttrMask.CAP],
  ['dest', QpAttrMask.DEST_QPN],
  ['rateLimit', QpAttrMask.RATE_LIMIT],
];

/** The same for attributes as a program has them. */
export function maskOfSpec(set: AttributesSpec): number {
  let mask = 0;
  for (const [name, bit] of specBits) if (set[name] !== undefined) mask |= bit;
  return mask;
}
