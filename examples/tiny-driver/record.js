/** What the driver remembers of a queue pair and its requests, so that it need not take the device's word [HOST-23]. */
import { QpState, QpType, WcFlag, WcOpcode, WcStatus, cqReq, wcOpcodes, wcStatuses } from 'vrdma/abi';
import { honest } from './ring.js';

/** So many sends are remembered; one without SIGNALED may complete without a word. */
const SENDS_MAX = 65536;

/** A queue pair in RESET has no attributes and nothing posted. */
export function forget(qp) {
  Object.assign(qp, { state: QpState.RESET, maxRdAtomic: 0, hasAddress: false, holding: false });
  // `known` says that `sends` and `receives` hold all that was posted and has not completed, oldest first.
  Object.assign(qp, { known: true, sends: [], receives: [], life: qp.life + 1 });
}

export function rememberSend(qp, send) {
  if (qp.sends.length === SENDS_MAX) qp.known = false;
  if (qp.known) qp.sends.push(send);
}

export function rememberReceive(qp, receive) {
  if (qp.known) qp.receives.push(receive);
}

/** Shows the device what was posted while a command was under way that would have discarded it. */
export function letGo(qp) {
  if (!qp.holding) return;
  qp.holding = false;
  qp.sq.publish();
  qp.rq.publish();
}

/** What a polled completion says about the state of its queue pair, as far as it matters to posting. */
export function learn(qp, status) {
  const onlyErr = qp.type === QpType.RC || qp.state === QpState.INIT || qp.state === QpState.RTR;
  if (status !== WcStatus.SUCCESS && onlyErr) qp.state = QpState.ERR;
}

/** Finds the request of a completion and strikes it off the record [HOST-20 to HOST-24]. */
export function settle(cq, qp, { status, opcode, wr_id: wrId, wc_flags: flags, byte_len: length }) {
  const failed = status !== WcStatus.SUCCESS;
  const received = opcode === WcOpcode.RECV || opcode === WcOpcode.RECV_RDMA_WITH_IMM;
  honest(wcStatuses.nameOf(status) !== undefined, 'a status that cannot be');
  honest(failed || wcOpcodes.nameOf(opcode) !== undefined, 'an opcode that cannot be');
  honest(failed || (flags & ~(WcFlag.GRH | WcFlag.WITH_IMM)) === 0, 'a flag that cannot be');
  const maySend = qp.sendCq === cq && (failed || !received);
  const mayReceive = qp.recvCq === cq && (failed || received);
  honest(maySend || mayReceive, 'a completion in a queue that is not for it');
  if (!qp.known) return;
  // Unsignaled sends before it have succeeded; only a failure completes an unsignaled one.
  const next = qp.sends.findIndex(each => each.signaled || (failed && each.wrId === wrId));
  const send = maySend && qp.sends[next]?.wrId === wrId;
  const receive = mayReceive && qp.receives[0]?.wrId === wrId;
  honest(send || receive, 'a completion of a request that is not open');
  const tooLong = !failed && opcode === WcOpcode.RECV && length > qp.receives[0].room;
  honest(!tooLong, 'more bytes were received than there was room for');
  if (send && receive) qp.known = false;
  else if (send) qp.sends.splice(0, next + 1);
  else qp.receives.shift();
}

/** Gives the device a buffer of a completion queue, unpublished. */
export function giveBuffer({ ring, buffers }, number) {
  const length = cqReq.size;
  ring.add(number, undefined, { address: buffers.address + number * length, length });
}
