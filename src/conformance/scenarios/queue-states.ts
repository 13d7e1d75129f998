/** What queue pairs do in their states: posting early, ERR and flushing, RESET and starting again, draining, SQE. */
import { ALL_ACCESS, IN } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const manual = { source: 'libibverbs man ibv_modify_qp' };

const posting: readonly Scenario[] = [
  scenario(
    'QP/post/in-reset',
    'Nothing can be posted in RESET.',
    { source: 'rdma-core tests/test_qpex.py', requirements: ['QP-13', 'QP-14'] },
    script => {
      const [near] = script.pair('RC', { upTo: 'RESET' });
      near.send({}, 'EINVAL');
      near.recv({}, 'EINVAL');
      near.sends();
      near.receives();
    },
  ),
  scenario(
    'QP/post/before-rts',
    'Receives can be posted from INIT on, sends not before RTS; receives posted early are filled later.',
    { requirements: ['QP-13', 'QP-16', 'QP-19'] },
    script => {
      const [near, far] = script.pair('RC', { upTo: 'INIT' });
      far.send({}, 'EINVAL');
      far.recv();
      far.raise('RTR', 'INIT');
      far.send({}, 'EINVAL');
      far.recv();
      near.raise('RTS', 'INIT');
      near.send({ times: 2 });
      near.sent(2);
      far.received(1024, 2);
      far.is('RTR');
    },
  ),
  scenario(
    'QP/rtr/receives',
    'A queue pair in RTR answers writes and reads of its peer.',
    { requirements: ['QP-21'] },
    script => {
      const [near, far] = script.pair('RC', {}, { upTo: 'RTR' });
      far.guest.fill(0, 300, 8);
      near.guest.fill(0, 300, 9);
      near.write({ bytes: 300 });
      near.read({ bytes: 300 });
      near.sent(2);
      far.guest.holds(IN, 300, 9);
      near.guest.holds(IN, 300, 8);
    },
  ),
  scenario(
    'QP/init/peer-not-ready',
    'Packets for a queue pair in INIT are dropped: the requester tries as often as it may, then fails.',
    { requirements: ['QP-20', 'ERR-19'] },
    script => {
      const [near, far] = script.pair('RC', { rts: { retryCnt: 2, timeout: 8 } }, { upTo: 'INIT' });
      far.recv();
      near.send();
      near.sends('RETRY_EXC_ERR');
      far.receives();
      far.is('INIT');
      near.is('ERR');
    },
  ),
];

const errors: readonly Scenario[] = [
  scenario(
    'QP/error/flush',
    'Moved to ERR, a queue pair completes all it holds as flushed, in posting order, and flushes what is posted later.',
    { requirements: ['QP-47', 'QP-48', 'QP-49', 'QP-51'] },
    script => {
      const [near] = script.pair('RC');
      near.recv({ times: 3 });
      near.send({ times: 2 });
      near.send({ signaled: false });
      near.modify({ state: 'ERR' });
      near.sends('WR_FLUSH_ERR', 'WR_FLUSH_ERR', 'WR_FLUSH_ERR');
      near.receives('WR_FLUSH_ERR', 'WR_FLUSH_ERR', 'WR_FLUSH_ERR');
      near.send({ signaled: false });
      near.recv();
      near.sends('WR_FLUSH_ERR');
      near.receives('WR_FLUSH_ERR');
      near.is('ERR');
    },
  ),
  scenario(
    'QP/error/only-to-reset',
    'Out of ERR leads no way but the one over RESET.',
    { requirements: ['QP-24', 'QP-51'] },
    script => {
      const [near] = script.pair('RC');
      near.modify({ state: 'ERR' });
      near.modify({ state: 'ERR' });
      near.modify(near.step('RTS'), 'EINVAL');
      near.modify(near.step('INIT'), 'EINVAL');
      near.is('ERR');
      near.modify({ state: 'RESET' });
      near.is('RESET');
    },
  ),
  scenario(
    'QP/error/from-every-state',
    'ERR can be reached from INIT, RTR, RTS and SQD.',
    { requirements: ['QP-32'] },
    script => {
      const [near] = script.pair('RC', { upTo: 'RESET' });
      for (const upTo of ['INIT', 'RTR', 'RTS'] as const) {
        near.raise(upTo);
        near.modify({ state: 'ERR' });
        near.is('ERR');
        near.modify({ state: 'RESET' });
      }
      near.raise('RTS');
      near.modify({ state: 'SQD' });
      near.modify({ state: 'ERR' });
      near.is('ERR');
    },
  ),
  scenario(
    'QP/error/peer-in-error',
    'A queue pair in ERR answers nothing; its peer runs out of retries.',
    { requirements: ['QP-20', 'ERR-19'] },
    script => {
      const [near, far] = script.pair('RC', { rts: { retryCnt: 1, timeout: 8 } });
      far.modify({ state: 'ERR' });
      near.write();
      near.sends('RETRY_EXC_ERR');
    },
  ),
  scenario(
    'QP/reset/discards',
    'Moved to RESET, a queue pair completes nothing of what it held.',
    { requirements: ['QP-41', 'QP-12'] },
    script => {
      const [near] = script.pair('RC');
      near.recv({ times: 3 });
      near.send({ times: 3 });
      near.modify({ state: 'RESET' });
      near.sends();
      near.receives();
    },
  ),
  scenario(
    'QP/reset/keeps-completions',
    'Completions that are in the completion queue stay there when their queue pair is moved to RESET and destroyed.',
    { requirements: ['QP-43', 'RST-10'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ times: 2 });
      near.send({ times: 2 });
      const sent = [near.sendOutcome('SUCCESS'), near.sendOutcome('SUCCESS')];
      const received = [far.receiveOutcome(1024), far.receiveOutcome(1024)];
      near.modify({ state: 'RESET' });
      far.destroy();
      near.guest.poll(near.sendCq, sent);
      far.guest.poll(far.recvCq, received);
    },
  ),
  scenario(
    'QP/reset/restart',
    'Both ends go from ERR over RESET up to RTS with new sequence numbers, and traffic flows as on new queue pairs.',
    { source: 'rdma-core tests/test_mr.py', requirements: ['QP-12', 'QP-44', 'RST-06'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ bytes: 100 });
      near.send({ bytes: 200 });
      near.sends('REM_INV_REQ_ERR');
      far.receives('LOC_LEN_ERR');
      for (const end of [near, far]) end.modify({ state: 'RESET' });
      for (const end of [near, far]) {
        end.modify(end.step('INIT'));
        end.modify({ ...end.step('RTR'), rqPsn: 0x111111 });
        end.modify({ ...end.step('RTS'), sqPsn: 0x111111 });
      }
      near.guest.fill(0, 200, 70);
      for (let i = 0; i < 3; i++) {
        far.recv({ bytes: 200 });
        near.send({ bytes: 200 });
        near.sent();
        far.received(200);
      }
      far.guest.holds(IN, 200, 70);
    },
  ),
  scenario(
    'QP/destroy/outstanding',
    'A queue pair is destroyed with requests outstanding; none of them completes, and the peer times out.',
    { requirements: ['QP-10', 'QP-11', 'QP-41', 'RST-08'] },
    script => {
      const [near, far] = script.pair('RC', { rts: { retryCnt: 1, timeout: 8 } });
      near.recv({ times: 3 });
      near.send({ times: 2 });
      near.destroy();
      near.sends();
      near.receives();
      far.send();
      far.sends('RETRY_EXC_ERR');
    },
  ),
  scenario(
    'QP/destroy/number-reused',
    'A queue pair that gets the number of one that is gone has nothing of it: no request, no attribute, no packet.',
    { requirements: ['QP-03', 'QP-12', 'RST-11'] },
    script => {
      const pair = script.pair('RC');
      const [near] = pair;
      near.recv({ times: 3 });
      near.send({ times: 2 });
      near.destroy();
      const [again, other] = script.pairBeside('RC', pair);
      again.recv();
      other.send();
      other.sent();
      again.received();
      again.sends();
    },
  ),
];

const draining: readonly Scenario[] = [
  scenario(
    'QP/sqd/idle',
    'An idle queue pair is drained at once; sends posted then wait for RTS, receives are filled meanwhile.',
    { ...manual, requirements: ['QP-54', 'QP-55', 'QP-56', 'QP-58', 'QP-21'] },
    script => {
      const [near, far] = script.pair('RC');
      near.modify({ state: 'SQD' });
      near.is('SQD', { draining: false });
      far.recv({ times: 2 });
      near.send({ times: 2 });
      near.sends();
      near.recv();
      far.send();
      far.sent();
      near.received();
      far.receives();
      near.modify({ state: 'RTS' });
      near.sent(2);
      far.received(1024, 2);
    },
  ),
  scenario(
    'QP/sqd/draining',
    'A started send keeps the queue pair draining; until it is done only ERR and RESET are allowed.',
    { ...manual, requirements: ['QP-54', 'QP-56', 'QP-57'] },
    script => {
      const [near, far] = script.pair('RC');
      near.send();
      near.modify({ state: 'SQD' });
      near.is('SQD', { draining: true });
      near.modify({ state: 'RTS' }, 'EINVAL');
      near.modify({ state: 'SQD' }, 'EINVAL');
      far.recv();
      near.sent();
      far.received();
      near.is('SQD', { draining: false });
      near.modify({ state: 'RTS' });
    },
  ),
  scenario(
    'QP/sqd/draining-to-error',
    'A draining queue pair can be moved to ERR; the started send is flushed with the rest.',
    { requirements: ['QP-48', 'QP-57'] },
    script => {
      const [near] = script.pair('RC');
      near.send();
      near.modify({ state: 'SQD' });
      near.send();
      near.modify({ state: 'ERR' });
      near.sends('WR_FLUSH_ERR', 'WR_FLUSH_ERR');
      near.is('ERR', { draining: false });
    },
  ),
  scenario(
    'QP/sqd/attributes',
    'While drained the retry counts and the number of reads can be changed.',
    { ...manual, requirements: ['QP-32', 'QP-33'] },
    script => {
      const [near] = script.pair('RC');
      near.modify({ state: 'SQD' });
      near.modify({
        timeout: 9,
        retryCnt: 1,
        rnrRetry: 1,
        maxRdAtomic: 4,
        maxDestRdAtomic: 4,
        access: ALL_ACCESS,
      });
      near.is('SQD', { timeout: 9, retryCnt: 1, rnrRetry: 1, maxRdAtomic: 4, maxDestRdAtomic: 4 });
      near.modify({ state: 'RTS' });
      near.send();
      near.sends('RNR_RETRY_EXC_ERR');
    },
  ),
];

const sendErrors: readonly Scenario[] = (['UC', 'UD'] as const).map(type =>
  scenario(
    `QP/sqe/${type.toLowerCase()}`,
    `${type}: a send that fails stops the send queue alone; receiving goes on, and RTS starts sending again.`,
    { ...manual, requirements: ['QP-59', 'QP-60', 'QP-61', 'QP-62'] },
    script => {
      const [near, far] = script.pair(type);
      near.recv();
      near.send({ bytes: 64, mr: { of: near.mr, delta: 1 } });
      near.sends('LOC_PROT_ERR');
      near.is('SQE');
      near.send({ bytes: 64 });
      near.sends('WR_FLUSH_ERR');
      far.send({ bytes: 64 });
      far.sent();
      near.received(64);
      near.modify({ state: 'RTS' });
      far.recv({ bytes: 64 });
      near.send({ bytes: 64 });
      near.sent();
      far.received(64);
    },
  ),
);

export const queueStateScenarios: readonly Scenario[] = [...posting, ...errors, ...draining, ...sendErrors];
