/** Completion queues: which requests complete, in which order, how many fit, and what an overrun does. */
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const signaling: readonly Scenario[] = [
  scenario(
    'CQ/signaling/unsignaled',
    'Unsignaled sends that succeed complete in silence; one signaled send behind them speaks for all.',
    { source: 'rdma-core tests/test_qpex.py', requirements: ['CQ-02', 'DATA-32'] },
    script => {
      const [near, far] = script.pair('RC', { cap: { sendWr: 4 } });
      far.recv({ times: 8 });
      for (let round = 0; round < 2; round++) {
        near.post([near.sendOf({ signaled: false, times: 3 }), near.sendOf()]);
        near.sent();
        far.received(1024, 4);
      }
    },
  ),
  scenario(
    'CQ/signaling/never',
    'Places of unsignaled sends are free again when the sends are done, with no completion anywhere.',
    { requirements: ['CQ-02', 'DATA-28', 'DATA-32'] },
    script => {
      const [near] = script.pair('RC', { cap: { sendWr: 4 } });
      for (let round = 0; round < 5; round++) near.write({ signaled: false, times: 4 });
      near.sends();
    },
  ),
  scenario(
    'CQ/signaling/all',
    'On a queue pair that signals all, unsignaled requests complete too.',
    { source: 'libibverbs man ibv_create_qp', requirements: ['CQ-01'] },
    script => {
      const [near, far] = script.pair('RC', { sigAll: true });
      far.recv();
      near.post([near.sendOf({ signaled: false }), near.writeOf({ signaled: false }), near.writeOf()]);
      near.sent(3);
      far.received();
    },
  ),
];

const order: readonly Scenario[] = [
  scenario(
    'CQ/order/separate-queues',
    'Send and receive completions land in the completion queue of their direction.',
    { source: 'rdma-core tests/test_qp.py' },
    script => {
      const ends = script.pair('RC');
      for (const end of ends) end.recv();
      for (const end of ends) end.send();
      for (const end of ends) {
        end.sent();
        end.received();
        end.sends();
        end.receives();
      }
    },
  ),
  scenario(
    'CQ/order/one-queue',
    'Send and receive completions share a completion queue in the order in which they came about.',
    { requirements: ['CTRL-83', 'ORD-12', 'ORD-13'] },
    script => {
      const [near, far] = script.pair('RC', { oneCq: true });
      for (const end of [near, far]) end.recv({ times: 2 });
      near.send();
      far.send();
      near.send();
      near.guest.poll(near.sendCq, [
        near.sendOutcome('SUCCESS'),
        near.receiveOutcome(1024),
        near.sendOutcome('SUCCESS'),
      ]);
      far.guest.poll(far.sendCq, [
        far.receiveOutcome(1024),
        far.sendOutcome('SUCCESS'),
        far.receiveOutcome(1024),
      ]);
    },
  ),
  scenario(
    'CQ/poll/partial',
    'A poll takes no more than it is asked for and leaves the rest.',
    { requirements: ['CQ-05', 'CQ-53'] },
    script => {
      const [near] = script.pair('RC');
      near.write({ times: 5 });
      near.guest.do({ op: 'pollCq', cq: near.sendCq, max: 2 });
      const all = Array.from({ length: 5 }, () => near.sendOutcome('SUCCESS'));
      near.guest.poll(near.sendCq, all.slice(2));
    },
  ),
  scenario(
    'CQ/poll/empty',
    'A poll of an empty completion queue finds nothing, also after one that found something.',
    { requirements: ['CQ-51'] },
    script => {
      const [near] = script.pair('RC');
      near.sends();
      near.write();
      near.sent();
      near.sends();
    },
  ),
  scenario(
    'CTRL/destroy-cq/unpolled',
    'Completions that were not polled go with their queue; a new queue in its place is empty.',
    { requirements: ['CTRL-37', 'RST-16'] },
    script => {
      const pair = script.pair('RC');
      const [near] = pair;
      near.write({ times: 3 });
      near.destroy();
      near.guest.do({ op: 'destroyCq', cq: near.sendCq });
      const cq = near.guest.cq();
      near.guest.events(cq, 0);
    },
  ),
];

const capacity: readonly Scenario[] = [
  scenario(
    'CQ/capacity/exact',
    'A completion queue holds as many completions as it has entries, time and again.',
    { requirements: ['CQ-04', 'CQ-31'] },
    script => {
      const [near] = script.pair('RC', { cqe: 4 });
      for (let round = 0; round < 3; round++) {
        near.write({ times: 4 });
        near.sent(4);
      }
    },
  ),
  scenario(
    'CQ/capacity/one-entry',
    'A completion queue of one entry works for one request at a time.',
    { requirements: ['CQ-04', 'CQ-16'] },
    script => {
      const [near, far] = script.pair('RC', { cqe: 1 });
      far.recv({ times: 4 });
      for (let round = 0; round < 4; round++) {
        near.send();
        near.sent();
        far.received();
      }
    },
  ),
  scenario(
    'CQ/overrun/sends',
    'One completion too many: those before it can be polled, it and all later ones are lost, and the queue pair goes to ERR.',
    { source: 'libibverbs man ibv_poll_cq', requirements: ['CQ-06', 'CQ-32', 'QP-52'] },
    script => {
      const [near] = script.pair('RC', { cqe: 2 });
      near.write({ times: 3 });
      near.sent(2);
      near.is('ERR');
      near.write();
      near.sends();
    },
  ),
  scenario(
    'CQ/overrun/afterwards',
    'A completion queue that has overrun can still be armed and destroyed, and a new one takes its place.',
    { requirements: ['CQ-34', 'QP-52'] },
    script => {
      const pair = script.pair('RC', { cqe: 2 });
      const [near] = pair;
      near.write({ times: 3 });
      near.guest.arm(near.sendCq);
      near.sent(2);
      near.destroy();
      near.guest.do({ op: 'destroyCq', cq: near.sendCq });
      const [fresh] = script.pair('RC', { cqe: 2 });
      fresh.write({ times: 2 });
      fresh.sent(2);
    },
  ),
  scenario(
    'CQ/overrun/every-queue-pair',
    'Every queue pair of an overrun completion queue goes to ERR, one that had no part in it too.',
    { requirements: ['QP-52'] },
    script => {
      const pair = script.pair('RC', { cqe: 2 });
      const [near] = pair;
      const [other] = script.pairBeside('RC', pair);
      near.write({ times: 3 });
      other.is('ERR');
      near.is('ERR');
    },
  ),
];

export const completionScenarios: readonly Scenario[] = [...signaling, ...order, ...capacity];
