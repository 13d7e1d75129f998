/** Sections 4.2 and 4.10 asked of a device: how queues are set up, in any size, and reset one by one. */
import { FeatureBit } from '../../../virtio/index.js';
import type { QueueAddresses } from '../../../virtio/index.js';
import { CaseUnsupported } from '../../cases/case.js';
import { Bench } from './bench.js';
import type { ProbeMachine } from './machine.js';
import { createPd, destroyCq, destroyQp, queryPort } from './messages.js';
import { probe } from './probe-case.js';
import { exchange, lonely, pairOf } from './site.js';

/** Throws CaseUnsupported where a transport tells of queues only when all is well with them. */
function needsRegisters(bench: Bench): void {
  if (!bench.inHand)
    throw new CaseUnsupported(
      'vhost-user has no registers: the kit tells of queues at DRIVER_OK, of sound ones',
    );
}

/** Enables a queue in a way that a driver must not; accuses unless the device asks for a reset and leaves it disabled. */
function expectFault(
  bench: Bench,
  requirements: readonly string[],
  what: string,
  index: number,
  enable: (machine: ProbeMachine) => void,
): void {
  const { me } = bench;
  enable(me);
  bench.same(requirements, `${what}: DEVICE_NEEDS_RESET`, me.needsReset, true);
  // Over vhost-user nobody says which queues are enabled.
  if (bench.inHand && index < me.queues.count) {
    bench.same(requirements, `${what}: the queue is enabled`, me.device.queueEnabled(index), false);
  }
  me.start();
  me.must(createPd, {}, ['FEAT-31']);
}

const sound = (machine: ProbeMachine): QueueAddresses => ({
  descriptors: machine.alloc(1024, 16),
  driver: machine.alloc(256, 16),
  device: machine.alloc(512, 16),
});

type Change = (addresses: QueueAddresses, machine: ProbeMachine) => Partial<QueueAddresses>;

const places: readonly (readonly [slug: string, doc: string, size: number, change: Change])[] = [
  ['size-zero', 'the size 0', 0, () => ({})],
  ['size-no-power-of-two', 'a size that is no power of two', 12, () => ({})],
  ['size-above-largest', 'a size above the largest', 64, () => ({})],
  [
    'descriptors-misaligned',
    'a descriptor table that is no multiple of 16',
    8,
    a => ({ descriptors: a.descriptors + 8 }),
  ],
  ['available-ring-misaligned', 'an available ring at an odd address', 8, a => ({ driver: a.driver + 1 })],
  ['used-ring-misaligned', 'a used ring that is no multiple of 4', 8, a => ({ device: a.device + 2 })],
  [
    'descriptors-outside-memory',
    'a descriptor table that ends behind guest memory',
    8,
    (_, m) => ({ descriptors: m.memory.end - 112 }),
  ],
  [
    'available-ring-outside-memory',
    'an available ring whose event word is behind guest memory',
    8,
    (_, m) => ({ driver: m.memory.end - 20 }),
  ],
  [
    'used-ring-outside-memory',
    'a used ring whose event word is behind guest memory',
    8,
    (_, m) => ({ device: m.memory.end - 68 }),
  ],
  ['all-at-zero', 'areas at address 0', 8, () => ({ descriptors: 0, driver: 0, device: 0 })],
];

const wrongSetUps = [
  ...places.map(([slug, doc, size, change]) =>
    probe(
      {
        id: `VQ/enable/${slug}`,
        doc: `A queue that is enabled with ${doc} stays disabled, and the device asks for a reset.`,
        requirements: ['VQ-09', 'FEAT-31'],
      },
      context => {
        const bench = new Bench(context, { unstarted: true });
        needsRegisters(bench);
        const { me } = bench;
        me.negotiate(me.wanted());
        const addresses = sound(me);
        const largest = me.device.queueSizeMax(me.queues.control);
        const wanted = slug === 'size-above-largest' ? 2 * largest : size;
        expectFault(bench, ['VQ-09'], `enabling the control queue with ${doc}`, me.queues.control, () =>
          me.device.enableQueue(me.queues.control, wanted, { ...addresses, ...change(addresses, me) }),
        );
        return bench;
      },
    ),
  ),
  probe(
    {
      id: 'VQ/enable/absent-queue',
      doc: 'The device asks for a reset when a queue is enabled that does not exist.',
      requirements: ['VQ-10'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      needsRegisters(bench);
      for (const index of [bench.me.queues.count, 65535]) {
        bench.me.negotiate(bench.me.wanted());
        expectFault(bench, ['VQ-10'], `enabling queue ${index}`, index, me =>
          me.device.enableQueue(index, 8, sound(me)),
        );
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/enable/twice',
      doc: 'The device asks for a reset when a queue is enabled that is enabled already.',
      requirements: ['VQ-10'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      needsRegisters(bench);
      const { me } = bench;
      me.negotiate(me.wanted());
      const { control } = me.queues;
      me.device.enableQueue(control, 8, sound(me));
      me.device.enableQueue(control, 8, sound(me));
      bench.same(['VQ-10'], 'DEVICE_NEEDS_RESET after enabling a queue twice', me.needsReset, true);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/enable/before-features-ok',
      doc: 'The device asks for a reset when a queue is enabled before FEATURES_OK.',
      requirements: ['VQ-11'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      needsRegisters(bench);
      const { me } = bench;
      me.device.writeStatus(0);
      me.device.writeStatus(3);
      expectFault(bench, ['VQ-11'], 'enabling a queue before FEATURES_OK', me.queues.control, () =>
        me.device.enableQueue(me.queues.control, 8, sound(me)),
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/enable/after-driver-ok',
      doc: 'The device asks for a reset when a queue is enabled after DRIVER_OK without VIRTIO_F_RING_RESET.',
      requirements: ['VQ-11', 'FEAT-32'],
    },
    context => {
      const bench = new Bench(context, {
        queueSize: (index, queues) => (index === queues.sq(5) ? undefined : 32),
      });
      const index = bench.me.queues.sq(5);
      expectFault(bench, ['VQ-11'], 'enabling a queue of a live device', index, me =>
        me.device.enableQueue(index, 8, sound(me)),
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/enable/every-size',
      doc: 'The control queue works with every power of two from 2 to its largest size, many times round.',
      requirements: ['VQ-12'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { me } = bench;
      const largest = Math.min(32, me.device.queueSizeMax(me.queues.control));
      for (let size = 2; size <= largest; size *= 2) {
        me.negotiate(me.wanted());
        me.enable(me.queues.control, size);
        me.goLive();
        for (let times = 0; times < 2 * size + 3; times++) me.must(queryPort, {}, ['VQ-12']);
      }
      return bench;
    },
  ),
];

const ringReset = { features: ['ring-reset'] } as const;

const resets = [
  probe(
    {
      id: 'VQ/ring-reset/control-queue',
      doc: 'A reset control queue is silent until it is enabled again, elsewhere and in another size, and then starts at index 0.',
      requirements: ['VQ-75', 'VQ-76'],
      needs: ringReset,
    },
    context => {
      const bench = new Bench(context, { ringReset: true });
      const { me } = bench;
      for (let times = 0; times < 5; times++) me.must(queryPort);
      const { control } = me.queues;
      const old = me.control;
      me.prepare(queryPort.code, new Uint8Array(0), { writable: 33 }, 'QUERY_PORT');
      me.control.publish();
      me.device.resetQueue(control);
      bench.same(['VQ-75'], 'the queue is enabled', me.device.queueEnabled(control), false);
      const [used, interrupts] = [old.usedIdx, me.interruptsOf(control)];
      me.transport.notify(control);
      bench.run();
      bench.same(
        ['VQ-75'],
        'used index and interrupts',
        [old.usedIdx, me.interruptsOf(control)],
        [used, interrupts],
      );
      me.enable(control, 8);
      for (let times = 0; times < 20; times++) me.must(queryPort, {}, ['VQ-76']);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/ring-reset/others-go-on',
      doc: 'The reset of a queue leaves every other queue as it is, objects and their destruction included.',
      requirements: ['VQ-77', 'CTRL-25'],
      needs: ringReset,
    },
    context => {
      const scene = pairOf(context, { ringReset: true });
      const { a, bench } = scene;
      exchange(scene, ['VQ-77']);
      for (const index of [a.machine.queues.sq(6), a.machine.queues.rq(7), a.machine.queues.cq(3)]) {
        a.machine.device.resetQueue(index);
        exchange(scene, ['VQ-77']);
      }
      a.machine.device.resetQueue(a.machine.queues.sq(a.qpn));
      a.machine.device.resetQueue(a.machine.queues.cq(a.cqn));
      a.machine.must(destroyQp, { qpn: a.qpn }, ['QP-10', 'VQ-77']);
      a.machine.must(destroyCq, { cqn: a.cqn }, ['VQ-77']);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/ring-reset/not-negotiated',
      doc: 'The reset of a queue is ignored when VIRTIO_F_RING_RESET is not negotiated.',
      requirements: ['VQ-78'],
    },
    context => {
      const scene = pairOf(context);
      const { a, bench } = scene;
      for (let index = 0; index < a.machine.queues.count; index++) a.machine.device.resetQueue(index);
      exchange(scene, ['VQ-78']);
      bench.same(['VQ-78'], 'DEVICE_NEEDS_RESET', a.machine.needsReset, false);
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/ring-reset/send-queue',
      doc: 'Requests taken before the reset of their send queue are carried on with and their chains not returned; those behind them are forgotten.',
      requirements: ['CTRL-25', 'CTRL-26', 'VQ-75'],
      needs: ringReset,
    },
    context => {
      const { bench, a } = lonely(context, { ringReset: true });
      const { machine } = a;
      const index = machine.queues.sq(a.qpn);
      machine.postSend(a.qpn, { wrId: 1, inline: new Uint8Array(8) });
      for (let steps = 0; bench.packets === 0 && steps < 1000; steps++) bench.scheduler.step();
      const old = machine.ring(index);
      machine.device.resetQueue(index);
      const used = old.usedIdx;
      bench.run();
      bench.same(['CTRL-26', 'VQ-75'], 'the used index of the queue that was reset', old.usedIdx, used);
      const completions = machine.poll(a.cqn).map(({ wr_id, status }) => [wr_id, status]);
      bench.same(
        ['CTRL-26'],
        'the send that was taken before completes when its retries are spent',
        completions,
        [[1, 10]],
      );
      machine.enable(index);
      machine.postSend(a.qpn, { wrId: 2 });
      bench.run();
      const flushed = machine.poll(a.cqn).map(({ wr_id, status }) => [wr_id, status]);
      bench.same(['CTRL-25', 'VQ-76'], 'a request on the new ring', flushed, [[2, 4]]);
      bench.same(['CTRL-26'], 'chains back on the new ring', machine.returned(index).length, 1);
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/ring-reset/completion-queue',
      doc: 'Completions of a completion queue whose virtqueue is reset wait until it is enabled again.',
      requirements: ['CTRL-25', 'CQ-28', 'CQ-29'],
      needs: ringReset,
    },
    context => {
      const scene = pairOf(context, { ringReset: true, buffers: 0 });
      const { a, b, bench } = scene;
      const index = a.machine.queues.cq(a.cqn);
      a.machine.device.resetQueue(index);
      b.machine.postRecv(b.qpn, 1);
      a.machine.postSend(a.qpn, { wrId: 7 });
      bench.run();
      a.machine.enable(index);
      a.machine.addBuffers(a.cqn, 4);
      bench.run();
      const seen = a.machine.poll(a.cqn).map(({ wr_id, status }) => [wr_id, status]);
      bench.same(['CTRL-25', 'CQ-29'], 'completions on the new ring', seen, [[7, 0]]);
      return bench;
    },
  ),
  probe(
    {
      id: 'VQ/ring-reset/enabled-while-live',
      doc: 'With VIRTIO_F_RING_RESET a queue that was never enabled may be enabled while the device is live.',
      requirements: ['VQ-11', 'VQ-76'],
      needs: ringReset,
    },
    context => {
      const { a, bench } = pairOf(context, {
        ringReset: true,
        queueSize: (index, queues) => (index === queues.cq(4) ? undefined : 32),
      });
      a.machine.enable(a.machine.queues.cq(4));
      bench.same(['VQ-11'], 'DEVICE_NEEDS_RESET', a.machine.needsReset, false);
      bench.same(['VQ-11'], 'RING_RESET is in force', a.machine.has(FeatureBit.RING_RESET), true);
      return bench;
    },
  ),
];

export const queueSetUpCases = [...wrongSetUps, ...resets];
