/** Sections 4.3 and 4.4 asked of a device: chains of any shape, indirect tables, many at once, round and round. */
import { Used } from '../../../virtio/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { Bench } from './bench.js';
import { COMMANDS_MAX } from './machine.js';
import type { Pending, ProbeMachine } from './machine.js';
import { createCq, createPd, queryPort } from './messages.js';
import { probe } from './probe-case.js';
import type { ProbeText } from './probe-case.js';

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
      const count = Math.min(me.maxCqs, COMMANDS_MAX);
      const pending = several(me, count);
      me.publish(me.queues.control);
      bench.run();
      const ids = me.returned(me.queues.control).map(({ id }) => id);
      const heads = pending.map(({ chain }) => chain.head);
      bench.same(['ORD-16'], 'heads in the used ring of the control queue', ids, heads);
      const numbers = pending.map(({ address }) => me.memory.bytes[me.memory.at(address) + 1]);
      bench.same(['VQ-31', 'CTRL-19'], 'numbers that the commands got', numbers, upTo(count));
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

export const chainCases = [...shapes, ...order];
