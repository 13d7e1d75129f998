/** Section 4.7 asked of a device: each way to break a ring, on a queue of each kind; one answer fits all. */
import { QpState } from '../../../abi/index.js';
import type { QueueMap } from '../../../abi/index.js';
import type { CaseNeeds, ConformanceCase } from '../../cases/case.js';
import { GUEST_BASE } from '../../simulated-guest.js';
import { pieces } from './answers.js';
import { Bench, probeLimits } from './bench.js';
import type { BenchOptions } from './bench.js';
import { connectedOthers, expectBroken } from './broken.js';
import { QUEUE_SIZE } from './machine.js';
import type { ProbeMachine } from './machine.js';
import { createPd, recvRequest } from './messages.js';
import type { PackedPen } from './packed-pen.js';
import { probe } from './probe-case.js';
import { queuePairIn } from './queue-pair-states.js';
import { connect, furnish } from './site.js';
import type { Side } from './site.js';
import { packedFaults, splitFaults } from './ring-faults.js';
import type { Fault } from './ring-faults.js';
import type { SplitPen } from './split-pen.js';

const NEXT = 1;

type Kind = 'control' | 'send' | 'receive' | 'completion';

/** A queue of the kind that the device looks at, on machine 0. */
function queueOf(kind: Kind, bench: Bench): { index: number; side: Side | undefined } {
  const { queues } = bench.me;
  if (kind === 'control') return { index: queues.control, side: undefined };
  const side = furnish(bench.me, { buffers: 0 });
  connect(side, side);
  const index = {
    send: queues.sq(side.qpn),
    receive: queues.rq(side.qpn),
    completion: queues.cq(side.cqn),
  }[kind];
  return { index, side };
}

function splitRing(kind: Kind, fault: Fault<SplitPen>): ConformanceCase {
  return brokenRing(kind, 'ring', fault, (me, index) => fault.lay(me.ring(index), me));
}
function packedRing(kind: Kind, fault: Fault<PackedPen>): ConformanceCase {
  return brokenRing(kind, 'packed-ring', fault, (me, index) => fault.lay(me.packedRing(index), me));
}

function brokenRing(
  kind: Kind,
  format: 'ring' | 'packed-ring',
  { slug, doc, requirements, indirect = false }: Omit<Fault<never>, 'lay'>,
  lay: (machine: ProbeMachine, index: number) => void,
): ConformanceCase {
  const packed = format === 'packed-ring';
  return probe(
    {
      id: `VQ/broken-${kind}-${format}/${slug}`,
      doc: `The device asks for a reset when it meets ${doc} on a ${packed ? 'packed ' : ''}${kind} queue; other machines go on, and a reset helps.`,
      requirements: [...requirements, 'VQ-46', 'FEAT-32', 'ISO-14', 'FEAT-31'],
      needs: needsOf(packed, indirect),
    },
    context => {
      const bench = new Bench(context, { machines: 3, indirect, packed });
      const others = connectedOthers(bench);
      const { index, side } = queueOf(kind, bench);
      lay(bench.me, index);
      bench.note('guest', 'device', `queue ${index}: ${doc}`);
      bench.me.transport.notify(index);
      bench.run();
      // A completion virtqueue is read only when there is a completion to give.
      if (kind === 'completion' && side !== undefined && !bench.me.needsReset) {
        bench.me.postSend(side.qpn, { opcode: 99 });
        bench.run();
      }
      expectBroken(bench, others, requirements, doc);
      return bench;
    },
  );
}

function needsOf(packed: boolean, indirect: boolean): CaseNeeds {
  const features = [...(indirect ? (['indirect'] as const) : []), ...(packed ? (['packed'] as const) : [])];
  return features.length === 0 ? {} : { features };
}

const samples = new Set([
  'head-out-of-range',
  'loop',
  'outside-memory',
  'index-too-far',
  'readable-after-writable',
  'indirect-in-indirect',
  'goes-on-into-another-lap',
  'indirect-and-next',
]);

/** One that needs a chain in flight: a receive that nobody answers stays with the device. */
function inFlight(packed: boolean): ConformanceCase {
  const requirements = [packed ? 'VQ-98' : 'VQ-48'];
  const name = packed ? 'buffer id' : 'head';
  return probe(
    {
      id: packed ? 'VQ/broken-receive-packed-ring/id-in-flight' : 'VQ/broken-send-ring/head-in-flight',
      doc: `The device asks for a reset when a ${name} is made available whose chain is in flight.`,
      requirements: [...requirements, 'VQ-46', 'ISO-14'],
      needs: needsOf(packed, false),
    },
    context => {
      const bench = new Bench(context, { machines: 3, packed });
      const others = connectedOthers(bench);
      const side = furnish(bench.me);
      const qpn = queuePairIn(bench, side, side.type, QpState.INIT);
      const index = bench.me.queues.rq(qpn);
      const chain = bench.me.postRecv(qpn, 1);
      bench.run();
      bench.me.pen(index).offerAgain(chain);
      bench.me.transport.notify(index);
      bench.run();
      const what = `${name} ${chain.head} is made available again while it is in flight`;
      expectBroken(bench, others, requirements, what);
      return bench;
    },
  );
}

/** A ring that is full but for one descriptor, and a chain of two: the second stands where one in flight does. */
const intoFlight = probe(
  {
    id: 'VQ/broken-receive-packed-ring/goes-on-into-flight',
    doc: 'The device asks for a reset when a chain goes on into a descriptor whose chain is in flight, however well it is marked.',
    requirements: ['VQ-97', 'VQ-46', 'ISO-14'],
    needs: needsOf(true, false),
  },
  context => {
    const queueSize = (index: number, queues: QueueMap): number => (index < queues.sq(0) ? QUEUE_SIZE : 8);
    const bench = new Bench(context, { machines: 3, packed: true, queueSize });
    const others = connectedOthers(bench);
    const side = furnish(bench.me);
    const qpn = queuePairIn(bench, side, side.type, QpState.INIT);
    const { me } = bench;
    const index = me.queues.rq(qpn);
    const pen = me.packedRing(index);
    for (const cut of [8, 8, 8, 24]) pen.add(pieces(me.place(recvRequest(cut, [])), 24, [cut], false));
    me.publish(index);
    bench.run();
    const last = pieces(me.place(recvRequest(9, [])), 24, [8], false);
    pen.offer(last.map((part, i) => ({ ...part, flags: i === 0 ? NEXT : 0 })));
    me.transport.notify(index);
    bench.run();
    expectBroken(bench, others, ['VQ-97'], 'a chain goes on into a descriptor that is in flight');
    return bench;
  },
);

const wide: BenchOptions = {
  memoryBytes: 2 * 1024 * 1024,
  machines: 3,
  limits: { ...probeLimits, device: { ...probeLimits.device, queueSizeMax: 4096 } },
  queueSize: (index, queues) => (index === queues.control ? 4096 : 32),
};

/** Chains of 2^32 bytes and of one more: the same megabytes again and again. */
const bytesOfChain = ([0, 1] as const).map(more =>
  probe(
    {
      id: more === 1 ? 'VQ/broken-control-ring/more-than-2-32-bytes' : 'VQ/chain/2-32-bytes',
      doc:
        more === 1
          ? 'The device asks for a reset when a chain has one byte more than 2^32.'
          : 'The device takes a chain of exactly 2^32 bytes.',
      requirements: more === 1 ? ['VQ-51', 'VQ-46'] : ['VQ-51'],
    },
    context => {
      const bench = new Bench(context, wide);
      const others = connectedOthers(bench);
      const { me } = bench;
      const ring = me.control;
      const [first, whole, writable] = [1024, 2 ** 21 - 4096, 5];
      const address = me.alloc(first);
      me.memory.put(address, Uint8Array.of(me.profile.controlClass, createPd.code));
      const left = 2 ** 32 + more - first - writable;
      const lengths = Array.from({ length: Math.floor(left / whole) }, () => whole);
      const repeated = [...lengths, left % whole].map(length => ({ address: GUEST_BASE, length }));
      const answer = { address: me.alloc(writable), length: writable, writable: true };
      const chain = ring.add([{ address, length: first }, ...repeated, answer]);
      me.publish(ring.index);
      bench.run();
      if (more === 1) expectBroken(bench, others, ['VQ-51'], 'a chain of 2^32 + 1 bytes');
      else {
        const [element] = me.returned(ring.index);
        bench.same(
          ['VQ-51', 'VQ-16'],
          'used id and length of a chain of 2^32 bytes',
          [element?.id, element?.length],
          [chain.head, 5],
        );
      }
      return bench;
    },
  ),
);

const byKind = ['send', 'receive', 'completion'] as const;

export const brokenRingCases = [
  ...splitFaults.map(fault => splitRing('control', fault)),
  ...byKind.flatMap(kind =>
    splitFaults.filter(({ slug }) => samples.has(slug)).map(fault => splitRing(kind, fault)),
  ),
  inFlight(false),
  ...packedFaults.map(fault => packedRing('control', fault)),
  ...byKind.flatMap(kind =>
    packedFaults.filter(({ slug }) => samples.has(slug)).map(fault => packedRing(kind, fault)),
  ),
  inFlight(true),
  intoFlight,
  ...bytesOfChain,
];
