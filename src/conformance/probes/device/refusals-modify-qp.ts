/** Reasons to refuse MODIFY_QP that are not in the table of states, one row each: numbers, masks, claims, values, the drain. */
import { QpAttrMask, QpState, QpType } from '../../../abi/index.js';
import type { StructValue, modifyQpCommand } from '../../../abi/index.js';
import {
  addGid,
  addressVector,
  createQp,
  delGid,
  destroyQp,
  gidOf,
  modifyQp,
  queryDevice,
  queryPort,
} from './messages.js';
import { numberOfNeighbour, unknownNumber } from './numbers.js';
import { queuePairIn } from './queue-pair-states.js';
import { refusalCase, refuse } from './refusals.js';
import type { Refusal } from './refusals.js';
import { qpFields, wayUp } from './site.js';
import type { Pair, Side } from './site.js';

type Modify = Partial<StructValue<typeof modifyQpCommand>>;
const { STATE, CUR_STATE, ACCESS_FLAGS, MIN_RNR_TIMER, CAP, RATE_LIMIT } = QpAttrMask;

const toInit = (qpn: number): Modify => ({
  qpn,
  attr_mask: STATE | ACCESS_FLAGS,
  qp_state: QpState.INIT,
});
const fresh = ({ bench, a }: Pair, state: number, type: number = QpType.RC): number =>
  queuePairIn(bench, a, type, state);

const named: readonly Refusal[] = [
  refuse(
    modifyQp,
    'unknown-number',
    'MODIFY_QP of a number that no queue pair has is refused.',
    ['CTRL-84'],
    () => toInit(4),
  ),
  refuse(modifyQp, 'number-zero', 'MODIFY_QP of number 0 is refused.', ['CTRL-84'], () => toInit(0)),
  refuse(
    modifyQp,
    'number-out-of-range',
    'MODIFY_QP of a number above all is refused.',
    ['CTRL-84'],
    ({ a }) => toInit(unknownNumber(a.machine, 'qp')),
  ),
  refuse(
    modifyQp,
    'after-destroy',
    'MODIFY_QP of a destroyed queue pair is refused.',
    ['RST-03', 'CTRL-84'],
    scene => {
      const qpn = fresh(scene, QpState.RESET);
      scene.a.machine.must(destroyQp, { qpn });
      return toInit(qpn);
    },
  ),
  refuse(
    modifyQp,
    'of-another-machine',
    "MODIFY_QP of a number that only another machine's queue pair has is refused.",
    ['ISO-01', 'CTRL-84'],
    scene => toInit(numberOfNeighbour(scene, 'qp', () => scene.b.machine.must(createQp, qpFields(scene.b)))),
  ),
];

/** A mask that no row allows, on a queue pair in RTS whose row allows the rest of it. */
const mask = (condition: string, doc: string, id: string, bits: number): Refusal =>
  refuse(modifyQp, condition, doc, [id], scene => ({
    qpn: fresh(scene, QpState.RTS),
    attr_mask: (MIN_RNR_TIMER | bits) >>> 0,
    min_rnr_timer: 3,
  }));

const masks: readonly Refusal[] = [
  mask('unknown-attribute', 'MODIFY_QP with the first bit behind the table is refused.', 'CTRL-85', 1 << 17),
  mask('highest-attribute', 'MODIFY_QP with bit 31 of the mask is refused.', 'CTRL-85', 1 << 31),
  mask('capacities', 'MODIFY_QP with CAP is refused.', 'CTRL-86', CAP),
  mask('rate-limit', 'MODIFY_QP with RATE_LIMIT is refused.', 'CTRL-87', RATE_LIMIT),
];

const states: readonly Refusal[] = [
  ...[7, 255].map(qp_state =>
    refuse(modifyQp, `state-${qp_state}`, `MODIFY_QP to state ${qp_state} is refused.`, ['QP-29'], scene => ({
      ...toInit(fresh(scene, QpState.RESET)),
      qp_state,
    })),
  ),
  refuse(modifyQp, 'claimed-state-7', 'MODIFY_QP that claims state 7 is refused.', ['QP-29'], scene => ({
    qpn: fresh(scene, QpState.RTS),
    attr_mask: STATE | CUR_STATE,
    qp_state: QpState.RTS,
    cur_qp_state: 7,
  })),
  ...([QpState.RTR, QpState.SQD, QpState.SQE] as const).map(claimed =>
    refuse(
      modifyQp,
      `wrong-claim-${claimed}`,
      `MODIFY_QP of a queue pair in RTS that claims state ${claimed} is refused.`,
      ['QP-27'],
      scene => ({
        qpn: fresh(scene, QpState.RTS),
        attr_mask: STATE | CUR_STATE | MIN_RNR_TIMER,
        qp_state: QpState.RTS,
        cur_qp_state: claimed,
        min_rnr_timer: 3,
      }),
    ),
  ),
];

/** The step of the way up that names most attributes, on a queue pair just before it, with one value changed. */
function value(
  condition: string,
  doc: string,
  ids: readonly string[],
  step: 0 | 1 | 2,
  change: (scene: Pair) => Modify,
  type: number = QpType.RC,
): Refusal {
  return refuse(modifyQp, condition, doc, ids, scene => {
    const qpn = fresh(scene, [QpState.RESET, QpState.INIT, QpState.RTR][step], type);
    return { qpn, ...wayUp(type, scene.b.gid, 2)[step], ...change(scene) };
  });
}

/** An attribute above its greatest value. */
const above = (
  member: keyof StructValue<typeof modifyQpCommand>,
  step: 0 | 1 | 2,
  least: (side: Side) => number,
): Refusal =>
  value(
    `${member.replaceAll('_', '-')}-too-large`,
    `MODIFY_QP with a ${member} just above its greatest legal value is refused.`,
    ['QP-35'],
    step,
    ({ a }) => ({ [member]: least(a) }),
  );

const limits = ({ machine }: Side) => machine.must(queryDevice);

const values: readonly Refusal[] = [
  value(
    'unknown-access-flag',
    'MODIFY_QP with an access flag that is not in the table is refused.',
    ['QP-35'],
    0,
    () => ({ qp_access_flags: 8 | 4 }),
  ),
  above('min_rnr_timer', 1, () => 32),
  above('max_dest_rd_atomic', 1, side => limits(side).max_qp_rd_atom + 1),
  above('timeout', 2, () => 32),
  above('retry_cnt', 2, () => 8),
  above('rnr_retry', 2, () => 8),
  above('max_rd_atomic', 2, side => limits(side).max_qp_init_rd_atom + 1),
  value('path-mtu-zero', 'MODIFY_QP with a path MTU code of 0 is refused.', ['QP-37'], 1, () => ({
    path_mtu: 0,
  })),
  value(
    'path-mtu-above-active',
    "MODIFY_QP with a path MTU above the port's active MTU is refused.",
    ['QP-37', 'CONF-12'],
    1,
    ({ a }) => ({ path_mtu: a.machine.activeMtu + 1 }),
  ),
  value('path-mtu-255', 'MODIFY_QP with a path MTU code of 255 is refused.', ['QP-37'], 1, () => ({
    path_mtu: 255,
  })),
  value(
    'sgid-index-out-of-range',
    'An address vector whose sgid_index is outside the GID table is refused.',
    ['QP-36'],
    1,
    ({ a, b }) => ({
      ah_attr: addressVector(b.gid, Math.min(255, a.machine.must(queryPort).gid_tbl_len)),
    }),
  ),
  value(
    'sgid-index-empty',
    'An address vector whose sgid_index names an empty entry is refused.',
    ['QP-36', 'RST-21'],
    1,
    ({ b }) => ({ ah_attr: addressVector(b.gid, 1) }),
  ),
  value(
    'sgid-index-deleted',
    'An address vector whose sgid_index names a deleted entry is refused.',
    ['RST-21', 'QP-36'],
    1,
    ({ a, b }) => {
      a.machine.must(addGid, { index: 1, gid: gidOf(0, 9) });
      a.machine.must(delGid, { index: 1 });
      return { ah_attr: addressVector(b.gid, 1) };
    },
  ),
  value(
    'flow-label-of-21-bits',
    'An address vector with a flow label of 2^20 is refused.',
    ['QP-35'],
    1,
    ({ b }) => ({ ah_attr: addressVector(b.gid, 0, 2 ** 20) }),
  ),
  value(
    'sgid-index-empty-on-uc',
    'An address vector with an empty entry is refused on UC as on RC.',
    ['QP-36'],
    1,
    ({ b }) => ({ ah_attr: addressVector(b.gid, 2) }),
    QpType.UC,
  ),
];

export const modifyRefusals = [
  ...named,
  ...masks,
  ...states,
  ...values.map(row => ({ ...row, requirements: [...row.requirements, 'QP-30'] })),
].map(row => refusalCase({ ...row, chapter: row.requirements[0].startsWith('CTRL') ? 'CTRL' : 'QP' }));
