/** Chapter 6: MODIFY_QP attribute by attribute, and what may be posted in which state. */
import {
  Command,
  QpAttrMask,
  QpState,
  QpType,
  WcStatus,
  modifyQpCommand,
  qpStates,
  queryQpAck,
} from '../../../abi/index.js';
import type { StructValue } from '../../../abi/index.js';
import type { QpAttributes } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { bytesOf } from './encode.js';
import { aRecv, aSend, makeObjects, someAddress, stepTo } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { complete, consume, poll, post, postReceive, takeRequests, throws } from './traffic.js';

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

const services: readonly (readonly [string, QpType])[] = [
  ['rc', QpType.RC],
  ['uc', QpType.UC],
  ['ud', QpType.UD],
];

const states: readonly QpState[] = [
  QpState.RESET,
  QpState.INIT,
  QpState.RTR,
  QpState.RTS,
  QpState.SQD,
  QpState.SQE,
  QpState.ERR,
];

function sendsIn(state: QpState): boolean {
  return state !== QpState.RESET && state !== QpState.INIT && state !== QpState.RTR;
}

/** A post of each kind, and whether the state that the driver has learnt allows it. */
async function expectPosts(
  bench: Bench,
  { qp, qpn, pd }: Objects,
  type: QpType,
  state: QpState,
): Promise<void> {
  const ah =
    type === QpType.UD ? await bench.do('createAh()', verbs => verbs.createAh(pd, someAddress)) : undefined;
  const send = aSend(1, ah === undefined ? {} : { ah, remoteQpn: 1, remoteQkey: 2 });
  const [sq, rq] = [bench.map.sq(qpn), bench.map.rq(qpn)];
  const name = qpStates.nameOf(state);
  if (sendsIn(state)) {
    post(bench, qp, send, ['QP-15', 'ERR-10']);
    bench.equal(takeRequests(bench, sq).length, 1, `sends in the ring after a post in ${name}`, ['QP-15']);
  } else {
    throws(bench, `postSend in ${name}`, 'EINVAL', () => bench.verbs.postSend(qp, send), ['QP-13', 'ERR-08']);
    bench.equal(takeRequests(bench, sq).length, 0, `sends in the ring after a refused post in ${name}`, [
      'ERR-09',
    ]);
  }
  if (state === QpState.RESET) {
    throws(bench, 'postRecv in RESET', 'EINVAL', () => bench.verbs.postRecv(qp, aRecv(2)), [
      'QP-14',
      'ERR-08',
    ]);
    bench.equal(takeRequests(bench, rq).length, 0, 'receives in the ring after a refused post in RESET', [
      'ERR-09',
    ]);
  } else {
    postReceive(bench, qp, aRecv(2), ['QP-16', 'ERR-10']);
    bench.equal(takeRequests(bench, rq).length, 1, `receives in the ring after a post in ${name}`, ['QP-16']);
  }
}

/** Lets the driver learn a state from QUERY_QP. */
async function learnByQuery(bench: Bench, { qp }: Objects, state: QpState): Promise<void> {
  const call = bench.call('queryQp()', verbs => verbs.queryQp(qp));
  const command = await bench.expectCommand(Command.QUERY_QP);
  bench.accept(command, bytesOf(queryQpAck, { ...queryQpAck.zero(), qp_state: state }));
  await bench.value(call);
}

const ids = (state: QpState): string[] => [
  sendsIn(state) ? 'QP-15' : 'QP-13',
  state === QpState.RESET ? 'QP-14' : 'QP-16',
];
const nameOf = (state: QpState): string => (qpStates.nameOf(state) ?? '').toLowerCase();

const stateCases: readonly ConformanceCase[] = [
  ...services.flatMap(([service, type]) =>
    states
      .filter(state => state !== QpState.SQE)
      .map(state =>
        probeStarted({
          id: `QP/posts-in-${nameOf(state)}/${service}`,
          doc: `What may be posted in ${qpStates.nameOf(state)}, which the driver knows from its MODIFY_QP, is in the ring, and what may not be is refused.`,
          requirements: ids(state),
          ask: async bench => expectPosts(bench, await makeObjects(bench, { type, state }), type, state),
        }),
      ),
  ),
  ...states.map(state =>
    probeStarted({
      id: `QP/learns-from-query/${nameOf(state)}`,
      doc: `A query shows ${qpStates.nameOf(state)}: posts go by that from then on.`,
      requirements: ids(state),
      ask: async bench => {
        const objects = await makeObjects(bench, { type: QpType.UD, state: QpState.RTS });
        await learnByQuery(bench, objects, state);
        await expectPosts(bench, objects, QpType.UD, state);
      },
    }),
  ),
  probeStarted({
    id: 'QP/learns-from-completion/error-before-rts',
    doc: 'A receive that is flushed in RTR tells that the queue pair is in ERR: a send is accepted, to be flushed.',
    requirements: ['QP-15'],
    ask: async bench => {
      const { qp, qpn, recvCq, recvCqn } = await makeObjects(bench, { state: QpState.RTR });
      postReceive(bench, qp, aRecv(5));
      consume(bench, bench.map.rq(qpn));
      complete(bench, recvCqn, { wr_id: 5, qp_num: qpn, status: WcStatus.WR_FLUSH_ERR });
      bench.equal(poll(bench, recvCq).length, 1, 'completions polled');
      post(bench, qp, aSend(6));
      bench.equal(takeRequests(bench, bench.map.sq(qpn)).length, 1, 'sends in the ring');
    },
  }),
  probeStarted({
    id: 'QP/refused-change/state-kept',
    doc: 'A refused MODIFY_QP teaches nothing: what was refused before is refused still, what was accepted is.',
    requirements: ['ERR-06', 'QP-13', 'QP-16'],
    ask: async bench => {
      const objects = await makeObjects(bench, { state: QpState.INIT });
      for (const to of [QpState.RTR, QpState.RESET]) {
        const call = bench.call(`modifyQp(to ${to})`, verbs =>
          verbs.modifyQp(objects.qp, stepTo(QpType.RC, to)),
        );
        bench.refuse(await bench.expectCommand(Command.MODIFY_QP));
        await bench.fails(call, 'EINVAL', ['ERR-04']);
      }
      await expectPosts(bench, objects, QpType.RC, QpState.INIT);
    },
  }),
  probeStarted({
    id: 'QP/read-depth/forgotten-in-reset',
    doc: 'After a move to RESET and up again with a depth of 0 a read is refused.',
    requirements: ['ERR-08'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      const read = aSend(1, { opcode: 4, remoteAddr: 1, rkey: 1 });
      post(bench, qp, read);
      consume(bench, bench.map.sq(qpn));
      await bench.do('modifyQp(to RESET)', verbs => verbs.modifyQp(qp, { qpState: QpState.RESET }));
      for (const to of [QpState.INIT, QpState.RTR, QpState.RTS])
        await bench.do(`modifyQp(to ${to})`, verbs =>
          verbs.modifyQp(qp, { ...stepTo(QpType.RC, to), ...(to === QpState.RTS ? { maxRdAtomic: 0 } : {}) }),
        );
      throws(bench, 'a read with a depth of 0', 'EINVAL', () => bench.verbs.postSend(qp, read));
    },
  }),
];

export const queuePairCases: readonly ConformanceCase[] = [...modifyCases, ...refusalCases, ...stateCases];
