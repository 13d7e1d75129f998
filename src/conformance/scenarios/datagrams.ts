/** Datagrams: the 40 bytes before them, whom they reach, what makes them disappear, and address handles. */
import { gidOf } from '../patterns.js';
import { GSI_QKEY, QKEY } from './endpoint.js';
import type { Endpoint } from './endpoint.js';
import { IN, OUT } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const testBase = { source: 'rdma-core tests/base.py' };
const HEADER = 40;

/** A datagram that gets lost on purpose, then one that arrives in the same receive. */
function lostThenFound(near: Endpoint, far: Endpoint, lost: () => void): void {
  far.recv();
  lost();
  near.sent();
  far.receives();
  near.send();
  near.sent();
  far.received();
  far.is('RTS');
}

const arrival: readonly Scenario[] = [
  scenario(
    'DATA/ud/send',
    'A datagram lies 40 bytes into its receive; the completion counts them and names the sender.',
    { ...testBase, requirements: ['DATA-48', 'DATA-49', 'CQ-23', 'CQ-25'] },
    script => {
      const [near, far] = script.pair('UD');
      near.guest.fill(OUT, 1024, 10);
      far.recv();
      near.send();
      near.sent();
      far.received();
      far.guest.holds(IN + HEADER, 1024, 10);
    },
  ),
  scenario(
    'DATA/ud/global-route',
    'The 40 bytes hold the GIDs of sender and receiver, so that an answer can be addressed.',
    { source: 'librdmacm', requirements: ['DATA-48', 'DATA-50'] },
    script => {
      const [near, far] = script.pair('UD');
      far.recv({ bytes: 8 });
      near.send({ bytes: 8 });
      far.guest.holds(IN + 8, 16, gidOf(0, 0));
      far.guest.holds(IN + 24, 16, gidOf(1, 0));
      far.received(8);
      near.sent();
      near.recv({ bytes: 8 });
      far.send({ bytes: 8 });
      far.sent();
      near.received(8);
    },
  ),
  scenario(
    'DATA/ud/empty',
    'A datagram of no bytes has its 40 bytes all the same.',
    { ...testBase, requirements: ['DATA-40', 'DATA-49'] },
    script => {
      const [near, far] = script.pair('UD');
      far.recv({ bytes: 0 });
      near.send({ bytes: 0 });
      near.sent();
      far.received(0);
    },
  ),
  scenario(
    'DATA/ud/send-imm',
    'Immediate data comes with a datagram, marked as such.',
    { source: 'rdma-core tests/test_qpex.py', requirements: ['CQ-23', 'CQ-24'] },
    script => {
      const [near, far] = script.pair('UD');
      far.recv({ times: 2 });
      near.send({ imm: 1234 });
      near.send({ imm: 0 });
      near.sent(2);
      far.receives({ bytes: 1024, imm: 1234 }, { bytes: 1024, imm: 0 });
    },
  ),
  scenario(
    'DATA/ud/inline',
    'A datagram carries inline data.',
    { requirements: ['DATA-36', 'DATA-47'] },
    script => {
      const [near, far] = script.pair('UD');
      far.recv({ bytes: 60 });
      const wr = near.send({ inline: 60 });
      near.sent();
      far.received(60);
      far.guest.holds(IN + HEADER, 60, wr);
    },
  ),
  scenario(
    'DATA/ud/scattered',
    'The 40 bytes and the datagram are scattered over the elements one behind the other.',
    { requirements: ['DATA-38', 'DATA-48'] },
    script => {
      const [near, far] = script.pair('UD');
      near.guest.fill(OUT, 256, 11);
      const { mr } = far;
      far.recv({
        sges: [
          { at: IN, length: HEADER, mr },
          { at: 0, length: 256, mr },
        ],
      });
      near.send({ bytes: 256 });
      near.sent();
      far.received(256);
      far.guest.holds(0, 256, 11);
    },
  ),
  scenario(
    'DATA/ud/largest',
    'A datagram of exactly the active MTU is sent, one of a byte more is refused at once.',
    { requirements: ['ERR-08', 'DATA-49'] },
    script => {
      const [near, far] = script.pair('UD');
      far.recv({ bytes: 1024 });
      near.send({ bytes: 1025 }, 'EINVAL');
      near.send({ bytes: 1024 });
      near.sent();
      far.received(1024);
    },
  ),
  scenario(
    'DATA/ud/to-itself',
    'A queue pair sends a datagram to itself.',
    { hosts: [0], requirements: ['DATA-55'] },
    script => {
      const [near] = script.pair('UD');
      near.peer = near;
      near.recv({ bytes: 100 });
      near.send({ bytes: 100 });
      near.sent();
      near.received(100);
    },
  ),
  scenario(
    'DATA/ud/one-to-many',
    'One queue pair sends to two machines in turn; each gets its own, and both answers arrive at the one.',
    { hosts: [0, 1, 1], requirements: ['ISO-11', 'CQ-25'] },
    script => {
      const [first, second, third] = script.guests;
      const [hub, left] = script.pairOn(first, second, 'UD');
      const [, right] = script.pairOn(first, third, 'UD');
      right.peer = hub;
      for (const spoke of [left, right]) {
        spoke.recv({ bytes: 64 });
        hub.peer = spoke;
        hub.send({ bytes: 64 });
        hub.sent();
        spoke.received(64);
        hub.recv({ bytes: 32 });
        spoke.send({ bytes: 32 });
        spoke.sent();
        hub.received(32);
      }
    },
  ),
];

const disappearance: readonly Scenario[] = [
  scenario(
    'DATA/ud-lost/wrong-qkey',
    'A datagram with a wrong Q_Key is dropped; the receive takes the next one.',
    { requirements: ['ISO-13', 'DATA-53'] },
    script => {
      const [near, far] = script.pair('UD');
      lostThenFound(near, far, () => near.send({ qkey: QKEY + 1 }));
    },
  ),
  scenario(
    'DATA/ud-lost/too-long',
    'A datagram longer than its receive is dropped; the receive takes one that fits.',
    { requirements: ['ERR-20', 'DATA-49'] },
    script => {
      const [near, far] = script.pair('UD');
      far.guest.fill(IN, 200, 1);
      far.recv({ bytes: 100 });
      near.send({ bytes: 101 });
      near.sent();
      far.receives();
      far.guest.holds(IN, 200, 1);
      near.send({ bytes: 100 });
      near.sent();
      far.received(100);
    },
  ),
  scenario(
    'DATA/ud-lost/no-receive',
    'A datagram that meets no receive is dropped.',
    { requirements: ['DATA-52', 'DATA-53'] },
    script => {
      const [near, far] = script.pair('UD');
      near.send();
      near.sent();
      far.recv();
      far.receives();
      far.is('RTS');
    },
  ),
  scenario(
    'DATA/ud-lost/unknown-queue-pair',
    'A datagram to a number that no queue pair has is dropped.',
    { requirements: ['DATA-53'] },
    script => {
      const [near, far] = script.pair('UD');
      lostThenFound(near, far, () => near.send({ dest: 0x123456 }));
    },
  ),
  scenario(
    'DATA/ud-lost/unknown-gid',
    'A datagram to a GID that nobody has is dropped.',
    { requirements: ['DATA-53', 'CTRL-98'] },
    script => {
      const [near, far] = script.pair('UD');
      const ah = near.guest.ah(near.pd, { vm: 1, gid: 50 });
      lostThenFound(near, far, () => near.send({ ah }));
    },
  ),
  scenario(
    'DATA/ud-lost/not-ready',
    'A datagram to a queue pair in INIT is dropped.',
    { requirements: ['QP-19', 'QP-20', 'DATA-53'] },
    script => {
      const [near, far] = script.pair('UD', {}, { upTo: 'INIT' });
      far.recv();
      near.send();
      near.sent();
      far.receives();
      far.raise('RTR', 'INIT');
      near.send();
      near.sent();
      far.received();
    },
  ),
  scenario(
    'DATA/ud-lost/gid-deleted',
    'A datagram to a GID that was deleted is dropped; it arrives again when the GID is back.',
    { requirements: ['RST-21', 'CTRL-109'] },
    script => {
      const [near, far] = script.pair('UD');
      far.recv();
      far.guest.do({ op: 'delGid', index: 0 });
      near.send();
      near.sent();
      far.receives();
      far.guest.do({ op: 'addGid', index: 0, gid: 0 });
      near.send();
      near.sent();
      far.received();
    },
  ),
];

const qkeys: readonly Scenario[] = [
  scenario(
    'DATA/ud-qkey/privileged',
    "With bit 31 set in a request's Q_Key, the queue pair's own is sent.",
    { source: 'libibverbs', requirements: ['DATA-54'] },
    script => {
      const [near, far] = script.pair('UD');
      far.recv({ bytes: 16 });
      near.send({ bytes: 16, qkey: 0x80000005 });
      near.sent();
      far.received(16);
    },
  ),
  scenario(
    'DATA/ud-qkey/gsi',
    'A datagram for the GSI queue pair with another Q_Key than its own is dropped.',
    { source: 'librdmacm', requirements: ['ISO-13', 'QP-02'] },
    script => {
      const [near, far] = script.pair('GSI');
      lostThenFound(near, far, () => near.send({ qkey: GSI_QKEY & 0x7fffffff }));
    },
  ),
];

const handles: readonly Scenario[] = [
  scenario(
    'DATA/ud-handle/destroyed',
    'A send that names a destroyed address handle fails, and stops the send queue.',
    { requirements: ['RST-20', 'QP-59'] },
    script => {
      const [near, far] = script.pair('UD');
      far.recv();
      near.send();
      near.sent();
      far.received();
      near.guest.do({ op: 'destroyAh', ah: near.handleTo(far) });
      near.send();
      near.sends('LOC_QP_OP_ERR');
      near.is('SQE');
    },
  ),
  scenario(
    'DATA/ud-handle/other-domain',
    'A send that names an address handle of another protection domain fails.',
    { requirements: ['DATA-18', 'ISO-22'] },
    script => {
      const [near, far] = script.pair('UD');
      far.recv();
      const ah = near.guest.ah(near.guest.pd(), { vm: 1 });
      near.send({ ah });
      near.sends('LOC_QP_OP_ERR');
      far.receives();
    },
  ),
  scenario(
    'DATA/ud-handle/destroyed-after-send',
    'An address handle can be destroyed once its send has completed.',
    { source: 'libibverbs man ibv_post_send', requirements: ['RST-04'] },
    script => {
      const [near, far] = script.pair('UD');
      far.recv();
      near.send();
      near.guest.do({ op: 'destroyAh', ah: near.handleTo(far) });
      near.sent();
      far.received();
      near.is('RTS');
    },
  ),
];

export const datagramScenarios: readonly Scenario[] = [...arrival, ...disappearance, ...qkeys, ...handles];
