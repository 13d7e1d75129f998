/** The traffic of perftest, a tool for measuring RDMA: its depths, its signaling, its flow rules, fewer rounds. */
import { AccessFlag } from '../../abi/index.js';
import { patternByte } from '../patterns.js';
import type { Script } from './builder.js';
import type { Endpoint, EndpointOptions, EndpointType } from './endpoint.js';
import { scenario } from './scenario.js';
import type { Scenario, ScenarioFacts } from './scenario.js';

const facts: ScenarioFacts = { source: 'perftest' };
/** Room for two messages of 64 KiB, and limits that allow the tool's queue depths. */
const wide: ScenarioFacts = { ...facts, wide: true, arenaBytes: 128 * 1024 };
/** Where messages go in the wide arena. */
const TARGET = 64 * 1024;
const SEND_DEPTH = 128;
const RECEIVE_DEPTH = 512;
/** One send in so many is signaled. */
const MODERATION = 100;

const deep: EndpointOptions = {
  cap: { sendWr: SEND_DEPTH, recvWr: RECEIVE_DEPTH, sendSge: 1, recvSge: 1 },
  cqe: RECEIVE_DEPTH,
  rtr: { pathMtu: 5 },
};
const unreliable: EndpointOptions = { ...deep, rtr: { pathMtu: 5 } };
const datagram: EndpointOptions = { ...deep, rtr: undefined };

/** `lists` full lists of sends, one signaled each, with the receives topped up in between. */
function sendBandwidth(near: Endpoint, far: Endpoint, bytes: number, lists: number): void {
  far.recv({ bytes, at: TARGET, times: RECEIVE_DEPTH });
  for (let list = 0; list < lists; list++) {
    near.post([near.sendOf({ bytes, signaled: false, times: MODERATION - 1 }), near.sendOf({ bytes })]);
    near.sent();
    far.received(bytes, MODERATION);
    far.recv({ bytes, at: TARGET, times: MODERATION });
  }
}

const sends: readonly Scenario[] = [
  scenario(
    'DATA/perftest/send-bw-rc',
    'A receiver with 512 receives keeps up with lists of 100 RC messages of which the last is signaled.',
    wide,
    script => sendBandwidth(...script.pair('RC', deep), 4096, 4),
  ),
  scenario(
    'DATA/perftest/send-bw-uc',
    'The same over UC: as long as receives are there nothing is lost.',
    { ...wide, requirements: ['OVR-10', 'OVR-11', 'DATA-56', 'CQ-01'] },
    script => sendBandwidth(...script.pair('UC', unreliable), 4096, 3),
  ),
  scenario(
    'DATA/perftest/send-bw-ud',
    'The same with datagrams, every one signaled, as the tool does there.',
    wide,
    script => {
      const [near, far] = script.pair('UD', datagram);
      far.recv({ bytes: 1024, at: TARGET, times: RECEIVE_DEPTH });
      for (let list = 0; list < 4; list++) {
        near.send({ bytes: 1024, times: SEND_DEPTH });
        near.sent(SEND_DEPTH);
        far.received(1024, SEND_DEPTH);
      }
    },
  ),
  scenario(
    'DATA/perftest/send-bw-rc-large',
    'Messages of 64 KiB, each signaled, half the send depth at a time.',
    wide,
    script => {
      const [near, far] = script.pair('RC', deep);
      near.guest.fill(0, TARGET, 5);
      far.recv({ bytes: TARGET, at: TARGET, times: SEND_DEPTH });
      for (let list = 0; list < 2; list++) {
        near.send({ bytes: TARGET, times: SEND_DEPTH / 2 });
        near.sent(SEND_DEPTH / 2);
        far.received(TARGET, SEND_DEPTH / 2);
      }
      far.guest.holds(TARGET, TARGET, 5);
    },
  ),
  scenario(
    'DATA/perftest/send-bw-credits',
    'The receiver writes a four-byte counter to the sender after every third of its receives; sends and writes share the queue pairs.',
    facts,
    script => {
      const [near, far] = script.pair('RC');
      far.recv({ times: 12 });
      for (let third = 1; third <= 6; third++) {
        near.send({ times: 4 });
        near.sent(4);
        far.received(1024, 4);
        far.recv({ times: 4 });
        far.guest.fill(4096, 4, third);
        far.write({ bytes: 4, at: 4096, remote: { at: 4096 } });
        far.sent();
        near.guest.holds(4096, 4, third);
      }
    },
  ),
  scenario(
    'DATA/perftest/send-imm-bw',
    'Every message carries immediate data and every receive completion says so.',
    facts,
    script => {
      const [near, far] = script.pair('RC');
      for (let list = 0; list < 4; list++) {
        far.recv({ bytes: 512, times: 8 });
        near.send({ bytes: 512, imm: list, times: 8 });
        near.sent(8);
        far.receives(...Array.from({ length: 8 }, () => ({ bytes: 512, imm: list })));
      }
    },
  ),
  scenario(
    'DATA/perftest/send-bw-both-ways',
    'Both sides stream at the same time, receives served before sends.',
    facts,
    script => {
      const ends = script.pair('RC');
      for (let list = 0; list < 4; list++) {
        for (const end of ends) end.recv({ times: 8 });
        for (const end of ends) end.send({ times: 8 });
        for (const end of ends) end.received(1024, 8);
        for (const end of ends) end.sent(8);
      }
    },
  ),
  scenario(
    'DATA/perftest/send-bw-events',
    'The receiver arms when a poll finds nothing; a burst of eight messages raises one event.',
    facts,
    script => {
      const [near, far] = script.pair('RC');
      for (let burst = 1; burst <= 4; burst++) {
        far.recv({ times: 8 });
        far.guest.arm(far.recvCq);
        far.guest.events(far.recvCq, burst - 1);
        near.send({ times: 8 });
        near.sent(8);
        far.received(1024, 8);
        far.guest.events(far.recvCq, burst);
      }
    },
  ),
  scenario(
    'DATA/perftest/send-post-list',
    'Of sixteen sends posted in one call only the last is signaled; its completion frees all the places.',
    facts,
    script => {
      const [near, far] = script.pair('RC', { cap: { sendWr: 16, recvWr: 16 } });
      for (let list = 0; list < 4; list++) {
        far.recv({ bytes: 64, times: 16 });
        near.post([near.sendOf({ bytes: 64, signaled: false, times: 15 }), near.sendOf({ bytes: 64 })]);
        near.sent();
        far.received(64, 16);
      }
    },
  ),
  scenario(
    'DATA/perftest/send-bw-many-qps',
    'Six pairs of queue pairs share one send and one receive completion queue; each completion finds its request.',
    facts,
    script => {
      const first = script.pair('RC');
      const pairs = [first, ...Array.from({ length: 5 }, () => script.pairBeside('RC', first))];
      for (const [, far] of pairs) far.recv({ times: 4 });
      for (let round = 0; round < 4; round++) {
        for (const [near] of pairs) near.send();
        const [{ guest, sendCq }, { guest: farGuest, recvCq }] = first;
        guest.poll(
          sendCq,
          pairs.map(([near]) => near.sendOutcome('SUCCESS')),
        );
        farGuest.poll(
          recvCq,
          pairs.map(([, far]) => far.receiveOutcome(1024)),
        );
      }
    },
  ),
];

/** Depth one, two bytes: a message, then its answer. */
function latency(script: Script, type: EndpointType): void {
  const ends = script.pair(type, { cap: { sendWr: 1, recvWr: 16 } });
  for (const end of ends) end.recv({ bytes: 2, times: 8 });
  for (let round = 0; round < 8; round++) {
    const last = round % 4 === 3;
    for (const end of ends) {
      end.send({ bytes: 2, signaled: last });
      end.peer.received(2);
      if (last) end.sent();
    }
  }
}

const latencies: readonly Scenario[] = [
  ...(['RC', 'UC', 'UD'] as const).map(type =>
    scenario(
      `DATA/perftest/send-lat-${type.toLowerCase()}`,
      `Two bytes go to and fro over ${type} at a send depth of one, one send in four signaled.`,
      facts,
      script => latency(script, type),
    ),
  ),
  scenario(
    'DATA/perftest/write-lat',
    'Each side sees the last byte that the other wrote inline, and writes back; no receive is posted anywhere.',
    facts,
    script => {
      const ends = script.pair('RC', { cap: { sendWr: 1 } });
      for (let round = 0; round < 6; round++) {
        for (const end of ends) {
          const wr = end.write({ bytes: 2, inline: 2 });
          end.peer.guest.holds(32 * 1024, 2, wr);
          end.sent();
        }
      }
    },
  ),
  scenario(
    'DATA/perftest/write-imm-lat',
    'Writes with immediate data are answered when their receive completes.',
    facts,
    script => {
      const ends = script.pair('RC', { cap: { sendWr: 1, recvWr: 8 } });
      for (const end of ends) end.recv({ bytes: 0, times: 6 });
      for (let round = 0; round < 6; round++) {
        for (const end of ends) {
          end.write({ bytes: 2, imm: round });
          end.peer.receives({ bytes: 2, imm: round, write: true });
          end.sent();
        }
      }
    },
  ),
  scenario(
    'DATA/perftest/read-lat',
    'One read at a time, each signaled and polled before the next.',
    facts,
    script => {
      const [near, far] = script.pair('RC', { cap: { sendWr: 1 } });
      for (let round = 0; round < 6; round++) {
        far.guest.fill(0, 2, round);
        near.read({ bytes: 2 });
        near.sent();
        near.guest.holds(32 * 1024, 2, round);
      }
    },
  ),
];

/** Only the one right that a verb needs, on queue pair and region. */
const writesOnly: EndpointOptions = {
  access: AccessFlag.REMOTE_WRITE,
  mrAccess: AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE,
};
const readsOnly: EndpointOptions = {
  access: AccessFlag.REMOTE_READ,
  mrAccess: AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_READ,
};

/** Writes walk through the buffer by cache lines; the last list is looked at. */
function writeBandwidth(near: Endpoint, far: Endpoint): void {
  for (let list = 0; list < 3; list++) {
    const lines = Array.from({ length: 16 }, (_, i) => ({ at: i * 64, remote: { at: TARGET + i * 64 } }));
    near.guest.fill(0, 1024, list);
    near.post(lines.map((line, i) => near.writeOf({ bytes: 64, signaled: i === 15, ...line })));
    near.sent();
    far.receives();
    far.guest.holds(TARGET, 1024, list);
  }
}

const oneSided: readonly Scenario[] = [
  scenario(
    'DATA/perftest/write-bw-rc',
    'Lists of RC writes with one completion each; the target does nothing, and grants remote write only.',
    wide,
    script => writeBandwidth(...script.pair('RC', writesOnly)),
  ),
  scenario('DATA/perftest/write-bw-uc', 'Lists of UC writes with one completion each.', wide, script =>
    writeBandwidth(...script.pair('UC', writesOnly)),
  ),
  scenario(
    'DATA/perftest/write-imm-bw',
    'Writes with immediate data use receives without elements, one each.',
    facts,
    script => {
      const [near, far] = script.pair('RC', writesOnly);
      for (let list = 0; list < 3; list++) {
        far.recv({ bytes: 0, times: 8 });
        near.write({ bytes: 2048, imm: 7, times: 8 });
        near.sent(8);
        far.receives(...Array.from({ length: 8 }, () => ({ bytes: 2048, imm: 7, write: true })));
      }
    },
  ),
  scenario(
    'DATA/perftest/read-bw',
    'More reads are posted than may be outstanding; the rest wait their turn, and none fails.',
    { ...facts, requirements: ['OVR-10', 'OVR-11', 'DATA-29', 'DATA-30'] },
    script => {
      const [near, far] = script.pair('RC', {
        ...readsOnly,
        rtr: { maxDestRdAtomic: 4 },
        rts: { maxRdAtomic: 4 },
      });
      for (let list = 0; list < 3; list++) {
        far.guest.fill(0, 4096, list);
        near.read({ bytes: 4096, times: 16 });
        near.sent(16);
        near.guest.holds(32 * 1024, 4096, list);
      }
    },
  ),
  scenario(
    'DATA/perftest/warm-up',
    'The send queue is filled with signaled writes to the last place and drained, twice.',
    facts,
    script => {
      const [near] = script.pair('RC', { cap: { sendWr: 64 }, cqe: 64 });
      for (let time = 0; time < 2; time++) {
        near.write({ bytes: 8, times: 64 });
        near.sent(64);
      }
    },
  ),
];

const SMALLEST = 1;
const LARGEST = 16;
const MEGABYTE = 1024 * 1024;

const sizes: readonly Scenario[] = [
  scenario(
    'DATA/perftest/all-sizes',
    'Sends, writes and reads of every power of two from 2 bytes to 64 KiB.',
    { ...facts, arenaBytes: 128 * 1024, requirements: ['ORD-07', 'ORD-08', 'ORD-09'] },
    script => {
      const [near, far] = script.pair('RC');
      for (let power = SMALLEST; power <= LARGEST; power++) {
        const bytes = 2 ** power;
        near.guest.fill(0, bytes, power);
        far.recv({ bytes, at: TARGET });
        near.send({ bytes });
        far.received(bytes);
        far.guest.holds(TARGET, bytes, power);
        near.read({ bytes, at: TARGET, remote: { at: TARGET } });
        near.write({ bytes, at: TARGET, remote: { at: 0 } });
        near.sent(3);
        far.guest.holds(0, bytes, power);
      }
    },
  ),
  scenario(
    'DATA/perftest/eight-megabytes',
    'One message of 8 MiB in packets of 4096 bytes arrives whole.',
    { ...facts, wide: true, arenaBytes: 8 * MEGABYTE },
    script => {
      const [near, far] = script.pair('RC', deep);
      near.guest.fill(0, 8 * MEGABYTE, 3);
      far.recv({ bytes: 8 * MEGABYTE, at: 0 });
      near.send({ bytes: 8 * MEGABYTE });
      near.sent();
      far.received(8 * MEGABYTE);
      const tail = 8 * MEGABYTE - 4096;
      far.guest.holds(tail, 4096, patternByte(3, tail));
    },
  ),
];

export const perftestScenarios: readonly Scenario[] = [...sends, ...latencies, ...oneSided, ...sizes];
