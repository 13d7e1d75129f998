/**
 * The attribute masks of MODIFY_QP: which pairs of states are legal for each type, which attributes each needs and which
 * it tolerates. Stated once; the machines, the reference HCA and chapter 6 of the specification all read it here.
 */
import { QpAttrMask, QpState, QpType } from '../abi/index.js';

export type QpStateName = keyof typeof QpState;
export type QpAttrName = keyof typeof QpAttrMask;
/** Types with a row of their own; GSI has those of UD. */
export type QpService = 'RC' | 'UC' | 'UD';

export const qpServices: readonly QpService[] = ['RC', 'UC', 'UD'];

export interface QpTransitionRow {
  readonly type: QpService;
  readonly from: QpStateName;
  readonly to: QpStateName;
  readonly required: readonly QpAttrName[];
  /** Tolerated beside the required ones; STATE is tolerated everywhere and not listed. */
  readonly optional: readonly QpAttrName[];
}

type Masks = readonly [required: readonly QpAttrName[], optional: readonly QpAttrName[]];
type Cell = Readonly<Record<QpService, Masks>>;

const nothing: Masks = [[], []];
const bare: Cell = { RC: nothing, UC: nothing, UD: nothing };
/** Optional on every way into RTS, for a queue pair that comes from RTR, RTS or SQD. */
const toRts = {
  RC: ['CUR_STATE', 'ACCESS_FLAGS', 'MIN_RNR_TIMER'],
  UC: ['CUR_STATE', 'ACCESS_FLAGS'],
  UD: ['CUR_STATE', 'QKEY'],
} as const satisfies Record<QpService, readonly QpAttrName[]>;
const intoRts: Cell = { RC: [[], toRts.RC], UC: [[], toRts.UC], UD: [[], toRts.UD] };

const table: Readonly<Record<QpStateName, Partial<Record<QpStateName, Cell>>>> = {
  RESET: {
    RESET: bare,
    INIT: { RC: [['ACCESS_FLAGS'], []], UC: [['ACCESS_FLAGS'], []], UD: [['QKEY'], []] },
  },
  INIT: {
    RESET: bare,
    INIT: { RC: [[], ['ACCESS_FLAGS']], UC: [[], ['ACCESS_FLAGS']], UD: [[], ['QKEY']] },
    RTR: {
      RC: [['AV', 'PATH_MTU', 'RQ_PSN', 'MIN_RNR_TIMER', 'MAX_DEST_RD_ATOMIC', 'DEST_QPN'], ['ACCESS_FLAGS']],
      UC: [['AV', 'PATH_MTU', 'RQ_PSN', 'DEST_QPN'], ['ACCESS_FLAGS']],
      UD: [[], ['QKEY']],
    },
    ERR: bare,
  },
  RTR: {
    RESET: bare,
    RTS: {
      RC: [['TIMEOUT', 'RETRY_CNT', 'RNR_RETRY', 'MAX_QP_RD_ATOMIC', 'SQ_PSN'], toRts.RC],
      UC: [['SQ_PSN'], toRts.UC],
      UD: [['SQ_PSN'], toRts.UD],
    },
    ERR: bare,
  },
  RTS: { RESET: bare, RTS: intoRts, SQD: bare, ERR: bare },
  SQD: {
    RESET: bare,
    RTS: intoRts,
    SQD: {
      RC: [
        [],
        [
          'ACCESS_FLAGS',
          'AV',
          'TIMEOUT',
          'RETRY_CNT',
          'RNR_RETRY',
          'MAX_QP_RD_ATOMIC',
          'MIN_RNR_TIMER',
          'MAX_DEST_RD_ATOMIC',
        ],
      ],
      UC: [[], ['ACCESS_FLAGS', 'AV']],
      UD: [[], ['QKEY']],
    },
    ERR: bare,
  },
  SQE: {
    RESET: bare,
    RTS: { RC: nothing, UC: [[], ['CUR_STATE', 'ACCESS_FLAGS']], UD: [[], ['CUR_STATE', 'QKEY']] },
    ERR: bare,
  },
  ERR: { RESET: bare, ERR: bare },
};

const stateNames = Object.keys(table) as QpStateName[];

/** Every legal change, by type, then by state from and to. */
export const qpTransitionRows: readonly QpTransitionRow[] = qpServices.flatMap(type =>
  stateNames.flatMap(from =>
    stateNames.flatMap(to => {
      const masks = table[from][to]?.[type];
      return masks === undefined ? [] : [{ type, from, to, required: masks[0], optional: masks[1] }];
    }),
  ),
);

/** The bits of a list of attributes. */
export function qpAttrBits(names: readonly QpAttrName[]): number {
  return names.reduce((mask, name) => mask | QpAttrMask[name], 0);
}

const STATES = 7;
const TYPES = 5;
/** Required bits of each (type, from, to); -1 where the change is illegal. */
const requiredBits = new Int32Array(TYPES * STATES * STATES).fill(-1);
const allowedBits = new Int32Array(TYPES * STATES * STATES);
for (const { type, from, to, required, optional } of qpTransitionRows) {
  const types: readonly QpType[] = type === 'UD' ? [QpType.UD, QpType.GSI] : [QpType[type]];
  for (const code of types) {
    const at = (code * STATES + QpState[from]) * STATES + QpState[to];
    requiredBits[at] = qpAttrBits(required);
    allowedBits[at] = qpAttrBits(required) | qpAttrBits(optional) | QpAttrMask.STATE;
  }
}

/**
 * Whether the table allows a change with exactly the attributes in `mask` [QP-24, QP-25, QP-26]. A pure look-up: it knows
 * nothing of the drain of SQD or of the claim of CUR_STATE; {@link qpModifyAllowed} does. Type SMI is never allowed.
 */
export function qpTransitionAllowed(type: QpType, from: QpState, to: QpState, mask: number): boolean {
  const at = (type * STATES + from) * STATES + to;
  const required = requiredBits[at];
  return required >= 0 && (mask & required) === required && (mask & ~allowedBits[at]) === 0;
}

/** A MODIFY_QP as far as states and masks go. `to` and `claimed` count only if `mask` has STATE and CUR_STATE. */
export interface QpModifyQuestion {
  readonly type: QpType;
  readonly current: QpState;
  /** The queue pair is in SQD and a started send is unfinished. */
  readonly draining: boolean;
  readonly mask: number;
  readonly to: number;
  readonly claimed: number;
}

/**
 * Whether MODIFY_QP passes every check but those of the attributes' values: codes, claim, drain, row, mask
 * [QP-24 .. QP-29, QP-57].
 */
export function qpModifyAllowed(question: QpModifyQuestion): boolean {
  const { type, current, draining, mask, claimed } = question;
  const moves = (mask & QpAttrMask.STATE) !== 0;
  const to = moves ? question.to : current;
  if (!isQpState(to)) return false;
  if ((mask & QpAttrMask.CUR_STATE) !== 0 && claimed !== current) return false;
  if (draining && moves && to !== QpState.ERR && to !== QpState.RESET) return false;
  return qpTransitionAllowed(type, current, to, mask);
}

function isQpState(code: number): code is QpState {
  return Number.isInteger(code) && code >= 0 && code < STATES;
}
