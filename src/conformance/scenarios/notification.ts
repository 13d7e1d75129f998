/** Completion events: one for each arming, for any completion or for solicited ones, and none that nobody asked for. */
import { IN, OUT } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const testEvents = { source: 'rdma-core tests/test_cq_events.py' };
const manual = { source: 'libibverbs man ibv_req_notify_cq' };

const any: readonly Scenario[] = [
  scenario(
    'CQ/event-any/one-shot',
    'Armed once, a completion queue raises one event, however many completions come.',
    { ...testEvents, requirements: ['CQ-08', 'CQ-37', 'CQ-38', 'CQ-46'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ times: 4 });
      far.guest.arm(far.recvCq);
      near.send({ times: 2 });
      far.guest.events(far.recvCq, 1, [far.receiveOutcome(1024), far.receiveOutcome(1024)]);
      far.guest.arm(far.recvCq);
      near.send({ times: 2 });
      far.guest.events(far.recvCq, 2, [far.receiveOutcome(1024), far.receiveOutcome(1024)]);
    },
  ),
  scenario(
    'CQ/event-any/not-armed',
    'A completion queue that is not armed raises no event.',
    { requirements: ['CQ-09', 'CQ-35', 'CQ-44'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ times: 3 });
      near.send({ times: 3, solicited: true });
      far.guest.events(
        far.recvCq,
        0,
        [1, 2, 3].map(() => far.receiveOutcome(1024)),
      );
      near.guest.events(
        near.sendCq,
        0,
        [1, 2, 3].map(() => near.sendOutcome('SUCCESS')),
      );
    },
  ),
  scenario(
    'CQ/event-any/send-queue',
    'A send completion raises the event of its completion queue; a silent success does not.',
    { ...manual, requirements: ['CQ-38', 'CQ-02'] },
    script => {
      const [near] = script.pair('RC');
      near.guest.arm(near.sendCq);
      near.write({ signaled: false });
      near.guest.events(near.sendCq, 0);
      near.write();
      near.guest.events(near.sendCq, 1, [near.sendOutcome('SUCCESS')]);
    },
  ),
  scenario(
    'CQ/event-any/armed-late',
    'Completions that are in the queue when it is armed raise no event; the next one does.',
    { ...manual, requirements: ['CQ-36', 'CTRL-43'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ times: 2 });
      near.send();
      far.guest.arm(far.recvCq);
      far.guest.events(far.recvCq, 0, [far.receiveOutcome(1024)]);
      near.send();
      far.guest.events(far.recvCq, 1, [far.receiveOutcome(1024)]);
    },
  ),
  scenario(
    'CQ/event-any/armed-twice',
    'Arming twice is arming once.',
    { requirements: ['CQ-37', 'CQ-46'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ times: 2 });
      far.guest.arm(far.recvCq);
      far.guest.arm(far.recvCq);
      near.send({ times: 2 });
      far.guest.events(far.recvCq, 1, [far.receiveOutcome(1024), far.receiveOutcome(1024)]);
    },
  ),
  scenario(
    'CQ/event-any/new-queue-is-disarmed',
    'A completion queue in the place of an armed one that was destroyed is not armed.',
    { requirements: ['CQ-35', 'RST-15', 'RST-16'] },
    script => {
      const { guests } = script;
      const old = guests[0].cq();
      guests[0].arm(old);
      guests[0].do({ op: 'destroyCq', cq: old });
      guests[0].do({ op: 'reqNotifyCq', cq: old, expect: 'EINVAL' });
      const [near] = script.pair('RC');
      near.write();
      near.guest.events(near.sendCq, 0, [near.sendOutcome('SUCCESS')]);
    },
  ),
];

const solicited: readonly Scenario[] = [
  scenario(
    'CQ/event-solicited/receive',
    'Armed for solicited completions, a queue stays silent for a plain message and raises its event for a solicited one.',
    { ...manual, requirements: ['CQ-39', 'CQ-41'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ times: 3 });
      far.guest.arm(far.recvCq, true);
      near.send();
      far.guest.events(far.recvCq, 0, [far.receiveOutcome(1024)]);
      near.send({ solicited: true });
      far.guest.events(far.recvCq, 1, [far.receiveOutcome(1024)]);
      near.send({ solicited: true });
      far.guest.events(far.recvCq, 1, [far.receiveOutcome(1024)]);
    },
  ),
  scenario(
    'CQ/event-solicited/long-message',
    'Of a message of many packets the mark counts once, at its end.',
    { requirements: ['CQ-39'] },
    script => {
      const [near, far] = script.pair('RC', { rtr: { pathMtu: 1 } });
      far.recv({ bytes: 2000 });
      far.guest.arm(far.recvCq, true);
      near.send({ bytes: 2000, solicited: true });
      far.guest.events(far.recvCq, 1, [far.receiveOutcome(2000)]);
    },
  ),
  scenario(
    'CQ/event-solicited/write-imm',
    'A solicited write with immediate data raises the event; a plain write, solicited or not, touches no completion queue.',
    { ...manual, requirements: ['CQ-39', 'DATA-11'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv();
      far.guest.arm(far.recvCq, true);
      near.write({ solicited: true });
      far.guest.events(far.recvCq, 0);
      near.write({ solicited: true, imm: 9 });
      far.guest.events(far.recvCq, 1, [far.receiveOutcome({ bytes: 1024, imm: 9, write: true })]);
    },
  ),
  scenario(
    'CQ/event-solicited/datagram',
    'A solicited datagram raises the event.',
    { ...manual, requirements: ['CQ-39', 'CQ-41'] },
    script => {
      const [near, far] = script.pair('UD');
      far.recv({ times: 2 });
      far.guest.arm(far.recvCq, true);
      near.send();
      far.guest.events(far.recvCq, 0, [far.receiveOutcome(1024)]);
      near.send({ solicited: true });
      far.guest.events(far.recvCq, 1, [far.receiveOutcome(1024)]);
    },
  ),
  scenario(
    'CQ/event-solicited/own-send',
    "A successful send of one's own is not solicited, whatever its flags.",
    { ...manual, requirements: ['CQ-41'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv();
      near.guest.arm(near.sendCq, true);
      near.send({ solicited: true });
      near.guest.events(near.sendCq, 0, [near.sendOutcome('SUCCESS')]);
    },
  ),
  scenario(
    'CQ/event-solicited/error',
    'A completion with an error counts as solicited, on both sides.',
    { ...manual, requirements: ['CQ-40'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ bytes: 10 });
      near.guest.arm(near.sendCq, true);
      far.guest.arm(far.recvCq, true);
      near.send();
      near.guest.events(near.sendCq, 1, [near.sendOutcome('REM_INV_REQ_ERR')]);
      far.guest.events(far.recvCq, 1, [far.receiveOutcome('LOC_LEN_ERR')]);
    },
  ),
  scenario(
    'CQ/event-solicited/flush',
    'Flushed requests count as solicited.',
    { ...manual, requirements: ['CQ-40'] },
    script => {
      const [near] = script.pair('RC');
      near.recv({ times: 2 });
      near.guest.arm(near.recvCq, true);
      near.modify({ state: 'ERR' });
      near.guest.events(near.recvCq, 1, [
        near.receiveOutcome('WR_FLUSH_ERR'),
        near.receiveOutcome('WR_FLUSH_ERR'),
      ]);
    },
  ),
];

const both: readonly Scenario[] = [
  scenario(
    'CQ/event-rearm/widened',
    'Armed for solicited, then for any: a plain message raises the event.',
    { requirements: ['CQ-38'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv();
      far.guest.arm(far.recvCq, true);
      far.guest.arm(far.recvCq);
      near.send();
      far.guest.events(far.recvCq, 1, [far.receiveOutcome(1024)]);
    },
  ),
  scenario(
    'CQ/event-rearm/not-narrowed',
    'Armed for any, then for solicited: a plain message still raises the event.',
    { requirements: ['CQ-03'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv();
      far.guest.arm(far.recvCq);
      far.guest.arm(far.recvCq, true);
      near.send();
      far.guest.events(far.recvCq, 1, [far.receiveOutcome(1024)]);
    },
  ),
  scenario(
    'CQ/event/shared-queue',
    'On a queue that sends and receives share, the first completion of either kind raises the event.',
    { requirements: ['CQ-37', 'CQ-38'] },
    script => {
      const [near, far] = script.pair('RC', { oneCq: true });
      near.guest.fill(OUT, 100, 3);
      far.recv({ bytes: 100 });
      far.guest.arm(far.recvCq);
      near.send({ bytes: 100 });
      far.guest.events(far.recvCq, 1, [far.receiveOutcome(100)]);
      far.guest.arm(far.recvCq);
      far.write({ bytes: 100 });
      far.guest.events(far.recvCq, 2, [far.sendOutcome('SUCCESS')]);
      far.guest.holds(IN, 100, 3);
    },
  ),
];

export const notificationScenarios: readonly Scenario[] = [...any, ...solicited, ...both];
