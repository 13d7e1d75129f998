/** Sections 2.3 and 2.4 asked of a device: what it does before and after it is live, and how it comes out of a reset. */
import { DeviceStatus } from '../../../virtio/index.js';
import { Bench } from './bench.js';
import { breakRing } from './broken.js';
import { createCq, createPd, destroyCq, queryPort } from './messages.js';
import type { ProbeMachine } from './machine.js';
import { probe } from './probe-case.js';
import { pairOf } from './site.js';

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK, DEVICE_NEEDS_RESET, FAILED } = DeviceStatus;
const KNOWN = ACKNOWLEDGE | DRIVER;
const AGREED = KNOWN | FEATURES_OK;
const LIVE = AGREED | DRIVER_OK;
/** Accuses unless the device can be started and answers a command. */
function expectWorks({ me }: Bench): void {
  me.start();
  me.must(createPd, {}, ['FEAT-31', 'RST-36']);
}

const living = [
  probe(
    {
      id: 'FEAT/live/not-before-driver-ok',
      doc: 'Nothing is taken from a queue and nobody is interrupted before DRIVER_OK, however often the queue is notified.',
      requirements: ['FEAT-25', 'FEAT-26'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { me } = bench;
      me.negotiate(me.wanted());
      me.enableAll();
      me.prepare(createPd.code, new Uint8Array(0), { writable: 5 }, 'CREATE_PD before DRIVER_OK');
      me.control.publish();
      for (let index = 0; index < me.queues.count; index++) me.transport.notify(index);
      bench.run();
      bench.same(['FEAT-26', 'FEAT-25'], 'chains returned before DRIVER_OK', me.control.usedIdx, 0);
      bench.same(['FEAT-26'], 'interrupts before DRIVER_OK', me.transport.queueInterrupts, 0);
      return bench;
    },
  ),
  probe(
    {
      id: 'FEAT/live/looks-at-driver-ok',
      doc: 'What was made available before DRIVER_OK is taken when it is set, without a notification.',
      requirements: ['FEAT-27'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { me } = bench;
      me.negotiate(me.wanted());
      me.enableAll();
      const pending = me.prepare(
        createPd.code,
        new Uint8Array(0),
        { writable: 5 },
        'CREATE_PD before DRIVER_OK',
      );
      me.control.publish();
      me.goLive();
      const [element] = me.returned(me.queues.control);
      bench.same(
        ['FEAT-27'],
        'the command of before DRIVER_OK comes back',
        [element?.id, element?.length],
        [pending.chain.head, 5],
      );
      return bench;
    },
  ),
];

const resets = [
  probe(
    {
      id: 'FEAT/reset/forgets-queues-and-features',
      doc: 'After a reset the status is 0, every queue is disabled, and no feature is accepted.',
      requirements: ['FEAT-28', 'FEAT-30'],
    },
    context => {
      const bench = new Bench(context);
      const { me } = bench;
      me.device.writeStatus(0);
      bench.same(['FEAT-28'], 'the status after a reset', me.device.readStatus(), 0);
      const enabled = Array.from({ length: me.queues.count }, (_, i) => i).filter(i =>
        me.device.queueEnabled(i),
      );
      bench.same(['FEAT-30'], 'queues enabled after a reset', enabled, []);
      me.device.writeStatus(KNOWN);
      me.device.writeStatus(AGREED);
      bench.same(
        ['FEAT-30', 'FEAT-10'],
        'the status when FEATURES_OK is set after a reset and no feature was written',
        me.device.readStatus(),
        KNOWN,
      );
      expectWorks(bench);
      return bench;
    },
  ),
  ...(
    [
      ['from-needs-reset', 'DEVICE_NEEDS_RESET', (me: ProbeMachine) => breakRing(me, me.queues.control)],
      ['from-failed', 'FAILED', (me: ProbeMachine) => me.device.writeStatus(LIVE | FAILED)],
      ['while-live', 'a live state', () => {}],
    ] as const
  ).map(([slug, from, bring]) =>
    probe(
      {
        id: `FEAT/reset/${slug}`,
        doc: `A reset leads out of ${from}: the device is initialised again and works as new.`,
        requirements: ['FEAT-31', 'RST-36', 'FEAT-28'],
      },
      context => {
        const scene = pairOf(context);
        const { bench, a } = scene;
        const { me } = bench;
        bring(me);
        bench.run();
        me.start();
        for (const numbers of [
          me.must(createCq, { cqe: 1 }).cqn,
          me.must(createCq, { cqe: 1 }).cqn,
        ].entries()) {
          bench.same(['RST-36', 'CTRL-19'], 'numbers of the first completion queues', numbers[0], numbers[1]);
        }
        me.must(createPd, {}, ['FEAT-31']);
        const stale = me.ask(destroyCq, { cqn: a.cqn + 2 });
        bench.same(['RST-36'], 'DESTROY_CQ of a number that nobody has', stale === undefined, true);
        return bench;
      },
    ),
  ),
  probe(
    {
      id: 'FEAT/needs-reset/tells-the-driver',
      doc: 'A live device that sets DEVICE_NEEDS_RESET sends a configuration change notification, and never sets FAILED.',
      requirements: ['FEAT-32', 'FEAT-34', 'VQ-46'],
    },
    context => {
      const bench = new Bench(context);
      const { me } = bench;
      const before = me.transport.configInterrupts;
      breakRing(me, me.queues.control);
      bench.run();
      bench.same(['VQ-46', 'FEAT-34'], 'the status', me.status, LIVE | DEVICE_NEEDS_RESET);
      const told = me.transport.configInterrupts - before;
      if (told === 0)
        bench.accuse(['FEAT-32'], 'DEVICE_NEEDS_RESET was set and no configuration change notification came');
      return bench;
    },
  ),
  probe(
    {
      id: 'FEAT/needs-reset/stops-all-queues',
      doc: 'While DEVICE_NEEDS_RESET is set no chain of any queue is taken or returned and no queue interrupts.',
      requirements: ['FEAT-33'],
    },
    context => {
      const scene = pairOf(context);
      const { bench, a } = scene;
      const { me } = bench;
      breakRing(me, me.queues.sq(a.qpn));
      bench.run();
      bench.same(['VQ-46'], 'DEVICE_NEEDS_RESET', me.needsReset, true);
      const interrupts = me.transport.queueInterrupts;
      const used = me.splitRings.map(ring => ring.usedIdx);
      me.postRecv(a.qpn, 9);
      me.prepare(queryPort.code, new Uint8Array(0), { writable: 33 }, 'QUERY_PORT');
      me.control.publish();
      for (let index = 0; index < me.queues.count; index++) me.transport.notify(index);
      bench.run();
      bench.same(
        ['FEAT-33'],
        'used indices',
        me.splitRings.map(ring => ring.usedIdx),
        used,
      );
      bench.same(['FEAT-33'], 'interrupts of queues', me.transport.queueInterrupts, interrupts);
      return bench;
    },
  ),
];

export const liveAndResetCases = [...living, ...resets];
