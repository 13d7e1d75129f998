/** The attributes of a queue pair that are plain values. */
import type { AhAttributes } from '../verbs/index.js';

/** Attributes that `modifyQp` sets; see `QpAttributes`. */
export interface QpValues {
  pathMtu: number;
  maxRdAtomic: number;
  maxDestRdAtomic: number;
  minRnrTimer: number;
  timeout: number;
  retryCnt: number;
  rnrRetry: number;
  qkey: number;
  destQpNum: number;
  qpAccessFlags: number;
  ahAttr: AhAttributes | undefined;
}

export function initialValues(): QpValues {
  return {
    pathMtu: 0,
    maxRdAtomic: 0,
    maxDestRdAtomic: 0,
    minRnrTimer: 0,
    timeout: 0,
    retryCnt: 0,
    rnrRetry: 0,
    qkey: 0,
    destQpNum: 0,
    qpAccessFlags: 0,
    ahAttr: undefined,
  };
}
