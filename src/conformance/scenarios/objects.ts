/** Life and limits of protection domains, completion queues, queue pairs, address handles and GID table entries. */
import { smallLimits } from '../limits.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const { attributes, port, device } = smallLimits;
const one = { hosts: [0] };
const testDevice = { ...one, source: 'rdma-core tests/test_device.py' };
const testPd = { ...one, source: 'rdma-core tests/test_pd.py' };
const testCq = { ...one, source: 'rdma-core tests/test_cq.py' };
const testAddr = { ...one, source: 'rdma-core tests/test_addr.py' };
const testQp = { ...one, source: 'rdma-core tests/test_qp.py' };

/** Runs `make` so often. */
function several<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

const deviceAndPort: readonly Scenario[] = [
  scenario(
    'CTRL/query-device/repeated',
    'A device can be asked for its limits, more than once.',
    testDevice,
    ({ guests: [guest] }) => {
      guest.do({ op: 'queryDevice' });
      guest.do({ op: 'queryDevice' });
    },
  ),
  scenario(
    'CTRL/query-port/limits',
    'A port can be asked for its limits.',
    testDevice,
    ({ guests: [guest] }) => {
      guest.do({ op: 'queryPort' });
    },
  ),
];

const domains: readonly Scenario[] = [
  scenario(
    'CTRL/create-pd/and-destroy',
    'A protection domain is created and destroyed, many times over.',
    testPd,
    ({ guests: [guest] }) => {
      for (let i = 0; i < 20; i++) guest.do({ op: 'destroyPd', pd: guest.pd() });
    },
  ),
  scenario(
    'CTRL/destroy-pd/again',
    'A second destroy is refused.',
    { ...one, requirements: ['RST-03', 'RST-26'] },
    ({ guests: [guest] }) => {
      const pd = guest.pd();
      guest.do({ op: 'destroyPd', pd });
      guest.do({ op: 'destroyPd', pd, expect: 'EINVAL' });
    },
  ),
  scenario(
    'CTRL/destroy-pd/with-region',
    'A protection domain with a region is kept until the region is gone.',
    { ...one, source: 'libibverbs man ibv_alloc_pd', requirements: ['RST-01', 'ERR-03'] },
    ({ guests: [guest] }) => {
      const pd = guest.pd();
      const mr = guest.mr(pd);
      guest.do({ op: 'destroyPd', pd, expect: 'EBUSY' });
      guest.do({ op: 'deregMr', mr });
      guest.do({ op: 'destroyPd', pd });
    },
  ),
  scenario(
    'CTRL/destroy-pd/with-queue-pair',
    'A protection domain with a queue pair is kept until the queue pair is gone.',
    { ...one, source: 'libibverbs man ibv_alloc_pd', requirements: ['RST-01', 'ERR-03'] },
    ({ guests: [guest] }) => {
      const pd = guest.pd();
      const qp = guest.qp('RC', { pd, sendCq: guest.cq() });
      guest.do({ op: 'destroyPd', pd, expect: 'EBUSY' });
      guest.do({ op: 'destroyQp', qp });
      guest.do({ op: 'destroyPd', pd });
    },
  ),
  scenario(
    'CTRL/destroy-pd/with-address-handle',
    'A protection domain with an address handle is kept until the handle is gone.',
    { ...one, source: 'libibverbs man ibv_alloc_pd', requirements: ['RST-01', 'ERR-03'] },
    ({ guests: [guest] }) => {
      guest.address();
      const pd = guest.pd();
      const ah = guest.ah(pd, { vm: 0 });
      guest.do({ op: 'destroyPd', pd, expect: 'EBUSY' });
      guest.do({ op: 'destroyAh', ah });
      guest.do({ op: 'destroyPd', pd });
    },
  ),
  scenario(
    'CTRL/create-pd/limit',
    'As many protection domains as advertised, no more, and room again when one is gone.',
    { ...one, requirements: ['ERR-02', 'RST-22', 'RST-23', 'RST-24'] },
    ({ guests: [guest] }) => {
      const all = several(attributes.maxPd, () => guest.pd());
      guest.pd('ENOMEM');
      guest.do({ op: 'destroyPd', pd: all[3] });
      guest.pd();
      guest.pd('ENOMEM');
    },
  ),
];

const completionQueues: readonly Scenario[] = [
  scenario(
    'CTRL/create-cq/depths',
    'Completion queues of one entry, half of the limit and the limit.',
    testCq,
    ({ guests: [guest] }) => {
      for (const cqe of [1, attributes.maxCqe / 2, attributes.maxCqe])
        guest.do({ op: 'destroyCq', cq: guest.cq(cqe) });
    },
  ),
  scenario(
    'CTRL/create-cq/too-deep',
    'A completion queue of one entry more than the limit is refused.',
    testCq,
    ({ guests: [guest] }) => {
      guest.cq(attributes.maxCqe + 1, 'EINVAL');
      guest.cq(0xffffffff, 'EINVAL');
      guest.cq(attributes.maxCqe);
    },
  ),
  scenario(
    'CTRL/create-cq/no-entries',
    'A completion queue without entries is refused.',
    one,
    ({ guests: [guest] }) => {
      guest.cq(0, 'EINVAL');
      guest.cq(1);
    },
  ),
  scenario(
    'CTRL/destroy-cq/again',
    'A second destroy is refused.',
    { ...one, requirements: ['RST-03', 'RST-26'] },
    ({ guests: [guest] }) => {
      const cq = guest.cq();
      guest.do({ op: 'destroyCq', cq });
      guest.do({ op: 'destroyCq', cq, expect: 'EINVAL' });
    },
  ),
  scenario(
    'CTRL/destroy-cq/in-use',
    'A completion queue that a queue pair sends or receives through is kept.',
    { ...one, source: 'libibverbs man ibv_create_cq', requirements: ['RST-02', 'ERR-03'] },
    ({ guests: [guest] }) => {
      const [sendCq, recvCq] = several(2, () => guest.cq());
      const qp = guest.qp('UD', { pd: guest.pd(), sendCq, recvCq });
      guest.do({ op: 'destroyCq', cq: sendCq, expect: 'EBUSY' });
      guest.do({ op: 'destroyCq', cq: recvCq, expect: 'EBUSY' });
      guest.do({ op: 'destroyQp', qp });
      guest.do({ op: 'destroyCq', cq: sendCq });
      guest.do({ op: 'destroyCq', cq: recvCq });
    },
  ),
  scenario(
    'CTRL/create-cq/limit',
    'As many completion queues as the device has, no more, and room again when one is gone.',
    { ...one, requirements: ['ERR-02', 'RST-22', 'RST-23', 'RST-24'] },
    ({ guests: [guest] }) => {
      const all = several(device.maxCqs, () => guest.cq(4));
      guest.cq(4, 'ENOMEM');
      guest.do({ op: 'destroyCq', cq: all[5] });
      guest.cq(8);
      guest.cq(4, 'ENOMEM');
    },
  ),
];

const handles: readonly Scenario[] = [
  scenario(
    'CTRL/create-ah/and-destroy',
    'An address handle to the own GID is created and destroyed.',
    testAddr,
    ({ guests: [guest] }) => {
      guest.address();
      guest.do({ op: 'destroyAh', ah: guest.ah(guest.pd(), { vm: 0 }) });
    },
  ),
  scenario(
    'CTRL/destroy-ah/again',
    'A second destroy is refused.',
    { ...testAddr, requirements: ['RST-03', 'RST-04', 'RST-26'] },
    ({ guests: [guest] }) => {
      guest.address();
      const ah = guest.ah(guest.pd(), { vm: 0 });
      guest.do({ op: 'destroyAh', ah });
      guest.do({ op: 'destroyAh', ah, expect: 'EINVAL' });
    },
  ),
  scenario(
    'CTRL/create-ah/empty-source-gid',
    'An address handle that names an empty or missing entry of the GID table is refused.',
    { ...one, requirements: ['RST-21'] },
    ({ guests: [guest] }) => {
      const pd = guest.pd();
      guest.ah(pd, { vm: 0 }, 'EINVAL');
      guest.address();
      guest.ah(pd, { vm: 0, sgidIndex: 1 }, 'EINVAL');
      guest.ah(pd, { vm: 0, sgidIndex: port.gidTableLength }, 'EINVAL');
      guest.do({ op: 'addGid', index: 1, gid: 1 });
      guest.ah(pd, { vm: 0, sgidIndex: 1 });
      guest.do({ op: 'delGid', index: 1 });
      guest.ah(pd, { vm: 0, sgidIndex: 1 }, 'EINVAL');
    },
  ),
  scenario(
    'CTRL/create-ah/unknown-destination',
    'An address handle to a GID that nobody has can be created.',
    one,
    ({ guests: [guest] }) => {
      guest.address();
      guest.ah(guest.pd(), { vm: 3, gid: 77 });
    },
  ),
  scenario(
    'CTRL/create-ah/limit',
    'As many address handles as advertised, no more, and room again when one is gone.',
    { ...one, requirements: ['ERR-02', 'RST-22', 'RST-23', 'RST-24'] },
    ({ guests: [guest] }) => {
      guest.address();
      const pd = guest.pd();
      const all = several(attributes.maxAh, () => guest.ah(pd, { vm: 0 }));
      guest.ah(pd, { vm: 0 }, 'ENOMEM');
      guest.do({ op: 'destroyAh', ah: all[0] });
      guest.ah(pd, { vm: 0 });
      guest.ah(pd, { vm: 0 }, 'ENOMEM');
    },
  ),
];

const gids: readonly Scenario[] = [
  scenario(
    'CTRL/add-gid/and-delete',
    'Every entry of the GID table can be set, cleared and set again.',
    one,
    ({ guests: [guest] }) => {
      for (let index = 0; index < port.gidTableLength; index++) guest.do({ op: 'addGid', index, gid: index });
      for (let index = 0; index < port.gidTableLength; index++) guest.do({ op: 'delGid', index });
      guest.do({ op: 'addGid', index: 0, gid: 5 });
    },
  ),
  scenario(
    'CTRL/add-gid/index-too-large',
    'An index past the GID table is refused, for adding and deleting.',
    one,
    ({ guests: [guest] }) => {
      guest.do({ op: 'addGid', index: port.gidTableLength, gid: 0, expect: 'EINVAL' });
      guest.do({ op: 'delGid', index: port.gidTableLength, expect: 'EINVAL' });
      guest.do({ op: 'addGid', index: 0xffff, gid: 0, expect: 'EINVAL' });
      guest.do({ op: 'addGid', index: port.gidTableLength - 1, gid: 0 });
    },
  ),
  scenario('CTRL/del-gid/empty', 'Deleting an empty entry is refused.', one, ({ guests: [guest] }) => {
    guest.do({ op: 'delGid', index: 0, expect: 'refused' });
    guest.do({ op: 'addGid', index: 0, gid: 0 });
    guest.do({ op: 'delGid', index: 0 });
    guest.do({ op: 'delGid', index: 0, expect: 'refused' });
  }),
  scenario(
    'CTRL/add-gid/taken',
    'A machine cannot take the GID that another one has, but can once it is free.',
    {},
    ({ guests: [guest, thief] }) => {
      guest.do({ op: 'addGid', index: 0, gid: 0 });
      thief.do({ op: 'addGid', index: 0, gid: 0, of: 0, expect: 'refused' });
      guest.do({ op: 'delGid', index: 0 });
      thief.do({ op: 'addGid', index: 0, gid: 0, of: 0 });
    },
  ),
  scenario(
    'CTRL/add-gid/replace',
    'Setting an occupied entry replaces it: the old GID is free then.',
    {},
    ({ guests: [guest, other] }) => {
      guest.do({ op: 'addGid', index: 0, gid: 0 });
      guest.do({ op: 'addGid', index: 0, gid: 1 });
      other.do({ op: 'addGid', index: 0, gid: 0, of: 0 });
      other.do({ op: 'addGid', index: 1, gid: 1, of: 0, expect: 'refused' });
    },
  ),
];

const queuePairs: readonly Scenario[] = [
  ...(['RC', 'UC', 'UD', 'GSI'] as const).map(type =>
    scenario(
      `CTRL/create-qp/${type.toLowerCase()}`,
      `A new queue pair of type ${type} is in RESET, and goes when it is destroyed.`,
      { ...testQp, requirements: ['QP-08', 'QP-10', 'QP-23'] },
      ({ guests: [guest] }) => {
        const qp = guest.qp(type, { pd: guest.pd(), sendCq: guest.cq() });
        guest.do({ op: 'queryQp', qp, expectState: 'RESET' });
        guest.do({ op: 'destroyQp', qp });
        guest.do({ op: 'queryQp', qp, expect: 'EINVAL' });
      },
    ),
  ),
  scenario(
    'CTRL/create-qp/smi',
    'There is no subnet management queue pair on RoCE.',
    { ...one, requirements: ['CTRL-73'] },
    ({ guests: [guest] }) => {
      guest.qp('SMI', { pd: guest.pd(), sendCq: guest.cq() }, 'EINVAL');
    },
  ),
  scenario(
    'CTRL/create-qp/gsi-once',
    'One GSI queue pair at a time.',
    { ...one, requirements: ['QP-04', 'QP-05'] },
    ({ guests: [guest] }) => {
      const init = { pd: guest.pd(), sendCq: guest.cq() };
      const first = guest.qp('GSI', init);
      guest.qp('GSI', init, 'refused');
      guest.do({ op: 'destroyQp', qp: first });
      guest.qp('GSI', init);
    },
  ),
  scenario(
    'CTRL/create-qp/capacities',
    'Capacities at the limits are granted; one more of anything is refused.',
    { ...testQp, requirements: ['CTRL-76', 'CTRL-78', 'CTRL-79', 'CTRL-80'] },
    ({ guests: [guest] }) => {
      const init = { pd: guest.pd(), sendCq: guest.cq() };
      const { maxQpWr, maxSendSge, maxRecvSge } = attributes;
      const most = {
        sendWr: maxQpWr,
        recvWr: maxQpWr,
        sendSge: maxSendSge,
        recvSge: maxRecvSge,
        inline: 512,
      };
      guest.qp('RC', { ...init, cap: most });
      for (const name of ['sendWr', 'recvWr', 'sendSge', 'recvSge', 'inline'] as const) {
        guest.qp('RC', { ...init, cap: { ...most, [name]: most[name] + 1 } }, 'EINVAL');
      }
    },
  ),
  scenario(
    'CTRL/create-qp/capacities-absurd',
    'Capacities far outside the limits are refused, and nothing is created.',
    { ...testQp, requirements: ['CTRL-76', 'RST-25'] },
    ({ guests: [guest] }) => {
      const [pd, sendCq] = [guest.pd(), guest.cq()];
      const absurd = [
        { sendWr: 0xffffffff },
        { recvWr: 0xffffffff },
        { sendSge: 0xffff },
        { recvSge: 0xffff },
      ];
      for (const cap of absurd) guest.qp('UD', { pd, sendCq, cap }, 'EINVAL');
      guest.do({ op: 'destroyCq', cq: sendCq });
      guest.do({ op: 'destroyPd', pd });
    },
  ),
  scenario(
    'CTRL/create-qp/limit',
    'As many queue pairs as there are numbers from 2 on; one more is refused and the others keep working.',
    { ...one, requirements: ['QP-03', 'QP-05', 'RST-22', 'RST-23', 'RST-24'] },
    script => {
      const [near, far] = script.pair('RC');
      const init = { pd: near.pd, sendCq: near.sendCq, cap: { sendWr: 2, recvWr: 2 } };
      const others = several(device.maxQps - 4, () => near.guest.qp('UC', init));
      near.guest.qp('UC', init, 'ENOMEM');
      far.recv();
      near.send();
      near.sent();
      far.received();
      near.guest.do({ op: 'destroyQp', qp: others[2] });
      near.guest.qp('RC', init);
    },
  ),
  scenario(
    'CTRL/destroy-qp/twice',
    'A second destroy is refused.',
    { ...one, requirements: ['CTRL-84', 'CTRL-89', 'CTRL-93', 'RST-03'] },
    ({ guests: [guest] }) => {
      const qp = guest.qp('RC', { pd: guest.pd(), sendCq: guest.cq() });
      guest.do({ op: 'destroyQp', qp });
      guest.do({ op: 'destroyQp', qp, expect: 'EINVAL' });
      guest.do({ op: 'modifyQp', qp, set: { state: 'RESET' }, expect: 'EINVAL' });
    },
  ),
];

export const objectScenarios: readonly Scenario[] = [
  ...deviceAndPort,
  ...domains,
  ...completionQueues,
  ...handles,
  ...gids,
  ...queuePairs,
];
