/** Section 4.7 asked of a device: each way to break a ring, on a queue of each kind; one answer fits all. */
import { QpState } from '../../../abi/index.js';
import type { CaseContext, ConformanceCase } from '../../cases/case.js';
import { GUEST_BASE } from '../../simulated-guest.js';
import { Bench, probeLimits } from './bench.js';
import type { BenchOptions } from './bench.js';
import { connectedOthers, expectBroken } from './broken.js';
import type { ProbeMachine } from './machine.js';
import { createPd } from './messages.js';
import { probe } from './probe-case.js';
import { queuePairIn } from './queue-pair-states.js';
import { connect, furnish } from './site.js';
import type { Side } from './site.js';
import type { ProbeRing } from './ring.js';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

interface Fault {
  readonly slug: string;
  readonly doc: string;
  readonly requirements: readonly string[];
  readonly indirect?: boolean;
  /** Writes the ring; everything is published and notified afterwards. */
  readonly lay: (ring: ProbeRing, machine: ProbeMachine) => void;
}

/** 64 bytes of guest memory that a descriptor may name. */
const room = (machine: ProbeMachine): number => machine.alloc(64);

const faults: readonly Fault[] = [
  {
    slug: 'head-out-of-range',
    doc: 'a head that is not below the size of the queue',
    requirements: ['VQ-47'],
    lay: ring => ring.offerHead(ring.size),
  },
  {
    slug: 'next-out-of-range',
    doc: 'a next that is not below the size of the queue',
    requirements: ['VQ-49'],
    lay: (ring, machine) => {
      ring.descriptor(0, { address: room(machine), length: 8, flags: NEXT, next: ring.size });
      ring.offerHead(0);
    },
  },
  {
    slug: 'loop',
    doc: 'a chain that comes back to its own head',
    requirements: ['VQ-50', 'VQ-57'],
    lay: (ring, machine) => {
      const address = room(machine);
      ring.descriptor(0, { address, length: 8, flags: NEXT, next: 1 });
      ring.descriptor(1, { address, length: 8, flags: NEXT, next: 0 });
      ring.offerHead(0);
    },
  },
  {
    slug: 'loop-of-empty-descriptors',
    doc: 'a loop of descriptors of length 0',
    requirements: ['VQ-50', 'VQ-57'],
    lay: ring => {
      ring.descriptor(0, { address: 0, length: 0, flags: NEXT, next: 0 });
      ring.offerHead(0);
    },
  },
  {
    slug: 'readable-after-writable',
    doc: 'a readable descriptor behind a writable one',
    requirements: ['VQ-52'],
    lay: (ring, machine) => {
      const address = room(machine);
      ring.descriptor(0, { address, length: 2, flags: NEXT, next: 1 });
      ring.descriptor(1, { address: address + 8, length: 8, flags: NEXT | WRITE, next: 2 });
      ring.descriptor(2, { address: address + 16, length: 8 });
      ring.offerHead(0);
    },
  },
  {
    slug: 'outside-memory',
    doc: 'a descriptor that ends one byte behind guest memory',
    requirements: ['VQ-53', 'VQ-58'],
    lay: (ring, machine) => {
      ring.descriptor(0, { address: machine.memory.end - 8, length: 9 });
      ring.offerHead(0);
    },
  },
  {
    slug: 'before-memory',
    doc: 'a descriptor that begins one byte before guest memory',
    requirements: ['VQ-53', 'VQ-58'],
    lay: ring => {
      ring.descriptor(0, { address: GUEST_BASE - 1, length: 8, flags: WRITE });
      ring.offerHead(0);
    },
  },
  {
    slug: 'address-of-64-bits',
    doc: 'a descriptor at the last bytes of 64 bits, whose end would come round to 0',
    requirements: ['VQ-53', 'VQ-58'],
    lay: ring => {
      ring.descriptor(0, { address: 2n ** 64n - 8n, length: 16 });
      ring.offerHead(0);
    },
  },
  {
    slug: 'low-half-of-address-in-memory',
    doc: 'a descriptor whose address lies in guest memory but for its upper 32 bits',
    requirements: ['VQ-53', 'OVR-03'],
    lay: ring => {
      ring.descriptor(0, { address: GUEST_BASE % 2 ** 32, length: 8 });
      ring.offerHead(0);
    },
  },
  {
    slug: 'index-too-far',
    doc: 'an available index that has passed more chains than the queue has entries',
    requirements: ['VQ-56'],
    lay: (ring, machine) => {
      ring.descriptor(0, { address: room(machine), length: 8 });
      ring.setAvailIdx(ring.nextAvail + ring.size + 1);
    },
  },
  {
    slug: 'index-gone-back',
    doc: 'an available index that goes back by one',
    requirements: ['VQ-56'],
    lay: ring => ring.setAvailIdx(ring.nextAvail - 1),
  },
  {
    slug: 'indirect-without-the-feature',
    doc: 'an indirect table without VIRTIO_F_INDIRECT_DESC',
    requirements: ['VQ-54'],
    lay: (ring, machine) => {
      const table = machine.alloc(16, 16);
      ring.descriptorAt(table, { address: room(machine), length: 8 });
      ring.descriptor(0, { address: table, length: 16, flags: INDIRECT });
      ring.offerHead(0);
    },
  },
  {
    slug: 'indirect-and-next',
    doc: 'INDIRECT and NEXT in one descriptor',
    requirements: ['VQ-54'],
    indirect: true,
    lay: (ring, machine) => {
      const table = machine.alloc(16, 16);
      ring.descriptorAt(table, { address: room(machine), length: 8 });
      ring.descriptor(0, { address: table, length: 16, flags: INDIRECT | NEXT, next: 1 });
      ring.descriptor(1, { address: room(machine), length: 8 });
      ring.offerHead(0);
    },
  },
  {
    slug: 'indirect-in-indirect',
    doc: 'an indirect table named within an indirect table',
    requirements: ['VQ-54'],
    indirect: true,
    lay: (ring, machine) => {
      const inner = machine.alloc(16, 16);
      ring.descriptorAt(inner, { address: room(machine), length: 8 });
      const outer = machine.alloc(16, 16);
      ring.descriptorAt(outer, { address: inner, length: 16, flags: INDIRECT });
      ring.descriptor(0, { address: outer, length: 16, flags: INDIRECT });
      ring.offerHead(0);
    },
  },
  {
    slug: 'indirect-next-out-of-range',
    doc: 'a next that is not below the entries of its indirect table, though it is below the size of the queue',
    requirements: ['VQ-49'],
    indirect: true,
    lay: (ring, machine) => {
      const table = machine.alloc(48, 16);
      for (const i of [0, 1, 2])
        ring.descriptorAt(table + 16 * i, { address: room(machine), length: 8, flags: NEXT, next: 2 });
      ring.descriptorAt(table + 32, { address: room(machine), length: 8 });
      ring.descriptor(0, { address: table, length: 32, flags: INDIRECT });
      ring.offerHead(0);
    },
  },
  {
    slug: 'indirect-loop',
    doc: 'a loop within an indirect table',
    requirements: ['VQ-50', 'VQ-57'],
    indirect: true,
    lay: (ring, machine) => {
      const table = machine.alloc(32, 16);
      ring.descriptorAt(table, { address: room(machine), length: 8, flags: NEXT, next: 1 });
      ring.descriptorAt(table + 16, { address: room(machine), length: 8, flags: NEXT, next: 0 });
      ring.descriptor(0, { address: table, length: 32, flags: INDIRECT });
      ring.offerHead(0);
    },
  },
  {
    slug: 'indirect-too-long',
    doc: 'an indirect table with a chain of one entry more than the queue has',
    requirements: ['VQ-50', 'VQ-57'],
    indirect: true,
    lay: (ring, machine) => {
      const entries = ring.size + 1;
      const table = machine.alloc(16 * entries, 16);
      const address = room(machine);
      for (let i = 0; i < entries; i++) {
        const more = i + 1 < entries;
        ring.descriptorAt(table + 16 * i, {
          address,
          length: 1,
          flags: more ? NEXT : 0,
          next: more ? i + 1 : 0,
        });
      }
      ring.descriptor(0, { address: table, length: 16 * entries, flags: INDIRECT });
      ring.offerHead(0);
    },
  },
  ...(
    [
      ['empty-table', 'an indirect table of length 0', 0],
      ['odd-table', 'an indirect table whose length is no multiple of 16', 24],
    ] as const
  ).map(([slug, doc, length]): Fault => ({
    slug: `indirect-${slug}`,
    doc,
    requirements: ['VQ-55'],
    indirect: true,
    lay: (ring, machine) => {
      const table = machine.alloc(64, 16);
      ring.descriptorAt(table, { address: room(machine), length: 8 });
      ring.descriptor(0, { address: table, length, flags: INDIRECT });
      ring.offerHead(0);
    },
  })),
  {
    slug: 'indirect-table-outside-memory',
    doc: 'an indirect table whose last entry is behind guest memory',
    requirements: ['VQ-55', 'VQ-58'],
    indirect: true,
    lay: (ring, machine) => {
      const table = machine.memory.end - 16;
      ring.descriptorAt(table, { address: room(machine), length: 8 });
      ring.descriptor(0, { address: table, length: 32, flags: INDIRECT });
      ring.offerHead(0);
    },
  },
];

type Kind = 'control' | 'send' | 'receive' | 'completion';

/** A queue of the kind that the device looks at, on machine 0. */
function queueOf(kind: Kind, bench: Bench): { ring: ProbeRing; side: Side | undefined } {
  const { me } = bench;
  if (kind === 'control') return { ring: me.control, side: undefined };
  const side = furnish(me, { buffers: 0 });
  connect(side, side);
  const { queues } = me;
  const index =
    kind === 'send' ? queues.sq(side.qpn) : kind === 'receive' ? queues.rq(side.qpn) : queues.cq(side.cqn);
  return { ring: me.ring(index), side };
}

function brokenRing(kind: Kind, fault: Fault): ConformanceCase {
  const { slug, doc, requirements, indirect = false, lay } = fault;
  return probe(
    {
      id: `VQ/broken-${kind}-ring/${slug}`,
      doc: `The device asks for a reset when it meets ${doc} on a ${kind} queue; other machines go on, and a reset helps.`,
      requirements: [...requirements, 'VQ-46', 'FEAT-32', 'ISO-14', 'FEAT-31'],
      needs: indirect ? { features: ['indirect'] } : {},
    },
    context => {
      const bench = new Bench(context, { machines: 3, indirect });
      const others = connectedOthers(bench);
      const { ring, side } = queueOf(kind, bench);
      lay(ring, bench.me);
      bench.note('guest', 'device', `queue ${ring.index}: ${doc}`);
      bench.me.transport.notify(ring.index);
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

const samples = new Set([
  'head-out-of-range',
  'loop',
  'outside-memory',
  'index-too-far',
  'readable-after-writable',
  'indirect-in-indirect',
]);

/** One that needs a head in flight: a send that nobody answers stays with the device. */
const inFlight = probe(
  {
    id: 'VQ/broken-send-ring/head-in-flight',
    doc: 'The device asks for a reset when a head is made available whose chain is in flight.',
    requirements: ['VQ-48', 'VQ-46', 'ISO-14'],
  },
  (context: CaseContext) => {
    const bench = new Bench(context, { machines: 3 });
    const others = connectedOthers(bench);
    const side = furnish(bench.me);
    const qpn = queuePairIn(bench, side, side.type, QpState.INIT);
    const ring = bench.me.ring(bench.me.queues.rq(qpn));
    const { head } = bench.me.postRecv(qpn, 1);
    bench.run();
    ring.offerHead(head);
    bench.me.transport.notify(ring.index);
    bench.run();
    expectBroken(bench, others, ['VQ-48'], `head ${head} is made available again while it is in flight`);
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

export const brokenRingCases = [
  ...faults.map(fault => brokenRing('control', fault)),
  ...(['send', 'receive', 'completion'] as const).flatMap(kind =>
    faults.filter(({ slug }) => samples.has(slug)).map(fault => brokenRing(kind, fault)),
  ),
  inFlight,
  ...bytesOfChain,
];
