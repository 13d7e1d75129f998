/**
 * Each way to break a ring, as a probe lays it: those that every format has are written once, through the pen; a format's own
 * are laid by its own hand.
 */
import { GUEST_BASE } from '../../simulated-guest.js';
import type { ProbeMachine } from './machine.js';
import type { PackedPen } from './packed-pen.js';
import type { RingPen } from './pen.js';
import type { SplitPen } from './split-pen.js';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

/** Writes the ring; everything is published and notified afterwards. */
type Lay<Pen> = (ring: Pen, machine: ProbeMachine) => void;

export interface Fault<Pen> {
  readonly slug: string;
  readonly doc: string;
  readonly requirements: readonly string[];
  readonly indirect?: boolean;
  readonly lay: Lay<Pen>;
}

/** 64 bytes of guest memory that a descriptor may name. */
const room = (machine: ProbeMachine): number => machine.alloc(64);

/** Of a fault that every format has, and the sentence where a packed ring has one of its own. */
interface SharedFault extends Fault<RingPen> {
  readonly packed?: readonly string[];
}

const shared: readonly SharedFault[] = [
  {
    slug: 'readable-after-writable',
    doc: 'a readable descriptor behind a writable one',
    requirements: ['VQ-52'],
    lay: (ring, machine) => {
      const address = room(machine);
      ring.offer([
        { address, length: 2, flags: NEXT },
        { address: address + 8, length: 8, flags: NEXT | WRITE },
        { address: address + 16, length: 8 },
      ]);
    },
  },
  {
    slug: 'outside-memory',
    doc: 'a descriptor that ends one byte behind guest memory',
    requirements: ['VQ-53', 'VQ-58'],
    lay: (ring, machine) => ring.offer([{ address: machine.memory.end - 8, length: 9 }]),
  },
  {
    slug: 'before-memory',
    doc: 'a descriptor that begins one byte before guest memory',
    requirements: ['VQ-53', 'VQ-58'],
    lay: ring => ring.offer([{ address: GUEST_BASE - 1, length: 8, flags: WRITE }]),
  },
  {
    slug: 'address-of-64-bits',
    doc: 'a descriptor at the last bytes of 64 bits, whose end would come round to 0',
    requirements: ['VQ-53', 'VQ-58'],
    lay: ring => ring.offer([{ address: 2n ** 64n - 8n, length: 16 }]),
  },
  {
    slug: 'low-half-of-address-in-memory',
    doc: 'a descriptor whose address lies in guest memory but for its upper 32 bits',
    requirements: ['VQ-53', 'OVR-03'],
    lay: ring => ring.offer([{ address: GUEST_BASE % 2 ** 32, length: 8 }]),
  },
  {
    slug: 'indirect-and-next',
    doc: 'INDIRECT and NEXT in one descriptor',
    requirements: ['VQ-54'],
    packed: ['VQ-99'],
    indirect: true,
    lay: (ring, machine) => {
      const table = machine.alloc(16, 16);
      ring.table(table, [{ address: room(machine), length: 8 }]);
      ring.offer([
        { address: table, length: 16, flags: INDIRECT | NEXT },
        { address: room(machine), length: 8 },
      ]);
    },
  },
  {
    slug: 'indirect-too-long',
    doc: 'an indirect table with a chain of one entry more than the queue has',
    requirements: ['VQ-50', 'VQ-57'],
    packed: ['VQ-99', 'VQ-57'],
    indirect: true,
    lay: (ring, machine) => {
      const entries = ring.size + 1;
      const table = machine.alloc(16 * entries, 16);
      const address = room(machine);
      ring.table(
        table,
        Array.from({ length: entries }, () => ({ address, length: 1 })),
      );
      ring.offer([{ address: table, length: 16 * entries, flags: INDIRECT }]);
    },
  },
  ...(
    [
      ['empty-table', 'an indirect table of length 0', 0],
      ['odd-table', 'an indirect table whose length is no multiple of 16', 24],
    ] as const
  ).map(([slug, doc, length]): SharedFault => ({
    slug: `indirect-${slug}`,
    doc,
    requirements: ['VQ-55'],
    indirect: true,
    lay: (ring, machine) => {
      const table = machine.alloc(64, 16);
      ring.table(table, [{ address: room(machine), length: 8 }]);
      ring.offer([{ address: table, length, flags: INDIRECT }]);
    },
  })),
  {
    slug: 'indirect-table-outside-memory',
    doc: 'an indirect table whose last entry is behind guest memory',
    requirements: ['VQ-55', 'VQ-58'],
    indirect: true,
    lay: (ring, machine) => {
      const table = machine.memory.end - 16;
      ring.table(table, [{ address: room(machine), length: 8 }]);
      ring.offer([{ address: table, length: 32, flags: INDIRECT }]);
    },
  },
];

const splitOnly: readonly Fault<SplitPen>[] = [
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
    lay: (ring, machine) => ring.offer([{ address: room(machine), length: 8, flags: NEXT, next: ring.size }]),
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
      ring.table(table, [{ address: room(machine), length: 8 }]);
      ring.offer([{ address: table, length: 16, flags: INDIRECT }]);
    },
  },
  {
    slug: 'indirect-in-indirect',
    doc: 'an indirect table named within an indirect table',
    requirements: ['VQ-54'],
    indirect: true,
    lay: (ring, machine) => {
      const inner = machine.alloc(16, 16);
      ring.table(inner, [{ address: room(machine), length: 8 }]);
      const outer = machine.alloc(16, 16);
      ring.table(outer, [{ address: inner, length: 16, flags: INDIRECT }]);
      ring.offer([{ address: outer, length: 16, flags: INDIRECT }]);
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
      ring.offer([{ address: table, length: 32, flags: INDIRECT }]);
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
      ring.offer([{ address: table, length: 32, flags: INDIRECT }]);
    },
  },
];

const packedOnly: readonly Fault<PackedPen>[] = [
  {
    slug: 'goes-on-into-zeros',
    doc: 'a chain that goes on into a descriptor that was never made available',
    requirements: ['VQ-97'],
    lay: (ring, machine) => ring.offer([{ address: room(machine), length: 8, flags: NEXT }]),
  },
  {
    slug: 'goes-on-into-another-lap',
    doc: 'a chain whose second descriptor is marked as available by the other wrap counter',
    requirements: ['VQ-97'],
    lay: (ring, machine) => {
      const address = room(machine);
      const { slot, used } = ring.next.ahead(1);
      ring.descriptor(slot, { address, length: 8 });
      ring.setFlags(slot, used === 0 ? 0x80 : 0x8000);
      ring.offer([{ address, length: 8, flags: NEXT }]);
    },
  },
  {
    slug: 'goes-on-into-a-used-one',
    doc: 'a chain whose second descriptor is marked as used',
    requirements: ['VQ-97'],
    lay: (ring, machine) => {
      const address = room(machine);
      const { slot, used } = ring.next.ahead(1);
      ring.descriptor(slot, { address, length: 8 });
      ring.setFlags(slot, used);
      ring.offer([{ address, length: 8, flags: NEXT }]);
    },
  },
  {
    slug: 'longer-than-the-ring',
    doc: 'a chain that takes every descriptor and goes on with the first once more',
    requirements: ['VQ-97', 'VQ-57'],
    lay: (ring, machine) => {
      const address = room(machine);
      ring.offer(Array.from({ length: ring.size }, () => ({ address, length: 1, flags: NEXT })));
    },
  },
  {
    slug: 'indirect-behind-another',
    doc: 'INDIRECT in the second descriptor of a chain',
    requirements: ['VQ-99'],
    indirect: true,
    lay: (ring, machine) => {
      const table = machine.alloc(16, 16);
      ring.table(table, [{ address: room(machine), length: 8 }]);
      ring.offer([
        { address: room(machine), length: 8, flags: NEXT },
        { address: table, length: 16, flags: INDIRECT },
      ]);
    },
  },
];

export const splitFaults: readonly Fault<SplitPen>[] = [...shared, ...splitOnly];
export const packedFaults: readonly Fault<PackedPen>[] = [
  ...shared.map(({ packed, ...fault }) => ({ ...fault, requirements: packed ?? fault.requirements })),
  ...packedOnly,
];
