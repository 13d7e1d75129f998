/** Chapter 6: MODIFY_QP attribute by attribute, and what may be posted in which state. */
import { Command, QpAttrMask, QpState, QpType, modifyQpCommand, qpStates } from '../../../abi/index.js';
import type { StructValue } from '../../../abi/index.js';
import type { QpAttributes } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { makeObjects, someAddress, stepTo } from './objects.js';
import { probeStarted } from './probe-case.js';

type Modify = StructValue<typeof modifyQpCommand>;

/** One attribute in a change that the table of states allows, with a value that shows every byte of its field. */
interface Attribute {
  readonly name: keyof typeof QpAttrMask;
  readonly type: QpType;
  readonly from: QpState;
  readonly attributes: QpAttributes;
  readonly seen: (command: Modify) => unknown;
  readonly expected: unknown;
}

const attributes: readonly Attribute[] = [
  {
    name: 'STATE',
    type: QpType.RC,
    from: QpState.RTS,
    attributes: { qpState: QpState.SQD },
    seen: c => c.qp_state,
    expected: 4,
  },
  {
    name: 'CUR_STATE',
    type: QpType.RC,
    from: QpState.RTS,
    attributes: { curQpState: QpState.RTS },
    seen: c => c.cur_qp_state,
    expected: 3,
  },
  {
    name: 'ACCESS_FLAGS',
    type: QpType.UC,
    from: QpState.INIT,
    attributes: { qpAccessFlags: 7 },
    seen: c => c.qp_access_flags,
    expected: 7,
  },
  {
    name: 'QKEY',
    type: QpType.UD,
    from: QpState.INIT,
    attributes: { qkey: 0x8102_0304 },
    seen: c => c.qkey,
    expected: 0x8102_0304,
  },
  {
    name: 'AV',
    type: QpType.RC,
    from: QpState.SQD,
    attributes: { ahAttr: someAddress },
    seen: addressOf,
    expected: `${someAddress.dgid} 703710 2 63 90`,
  },
  {
    name: 'TIMEOUT',
    type: QpType.RC,
    from: QpState.SQD,
    attributes: { timeout: 31 },
    seen: c => c.timeout,
    expected: 31,
  },
  {
    name: 'RETRY_CNT',
    type: QpType.RC,
    from: QpState.SQD,
    attributes: { retryCnt: 6 },
    seen: c => c.retry_cnt,
    expected: 6,
  },
  {
    name: 'RNR_RETRY',
    type: QpType.RC,
    from: QpState.SQD,
    attributes: { rnrRetry: 7 },
    seen: c => c.rnr_retry,
    expected: 7,
  },
  {
    name: 'MAX_QP_RD_ATOMIC',
    type: QpType.RC,
    from: QpState.SQD,
    attributes: { maxRdAtomic: 5 },
    seen: c => c.max_rd_atomic,
    expected: 5,
  },
  {
    name: 'MAX_DEST_RD_ATOMIC',
    type: QpType.RC,
    from: QpState.SQD,
    attributes: { maxDestRdAtomic: 6 },
    seen: c => c.max_dest_rd_atomic,
    expected: 6,
  },
  {
    name: 'MIN_RNR_TIMER',
    type: QpType.RC,
    from: QpState.RTS,
    attributes: { minRnrTimer: 29 },
    seen: c => c.min_rnr_timer,
    expected: 29,
  },
];

/** The steps up, each with all its required attributes. */
const steps: readonly (readonly [string, QpType, QpState, QpState, Partial<Record<keyof Modify, number>>])[] =
  [
    ['rc-to-init', QpType.RC, QpState.RESET, QpState.INIT, { qp_access_flags: 1, attr_mask: 0x5 }],
    [
      'rc-to-rtr',
      QpType.RC,
      QpState.INIT,
      QpState.RTR,
      {
        path_mtu: 3,
        rq_psn: 0x123456,
        dest_qp_num: 0x654321,
        min_rnr_timer: 7,
        max_dest_rd_atomic: 4,
        attr_mask: 0xaa31,
      },
    ],
    [
      'rc-to-rts',
      QpType.RC,
      QpState.RTR,
      QpState.RTS,
      { sq_psn: 0xabcdef, timeout: 14, retry_cnt: 5, rnr_retry: 6, max_rd_atomic: 3, attr_mask: 0x15c1 },
    ],
    [
      'uc-to-rtr',
      QpType.UC,
      QpState.INIT,
      QpState.RTR,
      { path_mtu: 3, rq_psn: 0x123456, dest_qp_num: 0x654321, attr_mask: 0x8231 },
    ],
    ['uc-to-rts', QpType.UC, QpState.RTR, QpState.RTS, { sq_psn: 0xabcdef, attr_mask: 0x1001 }],
    ['ud-to-init', QpType.UD, QpState.RESET, QpState.INIT, { qkey: 0x1234, attr_mask: 0x9 }],
    ['ud-to-rtr', QpType.UD, QpState.INIT, QpState.RTR, { attr_mask: 0x1 }],
    ['ud-to-rts', QpType.UD, QpState.RTR, QpState.RTS, { sq_psn: 0xabcdef, attr_mask: 0x1001 }],
    ['to-reset', QpType.RC, QpState.RTS, QpState.RESET, { attr_mask: 0x1 }],
    ['to-err', QpType.RC, QpState.RTS, QpState.ERR, { attr_mask: 0x1 }],
  ];

const modifyCases: readonly ConformanceCase[] = [
  ...attributes.map(({ name, type, from, attributes: change, seen, expected }) =>
    probeStarted({
      id: `CTRL/modify-qp/${name.toLowerCase().replaceAll('_', '-')}`,
      doc: `A change of ${name} alone sets the bit of ${name} in the mask and no other, and its field.`,
      requirements: ['OVR-04', 'OVR-02'],
      ask: async bench => {
        const { qp, qpn } = await makeObjects(bench, { type, state: from });
        const call = bench.call(`modifyQp(${name})`, verbs => verbs.modifyQp(qp, change));
        const command = (await bench.expectCommand(Command.MODIFY_QP)).decode(modifyQpCommand);
        bench.equal(command.qpn, qpn, 'qpn');
        bench.equal(command.attr_mask, QpAttrMask[name], 'attr_mask');
        bench.equal(seen(command), expected, `the field of ${name}`);
        await bench.value(call);
      },
    }),
  ),
  ...steps.map(([what, type, from, to, fields]) =>
    probeStarted({
      id: `CTRL/modify-qp/${what}`,
      doc: `The move from ${qpStates.nameOf(from)} to ${qpStates.nameOf(to)} carries each attribute that it was given, and the mask names just those.`,
      requirements: ['OVR-04', 'OVR-02'],
      ask: async bench => {
        const { qp } = await makeObjects(bench, { type, state: from });
        const call = bench.call(`modifyQp(to ${to})`, verbs => verbs.modifyQp(qp, stepTo(type, to)));
        const command = (await bench.expectCommand(Command.MODIFY_QP)).decode(modifyQpCommand);
        bench.equal(command.qp_state, to, 'qp_state');
        for (const [name, value] of Object.entries(fields))
          bench.equal(Object.getOwnPropertyDescriptor(command, name)?.value, value, name);
        if (to === QpState.RTR && type !== QpType.UD)
          bench.equal(addressOf(command), `${someAddress.dgid} 703710 2 63 90`, 'ah_attr');
        await bench.value(call);
      },
    }),
  ),
];

function addressOf({ ah_attr: { grh } }: Modify): string {
  return `${Buffer.from(grh.dgid).toString('hex')} ${grh.flow_label} ${grh.sgid_index} ${grh.hop_limit} ${grh.traffic_class}`;
}

/** Changes that the table refuses from RESET, a state that a queue pair never leaves unseen. */
const refusedFromReset: readonly (readonly [string, QpType, QpAttributes])[] = [
  ['to-rtr', QpType.RC, stepTo(QpType.RC, QpState.RTR)],
  ['to-rts', QpType.RC, stepTo(QpType.RC, QpState.RTS)],
  ['to-err', QpType.RC, { qpState: QpState.ERR }],
  ['to-sqd', QpType.RC, { qpState: QpState.SQD }],
  ['to-sqe', QpType.UD, { qpState: QpState.SQE }],
  ['to-init-without-access', QpType.RC, { qpState: QpState.INIT }],
  ['to-init-without-qkey', QpType.UD, { qpState: QpState.INIT }],
  ['to-init-with-a-stranger', QpType.UC, { qpState: QpState.INIT, qpAccessFlags: 0, qkey: 1 }],
  ['attributes-only', QpType.RC, { qpAccessFlags: 1 }],
];

const refusalCases = refusedFromReset.map(([what, type, change]) =>
  probeStarted({
    id: `QP/modify-from-reset/${what}`,
    doc: 'What the table of states refuses from RESET is refused by the driver: EINVAL, and no command.',
    requirements: ['QP-34'],
    ask: async bench => {
      const { qp } = await makeObjects(bench, { type, state: QpState.RESET });
      const before = bench.log.length;
      const call = bench.call(`modifyQp(${what})`, verbs => verbs.modifyQp(qp, change));
      await bench.fails(call, 'EINVAL');
      bench.equal(bench.log.length, before, 'commands that were sent');
      await bench.do('modifyQp(to INIT)', verbs => verbs.modifyQp(qp, stepTo(type, QpState.INIT)));
    },
  }),
);

export const queuePairCases: readonly ConformanceCase[] = [...modifyCases, ...refusalCases];
