/** The example programs that come with libibverbs and librdmacm, as verbs programs: who sends, who answers, what must have come. */
import { AccessFlag } from '../../abi/index.js';
import type { Script } from './builder.js';
import type { Endpoint, EndpointOptions, EndpointType } from './endpoint.js';
import { IN, OUT } from './guest.js';
import { scenario } from './scenario.js';
import type { Scenario } from './scenario.js';

const ROUNDS = 10;
const RECEIVES = 12;
const source = 'libibverbs examples';

/** Rights of the example programs: none on the queue pair, local write on the region. */
const modest: EndpointOptions = { access: 0, mrAccess: AccessFlag.LOCAL_WRITE, oneCq: true };

/** One message each way, every round with other bytes; the receiver looks at all of them. */
function rounds(near: Endpoint, far: Endpoint, bytes: number): void {
  for (let round = 0; round < ROUNDS; round++) {
    oneWay(near, far, bytes, 2 * round);
    oneWay(far, near, bytes, 2 * round + 1);
  }
}

function oneWay(from: Endpoint, to: Endpoint, bytes: number, fill: number): void {
  const header = to.type === 'UD' || to.type === 'GSI' ? 40 : 0;
  from.guest.fill(OUT, bytes, fill);
  from.send({ bytes });
  from.sent();
  to.received(bytes);
  to.guest.holds(IN + header, bytes, fill);
}

function pingpong(script: Script, type: EndpointType, bytes: number): void {
  const [near, far] = script.pair(type, modest);
  for (const end of [near, far]) end.recv({ bytes, times: RECEIVES });
  rounds(near, far, bytes);
}

/** Both sides sleep until the completion event, as the example programs do with `-e`: arm first, then look, then sleep. */
function withEvents(script: Script, type: EndpointType, bytes: number): void {
  const ends = script.pair(type, { ...modest, oneCq: false });
  const header = type === 'UD' ? 40 : 0;
  for (const end of ends) end.recv({ bytes, times: RECEIVES });
  for (let turn = 0; turn < 2 * ROUNDS; turn++) {
    const [from, to] = turn % 2 === 0 ? ends : [ends[1], ends[0]];
    to.guest.do({ op: 'waitCq', cq: to.recvCq });
    from.guest.fill(OUT, bytes, turn);
    from.send({ bytes });
    from.sent();
    // The sleeper has taken the completion; what is left to see is that it was woken, once.
    to.receiveOutcome(bytes);
    to.guest.events(to.recvCq, (turn >> 1) + 1);
    to.guest.holds(IN + header, bytes, turn);
  }
}

const examples: readonly Scenario[] = [
  scenario(
    'DATA/verbs/rc-pingpong',
    'Messages of four packets go to and fro over RC; neither queue pair nor region grants the peer any right.',
    { source, requirements: ['QP-22', 'QP-32', 'ORD-07', 'ORD-09'] },
    script => pingpong(script, 'RC', 4096),
  ),
  scenario(
    'DATA/verbs/uc-pingpong',
    'Messages of four packets go to and fro over UC, where nothing is acknowledged.',
    { source, requirements: ['ORD-04', 'ORD-06'] },
    script => pingpong(script, 'UC', 4096),
  ),
  scenario(
    'DATA/verbs/ud-pingpong',
    'Datagrams of 1024 bytes go to and fro; each lies 40 bytes into its receive buffer.',
    { source, requirements: ['ORD-04'] },
    script => pingpong(script, 'UD', 1024),
  ),
  scenario(
    'DATA/verbs/rc-pingpong-events',
    'The receiver of every RC message sleeps until its completion event, and every sleep ends.',
    { source },
    script => withEvents(script, 'RC', 1024),
  ),
  scenario(
    'DATA/verbs/uc-pingpong-events',
    'The receiver of every UC message sleeps until its completion event, and every sleep ends.',
    { source },
    script => withEvents(script, 'UC', 1024),
  ),
  scenario(
    'DATA/verbs/ud-pingpong-events',
    'The receiver of every datagram sleeps until its completion event, and every sleep ends.',
    { source },
    script => withEvents(script, 'UD', 512),
  ),
  scenario(
    'DATA/verbs/rc-pingpong-shared-buffer',
    'Both sides send from the buffer that they receive into.',
    { source },
    script => {
      const [near, far] = script.pair('RC', modest);
      near.guest.fill(IN, 4096, 9);
      for (let round = 0; round < 4; round++) {
        for (const [from, to] of [
          [near, far],
          [far, near],
        ]) {
          to.recv({ bytes: 4096 });
          from.send({ bytes: 4096, at: IN });
          from.sent();
          to.received(4096);
          to.guest.holds(IN, 4096, 9);
        }
      }
    },
  ),
  scenario(
    'DATA/verbs/rc-pingpong-loopback',
    'Two queue pairs of one machine exchange messages through its own GID.',
    { source: 'rdma-core tests/base.py', hosts: [0] },
    script => {
      const [near, far] = script.pair('RC', modest);
      for (let round = 0; round < 4; round++) {
        const to = round % 2 === 0 ? far : near;
        to.recv({ bytes: 2048 });
        oneWay(to.peer, to, 2048, round);
      }
    },
  ),
  scenario(
    'DATA/verbs/rc-pingpong-same-host',
    'Two machines on one host exchange messages as two on different hosts do.',
    { source, hosts: [0, 0] },
    script => pingpong(script, 'RC', 4096),
  ),
  scenario(
    'DATA/verbs/ud-pingpong-same-host',
    'Two machines on one host exchange datagrams.',
    { source, hosts: [1, 1] },
    script => pingpong(script, 'UD', 256),
  ),
  scenario(
    'DATA/verbs/rc-pingpong-lossy',
    'A fabric that loses, doubles and reorders packets is not seen on RC.',
    { requirements: ['ORD-03', 'ERR-22'], faults: { drop: 40, duplicate: 40, reorder: 40 } },
    script => pingpong(script, 'RC', 4096),
  ),
];

const connectionManager: readonly Scenario[] = [
  scenario(
    'DATA/verbs/rping',
    'A client describes a buffer, the server reads it, says so, writes to it and says so; descriptions come from a region without rights.',
    { source: 'librdmacm examples', requirements: ['ORD-08', 'ORD-10'] },
    script => {
      const [client, server] = script.pair('RC', { cap: { sendWr: 16 }, cqe: 32, oneCq: true });
      const silent = client.guest.mr(client.pd, { at: 0, length: 16, access: 0 });
      for (let round = 0; round < 3; round++) {
        client.guest.fill(4096, 1000, round);
        server.recv({ bytes: 16 });
        client.recv({ bytes: 16, at: 64 });
        client.recv({ bytes: 16, at: 64 });
        client.send({ bytes: 16, mr: silent });
        client.sent();
        server.received(16);
        server.read({ bytes: 1000, at: 4096, remote: { at: 4096 } });
        server.sent();
        server.guest.holds(4096, 1000, round);
        server.send({ bytes: 16 });
        server.sent();
        client.received(16);
        server.guest.fill(8192, 1000, round + 100);
        server.write({ bytes: 1000, at: 8192, remote: { at: 8192 } });
        server.send({ bytes: 16 });
        server.sent(2);
        client.received(16);
        client.guest.holds(8192, 1000, round + 100);
      }
    },
  ),
  scenario(
    'DATA/verbs/gsi-mad-exchange',
    'Management datagrams of 256 bytes go to and fro between the queue pairs with number 1.',
    { source: 'librdmacm', requirements: ['QP-02', 'QP-04'] },
    script => pingpong(script, 'GSI', 256),
  ),
];

export const pingpongScenarios: readonly Scenario[] = [...examples, ...connectionManager];
