/** Attributes of a queue pair as MODIFY_QP and QUERY_QP carry them. */
import { QpAttrMask, modifyQpCommand, qpAttrMasks, qpStates, queryQpAck } from '../abi/index.js';
import type { QpState, StructValue, qpCap } from '../abi/index.js';
import type { QpAttributes, QpCap, QpSnapshot } from '../verbs/index.js';
import { decodeAddress, encodeAddress } from './ah.js';
import { u32, u8 } from './checks.js';

type ModifyCommand = StructValue<typeof modifyQpCommand>;

/** Everything that can be asked for. */
export const QUERY_MASK = qpAttrMasks.names.reduce((mask, name) => mask | qpAttrMasks.values[name], 0);

/** Attributes of one byte and of four: the verbs name, the field, the mask bit. */
const byteFields = [
  ['qpState', 'qp_state', QpAttrMask.STATE],
  ['curQpState', 'cur_qp_state', QpAttrMask.CUR_STATE],
  ['pathMtu', 'path_mtu', QpAttrMask.PATH_MTU],
  ['maxRdAtomic', 'max_rd_atomic', QpAttrMask.MAX_QP_RD_ATOMIC],
  ['maxDestRdAtomic', 'max_dest_rd_atomic', QpAttrMask.MAX_DEST_RD_ATOMIC],
  ['minRnrTimer', 'min_rnr_timer', QpAttrMask.MIN_RNR_TIMER],
  ['timeout', 'timeout', QpAttrMask.TIMEOUT],
  ['retryCnt', 'retry_cnt', QpAttrMask.RETRY_CNT],
  ['rnrRetry', 'rnr_retry', QpAttrMask.RNR_RETRY],
] as const;
const wordFields = [
  ['qkey', 'qkey', QpAttrMask.QKEY],
  ['rqPsn', 'rq_psn', QpAttrMask.RQ_PSN],
  ['sqPsn', 'sq_psn', QpAttrMask.SQ_PSN],
  ['destQpNum', 'dest_qp_num', QpAttrMask.DEST_QPN],
  ['qpAccessFlags', 'qp_access_flags', QpAttrMask.ACCESS_FLAGS],
  ['rateLimit', 'rate_limit', QpAttrMask.RATE_LIMIT],
] as const;

/** The command for the attributes that are present. Throws EINVAL for a value that does not fit its field. */
export function encodeModify(verb: string, qpn: number, attributes: QpAttributes): ModifyCommand {
  const command = modifyQpCommand.zero();
  command.qpn = qpn;
  for (const [name, field, bit] of byteFields) {
    const value = attributes[name];
    if (value === undefined) continue;
    command[field] = u8(verb, name, value);
    command.attr_mask |= bit;
  }
  for (const [name, field, bit] of wordFields) {
    const value = attributes[name];
    if (value === undefined) continue;
    command[field] = u32(verb, name, value);
    command.attr_mask |= bit;
  }
  if (attributes.cap !== undefined) {
    command.cap = encodeCap(verb, attributes.cap);
    command.attr_mask |= QpAttrMask.CAP;
  }
  if (attributes.ahAttr !== undefined) {
    command.ah_attr = encodeAddress(verb, attributes.ahAttr);
    command.attr_mask |= QpAttrMask.AV;
  }
  return command;
}

export function encodeCap(verb: string, cap: QpCap): StructValue<typeof qpCap> {
  return {
    max_send_wr: u32(verb, 'maxSendWr', cap.maxSendWr),
    max_recv_wr: u32(verb, 'maxRecvWr', cap.maxRecvWr),
    max_send_sge: u32(verb, 'maxSendSge', cap.maxSendSge),
    max_recv_sge: u32(verb, 'maxRecvSge', cap.maxRecvSge),
    max_inline_data: u32(verb, 'maxInlineData', cap.maxInlineData),
  };
}

/** Decodes the answer of QUERY_QP; a string says what is impossible in it. */
export function decodeSnapshot(view: DataView): QpSnapshot | string {
  const answer = queryQpAck.decode(view, 0);
  const { qp_state: qpState, sq_draining: draining, cap } = answer;
  if (!isState(qpState)) return `answer of QUERY_QP with unknown state ${qpState}`;
  if (draining > 1) return `answer of QUERY_QP with sq_draining ${draining}`;
  return {
    qpState,
    sqDraining: draining === 1,
    pathMtu: answer.path_mtu,
    maxRdAtomic: answer.max_rd_atomic,
    maxDestRdAtomic: answer.max_dest_rd_atomic,
    minRnrTimer: answer.min_rnr_timer,
    timeout: answer.timeout,
    retryCnt: answer.retry_cnt,
    rnrRetry: answer.rnr_retry,
    qkey: answer.qkey,
    rqPsn: answer.rq_psn,
    sqPsn: answer.sq_psn,
    destQpNum: answer.dest_qp_num,
    qpAccessFlags: answer.qp_access_flags,
    rateLimit: answer.rate_limit,
    cap: {
      maxSendWr: cap.max_send_wr,
      maxRecvWr: cap.max_recv_wr,
      maxSendSge: cap.max_send_sge,
      maxRecvSge: cap.max_recv_sge,
      maxInlineData: cap.max_inline_data,
    },
    ahAttr: decodeAddress(answer.ah_attr),
  };
}

function isState(value: number): value is QpState {
  return value < qpStates.names.length;
}
