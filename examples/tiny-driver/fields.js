/** Arguments of verbs and fields of commands: the names that each has, and what fits. */
import * as abi from 'vrdma/abi';
import { VerbsError } from 'vrdma/verbs';

const { QpAttrMask, QpState, QpType } = abi;
const largest = { u8: 0xff, le16: 0xffff, le32: 0xffff_ffff, le64: 2 ** 64 - 2048 };

export function need(condition, verb, detail) {
  if (!condition) throw new VerbsError('EINVAL', verb, detail);
}

/** Refuses a number that its field cannot hold [ERR-01]. */
export function checkFields(verb, codec, fields) {
  for (const { name, type, count, reserved, flexible } of codec.fields) {
    if (reserved || flexible) continue;
    const value = fields[name];
    if (typeof type !== 'string') checkFields(verb, type, value);
    else if (count === 1) {
      need(Number.isInteger(value) && value >= 0 && value <= largest[type], verb, `${value} is no ${name}`);
    }
  }
}

/** max_send_wr: 1 becomes maxSendWr: 1. */
export function camel(fields) {
  const rename = name => name.replaceAll(/_(\w)/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [rename(name), value]));
}

/** maxSendWr: 1 becomes max_send_wr: 1. */
export function snake(members) {
  const rename = name => name.replaceAll(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [rename(name), value]));
}

export function encodeGid(verb, gid) {
  need(/^[0-9a-f]{32}$/.test(gid), verb, `gid ${gid} is not 32 hexadecimal digits`);
  return Uint8Array.from(Buffer.from(gid, 'hex'));
}

export function encodeAddress(verb, attributes) {
  const grh = { ...snake(attributes), dgid: encodeGid(verb, attributes.dgid) };
  return { grh, dmac: new Uint8Array(6) };
}

/** The mask bit of each attribute. */
const bits = {
  qpState: QpAttrMask.STATE,
  curQpState: QpAttrMask.CUR_STATE,
  qpAccessFlags: QpAttrMask.ACCESS_FLAGS,
  qkey: QpAttrMask.QKEY,
  ahAttr: QpAttrMask.AV,
  pathMtu: QpAttrMask.PATH_MTU,
  timeout: QpAttrMask.TIMEOUT,
  retryCnt: QpAttrMask.RETRY_CNT,
  rnrRetry: QpAttrMask.RNR_RETRY,
  rqPsn: QpAttrMask.RQ_PSN,
  maxRdAtomic: QpAttrMask.MAX_QP_RD_ATOMIC,
  minRnrTimer: QpAttrMask.MIN_RNR_TIMER,
  sqPsn: QpAttrMask.SQ_PSN,
  maxDestRdAtomic: QpAttrMask.MAX_DEST_RD_ATOMIC,
  destQpNum: QpAttrMask.DEST_QPN,
};

/** The fields of MODIFY_QP; EINVAL for a change that the table of section 6.4 cannot have [QP-34]. */
export function encodeChange(verb, qp, attributes) {
  const given = Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
  const { ahAttr, cap, rateLimit, qpState = qp.state } = given;
  need(cap === undefined && rateLimit === undefined, verb, 'no change takes cap or rateLimit');
  const mask = Object.keys(given).reduce((all, name) => all | bits[name], 0);
  if (qp.state === QpState.RESET) {
    // The one state that a queue pair does not leave unseen.
    const datagrams = qp.type === QpType.UD || qp.type === QpType.GSI;
    const needed = datagrams ? QpAttrMask.QKEY : QpAttrMask.ACCESS_FLAGS;
    const stays = qpState === QpState.RESET && (mask & ~QpAttrMask.STATE) === 0;
    const leaves = qpState === QpState.INIT && mask === (QpAttrMask.STATE | needed);
    need(stays || leaves, verb, 'from RESET only INIT can be reached, with its one attribute');
  }
  const fields = { ...abi.modifyQpCommand.zero(), ...snake(given), qpn: qp.number, attr_mask: mask };
  return ahAttr === undefined ? fields : { ...fields, ah_attr: encodeAddress(verb, ahAttr) };
}
