/** Devices that are wrong about the states of queue pairs, about masks and attributes, and about flushing. */
import {
  AccessFlag,
  Command,
  QpState,
  QpType,
  WcStatus,
  modifyQpCommand,
  queryQpAck,
} from '../../../abi/index.js';
import type { HcaCq, HcaQp } from '../../../reference/index.js';
import { VerbsError } from '../../../verbs/index.js';
import type { QpAttributes, WorkCompletion } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import {
  answersWith,
  commands,
  misreads,
  perDevice,
  queuePairOwners,
  useOfAdapter,
} from '../seams/device.js';
import { every, from, overlay } from '../seams/overlay.js';

const ALL_ACCESS = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;
const states = (breaks: string) => ({ chapter: 'queue pair states and masks', breaks }) as const;

type Name = keyof QpAttributes;

/** Attributes of MODIFY_QP, with the value that the mutant takes for whatever it is told. */
const attributes: readonly (readonly [Name, number, string])[] = [
  ['pathMtu', 1, 'DATA-73'],
  ['maxRdAtomic', 1, 'DATA-63'],
  ['maxDestRdAtomic', 1, 'DATA-64'],
  ['minRnrTimer', 1, 'DATA-69'],
  ['timeout', 1, 'DATA-67'],
  ['retryCnt', 1, 'DATA-81'],
  ['rnrRetry', 1, 'DATA-70'],
  ['qkey', 0x1111, 'ISO-13'],
  ['qpAccessFlags', ALL_ACCESS, 'MEM-18'],
];

const notHandedOn = attributes.map(([name, value, breaks]) =>
  mutant(
    'device',
    `modify-${name.replaceAll(/[A-Z]/g, upper => `-${upper.toLowerCase()}`)}-not-handed-on`,
    states(`QP-33 QP-39 ${breaks}`),
    `MODIFY_QP takes ${value} for every ${name}.`,
    useOfAdapter(hca => ({
      modifyQp: (qp, asked) =>
        hca.modifyQp(qp, asked[name] === undefined ? asked : { ...asked, [name]: value }),
    })),
  ),
);

/** Fields of QUERY_QP that are answered with zero. */
const queried = [
  ['qp_state', 'QP-23'],
  ['path_mtu', ''],
  ['max_rd_atomic', ''],
  ['max_dest_rd_atomic', ''],
  ['min_rnr_timer', ''],
  ['timeout', ''],
  ['retry_cnt', ''],
  ['rnr_retry', ''],
  ['qkey', ''],
  ['qp_access_flags', ''],
  ['dest_qp_num', ''],
] as const;

const notShown = queried.map(([field, breaks]) =>
  mutant(
    'device',
    `query-${field.replaceAll('_', '-')}-zero`,
    states(`CTRL-90 ${field === 'qp_state' ? breaks : 'QP-39'}`),
    `QUERY_QP answers ${field} with zero.`,
    answersWith(Command.QUERY_QP, queryQpAck, () => ({ [field]: 0 })),
  ),
);

function without(asked: QpAttributes, name: Name): QpAttributes {
  const { [name]: _left, ...rest } = asked;
  return rest;
}

/** MODIFY_QP in other words where the HCA refuses. */
function insists(
  again: (asked: QpAttributes, state: QpState, qp: HcaQp) => QpAttributes | undefined,
): Mutant['implementation'] {
  return useOfAdapter(hca => ({
    modifyQp(qp, asked) {
      try {
        hca.modifyQp(qp, asked);
      } catch (error) {
        const other = again(asked, hca.queryQp(qp).qpState, qp);
        if (!(error instanceof VerbsError) || other === undefined) throw error;
        hca.modifyQp(qp, other);
      }
    },
  }));
}

const transitions: readonly Mutant[] = [
  mutant(
    'device',
    'any-way-to-rts',
    states('QP-24'),
    'A move to RTS that the table does not have is answered OK and leaves the state as it is.',
    useOfAdapter(hca => ({
      modifyQp(qp, asked) {
        const { qpState: state } = hca.queryQp(qp);
        if (asked.qpState === QpState.RTS && (state === QpState.INIT || state === QpState.ERR)) return;
        hca.modifyQp(qp, asked);
      },
    })),
  ),
  mutant(
    'device',
    'required-attribute-missing',
    states('QP-25'),
    'A move to INIT without the access flags takes none for them.',
    insists((asked, state) =>
      state === QpState.RESET && asked.qpState === QpState.INIT && asked.qkey === undefined
        ? { ...asked, qpAccessFlags: asked.qpAccessFlags ?? 0 }
        : undefined,
    ),
  ),
  mutant(
    'device',
    'retry-count-optional',
    states('QP-25'),
    'A move to RTS without retry_cnt takes 7 for it.',
    insists(asked =>
      asked.qpState === QpState.RTS && asked.retryCnt === undefined ? { ...asked, retryCnt: 7 } : undefined,
    ),
  ),
  mutant(
    'device',
    'attribute-of-another-row',
    states('QP-26'),
    'A Q_Key that the row does not have is left out.',
    insists(asked => (asked.qkey === undefined ? undefined : without(asked, 'qkey'))),
  ),
  mutant(
    'device',
    'mtu-of-another-row',
    states('QP-26'),
    'A PATH_MTU that the row does not have is left out.',
    insists(asked => (asked.pathMtu === undefined ? undefined : without(asked, 'pathMtu'))),
  ),
  mutant(
    'device',
    'cur-state-not-compared',
    states('QP-27'),
    'MODIFY_QP does not look at cur_qp_state.',
    useOfAdapter(hca => ({ modifyQp: (qp, asked) => hca.modifyQp(qp, without(asked, 'curQpState')) })),
  ),
  mutant(
    'device',
    'no-state-is-reset',
    states('QP-28 QP-31'),
    'MODIFY_QP without STATE goes by the qp_state in it all the same, where that is RESET.',
    misreads(Command.MODIFY_QP, modifyQpCommand, r =>
      (r.attr_mask & 1) === 0 && r.qp_state === 0 ? { attr_mask: 1 } : undefined,
    ),
  ),
  mutant(
    'device',
    'members-outside-the-mask',
    states('QP-31'),
    'MODIFY_QP takes a Q_Key other than 0 whether or not the mask names it.',
    misreads(Command.MODIFY_QP, modifyQpCommand, r =>
      r.qkey !== 0 && (r.attr_mask & 8) === 0 ? { attr_mask: r.attr_mask | 8 } : undefined,
    ),
  ),
  mutant(
    'device',
    'refused-and-half-done',
    states('QP-30 CTRL-14'),
    'A MODIFY_QP that is refused for its path MTU has moved the state back to RESET.',
    useOfAdapter(hca => ({
      modifyQp(qp, asked) {
        try {
          hca.modifyQp(qp, asked);
        } catch (error) {
          if (asked.pathMtu !== undefined) hca.modifyQp(qp, { qpState: QpState.RESET });
          throw error;
        }
      },
    })),
  ),
  mutant(
    'device',
    'illegal-value-cut',
    states('QP-35'),
    'MODIFY_QP with a retry_cnt above 7 takes 7.',
    insists(asked => ((asked.retryCnt ?? 0) > 7 ? { ...asked, retryCnt: 7 } : undefined)),
  ),
  mutant(
    'device',
    'illegal-timer-cut',
    states('QP-35'),
    'MODIFY_QP with a min_rnr_timer above 31 takes 31.',
    insists(asked => ((asked.minRnrTimer ?? 0) > 31 ? { ...asked, minRnrTimer: 31 } : undefined)),
  ),
  mutant(
    'device',
    'address-vector-of-nothing',
    states('QP-36 RST-21'),
    'An AV whose sgid_index names no GID is taken for one with index 0.',
    insists(asked =>
      asked.ahAttr === undefined ? undefined : { ...asked, ahAttr: { ...asked.ahAttr, sgidIndex: 0 } },
    ),
  ),
  mutant(
    'device',
    'path-mtu-cut',
    states('QP-37'),
    'A PATH_MTU above the active MTU is cut to it.',
    insists(asked =>
      (asked.pathMtu ?? 0) > 3 && (asked.pathMtu ?? 0) < 6 ? { ...asked, pathMtu: 3 } : undefined,
    ),
  ),
  mutant(
    'device',
    'sequence-number-of-32-bits',
    { chapter: 'wraps', breaks: 'QP-38' },
    'A sequence number of 2^24 or more is refused.',
    useOfAdapter(hca => ({
      modifyQp(qp, asked) {
        if ((asked.rqPsn ?? 0) > 0xff_ffff || (asked.sqPsn ?? 0) > 0xff_ffff)
          throw new VerbsError('EINVAL', 'modifyQp', 'too large');
        hca.modifyQp(qp, asked);
      },
    })),
  ),
  mutant(
    'device',
    'sequence-number-of-16-bits',
    { chapter: 'wraps', breaks: 'QP-38 DATA-74' },
    'Of sq_psn only the low 16 bits are used.',
    useOfAdapter(hca => ({
      modifyQp: (qp, asked) =>
        hca.modifyQp(qp, asked.sqPsn === undefined ? asked : { ...asked, sqPsn: asked.sqPsn & 0xffff }),
    })),
  ),
  mutant(
    'device',
    'attributes-survive-reset',
    { chapter: 'stale state', breaks: 'QP-40 QP-44' },
    'A queue pair keeps its maximum of reads over a move to RESET.',
    useOfAdapter(hca => {
      const kept = new Map<HcaQp, number>();
      return {
        modifyQp(qp, asked) {
          if (asked.qpState === QpState.RESET) kept.set(qp, hca.queryQp(qp).maxRdAtomic);
          hca.modifyQp(qp, asked);
        },
        queryQp(qp) {
          const shown = hca.queryQp(qp);
          const maxRdAtomic = kept.get(qp);
          return shown.qpState === QpState.RESET && maxRdAtomic !== undefined
            ? { ...shown, maxRdAtomic }
            : shown;
        },
      };
    }),
  ),
  mutant(
    'device',
    'born-in-init',
    states('QP-08 QP-23'),
    'A new queue pair is shown in INIT.',
    useOfAdapter(hca => {
      const moved = new Set<HcaQp>();
      return {
        modifyQp(qp, asked) {
          hca.modifyQp(qp, asked);
          moved.add(qp);
        },
        queryQp(qp) {
          const shown = hca.queryQp(qp);
          return moved.has(qp) ? shown : { ...shown, qpState: QpState.INIT };
        },
      };
    }),
  ),
  mutant(
    'device',
    'destroy-only-when-idle',
    states('QP-10'),
    'DESTROY_QP is refused in RTS.',
    useOfAdapter(hca => ({
      destroyQp(qp) {
        if (hca.queryQp(qp).qpState === QpState.RTS) throw new VerbsError('EBUSY', 'destroyQp', 'busy');
        hca.destroyQp(qp);
      },
    })),
  ),
  mutant(
    'device',
    'gsi-without-datagrams',
    states('QP-02'),
    'A queue pair of type GSI goes to no state but INIT.',
    useOfAdapter(hca => ({
      modifyQp(qp, asked) {
        if (qp.qpNum === 1 && asked.qpState === QpState.RTR)
          throw new VerbsError('EINVAL', 'modifyQp', 'general services only');
        hca.modifyQp(qp, asked);
      },
    })),
  ),
  mutant(
    'device',
    'draining-not-shown',
    { chapter: 'queue pair states and masks', breaks: 'QP-56', needs: 'race' },
    'QUERY_QP says that nothing drains, whatever does.',
    answersWith(Command.QUERY_QP, queryQpAck, () => ({ sq_draining: 0 })),
  ),
  mutant(
    'device',
    'draining-for-ever',
    states('QP-56'),
    'QUERY_QP in SQD says that the send queue drains, also when it is done.',
    answersWith(Command.QUERY_QP, queryQpAck, ({ qp_state }) => ({ sq_draining: qp_state === 4 ? 1 : 0 })),
  ),
  mutant(
    'device',
    'sqd-is-rts',
    { chapter: 'queue pair states and masks', breaks: 'QP-55 QP-33', needs: 'race' },
    'A move to SQD shows in QUERY_QP and does not stop the send queue.',
    useOfAdapter(hca => {
      const quiet = new Set<HcaQp>();
      return {
        modifyQp(qp, asked) {
          if (asked.qpState === QpState.SQD && hca.queryQp(qp).qpState === QpState.RTS)
            return void quiet.add(qp);
          const back = quiet.delete(qp) && asked.qpState === QpState.RTS;
          hca.modifyQp(qp, back ? without(asked, 'curQpState') : asked);
        },
        queryQp(qp) {
          const shown = hca.queryQp(qp);
          return quiet.has(qp) && shown.qpState === QpState.RTS ? { ...shown, qpState: QpState.SQD } : shown;
        },
      };
    }),
  ),
  mutant(
    'device',
    'sqe-is-err',
    states('QP-59 QP-61'),
    'A UC or UD queue pair whose send failed is shown in ERR.',
    useOfAdapter(hca => ({
      queryQp(qp) {
        const shown = hca.queryQp(qp);
        return shown.qpState === QpState.SQE ? { ...shown, qpState: QpState.ERR } : shown;
      },
    })),
  ),
  mutant(
    'device',
    'err-is-sqe',
    states('QP-45 QP-63 QP-23'),
    'An RC queue pair whose request failed is shown in SQE.',
    useOfAdapter(hca => {
      const reliable = new Set<HcaQp>();
      const told = new Set<HcaQp>();
      return {
        createQp(pd, init, owner, qpNum) {
          const qp = hca.createQp(pd, init, owner, qpNum);
          if (init.type === QpType.RC) reliable.add(qp);
          return qp;
        },
        modifyQp(qp, asked) {
          hca.modifyQp(qp, asked);
          if (asked.qpState === QpState.ERR) told.add(qp);
          else told.delete(qp);
        },
        queryQp(qp) {
          const shown = hca.queryQp(qp);
          const failed = shown.qpState === QpState.ERR && reliable.has(qp) && !told.has(qp);
          return failed ? { ...shown, qpState: QpState.SQE } : shown;
        },
      };
    }),
  ),
  mutant(
    'device',
    'err-forgotten-at-query',
    { chapter: 'stale state', breaks: 'QP-23 QP-51' },
    'QUERY_QP shows the state of the last MODIFY_QP.',
    useOfAdapter(hca => {
      const last = new Map<HcaQp, QpState>();
      return {
        modifyQp(qp, asked) {
          hca.modifyQp(qp, asked);
          if (asked.qpState !== undefined) last.set(qp, asked.qpState);
        },
        queryQp(qp) {
          return { ...hca.queryQp(qp), qpState: last.get(qp) ?? QpState.RESET };
        },
      };
    }),
  ),
];

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
    'A move to RESET goes by way of ERR, so that what is queued is flushed.',
    useOfAdapter(hca => ({
      modifyQp(qp, asked) {
        const { qpState: state } = hca.queryQp(qp);
        if (asked.qpState === QpState.RESET && state !== QpState.RESET)
          hca.modifyQp(qp, { qpState: QpState.ERR });
        hca.modifyQp(qp, asked);
      },
    })),
  ),
  mutant(
    'device',
    'destroy-flushes',
    { chapter: 'flush order', breaks: 'QP-41 QP-11' },
    'DESTROY_QP flushes what is queued.',
    useOfAdapter(hca => ({
      destroyQp(qp) {
        if (hca.queryQp(qp).qpState !== QpState.RESET) hca.modifyQp(qp, { qpState: QpState.ERR });
        hca.destroyQp(qp);
      },
    })),
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
    'MODIFY_QP takes effect before the requests that were made available ahead of it are read.',
    commands(
      ({ run }) => ({
        run(objects, request, result, pages) {
          const { qpn, attr_mask: mask, qp_state: state } = modifyQpCommand.decode(request, 0);
          const qp = objects.queuePair(qpn);
          const plain = mask === 1 && (state === QpState.ERR || state === QpState.SQD);
          if (qp === undefined || !plain) return run(objects, request, result, pages);
          objects.context.hca.modifyQp(qp.hcaQp, { qpState: state });
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

export const queuePairMutants: readonly Mutant[] = [...notHandedOn, ...notShown, ...transitions, ...flushing];
