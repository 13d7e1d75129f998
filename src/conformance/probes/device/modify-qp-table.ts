/** MODIFY_QP against the whole table of chapter 6: each pair of states, each required and each surplus attribute, each type. */
import { Ack, PathMtu, QpAttrMask, QpState, QpType, modifyQpCommand } from '../../../abi/index.js';
import type { StructValue } from '../../../abi/index.js';
import { qpAttrBits, qpTransitionRows } from '../../../statemachines/index.js';
import type { QpAttrName, QpTransitionRow } from '../../../statemachines/index.js';
import type { CaseContext, ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { seen } from './answers.js';
import { addressVector, bytesOf, modifyQp, queryQp } from './messages.js';
import { probe } from './probe-case.js';
import type { ProbeText } from './probe-case.js';
import { bringTo, queuePairIn, statesOf } from './queue-pair-states.js';
import { pairOf } from './site.js';
import type { Pair, Side } from './site.js';
import { expectUnchanged, noteBefore } from './unchanged.js';

const types = ['RC', 'UC', 'UD', 'GSI'] as const;
type TypeName = (typeof types)[number];

const stateNames = new Map<number, string>(Object.entries(QpState).map(([name, code]) => [code, name]));

/** A queue pair that is moved about, and the state that it is in. */
class Walker {
  readonly bench: Bench;
  readonly side: Side;
  readonly type: number;
  readonly qpn: number;
  state: number = QpState.RESET;

  constructor({ bench, a }: Pair, typeName: TypeName) {
    this.bench = bench;
    this.side = a;
    this.type = QpType[typeName];
    this.qpn = queuePairIn(bench, a, this.type, QpState.RESET);
  }

  at(state: number): void {
    if (this.state === state) return;
    bringTo(this.bench, this.side, this, state);
    this.state = state;
  }

  /** Asks for a change with sound values for whatever the mask names. */
  ask(to: number, mask: number, ids: readonly string[], accepted: boolean): void {
    const { machine, gid } = this.side;
    const fields: Partial<StructValue<typeof modifyQpCommand>> = {
      ...soundValues,
      qpn: this.qpn,
      attr_mask: mask,
      qp_state: to,
      cur_qp_state: this.state,
      ah_attr: addressVector(gid),
    };
    const from = stateNames.get(this.state) ?? '?';
    const text = `MODIFY_QP of type ${this.type} from ${from} to ${stateNames.get(to) ?? to} with mask 0x${mask.toString(16)}`;
    const answer = machine.command(modifyQp.code, bytesOf(modifyQpCommand, fields), {}, text);
    const wanted = accepted ? Ack.OK : Ack.ERR;
    if (answer.bytes[0] !== wanted || answer.used !== 1) {
      this.bench.accuse(ids, `${text}: ${seen(answer)}, expected ack ${wanted} and used length 1`);
    }
    const state = machine.must(queryQp, { qpn: this.qpn, attr_mask: 0 }).qp_state;
    const expected = accepted ? to : this.state;
    this.bench.same([...ids, 'QP-30'], `the state after ${text}`, state, expected);
    this.state = state;
  }
}

const soundValues = {
  path_mtu: PathMtu.MTU_512,
  max_rd_atomic: 1,
  max_dest_rd_atomic: 1,
  min_rnr_timer: 1,
  timeout: 10,
  retry_cnt: 1,
  rnr_retry: 1,
  qp_access_flags: 0,
  dest_qp_num: 0xfff,
};

const { STATE } = QpAttrMask;

const rowsOf = (typeName: TypeName): readonly QpTransitionRow[] =>
  qpTransitionRows.filter(({ type }) => type === (typeName === 'GSI' ? 'UD' : typeName));

/** A law over the table: a case of each type. */
function law(
  what: string,
  text: (typeName: TypeName) => Omit<ProbeText, 'id'>,
  check: (walker: Walker, typeName: TypeName) => void,
): ConformanceCase[] {
  return types.map(typeName => {
    const run = (context: CaseContext): Bench => {
      const scene = pairOf(context);
      const walker = new Walker(scene, typeName);
      check(walker, typeName);
      const before = noteBefore(scene);
      expectUnchanged(scene, before, ['QP-30', 'CTRL-14'], 'after refused MODIFY_QPs', []);
      return scene.bench;
    };
    return probe({ id: `QP/modify-qp/${what}-${typeName.toLowerCase()}`, ...text(typeName) }, run);
  });
}

const everyAttribute = qpAttrBits(
  Object.keys(QpAttrMask).filter(
    (name): name is QpAttrName => name !== 'CAP' && name !== 'RATE_LIMIT' && name !== 'CUR_STATE',
  ),
);

const illegalPairs = law(
  'illegal-pairs',
  typeName => ({
    doc: `Every pair of states that the table does not have for ${typeName} is refused, with and without attributes.`,
    requirements: ['QP-24', 'QP-30', 'CTRL-03', ...(typeName === 'RC' ? ['QP-63'] : [])],
  }),
  (walker, typeName) => {
    const rows = rowsOf(typeName);
    for (const from of statesOf(walker.type)) {
      walker.at(from);
      for (const to of Object.values(QpState)) {
        if (rows.some(row => QpState[row.from] === from && QpState[row.to] === to)) continue;
        walker.ask(to, STATE, ['QP-24'], false);
        walker.ask(to, everyAttribute, ['QP-24'], false);
      }
    }
  },
);

const legalPairs = law(
  'legal-pairs',
  typeName => ({
    doc: `Every row of the table for ${typeName} is accepted, with its required attributes alone and with all optional ones.`,
    requirements: ['QP-32', 'QP-33', 'QP-23', ...(typeName === 'GSI' ? ['QP-02'] : [])],
  }),
  (walker, typeName) => {
    for (const row of rowsOf(typeName)) {
      if (row.from === 'SQE' && typeName === 'RC') continue;
      const least = STATE | qpAttrBits(row.required);
      for (const mask of [least, least | qpAttrBits(row.optional)]) {
        walker.at(QpState[row.from]);
        walker.ask(QpState[row.to], mask, ['QP-32'], true);
      }
    }
  },
);

const missing = law(
  'required-missing',
  typeName => ({
    doc: `A change of ${typeName} without any one of the attributes that its row requires is refused.`,
    requirements: ['QP-25', 'QP-30'],
  }),
  (walker, typeName) => {
    for (const row of rowsOf(typeName)) {
      for (const name of row.required) {
        walker.at(QpState[row.from]);
        const mask = STATE | (qpAttrBits(row.required) & ~QpAttrMask[name]);
        walker.ask(QpState[row.to], mask, ['QP-25'], false);
      }
    }
  },
);

const surplus = law(
  'surplus-attribute',
  typeName => ({
    doc: `A change of ${typeName} with any one attribute that its row does not know is refused.`,
    requirements: ['QP-26', 'QP-30', 'CTRL-86', 'CTRL-87'],
  }),
  (walker, typeName) => {
    for (const row of rowsOf(typeName)) {
      if (row.from === 'SQE' && typeName === 'RC') continue;
      const known = STATE | qpAttrBits(row.required) | qpAttrBits(row.optional);
      walker.at(QpState[row.from]);
      for (const bit of Object.values(QpAttrMask)) {
        if ((known & bit) !== 0) continue;
        walker.ask(QpState[row.to], STATE | qpAttrBits(row.required) | bit, ['QP-26'], false);
      }
    }
  },
);

export const modifyTableCases = [...illegalPairs, ...legalPairs, ...missing, ...surplus];
