/** Sections 4.3 to 4.6 asked of a device: chains of any shape, indirect tables, what is read once and what is written when. */
import { Avail, Used } from '../../../virtio/index.js';
import type { CaseContext, ConformanceCase } from '../../cases/case.js';
import { Bench } from './bench.js';
import type { Pending, ProbeMachine } from './machine.js';
import { createCq, createPd, queryPort } from './messages.js';
import { probe } from './probe-case.js';
import type { ProbeText } from './probe-case.js';
import { exchange, furnish, lonely, pairOf } from './site.js';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

interface Descriptor {
  readonly address: number | bigint;
  readonly length: number;
  readonly writable?: boolean;
}

/** QUERY_PORT as bytes in memory: where its header and the room for its answer are. */
function queryInMemory(machine: ProbeMachine): { readonly header: number; readonly answer: number } {
  const header = machine.place(Uint8Array.of(machine.profile.controlClass, queryPort.code));
  const answer = machine.place(new Uint8Array(33).fill(0xee));
  machine.memory.permit(answer, 33);
  return { header, answer };
}

/** Publishes a head and accuses unless QUERY_PORT is answered on it. */
function expectAnswered(
  bench: Bench,
  ids: readonly string[],
  what: string,
  head: number,
  answer: number,
): void {
  const { me } = bench;
  const ring = me.control;
  const before = ring.usedIdx;
  ring.offerHead(head);
  bench.note('guest', 'device', what);
  me.transport.notify(ring.index);
  bench.run();
  const at = me.memory.at(ring.addresses.device) + Used.RING + Used.ENTRY * (before % ring.size);
  const id = me.memory.view.getUint32(at, true);
  const length = me.memory.view.getUint32(at + Used.LEN, true);
  const ack = me.memory.bytes[me.memory.at(answer)];
  const moved = (ring.usedIdx - before) & 0xffff;
  bench.same(ids, `${what}: used elements, id, length and ack`, [moved, id, length, ack], [1, head, 33, 0]);
}

/** A case that lays one QUERY_PORT into the control ring by hand. */
function layout(
  text: Omit<ProbeText, 'needs'>,
  lay: (machine: ProbeMachine, place: { header: number; answer: number }) => number,
  indirect = false,
): ConformanceCase {
  return probe({ ...text, needs: indirect ? { features: ['indirect'] } : {} }, context => {
    const bench = new Bench(context, { indirect, machines: 1 });
    const place = queryInMemory(bench.me);
    const head = lay(bench.me, place);
    expectAnswered(bench, text.requirements, text.doc, head, place.answer);
    return bench;
  });
}

/** Lays descriptors into the ring or a table at given places, each naming the next. */
function link(
  machine: ProbeMachine,
  descriptors: readonly Descriptor[],
  places: readonly number[],
  table?: number,
): void {
  descriptors.forEach(({ address, length, writable = false }, i) => {
    const more = i + 1 < descriptors.length;
    const raw = {
      address,
      length,
      flags: (more ? NEXT : 0) | (writable ? WRITE : 0),
      next: more ? places[i + 1] : 0,
    };
    if (table === undefined) machine.control.descriptor(places[i], raw);
    else machine.control.descriptorAt(table + 16 * places[i], raw);
  });
}

/** The query cut into as many descriptors as asked for: the header in one, the answer in the others. */
function query({ header, answer }: { header: number; answer: number }, count: number): Descriptor[] {
  const parts: Descriptor[] = [{ address: header, length: 2 }];
  const pieces = count - 1;
  for (let i = 0, at = 0; i < pieces; i++) {
    const length = i + 1 === pieces ? 33 - at : 1;
    parts.push({ address: answer + at, length, writable: true });
    at += length;
  }
  return parts;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

const shapes = [
  layout(
    {
      id: 'VQ/chain/as-long-as-the-queue',
      doc: 'A chain of as many descriptors as the queue has is taken.',
      requirements: ['VQ-16', 'VQ-13'],
    },
    (machine, place) => {
      const { size } = machine.control;
      link(machine, query(place, size), upTo(size));
      return 0;
    },
  ),
  layout(
    {
      id: 'VQ/chain/backwards',
      doc: 'A chain whose descriptors stand in falling order, from the last of the table on, is taken.',
      requirements: ['VQ-13', 'VQ-16', 'VQ-35'],
    },
    (machine, place) => {
      const { size } = machine.control;
      const places = upTo(size).toReversed();
      link(machine, query(place, 8), places);
      return places[0];
    },
  ),
  layout(
    {
      id: 'VQ/chain/empty-descriptors',
      doc: 'Descriptors of length 0, readable and writable, at addresses outside memory, contribute nothing.',
      requirements: ['VQ-18'],
    },
    (machine, { header, answer }) => {
      const nowhere = 2n ** 63n;
      const parts = [
        { address: nowhere, length: 0 },
        { address: header, length: 1 },
        { address: 0, length: 0 },
        { address: header + 1, length: 1 },
        { address: nowhere, length: 0, writable: true },
        { address: answer, length: 1, writable: true },
        { address: 0, length: 0, writable: true },
        { address: answer + 1, length: 32, writable: true },
        { address: nowhere, length: 0, writable: true },
      ];
      link(machine, parts, upTo(parts.length));
      return 0;
    },
  ),
  layout(
    {
      id: 'VQ/indirect/all-in-a-table',
      doc: 'A chain in an indirect table of as many entries as the queue has is taken; the naming descriptor does not count.',
      requirements: ['VQ-25', 'VQ-26', 'CTRL-13'],
    },
    (machine, place) => {
      const { size } = machine.control;
      const table = machine.alloc(16 * size, 16);
      link(machine, query(place, size), upTo(size), table);
      machine.control.descriptor(3, { address: table, length: 16 * size, flags: INDIRECT });
      return 3;
    },
    true,
  ),
  layout(
    {
      id: 'VQ/indirect/next-in-any-order',
      doc: 'A chain goes through an indirect table by next, from entry 0 on, and unused entries are not looked at.',
      requirements: ['VQ-25'],
    },
    (machine, place) => {
      const table = machine.alloc(16 * 8, 16);
      for (let i = 0; i < 8; i++)
        machine.control.descriptorAt(table + 16 * i, {
          address: 2n ** 63n,
          length: 99,
          flags: NEXT | WRITE,
          next: 77,
        });
      link(machine, query(place, 4), [0, 6, 2, 5], table);
      machine.control.descriptor(0, { address: table, length: 16 * 8, flags: INDIRECT });
      return 0;
    },
    true,
  ),
  layout(
    {
      id: 'VQ/indirect/write-flag-on-the-table',
      doc: 'WRITE in the descriptor that names an indirect table is ignored.',
      requirements: ['VQ-23'],
    },
    (machine, place) => {
      const table = machine.alloc(16 * 2, 16);
      link(machine, query(place, 2), [0, 1], table);
      machine.control.descriptor(0, { address: table, length: 32, flags: INDIRECT | WRITE });
      return 0;
    },
    true,
  ),
  layout(
    {
      id: 'VQ/indirect/behind-direct-descriptors',
      doc: 'A chain whose first descriptors stand in the ring and whose last one there names a table is taken.',
      requirements: ['VQ-24', 'CTRL-13'],
    },
    (machine, { header, answer }) => {
      const table = machine.alloc(16 * 2, 16);
      link(
        machine,
        [
          { address: header + 1, length: 1 },
          { address: answer, length: 33, writable: true },
        ],
        [0, 1],
        table,
      );
      machine.control.descriptor(4, { address: header, length: 1, flags: NEXT, next: 9 });
      machine.control.descriptor(9, { address: table, length: 32, flags: INDIRECT });
      return 4;
    },
    true,
  ),
  layout(
    {
      id: 'VQ/indirect/at-any-alignment',
      doc: 'An indirect table at an odd address is taken.',
      requirements: ['VQ-27'],
    },
    (machine, place) => {
      const table = machine.alloc(64, 16) + 3;
      link(machine, query(place, 3), [0, 1, 2], table);
      machine.control.descriptor(0, { address: table, length: 48, flags: INDIRECT });
      return 0;
    },
    true,
  ),
];

/** Several commands made available at once. */
function several(machine: ProbeMachine, count: number): Pending[] {
  return upTo(count).map(i =>
    machine.prepare(createCq.code, Uint8Array.of(1, 0, 0, 0), { writable: 5 }, `CREATE_CQ ${i}`),
  );
}

const order = [
  probe(
    {
      id: 'VQ/order/several-commands-at-once',
      doc: 'Commands that are published together are carried out and returned in the order of the ring.',
      requirements: ['VQ-31', 'ORD-16', 'VQ-35'],
    },
    context => {
      const bench = new Bench(context, { machines: 1 });
      const { me } = bench;
      const pending = several(me, me.maxCqs);
      me.publish(me.queues.control);
      bench.run();
      const ids = me.returned(me.queues.control).map(({ id }) => id);
      const heads = pending.map(({ chain }) => chain.head);
      bench.same(['ORD-16'], 'heads in the used ring of the control queue', ids, heads);
      const numbers = pending.map(({ address }) => me.memory.bytes[me.memory.at(address) + 1]);
      bench.same(['VQ-31', 'CTRL-19'], 'numbers that the commands got', numbers, upTo(me.maxCqs));
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/order/published-one-by-one',
      doc: 'Commands published while others are being worked on are all answered.',
      requirements: ['VQ-31', 'VQ-73', 'CTRL-16'],
    },
    context => {
      const bench = new Bench(context, { machines: 1 });
      const { me } = bench;
      for (const _ of upTo(12)) {
        me.prepare(queryPort.code, new Uint8Array(0), { writable: 33 }, 'QUERY_PORT');
        me.publish(me.queues.control);
        bench.scheduler.step();
      }
      bench.run();
      bench.same(['VQ-73'], 'answers to 12 commands', me.returned(me.queues.control).length, 12);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/wrap/control-queue',
      doc: 'The control queue goes on when its indices pass 65535.',
      requirements: ['VQ-31', 'VQ-35', 'VQ-56'],
    },
    context => {
      const bench = new Bench(context, { machines: 1 });
      const { me } = bench;
      const ring = me.control;
      const parts = [{ address: me.place(Uint8Array.of(me.profile.controlClass, createPd.code)), length: 2 }];
      for (let taken = 0; taken < 65536 - 16; taken += ring.size) {
        for (let i = 0; i < ring.size; i++) ring.add(parts);
        me.publish(ring.index);
        bench.run();
        const back = ring.harvest().length;
        if (back !== ring.size)
          bench.accuse(['CTRL-05', 'VQ-35'], `${back} of ${ring.size} chains came back`);
      }
      for (const _ of upTo(40)) me.must(queryPort, {}, ['VQ-31']);
      return bench;
    },
  ),
];

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

export const chainCases = [...shapes, ...order, ...accesses];
