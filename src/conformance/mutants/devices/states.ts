/** Devices that are wrong about what a state lets happen. */
import { QpState, QpType, SendFlag, WcStatus, WrOpcode } from '../../../abi/index.js';
import type { HcaCq, HcaQp, HcaQpOwner } from '../../../reference/index.js';
import type { WorkCompletion } from '../../../verbs/index.js';
import type { Mutant } from '../mutant.js';
import { useOfAdapter } from '../seams/device.js';
import { overlay } from '../seams/overlay.js';
import { copyOf, device } from './life-support.js';
import type { Send } from './life-support.js';

const states: readonly Mutant[] = [
  device(
    'failed-receive-leaves-uc-and-ud-alone',
    { chapter: 'queue pair states and masks', breaks: 'QP-46' },
    'A UC or UD queue pair in ERR by a failed receive is shown in the state before.',
    useOfAdapter(hca => {
      const other = new Set<HcaQp>();
      const told = new Map<HcaQp, QpState>();
      return {
        createQp(pd, init, owner, qpNum) {
          const qp = hca.createQp(pd, init, owner, qpNum);
          if (init.type !== QpType.RC) other.add(qp);
          return qp;
        },
        modifyQp(qp, asked) {
          hca.modifyQp(qp, asked);
          if (asked.qpState !== undefined) told.set(qp, asked.qpState);
        },
        queryQp(qp) {
          const shown = hca.queryQp(qp);
          return other.has(qp) && shown.qpState === QpState.ERR
            ? { ...shown, qpState: told.get(qp) ?? shown.qpState }
            : shown;
        },
      };
    }),
  ),
  device(
    'modify-while-draining',
    { chapter: 'queue pair states and masks', breaks: 'QP-57', needs: 'race' },
    'A move to RTS while the send queue drains is answered OK and does nothing.',
    useOfAdapter(hca => ({
      modifyQp(qp, asked) {
        const { qpState: state, sqDraining } = hca.queryQp(qp);
        if (state === QpState.SQD && sqDraining && asked.qpState === QpState.RTS) return;
        hca.modifyQp(qp, asked);
      },
    })),
  ),
  device(
    'waiting-sends-backwards',
    { chapter: 'ordering', breaks: 'QP-58 ORD-01', needs: 'history' },
    'Sends that were posted in SQD go in reverse order.',
    useOfAdapter(hca => {
      const kept = new Map<HcaQp, (() => void)[]>();
      return {
        postSend(qp, request, cookie) {
          if (hca.queryQp(qp).qpState !== QpState.SQD) return hca.postSend(qp, request, cookie);
          const copy = copyOf(request);
          kept.set(qp, [...(kept.get(qp) ?? []), () => hca.postSend(qp, copy, cookie)]);
        },
        modifyQp(qp, asked) {
          const waiting = asked.qpState === QpState.RESET ? [] : (kept.get(qp) ?? []);
          if (asked.qpState !== undefined && asked.qpState !== QpState.SQD) kept.delete(qp);
          if (asked.qpState === QpState.ERR) for (const post of waiting) post();
          hca.modifyQp(qp, asked);
          if (asked.qpState === QpState.RTS) for (const post of waiting.toReversed()) post();
        },
      };
    }),
  ),
  device(
    'sends-in-sqe-vanish',
    { chapter: 'flush order', breaks: 'QP-60 CQ-01' },
    'A send that is read in SQE comes back without a completion.',
    useOfAdapter(hca => {
      const owners = new Map<HcaQp, HcaQpOwner>();
      return {
        createQp(pd, init, owner, qpNum) {
          const qp = hca.createQp(pd, init, owner, qpNum);
          owners.set(qp, owner);
          return qp;
        },
        postSend(qp, request, cookie) {
          if (hca.queryQp(qp).qpState === QpState.SQE) owners.get(qp)?.sendRetired(qp, cookie);
          else hca.postSend(qp, request, cookie);
        },
      };
    }),
  ),
  device(
    'no-sends-after-sqe',
    { chapter: 'queue pair states and masks', breaks: 'QP-62' },
    'After a move from SQE to RTS sends are flushed.',
    useOfAdapter(hca => {
      const once = new Set<HcaQp>();
      return {
        modifyQp(qp, asked) {
          const before = hca.queryQp(qp).qpState;
          hca.modifyQp(qp, asked);
          if (before === QpState.SQE && asked.qpState === QpState.RTS) once.add(qp);
          if (asked.qpState === QpState.RESET) once.delete(qp);
        },
        postSend(qp, request, cookie) {
          if (once.has(qp)) hca.postFaultySend(qp, request.wrId, WcStatus.LOC_QP_OP_ERR, cookie);
          else hca.postSend(qp, request, cookie);
        },
      };
    }),
  ),
  device(
    'fence-of-a-datagram-malformed',
    { chapter: 'data path', breaks: 'DATA-10' },
    'A datagram with the FENCE flag is malformed.',
    useOfAdapter(hca => ({
      postSend(qp, request, cookie) {
        const fenced = request.ah !== undefined && (request.sendFlags & SendFlag.FENCE) !== 0;
        if (fenced) hca.postFaultySend(qp, request.wrId, WcStatus.LOC_QP_OP_ERR, cookie);
        else hca.postSend(qp, request, cookie);
      },
    })),
  ),
  device(
    'malformed-request-sent',
    { chapter: 'errors and statuses', breaks: 'DATA-21 DATA-13' },
    'A malformed request is sent as a message of no bytes.',
    useOfAdapter(hca => ({
      postFaultySend: (qp, wrId, _status, cookie) =>
        hca.postSend(qp, { wrId, opcode: WrOpcode.SEND, sendFlags: SendFlag.SIGNALED, sges: [] }, cookie),
    })),
  ),
  device(
    'long-uc-sends-complete-in-silence',
    { chapter: 'data path', breaks: 'DATA-56 CQ-01' },
    'A UC send of more than one packet gives no completion.',
    useOfAdapter(hca => {
      const uc = new Set<HcaQp>();
      return {
        createQp(pd, init, owner, qpNum) {
          const qp = hca.createQp(
            pd,
            { ...init, sqSigAll: init.sqSigAll && init.type !== QpType.UC },
            owner,
            qpNum,
          );
          if (init.type === QpType.UC) uc.add(qp);
          return qp;
        },
        postSend(qp, request, cookie) {
          const bytes = request.sges.reduce((sum, { length }) => sum + length, 0);
          const silent = uc.has(qp) && bytes > 1024;
          hca.postSend(
            qp,
            silent ? { ...request, sendFlags: request.sendFlags & ~SendFlag.SIGNALED } : request,
            cookie,
          );
        },
      };
    }),
  ),
  device(
    'datagram-to-nobody-fails',
    { chapter: 'data path', breaks: 'DATA-53' },
    'A datagram to an address that is not the own is malformed.',
    useOfAdapter(hca => {
      const known = new Set<string>();
      const nobody = new Set<unknown>();
      return {
        addGid(index, gid) {
          hca.addGid(index, gid);
          known.add(gid);
        },
        createAh(pd, attributes) {
          const ah = hca.createAh(pd, attributes);
          if (!known.has(attributes.dgid)) nobody.add(ah);
          return ah;
        },
        postSend(qp, request: Send, cookie) {
          if (nobody.has(request.ah)) hca.postFaultySend(qp, request.wrId, WcStatus.LOC_QP_OP_ERR, cookie);
          else hca.postSend(qp, request, cookie);
        },
      };
    }),
  ),
  device(
    'endless-timeout-ends',
    { chapter: 'time and cost', breaks: 'DATA-68' },
    'A time-out of 0 is taken for one of 10.',
    useOfAdapter(hca => ({
      modifyQp: (qp, asked) => hca.modifyQp(qp, asked.timeout === 0 ? { ...asked, timeout: 10 } : asked),
    })),
  ),
  device(
    'read-elements-cut',
    { chapter: 'limits', breaks: 'DATA-83' },
    'Of too many elements of an RDMA_READ the first are taken.',
    useOfAdapter(hca => ({
      postSend(qp, request, cookie) {
        const { maxSgeRd } = hca.attributes;
        const cut = request.opcode === WrOpcode.RDMA_READ && request.sges.length > maxSgeRd;
        hca.postSend(qp, cut ? { ...request, sges: request.sges.slice(0, maxSgeRd) } : request, cookie);
      },
    })),
  ),
  device(
    'completions-shuffled-after-an-overrun',
    { chapter: 'limits', breaks: 'CQ-32', needs: 'history' },
    'After an overrun the completions that are left are given in pairs, the newer first.',
    useOfAdapter(hca => {
      const over = new Set<HcaCq>();
      const kept = new Map<HcaCq, WorkCompletion>();
      return {
        createCq: (cqe, owner) =>
          hca.createCq(
            cqe,
            overlay(owner, {
              overran(cq) {
                over.add(cq);
                owner.overran(cq);
              },
            }),
          ),
        pollCq(cq, list, max) {
          const older = kept.get(cq);
          kept.delete(cq);
          if (older !== undefined) Object.assign(list[0], older);
          if (older !== undefined || hca.pollCq(cq, list, max) === 0) return older === undefined ? 0 : 1;
          if (!over.has(cq)) return 1;
          const first = { ...list[0] };
          if (hca.pollCq(cq, list, max) === 0) Object.assign(list[0], first);
          else kept.set(cq, first);
          return 1;
        },
      };
    }),
  ),
];

export const stateMutants: readonly Mutant[] = [...states];
