/** Between the forms of the ABI and those of verbs: GIDs, address vectors, capacities, attribute masks, enumerations. */
import { QpAttrMask, QpState, QpType } from '../abi/index.js';
import type { StructValue, ahAttr, modifyQpCommand, qpCap } from '../abi/index.js';
import type { AhAttributes, Gid, QpAttributes, QpCap } from '../verbs/index.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type ModifyQp = StructValue<typeof modifyQpCommand>;

export function toQpState(value: number): QpState | undefined {
  return isQpState(value) ? value : undefined;
}
function isQpState(value: number): value is QpState {
  return value <= QpState.ERR;
}

export function toQpType(value: number): QpType | undefined {
  return isQpType(value) ? value : undefined;
}
function isQpType(value: number): value is QpType {
  return value <= QpType.UD;
}

export function toGid(bytes: Uint8Array): Gid {
  let gid = '';
  for (const byte of bytes) gid += byte.toString(16).padStart(2, '0');
  return gid;
}

export function fromGid(gid: Gid, bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(gid.slice(2 * i, 2 * i + 2), 16);
}

export function toAhAttributes(value: StructValue<typeof ahAttr>): AhAttributes {
  return {
    dgid: toGid(value.grh.dgid),
    sgidIndex: value.grh.sgid_index,
    flowLabel: value.grh.flow_label,
    hopLimit: value.grh.hop_limit,
    trafficClass: value.grh.traffic_class,
  };
}

/** Fills an address vector; the next hop's MAC address is the device's own affair and stays zero. */
export function fromAhAttributes(attributes: AhAttributes, target: StructValue<typeof ahAttr>): void {
  fromGid(attributes.dgid, target.grh.dgid);
  target.grh.sgid_index = attributes.sgidIndex;
  target.grh.flow_label = attributes.flowLabel;
  target.grh.hop_limit = attributes.hopLimit;
  target.grh.traffic_class = attributes.trafficClass;
}

export function toQpCap(value: StructValue<typeof qpCap>): QpCap {
  return {
    maxSendWr: value.max_send_wr,
    maxRecvWr: value.max_recv_wr,
    maxSendSge: value.max_send_sge,
    maxRecvSge: value.max_recv_sge,
    maxInlineData: value.max_inline_data,
  };
}

export function fromQpCap(cap: QpCap, target: StructValue<typeof qpCap>): void {
  target.max_send_wr = cap.maxSendWr;
  target.max_recv_wr = cap.maxRecvWr;
  target.max_send_sge = cap.maxSendSge;
  target.max_recv_sge = cap.maxRecvSge;
  target.max_inline_data = cap.maxInlineData;
}

/** Attributes that MODIFY_QP takes; CAP and RATE_LIMIT are refused. */
const modifiable =
  QpAttrMask.STATE |
  QpAttrMask.CUR_STATE |
  QpAttrMask.ACCESS_FLAGS |
  QpAttrMask.QKEY |
  QpAttrMask.AV |
  QpAttrMask.PATH_MTU |
  QpAttrMask.TIMEOUT |
  QpAttrMask.RETRY_CNT |
  QpAttrMask.RNR_RETRY |
  QpAttrMask.RQ_PSN |
  QpAttrMask.MAX_QP_RD_ATOMIC |
  QpAttrMask.MIN_RNR_TIMER |
  QpAttrMask.SQ_PSN |
  QpAttrMask.MAX_DEST_RD_ATOMIC |
  QpAttrMask.DEST_QPN;

/** The attributes that the mask of a MODIFY_QP names; undefined when the mask or a state is not one that exists. */
export function toQpAttributes(value: ModifyQp): QpAttributes | undefined {
  const mask = value.attr_mask;
  const has = (bit: number): boolean => (mask & bit) !== 0;
  if ((mask & ~modifiable) !== 0) return undefined;
  const attributes: Mutable<QpAttributes> = {};
  if (has(QpAttrMask.STATE)) {
    attributes.qpState = toQpState(value.qp_state);
    if (attributes.qpState === undefined) return undefined;
  }
  if (has(QpAttrMask.CUR_STATE)) {
    attributes.curQpState = toQpState(value.cur_qp_state);
    if (attributes.curQpState === undefined) return undefined;
  }
  if (has(QpAttrMask.ACCESS_FLAGS)) attributes.qpAccessFlags = value.qp_access_flags;
  if (has(QpAttrMask.QKEY)) attributes.qkey = value.qkey;
  if (has(QpAttrMask.AV)) attributes.ahAttr = toAhAttributes(value.ah_attr);
  if (has(QpAttrMask.PATH_MTU)) attributes.pathMtu = value.path_mtu;
  if (has(QpAttrMask.TIMEOUT)) attributes.timeout = value.timeout;
  if (has(QpAttrMask.RETRY_CNT)) attributes.retryCnt = value.retry_cnt;
  if (has(QpAttrMask.RNR_RETRY)) attributes.rnrRetry = value.rnr_retry;
  if (has(QpAttrMask.RQ_PSN)) attributes.rqPsn = value.rq_psn;
  if (has(QpAttrMask.MAX_QP_RD_ATOMIC)) attributes.maxRdAtomic = value.max_rd_atomic;
  if (has(QpAttrMask.MIN_RNR_TIMER)) attributes.minRnrTimer = value.min_rnr_timer;
  if (has(QpAttrMask.SQ_PSN)) attributes.sqPsn = value.sq_psn;
  if (has(QpAttrMask.MAX_DEST_RD_ATOMIC)) attributes.maxDestRdAtomic = value.max_dest_rd_atomic;
  if (has(QpAttrMask.DEST_QPN)) attributes.destQpNum = value.dest_qp_num;
  return attributes;
}
