/** Section 8.4 asked of a device: how many completions a queue takes, holds back and loses. */
import { NotifyFlag, QpState } from '../../../abi/index.js';
import { destroyCq, destroyQp, reqNotifyCq } from './messages.js';
import { stateOf } from './outcomes.js';
import { probe } from './probe-case.js';
import { lonely, pairOf } from './site.js';
import { flush, range, toErr, wrIds } from './flushed.js';

const { NEXT_COMPLETION } = NotifyFlag;
const capacity = [
  probe(
    {
      id: 'CQ/capacity/exactly-cqe',
      doc: 'A queue takes as many completions that are not polled as CREATE_CQ granted.',
      requirements: ['CQ-04', 'CQ-33', 'CQ-01'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 8 });
      toErr(a);
      flush(a, 8);
      bench.run();
      bench.same(['CQ-04'], 'wr_ids of the completions', wrIds(a), range(8));
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/capacity/overrun',
      doc: 'One completion more than the queue has entries is lost, and none is given after it; the requests come back all the same.',
      requirements: ['CQ-06', 'CQ-32', 'CQ-31', 'ORD-15', 'DATA-28'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 4 });
      toErr(a);
      flush(a, 6);
      bench.run();
      bench.same(['CQ-32', 'CQ-06'], 'wr_ids of the completions', wrIds(a), range(4));
      const { machine } = a;
      bench.same(['ORD-15'], 'receives that came back', machine.returned(machine.queues.rq(a.qpn)).length, 6);
      flush(a, 2, 6);
      bench.run();
      bench.same(['CQ-06'], 'wr_ids after the overrun', wrIds(a), []);
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/capacity/overrun-moves-queue-pairs',
      doc: 'An overrun moves the queue pairs of the queue to ERR; it can be armed and destroyed with them.',
      requirements: ['QP-52', 'CQ-34'],
    },
    context => {
      const scene = pairOf(context, { cqe: 2 });
      const { a, b, bench } = scene;
      for (let i = 0; i < 3; i++) {
        a.machine.postRecv(a.qpn, i);
        b.machine.postSend(b.qpn, { wrId: i, flags: 0 });
      }
      bench.run();
      bench.same(['QP-52'], 'the state of the queue pair', stateOf(a), QpState.ERR);
      a.machine.must(reqNotifyCq, { cqn: a.cqn, flags: NEXT_COMPLETION }, ['CQ-34']);
      a.machine.must(destroyQp, { qpn: a.qpn }, ['QP-10']);
      a.machine.must(destroyCq, { cqn: a.cqn }, ['CQ-34']);
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/capacity/held-back',
      doc: 'Completions without a buffer are held, and given in their order as buffers come, one by one.',
      requirements: ['CQ-28', 'CQ-29', 'CQ-30', 'CQ-33'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 8, buffers: 0 });
      toErr(a);
      flush(a, 8);
      bench.run();
      const seen: number[] = [];
      for (let i = 0; i < 8; i++) {
        a.machine.addBuffers(a.cqn, 1);
        bench.run();
        seen.push(...wrIds(a, true));
      }
      bench.same(['CQ-28', 'CQ-29', 'CQ-30'], 'wr_ids in the order of the buffers', seen, range(8));
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/capacity/few-buffers',
      doc: 'With B buffers for cqe entries the device holds cqe - B completions and loses the one after.',
      requirements: ['CQ-28', 'CQ-06', 'CQ-31'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 6, buffers: 2 });
      toErr(a);
      flush(a, 8);
      bench.run();
      const first = wrIds(a, true);
      a.machine.addBuffers(a.cqn, 8);
      bench.run();
      bench.same(
        ['CQ-28', 'CQ-06'],
        'wr_ids at once and after more buffers',
        [first, wrIds(a, true)],
        [range(2), range(4, 2)],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/capacity/given-back',
      doc: 'A buffer made available in place of a polled one makes room again, round and round the ring.',
      requirements: ['CQ-31', 'CQ-33', 'CQ-01'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 3 });
      toErr(a);
      for (let round = 0; round < 30; round++) {
        flush(a, 3, 3 * round);
        bench.run();
        bench.same(['CQ-31', 'CQ-33'], `wr_ids of round ${round}`, wrIds(a), range(3, 3 * round));
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'HOST/completions/no-buffer-any-more',
      doc: 'A driver that makes no completion buffer available any more stops neither its other queues nor its neighbour.',
      requirements: ['HOST-09', 'ISO-17'],
    },
    context => {
      const scene = pairOf(context, { cqe: 4, buffers: 1 });
      const { a, b, bench } = scene;
      for (let i = 0; i < 4; i++) {
        a.machine.postRecv(a.qpn, i);
        b.machine.postSend(b.qpn, { wrId: i, flags: 0 });
      }
      bench.run();
      bench.same(['HOST-09'], 'the state of the queue pair without buffers', stateOf(a), QpState.RTS);
      bench.same(['ISO-17'], 'the state of its peer', stateOf(b), QpState.RTS);
      return bench;
    },
  ),
];

export const capacityCases = capacity;
