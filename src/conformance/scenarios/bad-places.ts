/** Keys and places that nothing may be moved to or from, in every role that a region has in a request. */
import { AccessFlag } from '../../abi/index.js';
import type { SgeSpec } from '../program.js';
import type { Endpoint } from './endpoint.js';
import { bothFailed } from './failed.js';
import { IN, OUT } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const { REMOTE_READ } = AccessFlag;
const testMr = { source: 'rdma-core tests/test_mr.py' };
const testQpex = { source: 'rdma-core tests/test_qpex.py' };

interface BadPlace {
  readonly id: string;
  readonly doc: string;
  /** Key and place, made on the machine of the region. */
  readonly make: (end: Endpoint, at: number) => { readonly mr: SgeSpec['mr']; readonly at: number };
}

/** Places that nothing may be moved to or from. */
const badPlaces: readonly BadPlace[] = [
  { id: 'wrong-key', doc: 'a key that nobody has', make: ({ mr }, at) => ({ mr: { of: mr, delta: 1 }, at }) },
  { id: 'key-zero', doc: 'the key 0', make: (_, at) => ({ mr: { raw: 0 }, at }) },
  {
    id: 'half-outside',
    doc: 'a place that is only half in its region',
    make: ({ guest, pd }, at) => ({ mr: guest.mr(pd, { length: at + 512 }), at }),
  },
  {
    id: 'other-domain',
    doc: 'a region of another protection domain',
    make: ({ guest }, at) => ({ mr: guest.mr(guest.pd()), at }),
  },
];

const localFaults: readonly Scenario[] = badPlaces.flatMap(({ id, doc, make }) => [
  scenario(
    `ERR/send/${id}`,
    `An RC send from ${doc} fails locally; nothing arrives, and what is behind it is flushed.`,
    { requirements: ['ERR-11', 'QP-45', 'QP-48', 'ISO-20', 'MEM-11', 'MEM-22'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv();
      near.post([near.sendOf(make(near, OUT)), near.sendOf({ signaled: false })]);
      near.sends('LOC_PROT_ERR', 'WR_FLUSH_ERR');
      near.is('ERR');
      far.receives();
    },
  ),
  scenario(
    `ERR/receive/${id}`,
    `A message for a receive with ${doc} fails on both sides, and touches nothing.`,
    { ...testMr, requirements: ['ERR-17', 'QP-53', 'MEM-22', 'ISO-20'] },
    script => {
      const [near, far] = script.pair('RC');
      far.guest.fill(IN, 1024, 2);
      far.recv(make(far, IN));
      far.recv();
      near.send();
      near.sends('REM_OP_ERR');
      far.receives('LOC_PROT_ERR', 'WR_FLUSH_ERR');
      far.guest.holds(IN, 1024, 2);
      bothFailed(near, far);
    },
  ),
  scenario(
    `ERR/write/${id}`,
    `An RC write to ${doc} of the peer is refused there and touches nothing.`,
    { ...testMr, requirements: ['ERR-15', 'QP-53', 'ISO-21', 'MEM-09', 'MEM-23'] },
    script => {
      const [near, far] = script.pair('RC');
      far.guest.fill(IN, 1024, 2);
      near.write({ remote: make(far, IN) });
      near.sends('REM_ACCESS_ERR');
      far.receives();
      far.guest.holds(IN, 1024, 2);
      bothFailed(near, far);
    },
  ),
  scenario(
    `ERR/read/${id}`,
    `An RC read of ${doc} of the peer is refused there and brings nothing.`,
    { requirements: ['ERR-15', 'QP-53', 'ISO-21', 'MEM-23'] },
    script => {
      const [near, far] = script.pair('RC');
      near.guest.fill(IN, 1024, 2);
      near.read({ remote: make(far, OUT) });
      near.sends('REM_ACCESS_ERR');
      near.guest.holds(IN, 1024, 2);
      bothFailed(near, far);
    },
  ),
  scenario(
    `ERR/uc-write/${id}`,
    `A UC write to ${doc} of the peer succeeds for the sender, is dropped, and the peer goes on.`,
    { requirements: ['ERR-21', 'DATA-56', 'MEM-23'] },
    script => {
      const [near, far] = script.pair('UC');
      far.guest.fill(IN, 1024, 2);
      far.recv();
      near.write({ remote: make(far, IN) });
      near.sent();
      far.guest.holds(IN, 1024, 2);
      near.send();
      near.sent();
      far.received();
      far.is('RTS');
    },
  ),
]);

const moreLocal: readonly Scenario[] = [
  scenario(
    'ERR/receive/no-local-write',
    'A receive into a region without local write fails on both sides.',
    { requirements: ['ERR-17', 'MEM-15'] },
    script => {
      const [near, far] = script.pair('RC');
      far.guest.fill(IN, 1024, 2);
      far.recv({ mr: far.guest.mr(far.pd, { access: REMOTE_READ }) });
      near.send();
      near.sends('REM_OP_ERR');
      far.receives('LOC_PROT_ERR');
      far.guest.holds(IN, 1024, 2);
    },
  ),
  scenario(
    'ERR/read/no-local-write',
    'A read into a region without local write fails locally; nothing is written.',
    { requirements: ['ERR-12', 'MEM-15'] },
    script => {
      const [near] = script.pair('RC');
      near.guest.fill(IN, 1024, 2);
      near.read({ mr: near.guest.mr(near.pd, { access: REMOTE_READ }) });
      near.sends('LOC_PROT_ERR');
      near.guest.holds(IN, 1024, 2);
      near.is('ERR');
    },
  ),
  scenario(
    'ERR/read/wrong-local-key',
    'A read with a wrong local key fails locally.',
    { requirements: ['ERR-12', 'MEM-11'] },
    script => {
      const [near] = script.pair('RC');
      near.read({ mr: { of: near.mr, delta: -1 } });
      near.sends('LOC_PROT_ERR');
    },
  ),
  scenario(
    'ERR/send/unsignaled',
    'A send that fails completes although it is unsignaled.',
    { ...testQpex, requirements: ['CQ-01', 'QP-48'] },
    script => {
      const [near] = script.pair('RC');
      near.send({ signaled: false, mr: { raw: 1 } });
      near.sends('LOC_PROT_ERR');
    },
  ),
  scenario(
    'ERR/send/in-the-middle',
    'Requests before the one that fails succeed, those behind it are flushed.',
    { requirements: ['QP-47', 'QP-48', 'ORD-01'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ times: 4 });
      near.post([near.sendOf(), near.sendOf(), near.sendOf({ mr: { raw: 1 } }), near.sendOf({ times: 2 })]);
      near.sends('SUCCESS', 'SUCCESS', 'LOC_PROT_ERR', 'WR_FLUSH_ERR', 'WR_FLUSH_ERR');
      far.received(1024, 2);
    },
  ),
  scenario(
    'ERR/send/too-long',
    'A message one byte longer than the port carries fails locally.',
    { arenaBytes: 128 * 1024, requirements: ['ERR-13'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ bytes: 65536, at: 0 });
      near.send({ bytes: 65537 });
      near.sends('LOC_LEN_ERR');
      far.receives();
    },
  ),
];

export const badPlaceScenarios: readonly Scenario[] = [...localFaults, ...moreLocal];
