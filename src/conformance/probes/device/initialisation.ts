/** Chapter 2 asked of a device: its offer, the negotiation, the status register, what it does before and after it is live. */
import { DeviceStatus, FeatureBit, featureMask, featureSet, hasFeature } from '../../../virtio/index.js';
import { Bench } from './bench.js';
import { breakRing } from './broken.js';
import { createCq, createPd, destroyCq, queryPort } from './messages.js';
import type { ProbeMachine } from './machine.js';
import { probe } from './probe-case.js';
import { exchange, pairOf } from './site.js';

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK, DEVICE_NEEDS_RESET, FAILED } = DeviceStatus;
const KNOWN = ACKNOWLEDGE | DRIVER;
const AGREED = KNOWN | FEATURES_OK;
const LIVE = AGREED | DRIVER_OK;

/** Goes to the point where features are decided, with these. Gives the status then. */
function tryFeatures({ device }: ProbeMachine, features: bigint): number {
  device.writeStatus(0);
  device.writeStatus(ACKNOWLEDGE);
  device.writeStatus(KNOWN);
  device.setDriverFeatures(features);
  device.writeStatus(AGREED);
  return device.readStatus();
}

/** Accuses unless the device can be started and answers a command. */
function expectWorks({ me }: Bench): void {
  me.start();
  me.must(createPd, {}, ['FEAT-31', 'RST-36']);
}

const RING_BITS = [FeatureBit.INDIRECT_DESC, FeatureBit.EVENT_IDX, FeatureBit.RING_RESET];

const negotiation = [
  probe(
    {
      id: 'FEAT/offer/what-is-needed',
      doc: 'The device offers VERSION_1, and with every feature those that it needs.',
      requirements: ['FEAT-01', 'FEAT-02'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { device, profile } = bench.me;
      const offered = (bit: number): boolean => hasFeature(device.deviceFeatures, bit);
      bench.same(['FEAT-01'], 'VIRTIO_F_VERSION_1 is offered', offered(FeatureBit.VERSION_1), true);
      for (const { bit, requires } of profile.features) {
        if (offered(bit))
          bench.same(['FEAT-02'], `what ${bit} needs is offered`, requires.every(offered), true);
      }
      bench.same(['FEAT-01'], 'the device type', device.deviceId, profile.deviceId);
      return bench;
    },
  ),
  probe(
    {
      id: 'FEAT/negotiate/not-offered',
      doc: 'FEATURES_OK stays clear for a driver that accepts any one feature that is not offered, and the driver may try again.',
      requirements: ['FEAT-08', 'FEAT-31'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { me } = bench;
      const sound = me.wanted();
      for (let bit = 0; bit < 64; bit++) {
        if (hasFeature(me.device.deviceFeatures, bit)) continue;
        const status = tryFeatures(me, sound | featureMask(bit));
        bench.same(['FEAT-08'], `the status after accepting bit ${bit}, which is not offered`, status, KNOWN);
      }
      expectWorks(bench);
      return bench;
    },
  ),
  probe(
    {
      id: 'FEAT/negotiate/prerequisite-missing',
      doc: 'FEATURES_OK stays clear for a driver that accepts VIRTIO_NET_F_ROCE without VIRTIO_NET_F_CTRL_VQ.',
      requirements: ['FEAT-09'],
      needs: { profile: 'roce' },
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { me } = bench;
      for (const { bit, requires } of me.profile.features) {
        for (const needed of requires) {
          const status = tryFeatures(me, me.wanted() & ~featureMask(needed));
          bench.same(['FEAT-09'], `the status after accepting ${bit} without ${needed}`, status, KNOWN);
        }
      }
      expectWorks(bench);
      return bench;
    },
  ),
  probe(
    {
      id: 'FEAT/negotiate/no-version-1',
      doc: 'FEATURES_OK stays clear for a driver that leaves VIRTIO_F_VERSION_1 out.',
      requirements: ['FEAT-10'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { me } = bench;
      const status = tryFeatures(me, me.wanted() & ~featureMask(FeatureBit.VERSION_1));
      bench.same(['FEAT-10'], 'the status without VERSION_1', status, KNOWN);
      expectWorks(bench);
      return bench;
    },
  ),
  probe(
    {
      id: 'FEAT/negotiate/any-ring-features',
      doc: 'Every subset of the ring features that are offered is accepted, again after each reset, and commands are answered.',
      requirements: ['FEAT-11', 'FEAT-14', 'RST-35'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { me } = bench;
      const bits = RING_BITS.filter(bit => hasFeature(me.device.deviceFeatures, bit));
      const offered = me.device.deviceFeatures;
      for (let subset = 2 ** bits.length - 1; subset >= 0; subset--) {
        const chosen = bits.filter((_, i) => (subset & (1 << i)) !== 0);
        me.negotiate(me.wanted() | featureSet(...chosen));
        me.enable(me.queues.control, 4);
        me.goLive();
        me.must(createPd, {}, ['FEAT-11']);
        bench.same(['RST-35'], 'features offered', me.device.deviceFeatures === offered, true);
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'FEAT/negotiate/too-late',
      doc: 'Features that the driver writes while FEATURES_OK is set change nothing.',
      requirements: ['FEAT-13'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { me } = bench;
      me.negotiate(me.wanted());
      me.device.setDriverFeatures(0n);
      me.enableAll();
      me.device.setDriverFeatures(me.wanted() | featureSet(...RING_BITS));
      me.goLive();
      me.device.setDriverFeatures(me.wanted() | featureSet(...RING_BITS));
      me.must(createPd, {}, ['FEAT-13']);
      me.device.resetQueue(me.queues.control);
      bench.same(
        ['FEAT-13', 'VQ-78'],
        'the control queue stays enabled when a reset of it is asked for that was negotiated too late',
        me.device.queueEnabled(me.queues.control),
        true,
      );
      me.must(createPd, {}, ['FEAT-13']);
      return bench;
    },
  ),
];

const status = [
  probe(
    {
      id: 'FEAT/status/keeps-bits',
      doc: 'A status with fewer bits leaves every bit set, and the device goes on.',
      requirements: ['FEAT-16', 'FEAT-17'],
    },
    context => {
      const scene = pairOf(context);
      const { bench } = scene;
      const { device } = bench.me;
      for (const less of [ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, KNOWN, AGREED]) {
        device.writeStatus(less);
        bench.same(
          ['FEAT-16'],
          `the status after ${less} was written to a live device`,
          device.readStatus(),
          LIVE,
        );
      }
      exchange(scene, ['FEAT-16', 'FEAT-17']);
      return bench;
    },
  ),
  probe(
    {
      id: 'FEAT/status/written-again',
      doc: 'The status of a live device written again starts nothing again: objects, queues and indices stay as they are.',
      requirements: ['FEAT-17'],
    },
    context => {
      const scene = pairOf(context);
      const { bench, a } = scene;
      exchange(scene, ['FEAT-17']);
      for (let times = 0; times < 3; times++) {
        a.machine.device.writeStatus(LIVE);
        bench.run();
        exchange(scene, ['FEAT-17']);
      }
      bench.same(
        ['FEAT-17'],
        'the number of a new completion queue',
        a.machine.must(createCq, { cqe: 1 }).cqn,
        1,
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'FEAT/status/bits-of-others',
      doc: 'DEVICE_NEEDS_RESET and bits without a meaning in a written status are ignored.',
      requirements: ['FEAT-18', 'FEAT-34'],
    },
    context => {
      const scene = pairOf(context);
      const { bench } = scene;
      const { device } = bench.me;
      for (const bits of [DEVICE_NEEDS_RESET, 32, DEVICE_NEEDS_RESET | 32]) {
        device.writeStatus(LIVE | bits);
        bench.same(
          ['FEAT-18', 'FEAT-34'],
          `the status after ${LIVE | bits} was written`,
          device.readStatus(),
          LIVE,
        );
      }
      exchange(scene, ['FEAT-18']);
      return bench;
    },
  ),
  probe(
    {
      id: 'FEAT/status/features-ok-too-early',
      doc: 'FEATURES_OK stays clear while ACKNOWLEDGE or DRIVER is.',
      requirements: ['FEAT-19'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { device } = bench.me;
      for (const before of [0, ACKNOWLEDGE, DRIVER]) {
        device.writeStatus(0);
        if (before !== 0) device.writeStatus(before);
        device.setDriverFeatures(bench.me.wanted());
        if (before === 0) device.writeStatus(FEATURES_OK);
        else device.writeStatus(before | FEATURES_OK);
        const got = device.readStatus() & FEATURES_OK;
        bench.same(['FEAT-19'], `FEATURES_OK after ${before | FEATURES_OK} was written`, got, 0);
      }
      expectWorks(bench);
      return bench;
    },
  ),
  probe(
    {
      id: 'FEAT/status/driver-ok-too-early',
      doc: 'DRIVER_OK stays clear while FEATURES_OK is.',
      requirements: ['FEAT-20'],
    },
    context => {
      const bench = new Bench(context, { unstarted: true });
      const { device } = bench.me;
      device.writeStatus(0);
      device.writeStatus(KNOWN);
      device.writeStatus(KNOWN | DRIVER_OK);
      bench.same(['FEAT-20'], 'the status after DRIVER_OK without FEATURES_OK', device.readStatus(), KNOWN);
      tryFeatures(bench.me, bench.me.wanted() & ~featureMask(FeatureBit.VERSION_1) & ~1n);
      device.writeStatus(LIVE);
      const live = device.readStatus() & DRIVER_OK;
      bench.same(['FEAT-20', 'FEAT-10'], 'DRIVER_OK after refused features', live, 0);
      expectWorks(bench);
      return bench;
    },
  ),
];

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
      const used = [...me.rings.values()].map(ring => ring.usedIdx);
      me.postRecv(a.qpn, 9);
      me.prepare(queryPort.code, new Uint8Array(0), { writable: 33 }, 'QUERY_PORT');
      me.control.publish();
      for (let index = 0; index < me.queues.count; index++) me.transport.notify(index);
      bench.run();
      bench.same(
        ['FEAT-33'],
        'used indices',
        [...me.rings.values()].map(ring => ring.usedIdx),
        used,
      );
      bench.same(['FEAT-33'], 'interrupts of queues', me.transport.queueInterrupts, interrupts);
      return bench;
    },
  ),
];

export const initialisationCases = [...negotiation, ...status, ...living, ...resets];
