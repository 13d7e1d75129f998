/** Section 12.2 asked of a device: what has happened when the end of a queue pair is acknowledged. */
import { QpAttrMask, QpState } from '../../../abi/index.js';
import { destroyQp, modifyQp } from './messages.js';
import { status, statusesOf } from './outcomes.js';
import { probe } from './probe-case.js';
import { lonely } from './site.js';
import type { Side } from './site.js';

const { STATE } = QpAttrMask;

const toReset = ({ machine, qpn }: Side): unknown =>
  machine.must(modifyQp, { qpn, attr_mask: STATE, qp_state: QpState.RESET }, ['QP-32']);
const destroy = ({ machine, qpn }: Side): unknown => machine.must(destroyQp, { qpn }, ['QP-10']);

const underLoad = (
  [
    ['destroy', 'DESTROY_QP', destroy],
    ['to-reset', 'A move to RESET', toReset],
  ] as const
).flatMap(([slug, doc, end]) => [
  probe(
    {
      id: `RST/queue-pair/${slug}-under-load`,
      doc: `${doc} of a queue pair under load returns every chain with length 0, taken or not, completes none, and rewinds nothing.`,
      requirements: ['QP-41', 'QP-42', 'RST-05', 'RST-07', 'ORD-14', 'DATA-27'],
    },
    context => {
      const { bench, a } = lonely(context, { cap: { max_send_wr: 3, max_recv_wr: 3 } });
      const { machine, qpn } = a;
      const { queues } = machine;
      const sends = [1, 2, 3, 4, 5].map(
        wrId => machine.postSend(qpn, { wrId, inline: new Uint8Array(4) }).head,
      );
      const recvs = [1, 2, 3, 4, 5].map(wrId => machine.postRecv(qpn, wrId).head);
      for (let steps = 0; bench.packets === 0 && steps < 1000; steps++) bench.scheduler.step();
      bench.same(
        ['DATA-27'],
        'chains back while nothing is acknowledged',
        machine.returned(queues.sq(qpn)).length,
        0,
      );
      end(a);
      const back = [queues.sq(qpn), queues.rq(qpn)].map(index =>
        machine.returned(index).map(({ id, length }) => [id, length]),
      );
      bench.same(['QP-42', 'RST-07', 'ORD-14'], 'heads and used lengths of both queues', back, [
        sends.map(head => [head, 0]),
        recvs.map(head => [head, 0]),
      ]);
      bench.same(['QP-41'], 'completions', statusesOf(a), []);
      bench.same(
        ['RST-05'],
        'used indices',
        [machine.ring(queues.sq(qpn)).usedIdx, machine.ring(queues.rq(qpn)).usedIdx],
        [5, 5],
      );
      return bench;
    },
  ),
  probe(
    {
      id: `RST/queue-pair/${slug}-ends-packets`,
      doc: `${doc} ends all packets of the queue pair: retries that were due are not sent.`,
      requirements: ['RST-08', 'QP-11'],
    },
    context => {
      const { bench, a } = lonely(context);
      a.machine.postSend(a.qpn, { wrId: 1, inline: new Uint8Array(4) });
      for (let steps = 0; bench.packets === 0 && steps < 1000; steps++) bench.scheduler.step();
      const pending = a.machine.prepare(
        slug === 'destroy' ? destroyQp.code : modifyQp.code,
        endBytes(a, slug),
        {},
        doc,
      );
      a.machine.publish(a.machine.queues.control);
      for (let steps = 0; a.machine.control.usedIdx === a.machine.control.usedSeen && steps < 1000; steps++)
        bench.scheduler.step();
      const sent = bench.packets;
      bench.run();
      const [element] = a.machine.returned(a.machine.queues.control);
      bench.same(['RST-08'], 'the command', element?.id, pending.chain.head);
      bench.same(['RST-08'], 'packets after the OK', bench.packets - sent, 0);
      return bench;
    },
  ),
  probe(
    {
      id: `RST/queue-pair/${slug}-keeps-completions`,
      doc: `${doc} leaves the completions that are there, and they are in the ring before the OK.`,
      requirements: ['QP-43', 'CQ-54', 'QP-41'],
    },
    context => {
      const { bench, a } = lonely(context);
      for (const wrId of [1, 2, 3]) a.machine.postRecv(a.qpn, wrId);
      a.machine.must(modifyQp, { qpn: a.qpn, attr_mask: STATE, qp_state: QpState.ERR }, ['QP-32']);
      bench.run();
      end(a);
      bench.same(
        ['QP-43', 'CQ-54'],
        'completions by wr_id and status',
        statusesOf(a),
        [1, 2, 3].map(wrId => [wrId, status.WR_FLUSH_ERR]),
      );
      return bench;
    },
  ),
]);

function endBytes({ qpn }: Side, slug: 'destroy' | 'to-reset'): Uint8Array {
  const data = new Uint8Array(slug === 'destroy' ? 4 : 128);
  const view = new DataView(data.buffer);
  view.setUint32(0, qpn, true);
  if (slug === 'to-reset') view.setUint32(4, STATE, true);
  return data;
}

export const queuePairEndingCases = underLoad;
