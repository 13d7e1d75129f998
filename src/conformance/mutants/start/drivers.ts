/** Drivers that are wrong about the way to DRIVER_OK. */
import { FeatureBit, featureMask } from '../../../virtio/index.js';
import type { DeviceContext, DriverContext } from '../../implementation.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { driverIn, transport } from '../seams/driver.js';
import { overlay } from '../seams/overlay.js';
import { ACKNOWLEDGE, DRIVER_OK, FAILED, FEATURES_OK, driver } from './support.js';

const profileBits = ({ profile }: DeviceContext | DriverContext): bigint =>
  profile.features.reduce((set, { bit }) => set | featureMask(bit), 0n);

/** What the driver sees of the features or of the status, and what it writes. */
const drivers: readonly Mutant[] = [
  driver(
    'version-1-not-accepted',
    { breaks: 'FEAT-03' },
    'The driver does not accept VIRTIO_F_VERSION_1.',
    inner => ({
      setDriverFeatures: features => inner.setDriverFeatures(features & ~featureMask(FeatureBit.VERSION_1)),
    }),
  ),
  driver(
    'accepts-what-is-not-offered',
    { breaks: 'FEAT-04' },
    'The driver accepts IN_ORDER, offered or not.',
    inner => ({
      setDriverFeatures: features => inner.setDriverFeatures(features | featureMask(FeatureBit.IN_ORDER)),
    }),
  ),
  driver(
    'accepts-without-what-it-needs',
    { breaks: 'FEAT-05' },
    'The driver accepts ROCE and not CTRL_VQ.',
    (inner, { profile }) => ({
      setDriverFeatures(features) {
        const needed = profile.features.flatMap(({ requires }) => requires);
        inner.setDriverFeatures(needed.reduce((set, bit) => set & ~featureMask(bit), features));
      },
    }),
  ),
  driver(
    'accepts-every-offer',
    { breaks: 'FEAT-06' },
    'The driver accepts every feature that is offered.',
    inner => ({
      setDriverFeatures: features => inner.setDriverFeatures(features | inner.deviceFeatures),
    }),
  ),
  driver(
    'goes-on-without-features',
    { breaks: 'FEAT-07' },
    'The driver takes features that it needs for offered.',
    (inner, context) => ({
      deviceFeatures: inner.deviceFeatures | profileBits(context) | featureMask(FeatureBit.VERSION_1),
      setDriverFeatures: features => inner.setDriverFeatures(features & inner.deviceFeatures),
    }),
  ),
  driver('status-bits-not-repeated', { breaks: 'FEAT-15' }, 'The driver writes DRIVER_OK alone.', inner => ({
    writeStatus: written => inner.writeStatus((written & DRIVER_OK) === 0 ? written : DRIVER_OK),
  })),
  driver('no-acknowledge', { breaks: 'FEAT-21' }, 'The driver goes straight to DRIVER.', inner => ({
    writeStatus(written) {
      if (written !== ACKNOWLEDGE) inner.writeStatus(written);
    },
  })),
  driver(
    'no-reset-at-start',
    { breaks: 'FEAT-21 FEAT-22' },
    'The driver does not reset the device when it starts.',
    inner => {
      let started = false;
      return {
        writeStatus(written) {
          if (written !== 0 || started) inner.writeStatus(written);
          started = true;
        },
        readStatus: () => (started ? inner.readStatus() : 0),
      };
    },
  ),
  driver(
    'driver-ok-before-the-queues',
    { breaks: 'FEAT-21 VQ-03' },
    'DRIVER_OK is set together with FEATURES_OK.',
    inner => ({
      writeStatus: written =>
        inner.writeStatus((written & FEATURES_OK) === 0 ? written : written | DRIVER_OK),
    }),
  ),
  driver(
    'reset-not-waited-for',
    { breaks: 'FEAT-22 RST-37' },
    'The driver takes a reset for done when it has been written.',
    inner => {
      let written_ = 0xff;
      return {
        writeStatus(written) {
          written_ = written;
          inner.writeStatus(written);
        },
        readStatus: () => (written_ === 0 ? 0 : inner.readStatus()),
      };
    },
  ),
  driver(
    'features-ok-not-read-back',
    { breaks: 'FEAT-23' },
    'The driver takes FEATURES_OK for set when it has been written.',
    inner => {
      let wrote = 0;
      return {
        writeStatus(written) {
          wrote = written;
          inner.writeStatus(written);
        },
        readStatus: () => inner.readStatus() | (wrote & FEATURES_OK),
      };
    },
  ),
  driver('failed-not-set', { breaks: 'HOST-28 FEAT-07 FEAT-23' }, 'The driver never sets FAILED.', inner => ({
    writeStatus(written) {
      if ((written & FAILED) === 0) inner.writeStatus(written);
    },
  })),
  mutant(
    'driver',
    'kick-before-driver-ok',
    { chapter: 'start and features', breaks: 'FEAT-24' },
    'The driver notifies each queue when it has enabled it.',
    transport(inner => ({
      enableQueue(index, size, addresses) {
        inner.enableQueue(index, size, addresses);
        inner.notify(index);
      },
    })),
  ),
  driver(
    'last-queue-not-enabled',
    { breaks: 'VQ-03' },
    'The receive queue of the last queue pair is enabled after DRIVER_OK.',
    inner => {
      let late: (() => void) | undefined;
      return {
        enableQueue(index, size, addresses) {
          if (index === inner.queueCount - 1) late = () => inner.enableQueue(index, size, addresses);
          else inner.enableQueue(index, size, addresses);
        },
        writeStatus(written) {
          inner.writeStatus(written);
          if ((written & DRIVER_OK) !== 0) late?.();
        },
      };
    },
  ),
  driver(
    'queue-larger-than-allowed',
    { chapter: 'configuration', breaks: 'VQ-05' },
    'The driver takes the largest size of a queue for twice what it is.',
    inner => ({
      queueSizeMax: index => 2 * inner.queueSizeMax(index),
    }),
  ),
  driver(
    'queue-of-any-size',
    { chapter: 'configuration', breaks: 'VQ-05' },
    'The driver enables the last queue with three quarters of its entries.',
    inner => ({
      enableQueue: (index, size, addresses) =>
        inner.enableQueue(index, index === inner.queueCount - 1 ? (size * 3) / 4 : size, addresses),
    }),
  ),
  driver(
    'misaligned-descriptors',
    { chapter: 'configuration', breaks: 'VQ-06' },
    'The driver places the descriptors of the last queue 8 bytes further.',
    inner => ({
      enableQueue: (index, size, addresses) =>
        inner.enableQueue(
          index,
          size,
          index === inner.queueCount - 1
            ? { ...addresses, descriptors: addresses.descriptors + 8 }
            : addresses,
        ),
    }),
  ),
  driver(
    'ring-outside-memory',
    { chapter: 'configuration', breaks: 'VQ-07' },
    'The driver places the used ring of the last queue outside memory.',
    inner => ({
      enableQueue: (index, size, addresses) =>
        inner.enableQueue(
          index,
          size,
          index === inner.queueCount - 1 ? { ...addresses, device: 2 ** 46 } : addresses,
        ),
    }),
  ),
  mutant(
    'driver',
    'rings-not-cleared',
    { chapter: 'configuration', breaks: 'VQ-08' },
    'The driver leaves in a used ring what was there when it takes the memory.',
    driverIn(context => ({
      ...context,
      transport: overlay(context.transport, {
        enableQueue(index, size, addresses) {
          context.memory.write(addresses.device + 4, Uint8Array.of(0xaa, 0xbb), 0, 2);
          context.transport.enableQueue(index, size, addresses);
        },
      }),
    })),
  ),
  driver(
    'configuration-limits-not-checked',
    { chapter: 'configuration', breaks: 'CONF-05' },
    'The driver takes a limit outside 1..16384 for 1.',
    (inner, { profile }) => ({
      readConfig() {
        const view = inner.readConfig();
        const { max_rdma_qps: a, max_rdma_cqs: b } = profile.config.offsets;
        for (const at of [a, b]) {
          const value = view.byteLength >= at + 4 ? view.getUint32(at, true) : 1;
          if (value < 1 || value > 16384) view.setUint32(at, 2, true);
        }
        return view;
      },
    }),
  ),
  driver(
    'short-configuration-padded',
    { chapter: 'configuration', breaks: 'CONF-06' },
    'The driver takes what is missing of the configuration for ones.',
    (inner, { profile }) => ({
      readConfig() {
        const view = inner.readConfig();
        if (view.byteLength >= profile.config.size) return view;
        const bytes = new Uint8Array(profile.config.size).fill(1);
        const { max_rdma_qps: a, max_rdma_cqs: b } = profile.config.offsets;
        const padded = new DataView(bytes.buffer);
        for (const at of [a, b]) padded.setUint32(at, 2, true);
        return padded;
      },
    }),
  ),
  driver(
    'long-configuration-refused',
    { chapter: 'configuration', breaks: 'CONF-07' },
    'The driver gives up when the configuration is longer than its table.',
    (inner, { profile }) => ({
      readConfig() {
        const view = inner.readConfig();
        return view.byteLength > profile.config.size ? new DataView(new ArrayBuffer(0)) : view;
      },
    }),
  ),
  driver(
    'generation-not-compared',
    { chapter: 'configuration', breaks: 'CONF-10', needs: 'race' },
    'The driver does not look at the configuration generation.',
    () => ({
      configGeneration: 0,
    }),
  ),
  driver(
    'mtu-taken-for-1500',
    { chapter: 'configuration', breaks: 'CONF-13' },
    'The driver takes the mtu for 9000, whatever it is.',
    (inner, { profile }) => ({
      readConfig() {
        const view = inner.readConfig();
        const { mtu } = profile.config.offsets;
        if (view.byteLength >= mtu + 2) view.setUint16(mtu, 9000, true);
        return view;
      },
    }),
  ),
  mutant(
    'driver',
    'never-driver-ok',
    { chapter: 'start and features', breaks: 'FEAT-21' },
    'The driver does not set DRIVER_OK.',
    transport(inner => ({
      writeStatus: written => inner.writeStatus(written === 0 ? 0 : written & ~DRIVER_OK),
    })),
  ),
];

export const driverStartMutants: readonly Mutant[] = [...drivers];
