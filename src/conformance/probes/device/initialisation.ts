/** Sections 2.1 and 2.2 asked of a device: its offer, the negotiation, the status register. */
import { DeviceStatus, FeatureBit, featureMask, featureSet, hasFeature } from '../../../virtio/index.js';
import { Bench } from './bench.js';
import { createCq, createPd } from './messages.js';
import type { ProbeMachine } from './machine.js';
import { probe } from './probe-case.js';
import { exchange, pairOf } from './site.js';

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK, DEVICE_NEEDS_RESET } = DeviceStatus;
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
      const bench = new Bench(context, { unstarted: true, machines: 1 });
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

export const initialisationCases = [...negotiation, ...status];
