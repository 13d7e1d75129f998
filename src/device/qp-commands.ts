/** CREATE_QP, MODIFY_QP, QUERY_QP, DESTROY_QP. */
import {
  QpType,
  createQpAck,
  createQpCommand,
  destroyQpCommand,
  modifyQpCommand,
  queryQpAck,
  queryQpCommand,
} from '../abi/index.js';
import { commandWith, commandWithoutResult } from './command.js';
import { fromAhAttributes, fromQpCap, toQpAttributes, toQpCap, toQpType } from './conversions.js';
import type { DeviceObjects } from './objects.js';
import { QueuePairBinding } from './queue-pair.js';

/** Number of the queue pair for general services. */
const GSI_QPN = 1;
/** Lowest number of the others; 0 would be subnet management. */
const FIRST_QPN = 2;

export const createQp = commandWith(createQpCommand, createQpAck, (objects, request, result) => {
  const { context } = objects;
  const type = toQpType(request.qp_type);
  const pd = objects.pds.get(request.pdn);
  const sendCq = objects.completionQueue(request.send_cqn);
  const recvCq = objects.completionQueue(request.recv_cqn);
  if (type === undefined || type === QpType.SMI || request.sq_sig_all > 1) return false;
  if (pd === undefined || sendCq === undefined || recvCq === undefined) return false;
  const qpn = freeNumber(objects, type);
  if (qpn === undefined) return false;
  const cap = toQpCap(request.cap);
  const sendQueue = context.liveQueue(context.queueMap.sq(qpn));
  const recvQueue = context.liveQueue(context.queueMap.rq(qpn));
  if (sendQueue === undefined || cap.maxSendWr > sendQueue.size) return false;
  if (recvQueue === undefined || cap.maxRecvWr > recvQueue.size) return false;
  const sqSigAll = request.sq_sig_all === 1;
  const init = { qpn, pd, type, sqSigAll, sendCq, recvCq, cap };
  objects.addQueuePair(new QueuePairBinding(context, objects.requestTools, init));
  result.qpn = qpn;
  return true;
});

function freeNumber(objects: DeviceObjects, type: QpType): number | undefined {
  if (type === QpType.GSI) {
    const exists = objects.context.limits.maxQps > GSI_QPN;
    return exists && objects.queuePair(GSI_QPN) === undefined ? GSI_QPN : undefined;
  }
  const qpn = objects.freeQpn(FIRST_QPN);
  return qpn < 0 ? undefined : qpn;
}

export const modifyQp = commandWithoutResult(modifyQpCommand, (objects, request) => {
  const qp = objects.queuePair(request.qpn);
  const attributes = toQpAttributes(request);
  if (qp === undefined || attributes === undefined) return false;
  qp.modify(attributes);
  return true;
});

/** Every field is answered, whatever the mask asks for. */
export const queryQp = commandWith(queryQpCommand, queryQpAck, (objects, { qpn }, result) => {
  const qp = objects.queuePair(qpn);
  if (qp === undefined) return false;
  const snapshot = objects.context.hca.queryQp(qp.hcaQp);
  result.qp_state = snapshot.qpState;
  result.path_mtu = snapshot.pathMtu;
  result.sq_draining = snapshot.sqDraining ? 1 : 0;
  result.max_rd_atomic = snapshot.maxRdAtomic;
  result.max_dest_rd_atomic = snapshot.maxDestRdAtomic;
  result.min_rnr_timer = snapshot.minRnrTimer;
  result.timeout = snapshot.timeout;
  result.retry_cnt = snapshot.retryCnt;
  result.rnr_retry = snapshot.rnrRetry;
  result.qkey = snapshot.qkey;
  result.rq_psn = snapshot.rqPsn;
  result.sq_psn = snapshot.sqPsn;
  result.dest_qp_num = snapshot.destQpNum;
  result.qp_access_flags = snapshot.qpAccessFlags;
  result.rate_limit = snapshot.rateLimit;
  fromQpCap(snapshot.cap, result.cap);
  if (snapshot.ahAttr !== undefined) fromAhAttributes(snapshot.ahAttr, result.ah_attr);
  return true;
});

export const destroyQp = commandWithoutResult(destroyQpCommand, (objects, { qpn }) => {
  const qp = objects.queuePair(qpn);
  if (qp === undefined) return false;
  qp.destroy();
  objects.removeQueuePair(qp);
  return true;
});
