/** Requests that fail: wrong keys, ranges and rights on either side, receivers that are not ready or gone, posts that are refused. */
import { AccessFlag } from '../../abi/index.js';
import type { SgeSpec } from '../program.js';
import type { Endpoint, EndpointOptions, SendSpec } from './endpoint.js';
import { IN, OUT } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;
const testMr = { source: 'rdma-core tests/test_mr.py' };
const testQpex = { source: 'rdma-core tests/test_qpex.py' };

interface BadPlace {
  readonly id: string;
  readonly doc: string;
  /** Key and place, made on the machine of the region. */
  make(end: Endpoint, at: number): { readonly mr: SgeSpec['mr']; readonly at: number };
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

/** Both ends are in ERR, and what they hold is flushed. */
function bothFailed(near: Endpoint, far: Endpoint): void {
  near.is('ERR');
  far.is('ERR');
  near.send();
  near.sends('WR_FLUSH_ERR');
  far.recv();
  far.receives('WR_FLUSH_ERR');
}

const localFaults: readonly Scenario[] = badPlaces.flatMap(({ id, doc, make }) => [
  scenario(
    `negative/send/${id}`,
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
    `negative/receive/${id}`,
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
    `negative/write/${id}`,
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
    `negative/read/${id}`,
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
    `negative/uc-write/${id}`,
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
    'negative/receive/no-local-write',
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
    'negative/read/no-local-write',
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
    'negative/read/wrong-local-key',
    'A read with a wrong local key fails locally.',
    { requirements: ['ERR-12', 'MEM-11'] },
    script => {
      const [near] = script.pair('RC');
      near.read({ mr: { of: near.mr, delta: -1 } });
      near.sends('LOC_PROT_ERR');
    },
  ),
  scenario(
    'negative/send/unsignaled',
    'A send that fails completes although it is unsignaled.',
    { ...testQpex, requirements: ['CQ-01', 'QP-48'] },
    script => {
      const [near] = script.pair('RC');
      near.send({ signaled: false, mr: { raw: 1 } });
      near.sends('LOC_PROT_ERR');
    },
  ),
  scenario(
    'negative/send/in-the-middle',
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
    'negative/send/too-long',
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

const noWrite: EndpointOptions = { access: LOCAL_WRITE | REMOTE_READ };
const noRead: EndpointOptions = { access: LOCAL_WRITE | REMOTE_WRITE };
const regionNoWrite: EndpointOptions = { mrAccess: LOCAL_WRITE | REMOTE_READ };
const regionNoRead: EndpointOptions = { mrAccess: LOCAL_WRITE | REMOTE_WRITE };

/** A one-sided request that the far side does not allow. */
function denied(
  id: string,
  doc: string,
  far: EndpointOptions,
  verb: 'write' | 'read',
  status: 'REM_INV_REQ_ERR' | 'REM_ACCESS_ERR',
  spec: SendSpec = {},
): Scenario {
  return scenario(
    `negative/right/${id}`,
    doc,
    { ...testMr, requirements: ['ERR-14', 'MEM-16', 'MEM-17'] },
    script => {
      const [near, other] = script.pair('RC', {}, far);
      other.guest.fill(IN, 1024, 2);
      near.guest.fill(IN, 1024, 3);
      near[verb](spec);
      near.sends(status);
      near.guest.holds(IN, 1024, 3);
      other.guest.holds(IN, 1024, 2);
      bothFailed(near, other);
    },
  );
}

const remoteRights: readonly Scenario[] = [
  denied(
    'write-queue-pair',
    'A write to a queue pair without remote write is an invalid request.',
    noWrite,
    'write',
    'REM_INV_REQ_ERR',
  ),
  denied(
    'read-queue-pair',
    'A read from a queue pair without remote read is an invalid request.',
    noRead,
    'read',
    'REM_INV_REQ_ERR',
  ),
  denied(
    'write-region',
    'A write to a region without remote write is an access error.',
    regionNoWrite,
    'write',
    'REM_ACCESS_ERR',
  ),
  denied(
    'read-region',
    'A read from a region without remote read is an access error.',
    regionNoRead,
    'read',
    'REM_ACCESS_ERR',
  ),
  denied(
    'no-remote-rights',
    'A region without remote rights opens nothing to the peer.',
    { mrAccess: LOCAL_WRITE },
    'write',
    'REM_ACCESS_ERR',
  ),
  scenario(
    'negative/right/write-imm',
    'A write with immediate data in one packet has its receive when its key turns out to be wrong: that fails too.',
    { requirements: ['ERR-15', 'QP-53', 'DATA-82'] },
    script => {
      const [near, far] = script.pair('RC', {}, regionNoWrite);
      far.recv({ times: 2 });
      near.write({ imm: 3 });
      near.sends('REM_ACCESS_ERR');
      far.receives('LOC_ACCESS_ERR', 'WR_FLUSH_ERR');
    },
  ),
  scenario(
    'negative/right/write-imm-long',
    'A write with immediate data in many packets fails at the first, before it has a receive.',
    { requirements: ['ERR-15', 'QP-53'] },
    script => {
      const [near, far] = script.pair('RC', {}, regionNoWrite);
      far.recv();
      near.write({ bytes: 3000, imm: 3 });
      near.sends('REM_ACCESS_ERR');
      far.receives('WR_FLUSH_ERR');
    },
  ),
  scenario(
    'negative/right/uc-write',
    'A UC write to a queue pair without remote write is dropped in silence.',
    { requirements: ['ERR-21', 'MEM-16'] },
    script => {
      const [near, far] = script.pair('UC', {}, noWrite);
      far.guest.fill(IN, 1024, 2);
      near.write();
      near.sent();
      far.guest.holds(IN, 1024, 2);
      far.is('RTS');
    },
  ),
  scenario(
    'negative/read/none-answered',
    'A read at a responder that answers none is an invalid request.',
    { requirements: ['ERR-14', 'QP-53'] },
    script => {
      const [near, far] = script.pair('RC', {}, { rtr: { maxDestRdAtomic: 0 } });
      near.read();
      near.sends('REM_INV_REQ_ERR');
      far.is('ERR');
    },
  ),
];

const receivers: readonly Scenario[] = [
  scenario(
    'negative/receive/too-small',
    'A message longer than its receive fails on both sides; no byte behind the receive is touched.',
    { requirements: ['ERR-16', 'QP-53', 'ERR-23'] },
    script => {
      const [near, far] = script.pair('RC');
      far.guest.fill(IN + 1000, 24, 2);
      far.recv({ bytes: 1000 });
      far.recv();
      near.send();
      near.sends('REM_INV_REQ_ERR');
      far.receives('LOC_LEN_ERR', 'WR_FLUSH_ERR');
      far.guest.holds(IN + 1000, 24, 2);
      bothFailed(near, far);
    },
  ),
  scenario(
    'negative/receive/too-small-by-packets',
    'The same when the message has several packets and the first ones fit.',
    { requirements: ['ERR-16', 'ERR-23'] },
    script => {
      const [near, far] = script.pair('RC', { rtr: { pathMtu: 1 } });
      far.guest.fill(IN + 1000, 24, 2);
      far.recv({ bytes: 1000 });
      near.send();
      near.sends('REM_INV_REQ_ERR');
      far.receives('LOC_LEN_ERR');
      far.guest.holds(IN + 1000, 24, 2);
    },
  ),
  scenario(
    'negative/receive/uc-too-small',
    'A UC message longer than its receive is dropped; the receive takes the next one.',
    { requirements: ['ERR-21', 'DATA-56'] },
    script => {
      const [near, far] = script.pair('UC');
      far.recv({ bytes: 1000 });
      near.send();
      near.send({ bytes: 1000 });
      near.sent(2);
      far.received(1000);
      far.is('RTS');
    },
  ),
  scenario(
    'negative/receive/uc-wrong-key',
    'A UC receive with a wrong key fails when a message comes, and takes its queue pair to ERR; the sender does not notice.',
    { requirements: ['ERR-17', 'QP-46'] },
    script => {
      const [near, far] = script.pair('UC');
      far.recv({ mr: { raw: 5 } });
      near.send();
      near.sent();
      far.receives('LOC_PROT_ERR');
      far.is('ERR');
      near.is('RTS');
    },
  ),
  scenario(
    'negative/rnr/none-left',
    'Without retries a send that meets no receive fails; the peer is not touched.',
    { requirements: ['ERR-18', 'DATA-72'] },
    script => {
      const [near, far] = script.pair('RC', { rts: { rnrRetry: 0 } });
      near.send();
      near.sends('RNR_RETRY_EXC_ERR');
      near.is('ERR');
      far.is('RTS');
    },
  ),
  scenario(
    'negative/rnr/some',
    'With three retries a send that meets no receive fails in the end, and the sends behind it are flushed.',
    { requirements: ['ERR-18', 'QP-48'] },
    script => {
      const [near, far] = script.pair('RC', { rts: { rnrRetry: 3 } });
      near.send({ times: 2 });
      near.sends('RNR_RETRY_EXC_ERR', 'WR_FLUSH_ERR');
      far.is('RTS');
    },
  ),
  scenario(
    'negative/rnr/endless',
    'With endless retries a send waits until a receive is posted, and writes behind it wait too.',
    { requirements: ['ERR-18', 'DATA-70', 'ORD-03'] },
    script => {
      const [near, far] = script.pair('RC');
      far.guest.fill(IN + 2048, 64, 2);
      near.send();
      near.write({ bytes: 64, remote: { at: IN + 2048 } });
      near.sends();
      far.guest.holds(IN + 2048, 64, 2);
      far.recv();
      near.sent(2);
      far.received();
    },
  ),
  scenario(
    'negative/rnr/write-imm',
    'A write with immediate data needs a receive; its data may come before.',
    { requirements: ['ERR-18'] },
    script => {
      const [near, far] = script.pair('RC');
      near.guest.fill(OUT, 1024, 8);
      near.write({ imm: 1 });
      near.sends();
      far.recv({ bytes: 0 });
      near.sent();
      far.receives({ bytes: 1024, imm: 1, write: true });
      far.guest.holds(IN, 1024, 8);
    },
  ),
  scenario(
    'negative/rnr/uc',
    'A UC message that meets no receive is lost; the next one finds the receive posted since.',
    { requirements: ['DATA-56'] },
    script => {
      const [near, far] = script.pair('UC');
      near.send();
      far.recv();
      far.receives();
      near.send({ bytes: 10 });
      near.sent(2);
      far.received(10);
    },
  ),
];

const impatient: EndpointOptions = { rts: { retryCnt: 1, timeout: 8 } };

const silence: readonly Scenario[] = [
  scenario(
    'negative/silence/peer-destroyed',
    'The peer of a destroyed queue pair runs out of retries.',
    { requirements: ['ERR-19', 'RST-08'] },
    script => {
      const [near, far] = script.pair('RC', impatient);
      far.destroy();
      near.write();
      near.sends('RETRY_EXC_ERR');
      near.is('ERR');
    },
  ),
  scenario(
    'negative/silence/no-timeout',
    'Without a time-out a request waits for its answer for ever, until the queue pair is moved to ERR.',
    { requirements: ['DATA-68', 'QP-48'] },
    script => {
      const [near, far] = script.pair('RC', { rts: { timeout: 0 } });
      far.destroy();
      near.write();
      near.sends();
      near.is('RTS');
      near.modify({ state: 'ERR' });
      near.sends('WR_FLUSH_ERR');
    },
  ),
  scenario(
    'negative/silence/gid-deleted',
    'When the peer deletes its GID packets to it find nobody; the peer notices nothing.',
    { requirements: ['RST-21', 'CTRL-108', 'ERR-19'] },
    script => {
      const [near, far] = script.pair('RC', impatient);
      far.guest.do({ op: 'delGid', index: 0 });
      near.write();
      near.sends('RETRY_EXC_ERR');
      far.is('RTS');
    },
  ),
  scenario(
    'negative/silence/not-the-peer',
    'A queue pair does not listen to one that it is not connected to.',
    { requirements: ['ISO-12', 'ERR-19'] },
    script => {
      const pair = script.pair('RC');
      const [near, far] = pair;
      const [stranger] = script.pairBeside('RC', pair, { ...impatient, upTo: 'INIT' });
      stranger.peer = far;
      stranger.modify({ ...stranger.step('RTR'), rqPsn: 0 });
      stranger.modify({ ...stranger.step('RTS'), sqPsn: near.psn });
      far.recv();
      far.guest.fill(IN, 1024, 2);
      stranger.write();
      stranger.sends('RETRY_EXC_ERR');
      far.guest.holds(IN, 1024, 2);
      near.send();
      near.sent();
      far.received();
    },
  ),
  scenario(
    'negative/silence/unknown-queue-pair',
    'Requests to a number that no queue pair has run out of retries.',
    { requirements: ['ERR-19'] },
    script => {
      const [near] = script.pair('RC', { upTo: 'INIT' });
      near.modify({ ...near.step('RTR'), dest: 0x123456 });
      near.modify({ ...near.step('RTS'), ...impatient.rts });
      near.send();
      near.sends('RETRY_EXC_ERR');
    },
  ),
];

const posts: readonly Scenario[] = [
  scenario(
    'negative/post/too-many-elements',
    'A request with one element more than the capacity is refused at once, and nothing is posted.',
    { ...testQpex, requirements: ['ERR-08', 'ERR-09'] },
    script => {
      const [near, far] = script.pair('RC');
      const sges = Array.from({ length: 3 }, () => ({ at: 0, length: 8, mr: near.mr }));
      near.send({ sges }, 'EINVAL');
      far.recv({ sges: sges.map(sge => ({ ...sge, mr: far.mr })) }, 'EINVAL');
      near.sends();
      far.receives();
      far.recv();
      near.send();
      near.sent();
      far.received();
    },
  ),
  scenario(
    'negative/post/inline-too-long',
    'Inline data one byte longer than the capacity is refused at once.',
    { requirements: ['ERR-08', 'ERR-09'] },
    script => {
      const [near] = script.pair('RC', { cap: { inline: 32 } });
      near.write({ inline: 33 }, 'EINVAL');
      near.write({ inline: 32 });
      near.sent();
    },
  ),
  scenario('negative/post/inline-read', 'A read cannot be inline.', { requirements: ['ERR-08'] }, script => {
    const [near] = script.pair('RC');
    near.read({ inline: 8 }, 'EINVAL');
    near.read({ bytes: 8 });
    near.sent();
  }),
  scenario(
    'negative/post/opcode-of-another-type',
    'Reads on UC, and writes and reads on UD, are refused at once.',
    { requirements: ['ERR-08'] },
    script => {
      const [connected] = script.pair('UC');
      connected.read({}, 'EINVAL');
      const [datagram] = script.pair('UD');
      datagram.write({ bytes: 8 }, 'EINVAL');
      datagram.write({ bytes: 8, imm: 1 }, 'EINVAL');
      datagram.read({ bytes: 8 }, 'EINVAL');
      datagram.is('RTS');
    },
  ),
  scenario(
    'negative/post/no-reads-allowed',
    'A read on a queue pair that may have none outstanding is refused at once.',
    { requirements: ['ERR-08'] },
    script => {
      const [near] = script.pair('RC', { rts: { maxRdAtomic: 0 } });
      near.read({}, 'EINVAL');
      near.write();
      near.sent();
    },
  ),
  scenario(
    'negative/post/send-queue-full',
    'As many sends outstanding as the capacity, and one more is refused; there is room again when they are done.',
    { source: 'rdma-core tests/test_qp.py', requirements: ['ERR-08', 'ERR-10', 'DATA-31', 'DATA-32'] },
    script => {
      const [near, far] = script.pair('RC', { cap: { sendWr: 4 } });
      near.send({ times: 4 });
      near.send({}, 'ENOMEM');
      far.recv({ times: 4 });
      near.sent(4);
      far.received(1024, 4);
      near.send({ times: 4 });
      near.send({}, 'ENOMEM');
    },
  ),
  scenario(
    'negative/post/receive-queue-full',
    'As many receives outstanding as the capacity, and one more is refused; each message makes room for one.',
    { source: 'rdma-core tests/test_qp.py', requirements: ['ERR-08', 'ERR-10', 'DATA-31', 'DATA-32'] },
    script => {
      const [near, far] = script.pair('RC', { cap: { recvWr: 3 } });
      far.recv({ times: 3 });
      far.recv({}, 'ENOMEM');
      near.send();
      near.sent();
      far.received();
      far.recv();
      far.recv({}, 'ENOMEM');
    },
  ),
  scenario(
    'negative/post/list-with-a-bad-one',
    'Of a list the requests before the refused one stay posted.',
    { source: 'libibverbs man ibv_post_send', requirements: ['ERR-09'] },
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ times: 3 });
      near.post([near.sendOf({ times: 2 }), near.sendOf({ inline: 100 })], 'EINVAL');
      near.sent(2);
      far.received(1024, 2);
    },
  ),
];

export const negativeScenarios: readonly Scenario[] = [
  ...localFaults,
  ...moreLocal,
  ...remoteRights,
  ...receivers,
  ...silence,
  ...posts,
];
