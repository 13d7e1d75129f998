/** Devices that are wrong about flushing and about what leaves a queue. */
import { Command, QpAttrMask, QpState, WcStatus, modifyQpCommand } from '../../../abi/index.js';
import type { HcaCq, HcaCqOwner, HcaQp, HcaQpOwner } from '../../../reference/index.js';
import { emptyCompletion } from '../../../verbs/index.js';
import type { WorkCompletion } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { commands, perDevice, queuePairOwners, useOfAdapter } from '../seams/device.js';
import { every, from, overlay } from '../seams/overlay.js';

const flushing: readonly Mutant[] = [
  mutant(
    'device',
    'move-to-err-not-executed',
    { chapter: 'flush order', breaks: 'QP-33 QP-48 QP-49' },
    'MODIFY_QP to ERR is answered OK and not carried out.',
    useOfAdapter(hca => ({
      modifyQp(qp, asked) {
        if (asked.qpState !== QpState.ERR) hca.modifyQp(qp, asked);
      },
    })),
  ),
  mutant(
    'device',
    'reset-flushes',
    { chapter: 'flush order', breaks: 'QP-41' },
    'What is queued when its queue pair is moved to RESET completes with WR_FLUSH_ERR.',
    flushedWhenEnded('modifyQp'),
  ),
  mutant(
    'device',
    'destroy-flushes',
    { chapter: 'flush order', breaks: 'QP-41 QP-11' },
    'What is queued when its queue pair is destroyed completes with WR_FLUSH_ERR.',
    flushedWhenEnded('destroyQp'),
  ),
  mutant(
    'device',
    'flush-is-success',
    { chapter: 'flush order', breaks: 'QP-48 ERR-22' },
    'Every third flushed request completes with SUCCESS.',
    statuses(WcStatus.WR_FLUSH_ERR, WcStatus.SUCCESS, 3),
  ),
  mutant(
    'device',
    'flush-has-the-status-of-the-failure',
    { chapter: 'flush order', breaks: 'QP-48 QP-50' },
    'What is flushed completes with LOC_QP_OP_ERR.',
    statuses(WcStatus.WR_FLUSH_ERR, WcStatus.LOC_QP_OP_ERR, 1),
  ),
  mutant(
    'device',
    'flushes-in-pairs-backwards',
    { chapter: 'flush order', breaks: 'QP-47 ORD-12', needs: 'history' },
    'Of two flush completions that wait the newer is given first.',
    useOfAdapter(hca => {
      const kept = new Map<HcaCq, WorkCompletion>();
      return {
        pollCq(cq, list, max) {
          const older = kept.get(cq);
          kept.delete(cq);
          if (older !== undefined) Object.assign(list[0], older);
          if (older !== undefined || hca.pollCq(cq, list, max) === 0) return older === undefined ? 0 : 1;
          if (list[0].status !== WcStatus.WR_FLUSH_ERR) return 1;
          const first = { ...list[0] };
          if (hca.pollCq(cq, list, max) === 0) Object.assign(list[0], first);
          else kept.set(cq, first);
          return 1;
        },
      };
    }),
  ),
  mutant(
    'device',
    'last-flush-lost',
    { chapter: 'flush order', breaks: 'QP-48 CQ-01 CQ-33', needs: 'history' },
    'Every fifth flush completion is lost.',
    perDevice(() => {
      const due = every(5);
      return useOfAdapter(hca => lossy(hca, ({ status }) => status === WcStatus.WR_FLUSH_ERR && due()));
    }),
  ),
  mutant(
    'device',
    'unread-requests-kept',
    { chapter: 'flush order', breaks: 'RST-07 QP-42' },
    'DESTROY_QP returns the requests that the HCA has, and leaves the others in the ring.',
    commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          const qp = objects.queuePair(request.getUint32(0, true));
          if (qp === undefined) return run(objects, request, result, pages);
          objects.context.hca.destroyQp(qp.hcaQp);
          qp.sendCq.deliverAll();
          qp.recvCq.deliverAll();
          qp.close();
          objects.removeQueuePair(qp);
          return true;
        },
      }),
      Command.DESTROY_QP,
    ),
  ),
  mutant(
    'device',
    'held-completions-lost-at-destroy',
    { chapter: 'flush order', breaks: 'CQ-54 QP-43', needs: 'race' },
    'DESTROY_QP gives the driver nothing of what was completed and is on its way.',
    commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          const qp = objects.queuePair(request.getUint32(0, true));
          if (qp === undefined) return run(objects, request, result, pages);
          objects.context.hca.destroyQp(qp.hcaQp);
          qp.sendQueue.discardUnread();
          qp.recvQueue.discardUnread();
          qp.close();
          objects.removeQueuePair(qp);
          return true;
        },
      }),
      Command.DESTROY_QP,
    ),
  ),
  mutant(
    'device',
    'modify-before-what-is-posted',
    { chapter: 'ordering', breaks: 'CTRL-88', needs: 'race' },
    'A move from SQE to RTS takes effect before the sends that were made available ahead of it are read.',
    commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          const { qpn, attr_mask: mask, qp_state: state } = modifyQpCommand.decode(request, 0);
          const { hca } = objects.context;
          const qp = objects.queuePair(qpn);
          const plain = mask === QpAttrMask.STATE && state === QpState.RTS;
          if (qp === undefined || !plain || hca.queryQp(qp.hcaQp).qpState !== QpState.SQE)
            return run(objects, request, result, pages);
          hca.modifyQp(qp.hcaQp, { qpState: state });
          qp.sendQueue.setState(state);
          qp.recvQueue.setState(state);
          return true;
        },
      }),
      Command.MODIFY_QP,
    ),
  ),
  mutant(
    'device',
    'overrun-leaves-queue-pairs-alone',
    { chapter: 'limits', breaks: 'QP-52', needs: 'history' },
    'The queue pairs of an overrun completion queue are shown in the state that they were in.',
    useOfAdapter(hca => {
      const overrun = new Set<HcaQp>();
      const states = new Map<HcaQp, QpState>();
      const byCq = new Map<object, HcaQp[]>();
      return {
        createCq(cqe, owner) {
          const cq = hca.createCq(
            cqe,
            overlay(owner, {
              overran(which) {
                for (const qp of byCq.get(which) ?? []) overrun.add(qp);
                owner.overran(which);
              },
            }),
          );
          return cq;
        },
        createQp(pd, init, owner, qpNum) {
          const qp = hca.createQp(pd, init, owner, qpNum);
          for (const cq of [init.sendCq, init.recvCq]) byCq.set(cq, [...(byCq.get(cq) ?? []), qp]);
          return qp;
        },
        modifyQp(qp, asked) {
          hca.modifyQp(qp, asked);
          if (asked.qpState !== undefined) states.set(qp, asked.qpState);
        },
        queryQp(qp) {
          const shown = hca.queryQp(qp);
          return overrun.has(qp) ? { ...shown, qpState: states.get(qp) ?? shown.qpState } : shown;
        },
      };
    }),
  ),
  mutant(
    'device',
    'chain-of-a-receive-kept',
    { chapter: 'leaks', breaks: 'DATA-28', needs: 'history' },
    'Every fourth receive never comes back to the driver.',
    queuePairOwners(owner => {
      const due = every(4);
      return {
        recvRetired(qp, cookie) {
          if (!due()) owner.recvRetired(qp, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'chain-of-an-unsignaled-send-kept',
    { chapter: 'leaks', breaks: 'DATA-28', needs: 'history' },
    'From the ninth on a send never comes back to the driver.',
    queuePairOwners(owner => {
      const due = from(9);
      return {
        sendRetired(qp, cookie) {
          if (!due()) owner.sendRetired(qp, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'returned-twice',
    { chapter: 'rings', breaks: 'VQ-35' },
    'From the second send on a send leaves its queue twice.',
    queuePairOwners(owner => {
      const due = from(2);
      return {
        sendRetired(qp, cookie) {
          owner.sendRetired(qp, cookie);
          if (due()) owner.sendRetired(qp, cookie);
        },
      };
    }),
  ),
  mutant(
    'device',
    'returned-at-the-wrong-end',
    { chapter: 'ordering', breaks: 'ORD-14', needs: 'history' },
    'Of two receives that leave one after the other the second comes back first, every fourth time.',
    queuePairOwners(owner => {
      const due = every(4);
      let kept: number | undefined;
      return {
        recvRetired(qp, cookie) {
          if (kept === undefined && due()) {
            kept = cookie;
            return;
          }
          owner.recvRetired(qp, cookie);
          if (kept !== undefined) owner.recvRetired(qp, kept);
          kept = undefined;
        },
      };
    }),
  ),
];

/** Every n-th completion with one status is shown with another. */
function statuses(status: WcStatus, shown: WcStatus, n: number): Mutant['implementation'] {
  return useOfAdapter(hca => {
    const due = every(n);
    return {
      pollCq(cq, list, max) {
        const count = hca.pollCq(cq, list, max);
        for (let i = 0; i < count; i++) if (list[i].status === status && due()) list[i].status = shown;
        return count;
      },
    };
  });
}

/** Completions that are lost between the adapter and the driver. */
function lossy(
  hca: Parameters<Parameters<typeof useOfAdapter>[0]>[0],
  isLost: (completion: { readonly status: WcStatus }) => boolean,
): Partial<typeof hca> {
  const lost = new Set<number>();
  return {
    createCq(cqe, owner) {
      return hca.createCq(
        cqe,
        overlay(owner, {
          completionAdded(cq, completion, solicited) {
            if (isLost(completion)) lost.add(completion.wrId);
            else owner.completionAdded(cq, completion, solicited);
          },
        }),
      );
    },
    pollCq(cq, list, max) {
      for (;;) {
        const count = hca.pollCq(cq, list, max);
        if (count !== 1 || !lost.delete(list[0].wrId)) return count;
      }
    },
  };
}

/** What the adapter discards when a queue pair is moved to RESET or destroyed is completed all the same. */
function flushedWhenEnded(end: 'modifyQp' | 'destroyQp'): Mutant['implementation'] {
  return useOfAdapter(hca => {
    const owners = new Map<HcaCq, HcaCqOwner>();
    const flushed = new Map<HcaCq, WorkCompletion[]>();
    /** The wr_ids of what is queued, the oldest first. */
    const queued = new Map<HcaQp, { readonly sends: number[]; readonly recvs: number[] }>();
    let ending = false;
    const retired = (cq: HcaCq, qpNum: number, wrId: number | undefined): void => {
      if (!ending || wrId === undefined) return;
      const completion = { ...emptyCompletion(), wrId, qpNum, status: WcStatus.WR_FLUSH_ERR };
      flushed.set(cq, [...(flushed.get(cq) ?? []), completion]);
      owners.get(cq)?.completionAdded(cq, completion, true);
    };
    const ended = (act: () => void): void => {
      ending = true;
      act();
      ending = false;
    };
    return {
      createCq(cqe, owner) {
        const cq = hca.createCq(cqe, owner);
        owners.set(cq, owner);
        return cq;
      },
      createQp(pd, init, owner, qpNum) {
        const sends: number[] = [];
        const recvs: number[] = [];
        const told = overlay<HcaQpOwner>(owner, {
          sendRetired(which, cookie) {
            owner.sendRetired(which, cookie);
            retired(init.sendCq, which.qpNum, sends.shift());
          },
          recvRetired(which, cookie) {
            owner.recvRetired(which, cookie);
            retired(init.recvCq, which.qpNum, recvs.shift());
          },
        });
        const qp = hca.createQp(pd, init, told, qpNum);
        queued.set(qp, { sends, recvs });
        return qp;
      },
      postSend(qp, request, cookie) {
        hca.postSend(qp, request, cookie);
        queued.get(qp)?.sends.push(request.wrId);
      },
      postRecv(qp, request, cookie) {
        hca.postRecv(qp, request, cookie);
        queued.get(qp)?.recvs.push(request.wrId);
      },
      postFaultySend(qp, wrId, status, cookie) {
        hca.postFaultySend(qp, wrId, status, cookie);
        queued.get(qp)?.sends.push(wrId);
      },
      postFaultyRecv(qp, wrId, status, cookie) {
        hca.postFaultyRecv(qp, wrId, status, cookie);
        queued.get(qp)?.recvs.push(wrId);
      },
      modifyQp(qp, asked) {
        if (end === 'modifyQp' && asked.qpState === QpState.RESET) ended(() => hca.modifyQp(qp, asked));
        else hca.modifyQp(qp, asked);
      },
      destroyQp(qp) {
        if (end === 'destroyQp') ended(() => hca.destroyQp(qp));
        else hca.destroyQp(qp);
      },
      pollCq(cq, list, max) {
        const count = hca.pollCq(cq, list, max);
        const oldest = count === 0 ? flushed.get(cq)?.shift() : undefined;
        if (oldest === undefined) return count;
        Object.assign(list[0], oldest);
        return 1;
      },
    };
  });
}

export const flushMutants: readonly Mutant[] = [...flushing];
