/** Reasons to refuse CREATE_CQ, DESTROY_CQ and REQ_NOTIFY_CQ, one row each. */
import { NotifyFlag } from '../../../abi/index.js';
import { createCq, createQp, destroyCq, queryDevice, reqNotifyCq } from './messages.js';
import { fill, numberOfNeighbour, unknownNumber } from './numbers.js';
import { refusalCase, refuse } from './refusals.js';
import type { Refusal } from './refusals.js';
import { qpFields } from './site.js';

const completionQueues: readonly Refusal[] = [
  refuse(createCq, 'zero-depth', 'CREATE_CQ with no entries is refused.', ['CTRL-33'], () => ({ cqe: 0 })),
  refuse(
    createCq,
    'above-max-cqe',
    'CREATE_CQ above max_cqe is refused.',
    ['CTRL-34', 'CTRL-27'],
    ({ a }) => ({
      cqe: a.machine.must(queryDevice).max_cqe + 1,
    }),
  ),
  refuse(createCq, 'depth-of-32-bits', 'CREATE_CQ with 2^32 - 1 entries is refused.', ['CTRL-34'], () => ({
    cqe: 0xffff_ffff,
  })),
  refuse(
    createCq,
    'above-ring-size',
    'CREATE_CQ with more entries than its virtqueue has is refused.',
    ['CTRL-35'],
    () => ({ cqe: 9 }),
    { options: { queueSize: (index, queues) => (index === queues.cq(1) ? 8 : 32) } },
  ),
  refuse(
    createCq,
    'queue-disabled',
    'CREATE_CQ whose virtqueue is not enabled is refused.',
    ['CTRL-22'],
    () => ({ cqe: 4 }),
    { options: { queueSize: (index, queues) => (index === queues.cq(1) ? undefined : 32) } },
  ),
  refuse(
    createCq,
    'limit-reached',
    'CREATE_CQ is refused when max_rdma_cqs completion queues exist.',
    ['CTRL-36', 'RST-23'],
    ({ a: { machine } }) => {
      fill(machine, 'cq', machine.maxCqs, () => machine.must(createCq, { cqe: 1 }));
      return { cqe: 1 };
    },
  ),
  refuse(
    destroyCq,
    'unknown-number',
    'DESTROY_CQ of a number that no completion queue has is refused.',
    ['CTRL-38', 'RST-03'],
    () => ({ cqn: 3 }),
  ),
  refuse(
    destroyCq,
    'number-out-of-range',
    'DESTROY_CQ of a number above all is refused.',
    ['CTRL-38'],
    ({ a }) => ({ cqn: unknownNumber(a.machine, 'cq') }),
  ),
  refuse(
    destroyCq,
    'twice',
    'DESTROY_CQ of a destroyed number is refused.',
    ['RST-03', 'CTRL-38'],
    ({ a }) => {
      const { cqn } = a.machine.must(createCq, { cqe: 1 });
      a.machine.must(destroyCq, { cqn });
      return { cqn };
    },
  ),
  ...(['send_cqn', 'recv_cqn'] as const).map(member =>
    refuse(
      destroyCq,
      member === 'send_cqn' ? 'in-use-for-sends' : 'in-use-for-receives',
      `DESTROY_CQ is refused while a queue pair has it as ${member}.`,
      ['RST-02'],
      ({ a }) => {
        const { cqn } = a.machine.must(createCq, { cqe: 1 });
        a.machine.must(createQp, qpFields(a, { [member]: cqn }));
        return { cqn };
      },
    ),
  ),
  refuse(
    destroyCq,
    'of-another-machine',
    "DESTROY_CQ of a number that only another machine's completion queue has is refused.",
    ['ISO-01', 'CTRL-38'],
    scene => ({
      cqn: numberOfNeighbour(scene, 'cq', () => scene.b.machine.must(createCq, { cqe: 1 })),
    }),
  ),
  refuse(
    reqNotifyCq,
    'unknown-number',
    'REQ_NOTIFY_CQ of a number that no completion queue has is refused.',
    ['CTRL-39'],
    () => ({ cqn: 3, flags: NotifyFlag.NEXT_COMPLETION }),
  ),
  refuse(
    reqNotifyCq,
    'number-out-of-range',
    'REQ_NOTIFY_CQ of a number above all is refused.',
    ['CTRL-39'],
    ({ a }) => ({ cqn: unknownNumber(a.machine, 'cq'), flags: NotifyFlag.NEXT_COMPLETION }),
  ),
  refuse(
    reqNotifyCq,
    'after-destroy',
    'REQ_NOTIFY_CQ of a destroyed completion queue is refused.',
    ['CTRL-39'],
    ({ a }) => {
      const { cqn } = a.machine.must(createCq, { cqe: 1 });
      a.machine.must(destroyCq, { cqn });
      return { cqn, flags: NotifyFlag.NEXT_COMPLETION };
    },
  ),
  refuse(
    reqNotifyCq,
    'of-another-machine',
    "REQ_NOTIFY_CQ of a number that only another machine's completion queue has is refused.",
    ['ISO-01', 'CTRL-39'],
    scene => ({
      cqn: numberOfNeighbour(scene, 'cq', () => scene.b.machine.must(createCq, { cqe: 1 })),
      flags: NotifyFlag.NEXT_COMPLETION,
    }),
  ),
  refuse(reqNotifyCq, 'no-flags', 'REQ_NOTIFY_CQ for nothing is refused.', ['CTRL-40'], ({ a }) => ({
    cqn: a.cqn,
    flags: 0,
  })),
  ...[4, 0x8000_0000].map(flag =>
    refuse(
      reqNotifyCq,
      `unknown-flag-${flag.toString(16)}`,
      `REQ_NOTIFY_CQ with the flag 0x${flag.toString(16)} beside a known one is refused, and arms nothing.`,
      ['CTRL-41'],
      ({ a }) => ({ cqn: a.cqn, flags: flag + NotifyFlag.NEXT_COMPLETION }),
    ),
  ),
];

export const completionQueueRefusals = completionQueues.map(refusalCase);
