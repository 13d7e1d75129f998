/** Sections 4.8 and 4.9 and the bounds of chapter 15 asked of a device: who is told when, and that nobody sleeps for ever. */
import { FeatureBit, Used, availEventOffset } from '../../../virtio/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { Bench } from './bench.js';
import type { ProbeMachine } from './machine.js';
import { createPd, queryPort } from './messages.js';
import { probe } from './probe-case.js';
import { exchange, furnish, lonely, pairOf } from './site.js';
import { QpState } from '../../../abi/index.js';
import { queuePairIn } from './queue-pair-states.js';

const eventIdx = { features: ['event-idx'] } as const;

/** Interrupts that one QUERY_PORT causes. */
function interruptsOfCommand({ me }: Bench): number {
  const before = me.interruptsOf(me.queues.control);
  me.must(queryPort);
  return me.interruptsOf(me.queues.control) - before;
}

const suppression = [
  probe(
    {
      id: 'VQ/interrupt/wanted-by-flag',
      doc: 'Without the event index, each answer on the control queue is notified while NO_INTERRUPT is clear, once.',
      requirements: ['VQ-65', 'PERF-10'],
    },
    context => {
      const bench = new Bench(context, { machines: 1 });
      for (let i = 0; i < 5; i++)
        bench.same(['VQ-65', 'PERF-10'], 'interrupts for one command', interruptsOfCommand(bench), 1);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/interrupt/unwanted-by-flag',
      doc: 'Without the event index, no answer on the control queue is notified while NO_INTERRUPT is set, and again when it is clear.',
      requirements: ['VQ-66', 'VQ-65'],
    },
    context => {
      const bench = new Bench(context, { machines: 1 });
      const { control } = bench.me;
      control.setAvailFlags(1);
      for (let i = 0; i < 3; i++)
        bench.same(['VQ-66'], 'interrupts with NO_INTERRUPT', interruptsOfCommand(bench), 0);
      control.setAvailFlags(0);
      bench.same(['VQ-65'], 'interrupts after NO_INTERRUPT was taken back', interruptsOfCommand(bench), 1);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/interrupt/event-word-ahead',
      doc: 'With the event index, the answer that passes used_event is notified and those before and behind it are not.',
      requirements: ['VQ-67', 'VQ-68'],
      needs: eventIdx,
    },
    context => {
      const bench = new Bench(context, { machines: 1, eventIdx: true });
      const { control } = bench.me;
      control.setUsedEvent(2);
      const told = [0, 1, 2, 3, 4].map(() => interruptsOfCommand(bench));
      bench.same(['VQ-67', 'VQ-68'], 'interrupts of five answers with used_event 2', told, [0, 0, 1, 0, 0]);
      control.setUsedEvent(5);
      bench.same(['VQ-67'], 'interrupts of the answer that used_event names', interruptsOfCommand(bench), 1);
      control.setUsedEvent(4);
      bench.same(['VQ-68'], 'interrupts with an event word that has gone by', interruptsOfCommand(bench), 0);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/interrupt/event-word-first',
      doc: 'With the event index, the very first answer is notified when used_event is 0.',
      requirements: ['VQ-67'],
      needs: eventIdx,
    },
    context => {
      const bench = new Bench(context, { machines: 1, eventIdx: true });
      bench.same(['VQ-67'], 'interrupts of the first answer', interruptsOfCommand(bench), 1);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/interrupt/event-index-ignores-flags',
      doc: 'With the event index, the flags of the used ring stay 0 whatever the device does.',
      requirements: ['VQ-70'],
      needs: eventIdx,
    },
    context => {
      const scene = pairOf(context, { eventIdx: true });
      const { a, bench } = scene;
      for (let i = 0; i < 4; i++) exchange(scene, ['VQ-70']);
      const flags = a.machine.splitRings.map(ring => ring.usedFlags);
      bench.same(
        ['VQ-70'],
        'flags of all used rings',
        flags.filter(word => word !== 0),
        [],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/access/index-before-event-word',
      doc: 'The device looks whether the driver wants to know only after its write of the used index.',
      requirements: ['VQ-72'],
    },
    context => {
      const bench = new Bench(context, { machines: 1 });
      const { me } = bench;
      const { driver, device } = me.control.addresses;
      let looks = 0;
      me.memory.watch = {
        write: (address, length) => {
          if (address <= device + Used.IDX && device + Used.IDX < address + length) looks = 0;
        },
        read: (address, length) => {
          if (address <= driver && driver < address + length) looks++;
        },
      };
      me.must(queryPort);
      me.memory.watch = undefined;
      if (looks === 0)
        bench.accuse(
          ['VQ-72'],
          'the flags of the available ring were not read after the used index was written',
        );
      return bench;
    },
  ),
];

/** A queue of a kind, and how one more chain is put into it without a notification. */
interface Waker {
  readonly slug: string;
  readonly name: string;
  make(bench: Bench): { readonly index: number; readonly add: () => void };
}

const wakers: readonly Waker[] = [
  {
    slug: 'control',
    name: 'control',
    make: ({ me }) => {
      const add = (): void => {
        me.prepare(createPd.code, new Uint8Array(0), { writable: 5 }, 'CREATE_PD');
        me.control.publish();
      };
      return { index: me.queues.control, add };
    },
  },
  ...(['send', 'receive'] as const).map((slug): Waker => ({
    slug,
    name: slug,
    make: bench => {
      const side = furnish(bench.me);
      // In ERR every request comes back at once, so what is taken can be seen.
      const qpn = queuePairIn(bench, side, side.type, QpState.ERR);
      const { me } = bench;
      const index = slug === 'send' ? me.queues.sq(qpn) : me.queues.rq(qpn);
      const bytes = slug === 'send' ? 576 : 24;
      const add = (): void => {
        me.ring(index).add([{ address: me.alloc(bytes), length: bytes }]);
        me.ring(index).publish();
      };
      return { index, add };
    },
  })),
];

/** Publishes one more chain at the very moment at which the device asks for notifications, and tells nobody. */
function racedWakeUp(waker: Waker, withEvents: boolean): ConformanceCase {
  const how = withEvents ? 'event-idx' : 'flags';
  return probe(
    {
      id: `VQ/wake-up/${waker.slug}-${how}`,
      doc: `A chain that is published on a ${waker.name} queue just before the device asks to be notified is found without a notification.`,
      requirements: ['VQ-73'],
      needs: withEvents ? eventIdx : {},
    },
    context => {
      const bench = new Bench(context, { machines: 1, eventIdx: withEvents });
      const { me } = bench;
      const { index, add } = waker.make(bench);
      const ring = me.ring(index);
      const wish = ring.addresses.device + (withEvents ? availEventOffset(ring.size) : Used.FLAGS);
      const started = ring.usedIdx;
      let published = 0;
      me.memory.watch = {
        write: (address, length) => {
          if (published !== 1 || !(address <= wish && wish < address + length)) return;
          if (((ring.usedIdx - started) & 0xffff) < 1) return;
          published++;
          add();
        },
      };
      published = 1;
      add();
      me.transport.notify(index);
      bench.run();
      me.memory.watch = undefined;
      const taken = (ring.usedIdx - started) & 0xffff;
      bench.same(['VQ-73'], `chains back on queue ${index}, of those published`, taken, published);
      return bench;
    },
  );
}

/** Kicks that a sound driver sends for a stretch of work. */
function kicksOf(machine: ProbeMachine, index: number): number {
  return machine.transport.notificationsByQueue[index];
}

const tolerance = [
  probe(
    {
      id: 'VQ/kick/nothing-new',
      doc: 'Notifications of queues in which there is nothing new change nothing.',
      requirements: ['VQ-59'],
    },
    context => {
      const scene = pairOf(context);
      const { a, bench } = scene;
      for (let index = 0; index < a.machine.queues.count; index++) a.machine.transport.notify(index);
      bench.run();
      exchange(scene, ['VQ-59']);
      return bench;
    },
  ),
  probe(
    {
      id: 'HOST/kick/queues-that-are-not-there',
      doc: 'Notifications of queues that do not exist, are not enabled or have no object are ignored.',
      requirements: ['HOST-06'],
    },
    context => {
      const scene = pairOf(context, {
        queueSize: (index, queues) => (index === queues.sq(6) ? undefined : 32),
      });
      const { a, bench } = scene;
      const { device, queues } = a.machine;
      for (const index of [queues.sq(6), queues.sq(0), queues.count, 65535, -1, 2 ** 31])
        device.notified(index);
      bench.run();
      bench.same(['HOST-06'], 'DEVICE_NEEDS_RESET', a.machine.needsReset, false);
      exchange(scene, ['HOST-06']);
      return bench;
    },
  ),
  ...(['control', 'send', 'completion'] as const).map(kind =>
    probe(
      {
        id: `HOST/kick/storm-on-${kind}`,
        doc: `A thousand notifications of a ${kind} queue with nothing new cost no more work than one.`,
        requirements: ['HOST-07', 'HOST-01'],
      },
      context => {
        const { bench, a } = lonely(context);
        const { queues, transport } = a.machine;
        const index = { control: queues.control, send: queues.sq(a.qpn), completion: queues.cq(a.cqn) }[kind];
        const cost = (kicks: number): number => {
          const before = bench.steps + a.machine.memory.reads;
          for (let i = 0; i < kicks; i++) transport.notify(index);
          bench.run();
          return bench.steps + a.machine.memory.reads - before;
        };
        cost(1);
        const one = cost(1);
        const many = cost(1000);
        // A device that looks inside the call looks each time; that is work for each notification, and must stay a look.
        const most = one + 1000 * 4;
        if (many > most)
          bench.accuse(['HOST-07'], `${many} steps and readings for 1000 notifications, ${one} for one`);
        const inSteps = bench.steps;
        for (let i = 0; i < 1000; i++) transport.notify(index);
        bench.run();
        if (bench.steps - inSteps > 10)
          bench.accuse(['HOST-07'], `${bench.steps - inSteps} steps for 1000 notifications`);
        return bench;
      },
    ),
  ),
];

const bounds = [
  ...[false, true].map(withEvents =>
    probe(
      {
        id: `PERF/kick/one-batch-${withEvents ? 'event-idx' : 'flags'}`,
        doc: 'While the device takes requests from a queue it has notifications disabled: many posts to an awake device cost few kicks.',
        requirements: ['PERF-03', ...(withEvents ? [] : ['VQ-73'])],
        needs: withEvents ? eventIdx : {},
      },
      context => {
        const { bench, a } = lonely(context, { eventIdx: withEvents, cap: { max_recv_wr: 16 } });
        const index = a.machine.queues.rq(a.qpn);
        const before = kicksOf(a.machine, index);
        a.machine.postRecv(a.qpn, 0);
        let asked = 0;
        a.machine.memory.watch = {
          read: address => {
            // The device is at work on this queue: does it ask to be told of more?
            const ring = a.machine.ring(index);
            const slot = ring.addresses.driver + 4;
            if (address !== slot) return;
            if (withEvents ? false : (ring.usedFlags & 1) === 0) asked++;
          },
        };
        bench.run();
        a.machine.memory.watch = undefined;
        bench.same(['PERF-03'], 'times that NO_NOTIFY was clear while a chain was taken', asked, 0);
        if (kicksOf(a.machine, index) - before > 1)
          bench.accuse(['PERF-03'], 'more than one kick for one receive');
        return bench;
      },
    ),
  ),
  ...[false, true].map(withEvents =>
    probe(
      {
        id: `PERF/kick/completion-buffers-${withEvents ? 'event-idx' : 'flags'}`,
        doc: 'The device does not ask to be told of completion buffers while it holds nothing back.',
        requirements: ['PERF-04'],
        needs: withEvents ? eventIdx : {},
      },
      context => {
        const scene = pairOf(context, { eventIdx: withEvents });
        const { a, bench } = scene;
        const index = a.machine.queues.cq(a.cqn);
        exchange(scene, ['PERF-04']);
        const before = kicksOf(a.machine, index);
        for (let i = 0; i < 8; i++) exchange(scene, ['PERF-04']);
        bench.same(
          ['PERF-04'],
          'kicks for buffers given back, with nothing held back',
          kicksOf(a.machine, index) - before,
          0,
        );
        bench.same(['PERF-04'], 'EVENT_IDX', a.machine.has(FeatureBit.EVENT_IDX), withEvents);
        return bench;
      },
    ),
  ),
];

export const notificationCases = [
  ...suppression,
  ...wakers.flatMap(waker => [racedWakeUp(waker, false), racedWakeUp(waker, true)]),
  ...tolerance,
  ...bounds,
];
