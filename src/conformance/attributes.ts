/** The attribute mask that a set of attributes stands for. */
import { QpAttrMask } from '../abi/index.js';
import type { QpAttributes } from '../verbs/index.js';

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
