/**
 * Judges completions against what was posted: the queue pair must exist and use this completion queue, the request must
 * have been posted and not be accounted for yet, and a receive must not have got more bytes than it had room for.
 */
import { QpState, QpType, WcOpcode, WcStatus } from '../abi/index.js';
import type { WorkCompletion } from '../verbs/index.js';
import type { CompletionJudge } from './cq-reader.js';
import type { DriverQp } from './objects.js';
import type { Registry } from './registry.js';

/** The judge for completion queue number `cqn`. */
export function judgeOf(cqn: number, qps: Registry<DriverQp>): CompletionJudge {
  return completion => {
    const qp = qps.get(completion.qpNum);
    if (qp === undefined) return `completion for unknown queue pair ${completion.qpNum}`;
    const sends = qp.sendCq.number === cqn;
    const recvs = qp.recvCq.number === cqn;
    if (!sends && !recvs)
      return `completion of queue pair ${completion.qpNum} on completion queue ${cqn}, which it does not use`;
    return completion.status === WcStatus.SUCCESS
      ? judgeSuccess(qp, completion, sends, recvs)
      : judgeError(qp, completion, sends, recvs);
  };
}

function judgeSuccess(
  qp: DriverQp,
  completion: WorkCompletion,
  sends: boolean,
  recvs: boolean,
): string | undefined {
  const { opcode, wrId, byteLen } = completion;
  const isRecv = opcode === WcOpcode.RECV || opcode === WcOpcode.RECV_RDMA_WITH_IMM;
  if (isRecv ? !recvs : !sends) return `completion with opcode ${opcode} on the wrong completion queue`;
  const { log } = isRecv ? qp.recv : qp.send;
  const position = log.find(wrId);
  if (position < 0) return log.incomplete ? undefined : neverPosted(qp, wrId);
  if (opcode === WcOpcode.RECV && byteLen > log.lengthAt(position)) {
    return `receive of ${byteLen} bytes into ${log.lengthAt(position)}`;
  }
  log.dropThrough(position);
  return undefined;
}

/** On an error the opcode means nothing: where both halves share the queue, the number alone has to tell which it was. */
function judgeError(
  qp: DriverQp,
  completion: WorkCompletion,
  sends: boolean,
  recvs: boolean,
): string | undefined {
  const { wrId } = completion;
  learnFailure(qp, sends && !recvs);
  const sendLog = qp.send.log;
  const recvLog = qp.recv.log;
  const atSend = sends ? sendLog.find(wrId) : -1;
  const atRecv = recvs ? recvLog.find(wrId) : -1;
  const unsure = (sends && sendLog.incomplete) || (recvs && recvLog.incomplete);
  if (atSend < 0 && atRecv < 0) return unsure ? undefined : neverPosted(qp, wrId);
  // Found in both, or perhaps pushed out of one: to drop the wrong one would convict an honest device later.
  if (sends && recvs && ((atSend >= 0 && atRecv >= 0) || unsure)) return undefined;
  if (atSend >= 0) sendLog.dropThrough(atSend);
  else recvLog.dropThrough(atRecv);
  return undefined;
}

/** An error completion tells that the queue pair has left its state: only the send side of UC and UD goes on receiving. */
function learnFailure(qp: DriverQp, sendOnly: boolean): void {
  if (qp.state === QpState.RESET) return;
  qp.state = sendOnly && qp.type !== QpType.RC ? QpState.SQE : QpState.ERR;
}

function neverPosted(qp: DriverQp, wrId: number): string {
  return `completion of queue pair ${qp.number} for request ${wrId}, which was not posted or is complete already`;
}
