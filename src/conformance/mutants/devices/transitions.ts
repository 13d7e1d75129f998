/** Devices that are wrong about the states of queue pairs and about masks. */
import { Command, QpState, QpType, modifyQpCommand, queryQpAck } from '../../../abi/index.js';
import type { HcaQp } from '../../../reference/index.js';
import { VerbsError } from '../../../verbs/index.js';
import type { QpAttributes } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { answersWith, misreads, useOfAdapter } from '../seams/device.js';
import { states } from './queue-pair-support.js';
import type { Name } from './queue-pair-support.js';

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

export const transitionMutants: readonly Mutant[] = [...transitions];
