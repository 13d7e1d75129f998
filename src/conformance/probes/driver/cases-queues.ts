/** Chapter 4: set-up of the queues, and the shape of chains. */
import { Command } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import type { BenchOptions } from './bench-options.js';
import { ARENA_BASE } from './probe-guest.js';
import { aRecv, aSend, makeObjects, makeRegion } from './objects.js';
import { probe, probeStarted } from './probe-case.js';
import {
  complete,
  consume,
  giveBack,
  poll,
  post,
  postMany,
  postReceive,
  takeReceives,
  takeRequests,
  takeSends,
} from './traffic.js';

/** Some of everything: each kind of chain is made and taken. */
async function useEverything(bench: Bench): Promise<void> {
  const { pd, qp, qpn, sendCq, sendCqn } = await makeObjects(bench);
  const mr = await makeRegion(bench, pd, { length: 5 * 4096, at: 100 });
  for (let round = 0; round < 6; round++) {
    post(bench, qp, aSend(round, { sges: [0, 1, 2].map(i => ({ addr: i, length: 1, lkey: mr.lkey })) }));
    postReceive(bench, qp, aRecv(round));
    giveBack(bench, takeSends(bench, qpn));
    giveBack(bench, takeReceives(bench, qpn));
    complete(bench, sendCqn, { wr_id: round, qp_num: qpn });
    bench.equal(poll(bench, sendCq).length, 1, 'completions polled');
  }
  await bench.do('deregMr()', verbs => verbs.deregMr(mr));
}

const both: readonly BenchOptions[] = [{}, { indirect: true }, { indirect: true, eventIdx: true }];

/** Queues that the driver will use: those of pair 0 never. */
function ownQueues({ map, options }: Bench): number[] {
  const queues = [map.control];
  for (let cqn = 0; cqn < (options.maxCqs ?? 3); cqn++) queues.push(map.cq(cqn));
  for (let qpn = 1; qpn < (options.maxQps ?? 5); qpn++) queues.push(map.sq(qpn), map.rq(qpn));
  return queues;
}

export const queueCases: readonly ConformanceCase[] = [
  probeStarted({
    id: 'VQ/setup/all-before-driver-ok',
    doc: 'Control queue, completion queues and the queues of all pairs but pair 0 are enabled at their places before DRIVER_OK.',
    requirements: ['VQ-03'],
    options: [{}, { maxQps: 8, maxCqs: 5 }, { maxQps: 2, maxCqs: 1 }],
    ask: async bench => {
      for (const index of ownQueues(bench))
        bench.expect(bench.device.rings.has(index), `queue ${index} is not enabled`);
    },
  }),
  probeStarted({
    id: 'VQ/setup/sizes',
    doc: 'Each queue gets a power of two, at most the largest size of that very queue.',
    requirements: ['VQ-05'],
    options: [4, 8, 32, 256, (index: number) => 2 ** (3 + (index % 4))].map(queueSize => ({
      queueSize,
      dmaBytes: 1 << 20,
    })),
    ask: useSmall,
  }),
  probeStarted({
    id: 'VQ/setup/places',
    doc: 'Descriptor tables stand at multiples of 16, available rings of 2, used rings of 4, all in guest memory, none over another.',
    requirements: ['VQ-06', 'VQ-07'],
    options: [4, 8, 64].map(queueSize => ({ queueSize, dmaBytes: 1 << 20 })),
    ask: async bench => {
      const areas = [...bench.device.rings.values()].flatMap(({ addresses: a, size, index }) => [
        { index, from: a.descriptors, to: a.descriptors + 16 * size },
        { index, from: a.driver, to: a.driver + 6 + 2 * size },
        { index, from: a.device, to: a.device + 6 + 8 * size },
      ]);
      areas.sort((a, b) => a.from - b.from);
      for (const [i, { from, index }] of areas.entries()) {
        const before = i === 0 ? undefined : areas[i - 1];
        bench.expect(
          before === undefined || before.to <= from,
          `areas of queues ${before?.index} and ${index} overlap at ${from}`,
          ['VQ-07'],
        );
        bench.expect(bench.guest.owns(from, 1), `an area of queue ${index} is not in memory of the driver`, [
          'VQ-07',
        ]);
      }
    },
  }),
  probeStarted({
    id: 'VQ/setup/zeroed',
    doc: 'The memory of the rings held something before: nothing of it is left when the queues are enabled.',
    requirements: ['VQ-08'],
    options: both,
    ask: async bench => void (await bench.do('createPd()', verbs => verbs.createPd())),
  }),
  probeStarted({
    id: 'VQ/chain/shape',
    doc: 'Commands, requests and buffers are well-formed chains: readable before writable, at most N descriptors, no loop, no empty descriptor.',
    requirements: ['VQ-14', 'VQ-15', 'VQ-17', 'VQ-19'],
    options: both,
    ask: useEverything,
  }),
  probeStarted({
    id: 'VQ/chain/small-ring',
    doc: 'With queues of four entries no chain has more than four descriptors, and everything works.',
    requirements: ['VQ-15'],
    options: both.map(options => ({ ...options, queueSize: 4, limits: { max_qp_wr: 4, max_cqe: 4 } })),
    ask: useSmall,
  }),
  probeStarted({
    id: 'VQ/indirect/not-negotiated',
    doc: 'A driver that is asked to use INDIRECT does not when the device does not offer it.',
    requirements: ['VQ-20'],
    options: { want: { indirect: true, eventIdx: false } },
    ask: useEverything,
  }),
  probeStarted({
    id: 'VQ/indirect/well-formed',
    doc: 'Where INDIRECT is negotiated, no table names another and no descriptor has INDIRECT and NEXT.',
    requirements: ['VQ-21', 'VQ-22'],
    needs: { features: ['indirect'] },
    options: [
      { indirect: true },
      { indirect: true, eventIdx: true },
      { indirect: true, queueSize: 4, limits: { max_qp_wr: 4, max_cqe: 4 } },
    ],
    ask: async bench => (bench.options.queueSize === undefined ? useEverything(bench) : useSmall(bench)),
  }),
  probeStarted({
    id: 'VQ/chain/outstanding-unchanged',
    doc: 'Descriptors, tables, ring slots and bytes of chains that are outstanding stay as they are, whatever else is made available.',
    requirements: ['VQ-29', 'DATA-35', 'VQ-30'],
    options: both,
    ask: outstandingUnchanged,
  }),
  probeStarted({
    id: 'VQ/chain/commands-unchanged',
    doc: 'Commands that are with the device stay as they are while others come.',
    requirements: ['VQ-29', 'VQ-30'],
    options: both,
    ask: async bench => {
      const pd = await bench.do('createPd()', verbs => verbs.createPd());
      const calls = [0, 1, 2].map(i =>
        bench.call(`regMr(${i})`, verbs => verbs.regMr(pd, { addr: ARENA_BASE, length: 1 + i, access: 0 })),
      );
      await bench.run();
      const ring = bench.device.ring(bench.map.control);
      const before = bench.pending.map(({ chain }) => ({ chain, bytes: ring.snapshot(chain) }));
      const more = [3, 4].map(i => bench.call(`addGid(${i})`, verbs => verbs.addGid(i, '2'.repeat(32))));
      await bench.run();
      for (const { chain, bytes } of before) {
        const at = ring.snapshot(chain).findIndex((byte, i) => byte !== bytes[i]);
        bench.expect(at < 0, `byte ${at} of a command that is outstanding changed`);
      }
      for (const call of calls) await bench.value(call);
      for (const call of more) await bench.value(call);
    },
  }),
  ...both.map((options, i) =>
    probe({
      id: `VQ/publish/behind-its-chain-${['direct', 'indirect', 'event-idx'][i]}`,
      doc: 'A device that takes a chain at the very moment at which the index is raised finds all of it in place.',
      requirements: ['VQ-28'],
      options,
      ask: takenAtOnce,
    }),
  ),
  probeStarted({
    id: 'VQ/index/wraps',
    doc: 'The 16-bit indices of the control queue, a send queue and a completion queue go from 65535 to 0 and nothing is lost.',
    requirements: ['VQ-28', 'VQ-39', 'DATA-04'],
    long: true,
    options: { queueSize: 64, limits: { max_qp_wr: 64, max_cqe: 64 }, dmaBytes: 1 << 20 },
    ask: indicesWrap,
  }),
];

async function useSmall(bench: Bench): Promise<void> {
  const cap = { maxSendWr: 2, maxRecvWr: 2 };
  const { qp, qpn, sendCq, sendCqn } = await makeObjects(bench, { cap, cqe: 2 });
  for (let round = 0; round < 9; round++) {
    post(bench, qp, aSend(round));
    consume(bench, bench.map.sq(qpn));
    complete(bench, sendCqn, { wr_id: round, qp_num: qpn });
    bench.equal(poll(bench, sendCq).length, 1, 'completions polled');
  }
}

async function outstandingUnchanged(bench: Bench): Promise<void> {
  const { qp, qpn, pd } = await makeObjects(bench);
  const queues = [bench.map.sq(qpn), bench.map.rq(qpn)];
  for (let i = 0; i < 2; i++) {
    post(bench, qp, aSend(i, { sges: [{ addr: i, length: i, lkey: i }] }));
    postReceive(bench, qp, aRecv(i));
  }
  const before = queues.flatMap(queue =>
    takeRequests(bench, queue).map(({ chain }) => ({
      chain,
      bytes: bench.device.ring(queue).snapshot(chain),
    })),
  );
  bench.equal(before.length, 4, 'requests in the rings');
  for (let i = 2; i < 4; i++) {
    post(bench, qp, aSend(i, { sendFlags: 10, inlineData: new Uint8Array(64).fill(i), sges: [] }));
    postReceive(bench, qp, aRecv(i, { sges: [] }));
  }
  await makeRegion(bench, pd);
  for (const { chain, bytes } of before) {
    const after = bench.device.ring(chain.queue).snapshot(chain);
    const at = after.findIndex((byte, i) => byte !== bytes[i]);
    bench.expect(
      at < 0,
      `byte ${at} of chain ${chain.head} on queue ${chain.queue} changed while it was outstanding`,
    );
  }
}

/** The device takes each chain in the step in which the driver raises the index. */
async function takenAtOnce(bench: Bench): Promise<void> {
  let taken = 0;
  bench.onStored = address => {
    for (const ring of bench.device.rings.values()) {
      if (address !== ring.addresses.driver + 2 || !bench.device.live) continue;
      if (ring.index === bench.map.control) bench.look();
      else if (ring.index >= bench.map.sq(0)) taken += ring.takeAll().length;
    }
  };
  await bench.start();
  const { qp, qpn } = await makeObjects(bench);
  for (let i = 0; i < 3; i++) {
    post(bench, qp, aSend(i + 100));
    postReceive(bench, qp, aRecv(i + 200));
  }
  for (const index of [bench.map.sq(qpn), bench.map.rq(qpn)]) {
    const ring = bench.device.ring(index);
    taken += ring.takeAll().length;
    const ids = [...ring.outstanding.values()].map(({ readable }) => readable[0]);
    const first = index === bench.map.sq(qpn) ? 100 : 200;
    bench.equal(
      ids.join(),
      [first, first + 1, first + 2].join(),
      'wr_ids of the requests that were taken at once',
    );
  }
  bench.equal(taken, 6, 'requests taken');
}

/** 65536 chains and some on each of three queues, in batches that the queues hold. */
async function indicesWrap(bench: Bench): Promise<void> {
  const { qp, qpn, sendCq, sendCqn } = await makeObjects(bench, {
    cap: { maxSendWr: 64, maxSendSge: 1 },
    cqe: 64,
  });
  const [sq, cq] = [bench.map.sq(qpn), bench.map.cq(sendCqn)];
  const batch = 64;
  for (let done = 0; done < 65536 + 64; done += batch) {
    const sends = Array.from({ length: batch }, (_, i) => aSend(done + i));
    postMany(bench, qp, sends);
    const requests = takeRequests(bench, sq);
    bench.expect(
      requests.length === batch,
      `${requests.length} of ${batch} sends are in the ring at index ${done & 0xffff}`,
    );
    giveBack(bench, requests);
    for (let i = 0; i < batch; i++) complete(bench, sendCqn, { wr_id: done + i, qp_num: qpn });
    const found = poll(bench, sendCq, batch).map(({ wrId }) => wrId);
    bench.expect(
      found.length === batch && found.every((wrId, i) => wrId === done + i),
      `polled ${found.join()} at index ${done & 0xffff}, expected ${batch} from ${done} on`,
    );
  }
  bench.expect(bench.device.ring(cq).taken > 65536, 'the index of the completion queue has not wrapped');
  await bench.do('createPd()', verbs => verbs.createPd());
  bench.equal(bench.log.at(-1), Command.CREATE_PD, 'the last command');
}
