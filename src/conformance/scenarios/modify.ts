/** MODIFY_QP: the way up step by step, what each step takes and refuses, and what QUERY_QP shows of it. */
import type { AttributesSpec } from '../program.js';
import type { EndpointType } from './endpoint.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const testQp = { source: 'rdma-core tests/test_qp.py' };
const manual = { source: 'libibverbs man ibv_modify_qp' };
const steps = ['INIT', 'RTR', 'RTS'] as const;
const after = { RESET: 'INIT', INIT: 'RTR', RTR: 'RTS' } as const;
const before = { INIT: 'RESET', RTR: 'INIT', RTS: 'RTR' } as const;

function lower(type: EndpointType): string {
  return type.toLowerCase();
}

const wayUp: readonly Scenario[] = (['RC', 'UC', 'UD', 'GSI'] as const).flatMap(type => [
  scenario(
    `QP/modify/${lower(type)}-way-up`,
    `${type}: RESET, INIT, RTR, RTS, and back to RESET; the state shown is the one that was set.`,
    { ...testQp, requirements: ['QP-23', 'QP-32', 'QP-33', 'QP-44'] },
    script => {
      const [near] = script.pair(type, { upTo: 'RESET' });
      for (let time = 0; time < 2; time++) {
        for (const to of steps) {
          near.modify(near.step(to));
          near.is(to);
        }
        near.modify({ state: 'RESET' });
        near.is('RESET');
      }
    },
  ),
  scenario(
    `QP/modify/${lower(type)}-missing-attributes`,
    `${type}: each step up is refused when any one of its required attributes is missing, and the state stays.`,
    { ...manual, requirements: ['QP-25', 'QP-30'] },
    script => {
      const [near] = script.pair(type, { upTo: 'RESET' });
      for (const to of steps) {
        const whole = near.step(to);
        for (const missing of Object.keys(whole).filter(name => name !== 'state')) {
          near.modify(without(whole, missing), 'EINVAL');
        }
        near.is(before[to]);
        near.modify(whole);
      }
      near.is('RTS');
    },
  ),
]);

function without(set: AttributesSpec, name: string): AttributesSpec {
  return Object.fromEntries(Object.entries(set).filter(([key]) => key !== name));
}

/** A refusal leaves the state as it was. */
function refusedIn(
  id: string,
  doc: string,
  requirements: readonly string[],
  state: 'RESET' | 'INIT' | 'RTR' | 'RTS',
  sets: readonly AttributesSpec[],
): Scenario {
  return scenario(`QP/modify/${id}`, doc, { requirements }, script => {
    const [near] = script.pair('RC', { upTo: state });
    const step = state === 'RTS' ? {} : near.step(after[state]);
    for (const set of sets) near.modify({ ...step, ...set }, 'EINVAL');
    near.is(state);
  });
}

const refusals: readonly Scenario[] = [
  scenario(
    'QP/modify/skipped-states',
    'No step can be left out on the way up, none taken twice, and RESET does not lead to ERR.',
    { requirements: ['QP-24', 'QP-30'] },
    script => {
      const [near] = script.pair('RC', { upTo: 'RESET' });
      near.modify(near.step('RTR'), 'EINVAL');
      near.modify(near.step('RTS'), 'EINVAL');
      near.modify({ state: 'ERR' }, 'EINVAL');
      near.modify({ state: 'SQD' }, 'EINVAL');
      near.modify({ state: 'SQE' }, 'EINVAL');
      near.is('RESET');
      near.modify(near.step('INIT'));
      near.modify(near.step('RTS'), 'EINVAL');
      near.modify({ state: 'SQD' }, 'EINVAL');
      near.is('INIT');
      near.modify(near.step('RTR'));
      near.modify(near.step('RTR'), 'EINVAL');
      near.modify({ state: 'SQD' }, 'EINVAL');
      near.is('RTR');
      near.modify(near.step('RTS'));
      near.modify({ state: 'RTR' }, 'EINVAL');
      near.modify({ state: 'INIT', access: 0 }, 'EINVAL');
      near.modify({ state: 'SQE' }, 'EINVAL');
      near.is('RTS');
    },
  ),
  refusedIn(
    'foreign-attribute-init',
    'A step to INIT does not take attributes of later steps.',
    ['QP-26'],
    'RESET',
    [{ timeout: 14 }, { pathMtu: 3 }, { qkey: 1 }, { sqPsn: 1 }],
  ),
  refusedIn(
    'foreign-attribute-rtr',
    'A step to RTR does not take attributes of the step to RTS.',
    ['QP-26'],
    'INIT',
    [{ timeout: 14 }, { retryCnt: 7 }, { sqPsn: 1 }, { qkey: 1 }],
  ),
  refusedIn('capacity-change', 'Capacities and rate limits cannot be changed.', ['QP-26'], 'RTS', [
    { cap: true },
    { rateLimit: 1000 },
    { state: 'RTS', cap: true },
  ]),
  refusedIn(
    'illegal-rtr-values',
    'Values outside their range are refused on the step to RTR.',
    ['QP-35', 'QP-37'],
    'INIT',
    [{ pathMtu: 0 }, { pathMtu: 6 }, { minRnrTimer: 32 }, { maxDestRdAtomic: 9 }],
  ),
  refusedIn(
    'illegal-rts-values',
    'Values outside their range are refused on the step to RTS.',
    ['QP-35'],
    'RTR',
    [{ timeout: 32 }, { retryCnt: 8 }, { rnrRetry: 8 }, { maxRdAtomic: 9 }],
  ),
  refusedIn(
    'mtu-above-active',
    'A path MTU above the active MTU of the port is refused.',
    ['QP-37'],
    'INIT',
    [{ pathMtu: 4 }, { pathMtu: 5 }],
  ),
  refusedIn(
    'empty-source-gid',
    'An address vector that names an empty or missing GID entry is refused.',
    ['QP-36', 'RST-21'],
    'INIT',
    [{ to: { vm: 1, gid: 0, sgidIndex: 1 } }, { to: { vm: 1, gid: 0, sgidIndex: 200 } }],
  ),
  refusedIn('unknown-access', 'A right that does not exist is refused.', ['QP-35'], 'RESET', [
    { access: 8 },
    { access: 0x100 },
  ]),
  scenario(
    'QP/modify/current-state',
    'A wrong claim of the current state is refused, a right one accepted.',
    { ...manual, requirements: ['QP-27', 'QP-30'] },
    script => {
      const [near] = script.pair('RC', { upTo: 'RTR' });
      near.modify({ ...near.step('RTS'), curState: 'RTS' }, 'EINVAL');
      near.modify({ ...near.step('RTS'), curState: 'SQD' }, 'EINVAL');
      near.is('RTR');
      near.modify({ ...near.step('RTS'), curState: 'RTR' });
      near.modify({ curState: 'SQE', minRnrTimer: 3 }, 'EINVAL');
      near.modify({ curState: 'RTS', minRnrTimer: 3 });
      near.is('RTS', { minRnrTimer: 3 });
    },
  ),
  scenario(
    'QP/modify/refused-changes-nothing',
    'A change with one bad attribute leaves the good ones as they were too.',
    { ...manual, requirements: ['QP-30'] },
    script => {
      const [near] = script.pair('RC', { upTo: 'RTR' });
      near.modify({ ...near.step('RTS'), minRnrTimer: 7, retryCnt: 9 }, 'EINVAL');
      near.is('RTR', { minRnrTimer: 12 });
    },
  ),
];

const attributes: readonly Scenario[] = [
  scenario(
    'QP/query/rc-attributes',
    'Every attribute of an RC queue pair is shown as it was set.',
    { ...testQp, requirements: ['QP-39'] },
    script => {
      const [near] = script.pair('RC', {
        access: 5,
        rtr: { pathMtu: 2, maxDestRdAtomic: 8, minRnrTimer: 31 },
        rts: { timeout: 21, retryCnt: 3, rnrRetry: 2, maxRdAtomic: 8, sqPsn: 0x45 },
      });
      near.is('RTS', {
        draining: false,
        pathMtu: 2,
        maxDestRdAtomic: 8,
        minRnrTimer: 31,
        timeout: 21,
        retryCnt: 3,
        rnrRetry: 2,
        maxRdAtomic: 8,
        sqPsn: 0x45,
        access: 5,
      });
    },
  ),
  scenario(
    'QP/query/ud-attributes',
    'The Q_Key of a UD queue pair, a privileged one too, and its first sequence number are shown as they were set.',
    { ...testQp, requirements: ['QP-39'] },
    script => {
      const [near] = script.pair('UD', { upTo: 'RESET' });
      near.modify({ state: 'INIT', qkey: 0x123 });
      near.is('INIT', { qkey: 0x123 });
      near.modify({ state: 'RTR' });
      near.modify({ state: 'RTS', sqPsn: 0x45 });
      near.is('RTS', { qkey: 0x123, sqPsn: 0x45 });
      near.modify({ qkey: 0x80000000 });
      near.is('RTS', { qkey: 0x80000000 });
    },
  ),
  scenario(
    'QP/modify/in-place',
    'Attributes change without a change of state where the table allows it, and not in RTR.',
    { requirements: ['QP-28', 'QP-32'] },
    script => {
      const [near] = script.pair('RC', { upTo: 'INIT' });
      near.modify({ access: 1 });
      near.is('INIT', { access: 1 });
      near.modify(near.step('RTR'));
      near.modify({ access: 7 }, 'EINVAL');
      near.modify(near.step('RTS'));
      near.modify({ access: 3, minRnrTimer: 5 });
      near.is('RTS', { access: 3, minRnrTimer: 5 });
      near.modify({ timeout: 9 }, 'EINVAL');
    },
  ),
  scenario(
    'QP/modify/reset-forgets',
    'After a move to RESET every attribute has to be given again.',
    { requirements: ['QP-40'] },
    script => {
      const [near] = script.pair('RC');
      near.modify({ state: 'RESET' });
      near.modify({ state: 'INIT' }, 'EINVAL');
      near.modify(near.step('INIT'));
      near.modify({ state: 'RTR' }, 'EINVAL');
      near.is('INIT');
    },
  ),
  scenario(
    'QP/modify/24-bit-sequence-numbers',
    'Of a sequence number the low 24 bits count, and sequence numbers go round.',
    { requirements: ['QP-38'] },
    script => {
      const [near, far] = script.pair('RC', { upTo: 'INIT' });
      near.modify(near.step('RTR'));
      far.modify({ ...far.step('RTR'), rqPsn: 0x77fffffe });
      near.modify({ ...near.step('RTS'), sqPsn: 0xfffffe });
      far.modify(far.step('RTS'));
      far.recv({ times: 4 });
      near.send({ times: 4 });
      near.sent(4);
      far.received(1024, 4);
    },
  ),
];

export const modifyScenarios: readonly Scenario[] = [...wayUp, ...refusals, ...attributes];
