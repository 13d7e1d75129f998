/** Posting receives: as the send path, with a smaller request. */
import { QpState, rqReq, sge, writeLe64 } from '../abi/index.js';
import { VerbsError } from '../verbs/index.js';
import type { QueuePair, RecvWorkRequest } from '../verbs/index.js';
import { isNatural, refuse } from './checks.js';
import type { DriverContext } from './context.js';
import { claimQp } from './objects.js';
import { reclaim } from './reclaim.js';
import { checkElements, writeElements } from './request-elements.js';

const VERB = 'postRecv';
const { offsets } = rqReq;

export function postRecv({ session }: DriverContext, handle: QueuePair, request: RecvWorkRequest): void {
  const qp = claimQp(session, VERB, handle);
  if (qp.state === QpState.RESET || qp.resetting > 0)
    throw refuse(VERB, `queue pair ${qp.number} is in RESET`);
  const { wrId, sges } = request;
  if (!isNatural(wrId)) throw refuse(VERB, `wrId ${wrId}`);
  const bytes = checkElements(VERB, sges, qp.cap.maxRecvSge);
  const { recv } = qp;
  const { queue } = recv;
  if (queue.outstanding >= recv.slots) {
    const fault = reclaim(recv);
    if (fault !== undefined) throw session.fault(VERB, fault);
    if (queue.outstanding >= recv.slots) {
      throw new VerbsError('ENOMEM', VERB, `all ${recv.slots} receives are outstanding`);
    }
  }
  const slot = recv.next;
  const at = slot * recv.stride;
  const { view, address } = recv.memory;
  writeLe64(view, at + offsets.wr_id, wrId);
  view.setUint32(at + offsets.num_sge, sges.length, true);
  writeElements(view, at + rqReq.size, sges);
  queue.begin();
  queue.addReadable(address + at, rqReq.size + sges.length * sge.size);
  if (!queue.commit(slot))
    throw session.fault(VERB, queue.broken ?? `queue ${queue.index} has no room for a receive`);
  recv.next = slot + 1 === recv.slots ? 0 : slot + 1;
  recv.log.push(wrId, bytes);
  if (queue.publish()) session.notify(queue);
}
