/** Sections 4.10 to 4.14 asked of a device: what it takes from a packed ring, when it tells, and that a reset forgets the lap. */
import { Ack, QpState } from '../../../abi/index.js';
import { EventMode, PackedEvent } from '../../../virtio/index.js';
import type { CaseContext, ConformanceCase } from '../../cases/case.js';
import { MARKS } from '../packed-place.js';
import { UNWRITTEN } from './answers.js';
import { Bench } from './bench.js';
import type { BenchOptions } from './bench.js';
import type { ProbeMachine } from './machine.js';
import { modifyQp, queryPort, recvRequest } from './messages.js';
import type { RawDescriptor } from './pen.js';
import type { PackedPen } from './packed-pen.js';
import { probe } from './probe-case.js';
import { queuePairIn } from './queue-pair-states.js';
import { furnish } from './site.js';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

const packed = { features: ['packed'] } as const;
const withEvents = { features: ['packed', 'event-idx'] } as const;
const withReset = { features: ['packed', 'ring-reset'] } as const;

/** Small rings, which are gone round soon: a command takes two descriptors of them. */
const SIZE = 8;

/** Answer of QUERY_PORT. */
const ANSWER_BYTES = 33;

function oneMachine(context: CaseContext, options: BenchOptions = {}): { bench: Bench; control: PackedPen } {
  const bench = new Bench(context, { machines: 1, packed: true, queueSize: () => SIZE, ...options });
  return { bench, control: bench.me.packedRing(bench.me.queues.control) };
}

/** QUERY_PORT in memory: where its header is, and the room for its answer. */
function query(machine: ProbeMachine): { readonly header: number; readonly answer: number } {
  const header = machine.place(Uint8Array.of(machine.profile.controlClass, queryPort.code));
  const answer = machine.place(new Uint8Array(ANSWER_BYTES).fill(UNWRITTEN));
  machine.memory.permit(answer, ANSWER_BYTES);
  return { header, answer };
}

/** What stands where the next used element belongs. */
function usedElement(
  { memory }: ProbeMachine,
  pen: PackedPen,
): { used: boolean; id: number; length: number } {
  const { slot, used } = pen.used;
  const at = memory.at(pen.addresses.descriptors + 16 * slot);
  return {
    used: (pen.flagsOf(slot) & MARKS) === used,
    id: memory.view.getUint16(at + 12, true),
    length: memory.view.getUint32(at + 8, true),
  };
}

/** Offers a QUERY_PORT that was laid by hand, and accuses unless it is answered under the id that it was given. */
function expectAnswered(
  bench: Bench,
  control: PackedPen,
  requirements: readonly string[],
  what: string,
  list: readonly RawDescriptor[],
  { id, answer }: { readonly id: number; readonly answer: number },
): void {
  const { me } = bench;
  control.offer(list, { head: id });
  bench.note('guest', 'device', what);
  me.transport.notify(control.index);
  bench.run();
  const seen = { ...usedElement(me, control), ack: me.memory.bytes[me.memory.at(answer)] };
  control.used.go(list.length);
  bench.same(requirements, what, seen, { used: true, id, length: ANSWER_BYTES, ack: Ack.OK });
}

const taking: readonly ConformanceCase[] = [
  probe(
    {
      id: 'VQ/packed/marks-of-another-lap',
      doc: 'In every lap, a descriptor is not taken while its marks say anything but that it is available at the place where the device is.',
      requirements: ['VQ-114', 'VQ-59'],
      needs: packed,
    },
    context => {
      const { bench, control } = oneMachine(context);
      const { me } = bench;
      for (let round = 0; round < 2 * SIZE; round++) {
        const { slot, available } = control.next.ahead(0);
        const pending = me.prepare(
          queryPort.code,
          new Uint8Array(0),
          { writable: ANSWER_BYTES },
          'QUERY_PORT',
        );
        for (const marks of [0, MARKS, MARKS & ~available]) {
          control.setFlags(slot, NEXT | marks);
          me.transport.notify(control.index);
          bench.run();
          const what = `flags of slot ${slot} in lap ${Math.floor((2 * round) / SIZE)}, whose marks are those of no available one`;
          bench.same(['VQ-114'], what, control.flagsOf(slot), NEXT | marks);
        }
        bench.same(['VQ-114'], 'DEVICE_NEEDS_RESET', me.needsReset, false);
        const [answer] = me.answers([pending]);
        bench.same(
          ['VQ-114', 'VQ-92'],
          'used length and ack once it is available',
          [answer.used, answer.bytes[0]],
          [ANSWER_BYTES, Ack.OK],
        );
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/packed/any-buffer-id',
      doc: 'Chains with buffer ids at the edges of 16 bits, above the size of the queue and twice one after the other come back under them.',
      requirements: ['VQ-91', 'VQ-92'],
      needs: packed,
    },
    context => {
      const { bench, control } = oneMachine(context);
      for (const id of [0, 0xffff, SIZE, SIZE - 1, 0x8000, 0x8000, 0x7fff, 1]) {
        const { header, answer } = query(bench.me);
        const list = [
          { address: header, length: 2, flags: NEXT },
          { address: answer, length: ANSWER_BYTES, flags: WRITE },
        ];
        expectAnswered(bench, control, ['VQ-91', 'VQ-92'], `buffer id ${id}`, list, { id, answer });
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/packed/ids-in-flight-of-any-size',
      doc: 'Receives in flight under buffer ids below the size of the queue and beyond it, whichever came first, come back under them.',
      requirements: ['VQ-91', 'VQ-92'],
      needs: packed,
    },
    context => {
      const bench = new Bench(context, { machines: 1, packed: true });
      const { me } = bench;
      const side = furnish(me);
      const qpn = queuePairIn(bench, side, side.type, QpState.INIT);
      const pen = me.packedRing(me.queues.rq(qpn));
      const ids = [3, 0xffff, 0, 0x8000, 5];
      for (const id of ids) {
        const request = recvRequest(id, []);
        pen.offer([{ address: me.place(request), length: request.length }], { head: id });
        me.transport.notify(pen.index);
        bench.run();
      }
      me.must(modifyQp, { qpn, attr_mask: 1, qp_state: QpState.ERR });
      bench.run();
      const back = ids.map(() => {
        const element = usedElement(me, pen);
        pen.used.go(1);
        return element;
      });
      const expected = ids.map(id => ({ used: true, id, length: 0 }));
      bench.same(['VQ-91', 'VQ-92'], 'used elements of receives that are flushed', back, expected);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/packed/id-of-the-last-descriptor',
      doc: 'The buffer id stands in the last descriptor of a chain; what the others hold there has no meaning.',
      requirements: ['VQ-91'],
      needs: packed,
    },
    context => {
      const { bench, control } = oneMachine(context);
      for (let round = 0; round < SIZE; round++) {
        const { header, answer } = query(bench.me);
        const list = [
          { address: header, length: 1, flags: NEXT, next: 77 },
          { address: header + 1, length: 1, flags: NEXT, next: 78 },
          { address: answer, length: ANSWER_BYTES, flags: WRITE },
        ];
        expectAnswered(bench, control, ['VQ-91'], 'ids 77, 78 and 5', list, { id: 5, answer });
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/packed/table-entries-in-turn',
      doc: 'Entries of an indirect table are taken one after the other to the last, whatever their ids and their flags besides WRITE.',
      requirements: ['VQ-90'],
      needs: { features: ['packed', 'indirect'] },
    },
    context => {
      const { bench, control } = oneMachine(context, { indirect: true });
      const others = [0, NEXT, INDIRECT, MARKS, NEXT | INDIRECT | MARKS, 0x7fff & ~WRITE];
      for (const [i, other] of others.entries()) {
        const { header, answer } = query(bench.me);
        const table = bench.me.alloc(64, 16);
        control.table(table, [
          { address: header, length: 1, flags: other, next: 3 },
          { address: header + 1, length: 1, flags: others[others.length - 1 - i], next: 0 },
          { address: answer, length: 1, flags: other | WRITE, next: 0xffff },
          { address: answer + 1, length: ANSWER_BYTES - 1, flags: WRITE | NEXT, next: 1 },
        ]);
        const list = [{ address: table, length: 64, flags: INDIRECT }];
        const what = `a table whose entries have the flags 0x${other.toString(16)} besides WRITE`;
        expectAnswered(bench, control, ['VQ-90'], what, list, { id: 9 + i, answer });
      }
      return bench;
    },
  ),
];

/** Interrupts that one QUERY_PORT causes. */
function interruptsOfCommand({ me }: Bench): number {
  const before = me.interruptsOf(me.queues.control);
  me.must(queryPort);
  return me.interruptsOf(me.queues.control) - before;
}

const wishes: readonly ConformanceCase[] = [
  probe(
    {
      id: 'VQ/packed/interrupt-by-mode',
      doc: 'Answers on a packed control queue are notified while the mode of the driver is ENABLE, and not while it is DISABLE.',
      requirements: ['VQ-102', 'VQ-103'],
      needs: packed,
    },
    context => {
      const { bench, control } = oneMachine(context);
      for (let round = 0; round < SIZE; round++) {
        control.wish(EventMode.DISABLE);
        bench.same(['VQ-103'], 'interrupts with DISABLE', interruptsOfCommand(bench), 0);
        control.wish(EventMode.ENABLE);
        bench.same(['VQ-102'], 'interrupts with ENABLE', interruptsOfCommand(bench), 1);
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/packed/interrupt-by-position',
      doc: 'With DESC, the answer that goes by the position is notified, whether it begins there or not, and those before and behind it are not.',
      requirements: ['VQ-102', 'VQ-103'],
      needs: withEvents,
    },
    context => {
      const { bench, control } = oneMachine(context, { eventIdx: true });
      for (let round = 0; round < SIZE; round++) {
        const within = round % 2;
        control.wish(EventMode.DESC, control.used.ahead(2 + within).word);
        const told = [0, 1, 2].map(() => interruptsOfCommand(bench));
        const what = `interrupts of three answers, the second of which goes by the position`;
        bench.same(['VQ-102', 'VQ-103'], what, told, [0, 1, 0]);
        // The same slot in the lap before: it has gone by.
        control.wish(EventMode.DESC, control.used.ahead(SIZE).word);
        bench.same(
          ['VQ-103'],
          'interrupts with a position of the lap to come',
          interruptsOfCommand(bench),
          0,
        );
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/packed/position-beyond-the-ring',
      doc: 'A driver that wants to be told of a slot that the ring does not have, or in a mode that does not exist, is served all the same.',
      requirements: ['HOST-01', 'VQ-80'],
      needs: withEvents,
    },
    context => {
      const { bench, control } = oneMachine(context, { eventIdx: true });
      for (const position of [SIZE, 0x7fff, 0x8000 + SIZE, 0xffff])
        for (const mode of [EventMode.DESC, 3, 0xffff, 0xfffc]) {
          control.wish(mode, position);
          bench.me.must(queryPort, {}, ['HOST-01', 'VQ-80']);
        }
      bench.same(['HOST-01'], 'DEVICE_NEEDS_RESET', bench.me.needsReset, false);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/packed/position-before-mode',
      doc: 'When the device asks by position, the position is there before the mode that makes it count.',
      requirements: ['VQ-107'],
      needs: withEvents,
    },
    context => {
      const { bench, control } = oneMachine(context, { eventIdx: true });
      const { memory } = bench.me;
      const { device, descriptors } = control.addresses;
      const [position, mode] = [device + PackedEvent.POSITION, device + PackedEvent.MODE];
      let asked = false;
      memory.watch = {
        write: (address, length) => {
          const covers = (at: number): boolean => address <= at && at < address + length;
          // Both in one store are one moment.
          if (covers(mode)) asked = true;
          else if (
            covers(position) &&
            asked &&
            (memory.view.getUint16(memory.at(mode), true) & 3) === EventMode.DESC
          )
            bench.accuse(['VQ-107'], 'the position was written behind the mode DESC, which counted already');
        },
        read: address => {
          // The look behind the wish: what is written from here on belongs to the next one.
          if (address >= descriptors && address < descriptors + 16 * SIZE) asked = false;
        },
      };
      for (let times = 0; times < 3 * SIZE; times++) bench.me.must(queryPort);
      memory.watch = undefined;
      return bench;
    },
  ),
];

const resets: readonly ConformanceCase[] = [
  probe(
    {
      id: 'VQ/ring-reset/packed-control-queue',
      doc: 'A packed control queue that was reset in any lap starts at slot 0 with the wrap counter 1 when it is enabled again.',
      requirements: ['VQ-76', 'VQ-75'],
      needs: withReset,
    },
    context => {
      const { bench } = oneMachine(context, { ringReset: true });
      const { me } = bench;
      const { control } = me.queues;
      for (let commands = 1; commands <= SIZE; commands++) {
        for (let times = 0; times < commands; times++) me.must(queryPort, {}, ['VQ-76']);
        me.device.resetQueue(control);
        me.enable(control, commands % 2 === 0 ? SIZE : 5);
        me.must(queryPort, {}, ['VQ-76']);
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/ring-reset/packed-ids-in-flight',
      doc: 'Buffer ids that were in flight when their packed queue was reset are free again, and only chains of the new ring come back.',
      requirements: ['VQ-75', 'VQ-76', 'CTRL-26'],
      needs: withReset,
    },
    context => {
      const bench = new Bench(context, { machines: 1, packed: true, ringReset: true });
      const { me } = bench;
      const side = furnish(me);
      const qpn = queuePairIn(bench, side, side.type, QpState.INIT);
      const index = me.queues.rq(qpn);
      const before = [1, 2, 3].map(wrId => me.postRecv(qpn, wrId).head);
      bench.run();
      me.device.resetQueue(index);
      me.enable(index);
      const again = [4, 5, 6].map(wrId => me.postRecv(qpn, wrId).head);
      bench.run();
      bench.same(['VQ-76'], 'ids that are given again', again, before);
      bench.same(['VQ-76'], 'DEVICE_NEEDS_RESET', me.needsReset, false);
      me.must(modifyQp, { qpn, attr_mask: 1, qp_state: QpState.ERR });
      bench.run();
      const completed = me.poll(side.cqn).map(({ wr_id }) => wr_id);
      bench.same(['CTRL-26', 'VQ-76'], 'receives that are flushed', completed, [1, 2, 3, 4, 5, 6]);
      const back = me.returned(index).map(({ id, length }) => [id, length]);
      bench.same(
        ['VQ-75', 'VQ-76'],
        'ids and lengths of the chains that come back on the new ring',
        back,
        again.map(id => [id, 0]),
      );
      return bench;
    },
  ),
];

export const packedRingCases = [...taking, ...wishes, ...resets];
