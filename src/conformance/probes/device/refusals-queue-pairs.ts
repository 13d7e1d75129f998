/** Reasons to refuse CREATE_QP, QUERY_QP and DESTROY_QP, one row each. */
import { QpType } from '../../../abi/index.js';
import { createCq, createQp, destroyCq, destroyQp, queryDevice, queryQp } from './messages.js';
import { destroyedPd, fill, foreignPd, numberOfNeighbour, unknownNumber } from './numbers.js';
import { refusalCase, refuse } from './refusals.js';
import type { Refusal } from './refusals.js';
import { qpFields, smallCap } from './site.js';
import type { Pair, Side } from './site.js';

type Fields = Parameters<typeof qpFields>[1];
type Capacity = keyof typeof smallCap;

const create = (
  condition: string,
  doc: string,
  ids: readonly string[],
  fields: (scene: Pair) => Fields,
  more: Pick<Refusal, 'options' | 'chapter'> = {},
): Refusal => refuse(createQp, condition, doc, ids, scene => qpFields(scene.a, fields(scene)), more);

/** A capacity one above what is advertised, or what the ring holds. */
const capacity = (
  member: Capacity,
  condition: string,
  id: string,
  above: (side: Side) => number,
  more: Pick<Refusal, 'options'> = {},
): Refusal =>
  create(
    condition,
    `CREATE_QP with a ${member} that is too large by one is refused.`,
    [id],
    ({ a }) => ({ cap: { ...smallCap, [member]: above(a) + 1 } }),
    more,
  );

const limitsOf = ({ machine }: Side) => machine.must(queryDevice);

const domains: readonly Refusal[] = [
  create(
    'unknown-domain',
    'CREATE_QP in a protection domain that does not exist is refused.',
    ['CTRL-70'],
    ({ a }) => ({ pdn: unknownNumber(a.machine, 'pd') }),
  ),
  create(
    'destroyed-domain',
    'CREATE_QP in a destroyed protection domain is refused.',
    ['RST-26', 'CTRL-70'],
    ({ a }) => ({ pdn: destroyedPd(a) }),
  ),
  create(
    'domain-of-another-machine',
    "CREATE_QP in another machine's protection domain is refused.",
    ['ISO-01', 'CTRL-70'],
    scene => ({ pdn: foreignPd(scene) }),
  ),
  ...(['send_cqn', 'recv_cqn'] as const).flatMap(member => {
    const id = member === 'send_cqn' ? 'CTRL-71' : 'CTRL-72';
    const way = member === 'send_cqn' ? 'send' : 'receive';
    return [
      create(
        `unknown-${way}-queue`,
        `CREATE_QP whose ${member} no completion queue has is refused.`,
        [id],
        () => ({ [member]: 3 }),
      ),
      create(
        `destroyed-${way}-queue`,
        `CREATE_QP whose ${member} is destroyed is refused.`,
        [id],
        ({ a }) => {
          const { cqn } = a.machine.must(createCq, { cqe: 1 });
          a.machine.must(destroyCq, { cqn });
          return { [member]: cqn };
        },
      ),
      create(
        `${way}-queue-of-another-machine`,
        `CREATE_QP whose ${member} only another machine has is refused.`,
        ['ISO-01', id],
        scene => ({
          [member]: numberOfNeighbour(scene, 'cq', () => scene.b.machine.must(createCq, { cqe: 1 })),
        }),
      ),
    ];
  }),
];

const values: readonly Refusal[] = [
  create('type-smi', 'CREATE_QP of type SMI is refused.', ['CTRL-73'], () => ({ qp_type: QpType.SMI })),
  ...[5, 255].map(qp_type =>
    create(`type-${qp_type}`, `CREATE_QP of type ${qp_type} is refused.`, ['CTRL-74'], () => ({ qp_type })),
  ),
  ...[2, 255].map(sq_sig_all =>
    create(
      `sig-all-${sq_sig_all}`,
      `CREATE_QP with a sq_sig_all of ${sq_sig_all} is refused.`,
      ['CTRL-75'],
      () => ({ sq_sig_all }),
    ),
  ),
  capacity('max_send_wr', 'sends-above-limit', 'CTRL-76', side => limitsOf(side).max_qp_wr),
  capacity('max_recv_wr', 'receives-above-limit', 'CTRL-76', side => limitsOf(side).max_qp_wr),
  capacity('max_send_wr', 'sends-above-ring-size', 'CTRL-77', () => 8, {
    options: { queueSize: (index, queues) => (index === queues.sq(3) ? 8 : 32) },
  }),
  capacity('max_recv_wr', 'receives-above-ring-size', 'CTRL-77', () => 8, {
    options: { queueSize: (index, queues) => (index === queues.rq(3) ? 8 : 32) },
  }),
  capacity('max_send_sge', 'gather-elements-above-limit', 'CTRL-78', side => limitsOf(side).max_send_sge),
  capacity('max_recv_sge', 'scatter-elements-above-limit', 'CTRL-79', side => limitsOf(side).max_recv_sge),
  capacity('max_inline_data', 'inline-above-512', 'CTRL-80', () => 512),
  capacity('max_send_wr', 'sends-of-32-bits', 'CTRL-76', () => 0xffff_fffe),
  capacity('max_inline_data', 'inline-of-32-bits', 'CTRL-80', () => 0xffff_fffe),
];

const numbers: readonly Refusal[] = [
  create(
    'second-gsi',
    'CREATE_QP of type GSI is refused while one exists.',
    ['CTRL-81', 'QP-05'],
    ({ a }) => {
      a.machine.must(createQp, qpFields(a, { qp_type: QpType.GSI }));
      return { qp_type: QpType.GSI };
    },
  ),
  create(
    'limit-reached',
    'CREATE_QP is refused when no number from 2 on is free, though the GSI number is.',
    ['CTRL-82', 'QP-05', 'RST-23', 'RST-25'],
    ({ a }) => {
      fill(a.machine, 'qp', a.machine.maxQps - 2, () => a.machine.must(createQp, qpFields(a)));
      return {};
    },
  ),
  ...(['sq', 'rq'] as const).map(half =>
    create(
      half === 'sq' ? 'send-queue-disabled' : 'receive-queue-disabled',
      `CREATE_QP is refused when the ${half === 'sq' ? 'send' : 'receive'} virtqueue of its number is not enabled.`,
      ['CTRL-23'],
      () => ({}),
      { options: { queueSize: (index, queues) => (index === queues[half](3) ? undefined : 32) } },
    ),
  ),
];

/** What QUERY_QP and DESTROY_QP have in common: a number that names nothing. */
function unknownNumbers(shape: typeof queryQp | typeof destroyQp, id: string): Refusal[] {
  const number = (qpn: number): Uint8Array => {
    const data = new Uint8Array(shape.request.size);
    new DataView(data.buffer).setUint32(0, qpn, true);
    return data;
  };
  const row = (
    condition: string,
    doc: string,
    ids: readonly string[],
    qpn: (scene: Pair) => number,
  ): Refusal =>
    shape.name === 'QUERY_QP'
      ? refuse(queryQp, condition, doc, ids, scene => number(qpn(scene)))
      : refuse(destroyQp, condition, doc, ids, scene => number(qpn(scene)));
  const { name } = shape;
  return [
    row('unknown-number', `${name} of a number that no queue pair has is refused.`, [id], () => 4),
    row('number-zero', `${name} of number 0, which no queue pair ever has, is refused.`, [id], () => 0),
    row('number-of-gsi', `${name} of number 1 is refused while there is no GSI.`, [id], () => 1),
    row('number-out-of-range', `${name} of a number above all is refused.`, [id], ({ a }) =>
      unknownNumber(a.machine, 'qp'),
    ),
    row('after-destroy', `${name} of a destroyed queue pair is refused.`, ['RST-03', id], ({ a }) => {
      const { qpn } = a.machine.must(createQp, qpFields(a));
      a.machine.must(destroyQp, { qpn });
      return qpn;
    }),
    row(
      'of-another-machine',
      `${name} of a number that only another machine's queue pair has is refused.`,
      ['ISO-01', id],
      scene => numberOfNeighbour(scene, 'qp', () => scene.b.machine.must(createQp, qpFields(scene.b))),
    ),
  ];
}

export const queuePairRefusals = [
  ...domains,
  ...values,
  ...numbers,
  ...unknownNumbers(queryQp, 'CTRL-89'),
  ...unknownNumbers(destroyQp, 'CTRL-93'),
].map(refusalCase);
