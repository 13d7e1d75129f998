/** Devices that are wrong about the way to DRIVER_OK: the features that they offer and take, the status bits. */
import { FeatureBit, featureMask } from '../../../virtio/index.js';
import type { Mutant } from '../mutant.js';
import {
  ACKNOWLEDGE,
  DEVICE_NEEDS_RESET,
  DRIVER,
  DRIVER_OK,
  FAILED,
  FEATURES_OK,
  device,
  status,
} from './support.js';

const offers: readonly Mutant[] = [
  device('version-1-not-offered', { breaks: 'FEAT-01' }, 'VIRTIO_F_VERSION_1 is not offered.', inner => ({
    deviceFeatures: inner.deviceFeatures & ~featureMask(FeatureBit.VERSION_1),
  })),
  device(
    'feature-without-what-it-needs',
    { breaks: 'FEAT-02' },
    'ROCE is offered without CTRL_VQ.',
    (inner, { profile }) => {
      const needed = profile.features.flatMap(({ requires }) => requires);
      return { deviceFeatures: needed.reduce((set, bit) => set & ~featureMask(bit), inner.deviceFeatures) };
    },
  ),
  device(
    'any-feature-accepted',
    { breaks: 'FEAT-08' },
    'Features that were not offered are ignored.',
    inner => ({
      setDriverFeatures: features => inner.setDriverFeatures(features & inner.deviceFeatures),
    }),
  ),
  device(
    'missing-need-accepted',
    { breaks: 'FEAT-09' },
    'A feature that another accepted one needs is added.',
    (inner, { profile }) => ({
      setDriverFeatures(features) {
        let all = features;
        for (const { bit, requires } of profile.features) {
          if ((features & featureMask(bit)) !== 0n) for (const needed of requires) all |= featureMask(needed);
        }
        inner.setDriverFeatures(all);
      },
    }),
  ),
  device(
    'version-1-added',
    { breaks: 'FEAT-10' },
    'A driver that does not accept VERSION_1 is taken to accept it.',
    inner => ({
      setDriverFeatures: features => inner.setDriverFeatures(features | featureMask(FeatureBit.VERSION_1)),
    }),
  ),
  device(
    'ring-reset-required',
    { breaks: 'FEAT-11' },
    'FEATURES_OK stays clear when the driver leaves RING_RESET out.',
    inner => {
      let accepted = 0n;
      return {
        setDriverFeatures(features) {
          accepted = features;
          inner.setDriverFeatures(features);
        },
        writeStatus(written) {
          const lacks = (accepted & featureMask(FeatureBit.RING_RESET)) === 0n;
          inner.writeStatus(lacks && written !== 0 ? written & ~FEATURES_OK : written);
        },
      };
    },
  ),
  device(
    'ring-features-required',
    { breaks: 'FEAT-11' },
    'FEATURES_OK stays clear when the driver leaves INDIRECT_DESC or EVENT_IDX out that is offered.',
    inner => {
      let accepted = 0n;
      const ring =
        inner.deviceFeatures & (featureMask(FeatureBit.INDIRECT_DESC) | featureMask(FeatureBit.EVENT_IDX));
      return {
        setDriverFeatures(features) {
          accepted = features;
          inner.setDriverFeatures(features);
        },
        writeStatus(written) {
          inner.writeStatus((ring & ~accepted) !== 0n && written !== 0 ? written & ~FEATURES_OK : written);
        },
      };
    },
  ),
  device(
    'features-changed-late',
    { breaks: 'FEAT-13' },
    'Features that the driver writes after FEATURES_OK make the device give up.',
    inner => ({
      setDriverFeatures(features) {
        if ((inner.readStatus() & FEATURES_OK) !== 0)
          inner.enableQueue(-1, 0, { descriptors: 0, driver: 0, device: 0 });
        inner.setDriverFeatures(features);
      },
    }),
  ),
  device(
    'less-offered-after-a-reset',
    { breaks: 'RST-35 FEAT-14' },
    'After the second reset RING_RESET is not offered any more.',
    inner => {
      let resets = 0;
      return {
        writeStatus(written) {
          if (written === 0) resets++;
          inner.writeStatus(written);
        },
        get deviceFeatures() {
          return resets < 2
            ? inner.deviceFeatures
            : inner.deviceFeatures & ~featureMask(FeatureBit.RING_RESET);
        },
      };
    },
  ),
];

const statusBits: readonly Mutant[] = [
  device(
    'status-bits-cleared',
    { breaks: 'FEAT-16' },
    'A status that the driver writes replaces the one before.',
    inner => {
      let last = 0;
      return {
        writeStatus(written) {
          last = written;
          inner.writeStatus(written);
        },
        readStatus: () => inner.readStatus() & (last | DEVICE_NEEDS_RESET | FAILED),
      };
    },
  ),
  device(
    'features-ok-taken-back',
    { breaks: 'FEAT-16 FEAT-17' },
    'A second write of FEATURES_OK to a live device clears it.',
    inner => {
      let taken = false;
      return {
        writeStatus(written) {
          if ((written & FEATURES_OK) !== 0 && (inner.readStatus() & DRIVER_OK) !== 0) taken = true;
          if (written === 0) taken = false;
          inner.writeStatus(written);
        },
        readStatus: () => (taken ? inner.readStatus() & ~FEATURES_OK : inner.readStatus()),
      };
    },
  ),
  device(
    'needs-reset-written-by-the-driver',
    { breaks: 'FEAT-18' },
    'DEVICE_NEEDS_RESET that the driver writes shows in the status.',
    inner => {
      let forged = 0;
      return {
        writeStatus(written) {
          forged = written === 0 ? 0 : forged | (written & DEVICE_NEEDS_RESET);
          inner.writeStatus(written);
        },
        readStatus: () => inner.readStatus() | forged,
      };
    },
  ),
  device(
    'features-ok-without-a-driver',
    { breaks: 'FEAT-19' },
    'FEATURES_OK is set though DRIVER is clear.',
    inner =>
      status((_i, written) => ((written & FEATURES_OK) === 0 ? written : written | ACKNOWLEDGE | DRIVER))(
        inner,
      ),
  ),
  device(
    'driver-ok-without-features',
    { breaks: 'FEAT-20' },
    'DRIVER_OK shows though FEATURES_OK is clear.',
    inner => {
      let shown = 0;
      return {
        writeStatus(written) {
          shown = written === 0 ? 0 : shown | (written & DRIVER_OK);
          inner.writeStatus(written);
        },
        readStatus: () => inner.readStatus() | shown,
      };
    },
  ),
  device(
    'failed-set-by-the-device',
    { breaks: 'FEAT-34' },
    'The device sets FAILED with DEVICE_NEEDS_RESET.',
    inner => ({
      readStatus() {
        const now = inner.readStatus();
        return (now & DEVICE_NEEDS_RESET) === 0 ? now : now | FAILED;
      },
    }),
  ),
  device(
    'acknowledge-after-a-reset',
    { breaks: 'FEAT-28 RST-37' },
    'After the second reset the status shows ACKNOWLEDGE.',
    inner => {
      let resets = 0;
      return {
        writeStatus(written) {
          if (written === 0) resets++;
          inner.writeStatus(written);
        },
        readStatus: () => (inner.readStatus() === 0 && resets > 1 ? ACKNOWLEDGE : inner.readStatus()),
      };
    },
  ),
  device(
    'queues-enabled-after-a-reset',
    { chapter: 'stale state', breaks: 'FEAT-30' },
    'A queue that was enabled is shown so after a reset.',
    inner => {
      const enabled = new Set<number>();
      return {
        enableQueue(index, size, addresses) {
          enabled.add(index);
          inner.enableQueue(index, size, addresses);
        },
        queueEnabled: index => enabled.has(index) || inner.queueEnabled(index),
      };
    },
  ),
  device('no-way-back-from-failed', { breaks: 'FEAT-31 RST-36' }, 'A reset does not end FAILED.', inner => {
    let failed = false;
    return {
      writeStatus(written) {
        if ((written & FAILED) !== 0) failed = true;
        inner.writeStatus(written);
      },
      readStatus: () => inner.readStatus() | (failed ? FAILED : 0),
    };
  }),
  device(
    'no-way-back-from-needs-reset',
    { breaks: 'FEAT-31' },
    'A reset does not end DEVICE_NEEDS_RESET.',
    inner => {
      let stuck = 0;
      return {
        readStatus() {
          stuck |= inner.readStatus() & DEVICE_NEEDS_RESET;
          return inner.readStatus() | stuck;
        },
      };
    },
  ),
  device(
    'answers-before-driver-ok',
    { breaks: 'FEAT-25 FEAT-26 FEAT-29' },
    'A device whose queue is notified before DRIVER_OK is live from then on.',
    inner => ({
      notified(index) {
        const now = inner.readStatus();
        if ((now & (FEATURES_OK | DRIVER_OK)) === FEATURES_OK) inner.writeStatus(now | DRIVER_OK);
        inner.notified(index);
      },
    }),
  ),
  device(
    'control-needs-reset-goes-on',
    { chapter: 'broken peers', breaks: 'FEAT-33' },
    'After DEVICE_NEEDS_RESET the device interrupts once more for each notification.',
    inner => {
      let send: (index: number) => void = () => undefined;
      return {
        attach(host) {
          send = index => host.interruptQueue(index);
          inner.attach(host);
        },
        notified(index) {
          if ((inner.readStatus() & DEVICE_NEEDS_RESET) !== 0) send(index);
          inner.notified(index);
        },
      };
    },
  ),
];

export const deviceStatusMutants: readonly Mutant[] = [...offers, ...statusBits];
