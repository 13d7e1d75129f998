/** Chapter 6: what may be posted in which state, and from what the driver learns the state. */
import { Command, QpState, QpType, WcStatus, qpStates, queryQpAck } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { bytesOf } from './encode.js';
import { aRecv, aSend, makeObjects, someAddress, stepTo } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { complete, consume, poll, post, postReceive, takeRequests, throws } from './traffic.js';

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

export const stateCases: readonly ConformanceCase[] = [
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
