/** Receivers that are too small, not ready or gone, and peers that are silent. */
import type { EndpointOptions } from './endpoint.js';
import { bothFailed } from './failed.js';
import { IN, OUT } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const receivers: readonly Scenario[] = [
  scenario(
    'ERR/receive/too-small',
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
    'ERR/receive/too-small-by-packets',
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
    'ERR/receive/uc-too-small',
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
    'ERR/receive/uc-wrong-key',
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
    'ERR/rnr/none-left',
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
    'ERR/rnr/some',
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
    'ERR/rnr/endless',
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
    'ERR/rnr/write-imm',
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
    'ERR/rnr/uc',
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
    'ERR/silence/peer-destroyed',
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
    'ERR/silence/no-timeout',
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
    'ERR/silence/gid-deleted',
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
    'ERR/silence/not-the-peer',
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
    'ERR/silence/unknown-queue-pair',
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

export const unreadyPeerScenarios: readonly Scenario[] = [...receivers, ...silence];
