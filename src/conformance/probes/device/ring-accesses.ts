/** Sections 4.5 and 4.6 asked of a device: what it reads when and how often, and what it writes where. */
import { Avail, Used } from '../../../virtio/index.js';
import type { CaseContext } from '../../cases/case.js';
import { Bench } from './bench.js';
import type { ProbeMachine } from './machine.js';
import { createCq, queryPort } from './messages.js';
import { probe } from './probe-case.js';
import { exchange, furnish, lonely, pairOf } from './site.js';

const NEXT = 1;

/** What the device reads of the control ring for one command, as names in the order of reading. */
function watchReads(machine: ProbeMachine, names: ReadonlyMap<number, string>): string[] {
  const seen: string[] = [];
  machine.memory.watch = {
    read: (address, length) => {
      for (const [place, name] of names) if (address <= place && place < address + length) seen.push(name);
    },
  };
  return seen;
}

const accesses = [
  probe(
    {
      id: 'VQ/access/index-before-slot-before-descriptor',
      doc: 'The device reads the available index before the slot, and the slot before the descriptor.',
      requirements: ['VQ-34'],
    },
    context => {
      const bench = new Bench(context, { machines: 1 });
      const { me } = bench;
      const pending = me.prepare(queryPort.code, new Uint8Array(0), { writable: 33 }, 'QUERY_PORT');
      const { driver, descriptors } = me.control.addresses;
      const names = new Map([
        [driver + Avail.IDX, 'idx'],
        [driver + Avail.RING, 'slot'],
        [descriptors + 16 * pending.chain.head, 'descriptor'],
        [pending.chain.parts[0].address, 'header'],
      ]);
      const seen = watchReads(me, names);
      me.answers([pending]);
      me.memory.watch = undefined;
      const first = seen.filter((name, i) => seen.indexOf(name) === i);
      bench.same(['VQ-34'], 'the order of first readings', first, ['idx', 'slot', 'descriptor', 'header']);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/access/each-field-read-once',
      doc: 'A slot and descriptors that change as soon as they are read have no influence on the chain.',
      requirements: ['VQ-32'],
    },
    context => {
      const bench = new Bench(context, { machines: 1 });
      const { me } = bench;
      const { memory } = me;
      const pending = me.prepare(
        queryPort.code,
        new Uint8Array(0),
        { writable: 33, cuts: [1] },
        'QUERY_PORT, its ring inverted behind the first reading',
      );
      const { driver, descriptors } = me.control.addresses;
      const invert = (at: number, from: number, length: number): void => {
        for (let i = Math.max(at, from); i < from + length; i++) memory.bytes[memory.at(i)] ^= 0xff;
      };
      memory.watch = {
        read: (address, length) => {
          for (const [from, bytes] of [
            [driver + Avail.RING, 2],
            ...pending.chain.descriptors.map(d => [descriptors + 16 * d, 16] as const),
          ]) {
            const start = Math.max(address, from);
            const end = Math.min(address + length, from + bytes);
            if (start < end) invert(start, start, end - start);
          }
        },
      };
      const [answer] = me.answers([pending]);
      memory.watch = undefined;
      bench.same(['VQ-32'], 'used length and ack', [answer.used, answer.bytes[0]], [33, 0]);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/access/element-before-index',
      doc: 'When the used index is raised, the element and the answer are there already.',
      requirements: ['VQ-36', 'ORD-17'],
    },
    context => {
      const bench = new Bench(context, { machines: 1 });
      const { me } = bench;
      const { memory } = me;
      const pending = me.prepare(queryPort.code, new Uint8Array(0), { writable: 33 }, 'QUERY_PORT');
      const { device } = me.control.addresses;
      let found: unknown[] = [];
      memory.watch = {
        write: (address, length) => {
          if (!(address <= device + Used.IDX && device + Used.IDX < address + length)) return;
          const at = memory.at(device) + Used.RING;
          found = [
            memory.view.getUint32(at, true),
            memory.view.getUint32(at + Used.LEN, true),
            memory.bytes[memory.at(pending.address)],
          ];
        },
      };
      me.answers([pending]);
      memory.watch = undefined;
      bench.same(['VQ-36'], 'id, length and ack when the used index was raised', found, [
        pending.chain.head,
        33,
        0,
      ]);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/access/writes-nothing-else',
      doc: 'Commands and traffic leave descriptor tables, available rings, tables and readable bytes as they were.',
      requirements: ['VQ-33', 'ISO-08', 'DATA-23'],
    },
    context => {
      const scene = pairOf(context);
      const { a, bench } = scene;
      exchange(scene, ['VQ-33']);
      const { machine } = a;
      const watched = [...machine.rings.values()].flatMap(({ addresses, size }) => [
        { from: addresses.descriptors, to: addresses.descriptors + 16 * size },
        { from: addresses.driver, to: addresses.driver + 6 + 2 * size },
      ]);
      machine.memory.watch = {
        write: (address, length) => {
          if (watched.some(({ from, to }) => address < to && from < address + length)) {
            bench.accuse(
              ['VQ-33'],
              `the device wrote ${length} bytes at 0x${address.toString(16)}, in a ring area of the driver`,
            );
          }
        },
      };
      exchange(scene, ['VQ-33']);
      machine.must(queryPort);
      machine.memory.watch = undefined;
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/access/queues-without-object',
      doc: 'Chains on virtqueues of objects that do not exist are not taken, however broken they are.',
      requirements: ['VQ-04', 'HOST-06'],
    },
    context => {
      const bench = new Bench(context, { machines: 1 });
      const { me } = bench;
      const side = furnish(me);
      const { queues } = me;
      const idle = [queues.cq(3), queues.sq(0), queues.rq(0), queues.sq(1), queues.sq(5), queues.rq(5)];
      for (const index of idle) {
        me.ring(index).descriptor(0, { address: 0, length: 9, flags: NEXT, next: 0 });
        me.ring(index).offerHead(index % 2 === 0 ? 0 : 0xffff);
        me.transport.notify(index);
      }
      bench.run();
      bench.same(
        ['VQ-04', 'HOST-06'],
        'used indices',
        idle.map(index => me.ring(index).usedIdx),
        idle.map(() => 0),
      );
      bench.same(['VQ-04', 'HOST-06'], 'DEVICE_NEEDS_RESET', me.needsReset, false);
      me.must(createCq, { cqe: 1 });
      bench.same(['VQ-04'], 'the queue pair', side.qpn, 2);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/access/bounded-reads',
      doc: 'A loop of descriptors costs the device no more readings than a chain as long as the queue.',
      requirements: ['VQ-57', 'HOST-01'],
    },
    (context: CaseContext) => {
      const bench = new Bench(context, { machines: 1 });
      const { me } = bench;
      const ring = me.control;
      const { descriptors } = ring.addresses;
      let reads = 0;
      me.memory.watch = {
        read: (address, length) => {
          const first = Math.ceil((address - descriptors) / 16);
          if (first >= 0 && first < ring.size && descriptors + 16 * first < address + length) reads++;
        },
      };
      for (let i = 0; i < ring.size; i++)
        ring.descriptor(i, { address: 0, length: 0, flags: NEXT, next: (i + 1) % ring.size });
      ring.offerHead(0);
      me.transport.notify(ring.index);
      bench.run();
      me.memory.watch = undefined;
      if (reads > ring.size)
        bench.accuse(['VQ-57'], `${reads} descriptors read for a loop in a queue of ${ring.size}`);
      bench.same(['VQ-50'], 'DEVICE_NEEDS_RESET', me.needsReset, true);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/used/lengths-of-requests',
      doc: 'Chains of sends and receives come back with used length 0.',
      requirements: ['VQ-38', 'DATA-28', 'CQ-02'],
    },
    context => {
      const { bench, a } = lonely(context);
      a.machine.postRecv(a.qpn, 1);
      a.machine.postSend(a.qpn, { wrId: 2, flags: 0, opcode: 77 });
      bench.run();
      const { queues } = a.machine;
      const lengths = [queues.sq(a.qpn), queues.rq(a.qpn)].map(index =>
        a.machine.returned(index).map(({ length }) => length),
      );
      bench.same(['VQ-38', 'DATA-28'], 'used lengths of a failed send and a flushed receive', lengths, [
        [0],
        [0],
      ]);
      return bench;
    },
  ),
];

export const accessCases = accesses;
