/** The life of queue pairs asked of a device: numbers, a new start, requests that wait, capacities, the drain. */
import { QpAttrMask, QpState, QpType } from '../../../abi/index.js';
import { createQp, destroyQp, modifyQp, queryQp } from './messages.js';
import { status, statusesOf } from './outcomes.js';
import { probe } from './probe-case.js';
import { bringTo, queuePairIn, statesOf } from './queue-pair-states.js';
import { connect, exchange, lonely, pairOf, qpFields } from './site.js';
import type { Side } from './site.js';

const { STATE } = QpAttrMask;

const toReset = ({ machine, qpn }: Side): unknown =>
  machine.must(modifyQp, { qpn, attr_mask: STATE, qp_state: QpState.RESET }, ['QP-32']);
const destroy = ({ machine, qpn }: Side): unknown => machine.must(destroyQp, { qpn }, ['QP-10']);
const queuePairs = [
  probe(
    {
      id: 'QP/create/starts-anew',
      doc: 'A queue pair with a number used before starts in RESET with no attribute, request or packet of the earlier one.',
      requirements: ['QP-12', 'QP-08', 'QP-03', 'QP-40', 'CTRL-91', 'CTRL-92'],
    },
    context => {
      const scene = pairOf(context);
      const { a, bench } = scene;
      const fresh = a.machine.must(createQp, qpFields(a));
      const expected = a.machine.must(queryQp, { qpn: fresh.qpn, attr_mask: 0 });
      exchange(scene, ['QP-12']);
      destroy(a);
      bench.same(['QP-03'], 'the number', a.machine.must(createQp, qpFields(a)).qpn, a.qpn);
      const got = a.machine.must(queryQp, { qpn: a.qpn, attr_mask: 0 });
      bench.same(['QP-12', 'QP-40'], 'QUERY_QP of the new one and of one with a fresh number', got, expected);
      bench.same(['QP-08'], 'the state', got.qp_state, QpState.RESET);
      connect(a, scene.b);
      bringTo(bench, scene.b, scene.b, QpState.RESET);
      connect(scene.b, a);
      exchange(scene, ['QP-12']);
      return bench;
    },
  ),
  ...(['RC', 'UC', 'UD'] as const).map(name =>
    probe(
      {
        id: `QP/destroy/in-every-state-${name.toLowerCase()}`,
        doc: `DESTROY_QP of ${name} is accepted in every state, and the number comes free at once.`,
        requirements: ['QP-10', 'RST-24', 'QP-03'],
      },
      context => {
        const { a, bench } = pairOf(context);
        const type = QpType[name];
        for (const state of statesOf(type)) {
          const qpn = queuePairIn(bench, a, type, state);
          bench.same(['QP-03', 'RST-24'], `the number in state ${state}`, qpn, a.qpn + 1);
          a.machine.must(destroyQp, { qpn }, ['QP-10']);
        }
        return bench;
      },
    ),
  ),
  ...(['send', 'receive'] as const).map(half =>
    probe(
      {
        id: `QP/ring/${half}s-wait-until-ready`,
        doc:
          half === 'send'
            ? 'Sends stay unread in the ring in RESET, INIT and RTR, and are taken in RTS.'
            : 'Receives stay unread in the ring in RESET, and are taken from INIT on.',
        requirements: half === 'send' ? ['QP-17', 'CTRL-24', 'QP-22'] : ['QP-18', 'QP-19', 'CTRL-24'],
      },
      context => {
        const scene = pairOf(context);
        const { a, b, bench } = scene;
        const { queues } = a.machine;
        const index = half === 'send' ? queues.sq(a.qpn) : queues.rq(a.qpn);
        toReset(a);
        toReset(b);
        const ring = a.machine.ring(index);
        const before = ring.usedIdx;
        const part =
          half === 'send'
            ? a.machine.postSend(a.qpn, { wrId: 9 }).parts[0]
            : a.machine.postRecv(a.qpn, 9).parts[0];
        let reads = 0;
        a.machine.memory.watch = {
          read: at => (reads += at >= part.address && at < part.address + part.length ? 1 : 0),
        };
        bench.run();
        connect(a, b, half === 'send' ? QpState.RTR : QpState.RESET);
        a.machine.transport.notify(index);
        bench.run();
        bench.same(
          [half === 'send' ? 'QP-17' : 'QP-18'],
          'readings of the request and chains back',
          [reads, ring.usedIdx - before],
          [0, 0],
        );
        toReset(a);
        // What was in the ring has come back with the move to RESET; a new one waits in its place.
        a.machine.returned(index);
        if (half === 'send') a.machine.postSend(a.qpn, { wrId: 8 });
        else a.machine.postRecv(a.qpn, 8);
        connect(b, a);
        if (half === 'send') b.machine.postRecv(b.qpn, 1);
        connect(a, b);
        if (half === 'receive') b.machine.postSend(b.qpn, { wrId: 1 });
        bench.run();
        bench.same(['QP-22', 'CTRL-24'], 'completions when both are ready', statusesOf(a), [
          [8, status.SUCCESS],
        ]);
        return bench;
      },
    ),
  ),
  probe(
    {
      id: 'DATA/capacity/held-to-what-was-granted',
      doc: 'Of many receives the device holds as many as were granted; the others wait in the ring, unread, and follow without a notification.',
      requirements: ['DATA-29', 'DATA-30', 'ISO-19'],
    },
    context => {
      const scene = pairOf(context, { cap: { max_recv_wr: 2 } });
      const { a, b, bench } = scene;
      const read = new Set<number>();
      const places: number[] = [];
      b.machine.memory.watch = {
        read: (at, length) =>
          places.forEach((place, i) => (at <= place && place < at + length ? read.add(i) : 0)),
      };
      for (let i = 0; i < 5; i++) {
        const part = { address: b.machine.alloc(24), length: 24 };
        places.push(part.address);
        b.machine.memory.bytes[b.machine.memory.at(part.address)] = i + 1;
        b.machine.offer(b.machine.queues.rq(b.qpn), [part]);
      }
      bench.run();
      bench.same(['DATA-29'], 'receives read of five, with max_recv_wr 2', [...read], [0, 1]);
      for (let i = 0; i < 5; i++) a.machine.postSend(a.qpn, { wrId: i });
      bench.run();
      b.machine.memory.watch = undefined;
      bench.same(
        ['DATA-30', 'ORD-02'],
        'completions of the receives',
        statusesOf(b),
        [1, 2, 3, 4, 5].map(wrId => [wrId, status.SUCCESS]),
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'QP/drain/state-is-refused',
      doc: 'While a started send is unfinished in SQD, sq_draining is 1 and STATE is refused unless it leads to ERR or RESET.',
      requirements: ['QP-56', 'QP-57', 'QP-54', 'QP-30'],
    },
    context => {
      const { a, bench } = lonely(context);
      const { machine, qpn } = a;
      machine.postSend(qpn, { wrId: 1, inline: new Uint8Array(4) });
      for (let steps = 0; bench.packets === 0 && steps < 1000; steps++) bench.scheduler.step();
      // The commands are all in the ring before the retries are spent, so the send is still unfinished when they are carried out.
      const commands = [QpState.SQD, QpState.RTS, QpState.SQD].map(state => {
        const data = new Uint8Array(128);
        const view = new DataView(data.buffer);
        view.setUint32(0, qpn, true);
        view.setUint32(4, STATE, true);
        view.setUint8(8, state);
        return machine.prepare(modifyQp.code, data, {}, `MODIFY_QP to ${state}`);
      });
      const query = new Uint8Array(8);
      new DataView(query.buffer).setUint32(0, qpn, true);
      const asked = machine.prepare(queryQp.code, query, { writable: 121 }, 'QUERY_QP');
      const answers = machine.answers([...commands, asked]);
      const acks = answers.slice(0, 3).map(({ bytes }) => bytes[0]);
      bench.same(['QP-57'], 'acks of the moves to SQD, RTS and SQD', acks, [0, 1, 1]);
      const { bytes } = answers[3];
      bench.same(
        ['QP-56', 'QP-30'],
        'state and sq_draining meanwhile',
        [bytes[1], bytes[3]],
        [QpState.SQD, 1],
      );
      return bench;
    },
  ),
];

export const queuePairCases = queuePairs;
