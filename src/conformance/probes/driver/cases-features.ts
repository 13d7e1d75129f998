/** Chapters 1 and 2: features that are accepted, the order of the status bits, giving a device up that cannot be used. */
import { DeviceStatus, FeatureBit, featureMask, hasFeature } from '../../../virtio/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import type { BenchOptions } from './bench-options.js';
import { expectGivesUp } from './cases-configuration.js';
import { unknownFeatures } from './device.js';
import { makeObjects } from './objects.js';
import { probe, probeStarted } from './probe-case.js';

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK } = DeviceStatus;

/** Status values in the order in which the driver wrote them. */
function statusWrites(bench: Bench): number[] {
  return bench.device.accesses
    .filter(({ register, write }) => register === 'status' && write)
    .map(({ value }) => Number(value));
}

/** Places in the list of accesses. */
function firstAt(bench: Bench, found: (access: Bench['device']['accesses'][number]) => boolean): number {
  return bench.device.accesses.findIndex(found);
}

const ringFeatureSets: readonly BenchOptions[] = [
  {},
  { indirect: true },
  { eventIdx: true },
  { indirect: true, eventIdx: true },
];

export const featureCases: readonly ConformanceCase[] = [
  probeStarted({
    id: 'FEAT/accept/version-1',
    doc: 'The driver accepts VIRTIO_F_VERSION_1 and what its profile needs.',
    requirements: ['FEAT-03', 'FEAT-05'],
    ask: async bench => {
      const needed = [FeatureBit.VERSION_1, ...bench.profile.features.map(({ bit }) => bit)];
      for (const bit of needed)
        bench.expect(
          hasFeature(bench.device.accepted, bit),
          `feature bit ${bit} was offered and not accepted`,
        );
    },
  }),
  probeStarted({
    id: 'FEAT/accept/nothing-unoffered',
    doc: 'Ring features that the run wants and the device does not offer are not accepted.',
    requirements: ['FEAT-04'],
    options: { want: { indirect: true, eventIdx: true } },
    ask: async bench => {
      const { accepted, offer } = bench.device;
      bench.equal(accepted & ~offer, 0n, 'the set of features that were accepted and not offered');
      await makeObjects(bench);
    },
  }),
  probeStarted({
    id: 'FEAT/accept/unknown-left-alone',
    doc: 'Features that no part of the specification names are left unaccepted, and the driver works.',
    requirements: ['FEAT-06'],
    options: { alsoOffers: unknownFeatures },
    ask: async bench => {
      bench.equal(
        bench.device.accepted & unknownFeatures,
        0n,
        'the set of unknown features that were accepted',
      );
      await makeObjects(bench);
    },
  }),
  probeStarted({
    id: 'FEAT/accept/any-ring-features',
    doc: 'The driver works with every set of ring features that a device may offer.',
    requirements: ['FEAT-04', 'FEAT-06', 'FEAT-21'],
    options: [...ringFeatureSets, { alsoOffers: featureMask(FeatureBit.RING_RESET), indirect: true }],
    ask: async bench => void (await makeObjects(bench)),
  }),
  probe({
    id: 'FEAT/refuse/no-version-1',
    doc: 'A device that does not offer VIRTIO_F_VERSION_1 is given up.',
    requirements: ['FEAT-07'],
    options: { withholds: FeatureBit.VERSION_1 },
    ask: expectGivesUp,
  }),
  probe({
    id: 'FEAT/refuse/no-roce',
    doc: 'A network device without VIRTIO_NET_F_ROCE is given up.',
    requirements: ['FEAT-07'],
    needs: { profile: 'roce' },
    options: { withholds: 55 },
    ask: expectGivesUp,
  }),
  probe({
    id: 'FEAT/refuse/no-control-queue',
    doc: 'A network device that offers VIRTIO_NET_F_ROCE without VIRTIO_NET_F_CTRL_VQ is given up, and neither is accepted alone.',
    requirements: ['FEAT-07', 'FEAT-05'],
    needs: { profile: 'roce' },
    options: { withholds: 17 },
    ask: expectGivesUp,
  }),
  probe({
    id: 'FEAT/refuse/nothing-offered',
    doc: 'A device that offers no feature at all is given up.',
    requirements: ['FEAT-07'],
    ask: async bench => {
      bench.device.offer = 0n;
      await expectGivesUp(bench);
    },
  }),
  probe({
    id: 'FEAT/status/features-refused',
    doc: 'A device that does not keep FEATURES_OK is given up.',
    requirements: ['FEAT-23'],
    ask: async bench => {
      bench.device.lies.refusesFeatures = true;
      await expectGivesUp(bench);
    },
  }),
  probeStarted({
    id: 'FEAT/status/order',
    doc: 'Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK, queues, DRIVER_OK: in this order, each once.',
    requirements: ['FEAT-21', 'FEAT-15'],
    ask: async bench => {
      const writes = statusWrites(bench);
      bench.equal(writes[0], 0, 'the first status written');
      bench.equal(writes.slice(1).includes(0), false, 'whether the device was reset a second time');
      const at = [ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK].map(bit =>
        writes.findIndex(status => (status & bit) !== 0),
      );
      bench.expect(
        at.every((place, i) => place > 0 && (i === 0 || place > at[i - 1])),
        `the status went ${writes.join(', ')}; expected ACKNOWLEDGE, DRIVER, FEATURES_OK and DRIVER_OK in writes of their own`,
      );
    },
  }),
  probeStarted({
    id: 'FEAT/status/features-in-their-place',
    doc: 'The offer is read and the features are written between DRIVER and FEATURES_OK, once.',
    requirements: ['FEAT-21'],
    ask: async bench => {
      const bit = (mask: number) =>
        firstAt(bench, a => a.register === 'status' && a.write && (Number(a.value) & mask) !== 0);
      const read = firstAt(bench, ({ register }) => register === 'device features');
      const written = firstAt(bench, ({ register }) => register === 'driver features');
      const order = [bit(ACKNOWLEDGE), bit(DRIVER), written, bit(FEATURES_OK), bit(DRIVER_OK)];
      bench.expect(
        order.every((at, i) => at >= 0 && (i === 0 || at > order[i - 1])),
        `accesses in the order ${order.join(', ')}`,
      );
      bench.expect(read >= 0 && read < written, 'the features were written without a look at the offer');
    },
  }),
  probeStarted({
    id: 'FEAT/status/features-ok-read-back',
    doc: 'The status is read between the write of FEATURES_OK and that of DRIVER_OK.',
    requirements: ['FEAT-23', 'FEAT-21'],
    ask: async bench => {
      const bit = (mask: number) =>
        firstAt(bench, a => a.register === 'status' && a.write && (Number(a.value) & mask) !== 0);
      const between = bench.device.accesses.slice(bit(FEATURES_OK), bit(DRIVER_OK));
      bench.expect(
        between.some(({ register, write }) => register === 'status' && !write),
        'the status was not read after FEATURES_OK was written',
      );
    },
  }),
  probeStarted({
    id: 'FEAT/status/queues-between',
    doc: 'Every queue is enabled behind FEATURES_OK and before DRIVER_OK.',
    requirements: ['FEAT-21', 'VQ-03'],
    ask: async bench => {
      const bit = (mask: number) =>
        firstAt(bench, a => a.register === 'status' && a.write && (Number(a.value) & mask) !== 0);
      const enables = [...bench.device.accesses.entries()].filter(
        ([, { register }]) => register === 'queue enable',
      );
      bench.expect(enables.length > 0, 'no queue was enabled');
      for (const [at, { value }] of enables)
        bench.expect(at > bit(FEATURES_OK) && at < bit(DRIVER_OK), `queue ${value} was enabled out of turn`);
    },
  }),
  probe({
    id: 'FEAT/status/slow-reset',
    doc: 'A reset that takes its time: nothing is written before the status reads 0.',
    requirements: ['FEAT-22'],
    ask: async bench => {
      bench.device.status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
      bench.device.lies.slowReset = 5;
      await bench.start();
      await bench.do('createPd()', verbs => verbs.createPd());
    },
  }),
  probe({
    id: 'FEAT/status/left-over',
    doc: 'A device in whatever state somebody left it, FAILED and DEVICE_NEEDS_RESET among them, is reset first and works.',
    requirements: ['FEAT-21', 'FEAT-22'],
    ask: async bench => {
      bench.device.status = 0xcf;
      await bench.start();
      bench.equal(statusWrites(bench)[0], 0, 'the first status written');
      await makeObjects(bench);
    },
  }),
  probeStarted({
    id: 'FEAT/notify/none-before-driver-ok',
    doc: 'No queue is notified before DRIVER_OK, whatever stands in it.',
    requirements: ['FEAT-24'],
    options: ringFeatureSets,
    ask: async bench => void (await makeObjects(bench)),
  }),
  probe({
    id: 'FEAT/status/needs-reset-at-once',
    doc: 'A device that sets DEVICE_NEEDS_RESET as it becomes live gets no verb carried out: they fail with EIO, or the start does.',
    requirements: ['ERR-26', 'ERR-25'],
    ask: async bench => {
      bench.device.onLive = () => bench.needsReset();
      const call = bench.starting();
      for (let runs = 0; runs < 4 && call.state === 'pending'; runs++) await bench.run();
      bench.expect(
        call.state !== 'pending',
        'the start of the driver is still pending after DEVICE_NEEDS_RESET',
      );
    },
  }),
];
