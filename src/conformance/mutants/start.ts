/** Drivers and devices that are wrong about the way to DRIVER_OK: features, status bits, configuration, queues. */
import { DeviceStatus, FeatureBit, featureMask } from '../../virtio/index.js';
import type { VirtioDevice, VirtioTransport } from '../../virtio/index.js';
import type { DeviceContext, DriverContext } from '../implementation.js';
import { mutant } from './mutant.js';
import type { Mutant, MutantFacts } from './mutant.js';
import { registers } from './seams/device.js';
import { driverIn, transport } from './seams/driver.js';
import { overlay } from './seams/overlay.js';

type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;
const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET, FAILED } = DeviceStatus;

function device(
  name: string,
  facts: Facts,
  doc: string,
  change: (inner: VirtioDevice, context: DeviceContext) => Partial<VirtioDevice>,
): Mutant {
  return mutant('device', name, { chapter: 'start and features', ...facts }, doc, registers(change));
}

function driver(
  name: string,
  facts: Facts,
  doc: string,
  change: (inner: VirtioTransport, context: DriverContext) => Partial<VirtioTransport>,
): Mutant {
  return mutant('driver', name, { chapter: 'start and features', ...facts }, doc, transport(change));
}

/** A status register with a memory of its own. */
function status(
  write: (inner: VirtioDevice, written: number, shown: number) => number | undefined,
): (inner: VirtioDevice) => Partial<VirtioDevice> {
  return inner => ({
    writeStatus(written) {
      const instead = write(inner, written, inner.readStatus());
      if (instead !== undefined) inner.writeStatus(instead);
    },
  });
}

const profileBits = ({ profile }: DeviceContext | DriverContext): bigint =>
  profile.features.reduce((set, { bit }) => set | featureMask(bit), 0n);

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

const queues: readonly Mutant[] = [
  device(
    'queue-size-not-a-power-of-two',
    { chapter: 'configuration', breaks: 'VQ-02' },
    'The largest size of the receive queues is not a power of two.',
    (inner, { profile, limits }) => {
      const map = profile.queues(limits.maxQps, limits.maxCqs);
      return { queueSizeMax: index => (index === map.rq(3) ? 48 : inner.queueSizeMax(index)) };
    },
  ),
  device(
    'missing-last-queue',
    { chapter: 'configuration', breaks: 'CONF-03' },
    'The receive queue of the last queue pair does not exist.',
    (inner, { profile, limits }) => {
      const last = profile.queues(limits.maxQps, limits.maxCqs).count - 1;
      return { queueSizeMax: index => (index === last ? 0 : inner.queueSizeMax(index)) };
    },
  ),
  device(
    'queues-in-another-order',
    { chapter: 'configuration', breaks: 'VQ-01' },
    'The send and the receive queue of queue pair 2 are exchanged.',
    (inner, { profile, limits }) => {
      const map = profile.queues(limits.maxQps, limits.maxCqs);
      const other = (index: number): number =>
        index === map.sq(2) ? map.rq(2) : index === map.rq(2) ? map.sq(2) : index;
      return {
        enableQueue: (index, size, addresses) => inner.enableQueue(other(index), size, addresses),
        notified: index => inner.notified(other(index)),
        queueEnabled: index => inner.queueEnabled(other(index)),
      };
    },
  ),
  device(
    'misplaced-queue-ignored',
    { chapter: 'broken peers', breaks: 'VQ-09' },
    'A queue with a wrong size is left disabled in silence.',
    inner => ({
      enableQueue(index, size, addresses) {
        if (Number.isInteger(Math.log2(size))) inner.enableQueue(index, size, addresses);
      },
    }),
  ),
  device(
    'misaligned-queue-rounded',
    { chapter: 'broken peers', breaks: 'VQ-09' },
    'The place of a descriptor table is rounded down to a multiple of 16.',
    inner => ({
      enableQueue: (index, size, addresses) =>
        inner.enableQueue(index, size, {
          ...addresses,
          descriptors: addresses.descriptors - (addresses.descriptors % 16),
        }),
    }),
  ),
  device(
    'unknown-queue-ignored',
    { chapter: 'broken peers', breaks: 'VQ-10' },
    'The enabling of a queue that does not exist is ignored.',
    inner => ({
      enableQueue(index, size, addresses) {
        if (inner.queueSizeMax(index) > 0) inner.enableQueue(index, size, addresses);
      },
    }),
  ),
  device(
    'enabled-twice-ignored',
    { chapter: 'broken peers', breaks: 'VQ-10' },
    'The enabling of a queue that is enabled is ignored.',
    inner => ({
      enableQueue(index, size, addresses) {
        if (!inner.queueEnabled(index)) inner.enableQueue(index, size, addresses);
      },
    }),
  ),
  device(
    'enabled-too-soon',
    { chapter: 'broken peers', breaks: 'VQ-11' },
    'The enabling of a queue before FEATURES_OK is ignored.',
    inner => ({
      enableQueue(index, size, addresses) {
        if ((inner.readStatus() & FEATURES_OK) !== 0) inner.enableQueue(index, size, addresses);
      },
    }),
  ),
  device(
    'enabled-too-late',
    { chapter: 'broken peers', breaks: 'VQ-11' },
    'The enabling of a queue after DRIVER_OK without RING_RESET is ignored.',
    inner => {
      let ringReset = false;
      return {
        setDriverFeatures(features) {
          ringReset = (features & featureMask(FeatureBit.RING_RESET)) !== 0n;
          inner.setDriverFeatures(features);
        },
        enableQueue(index, size, addresses) {
          if (ringReset || (inner.readStatus() & DRIVER_OK) === 0) inner.enableQueue(index, size, addresses);
        },
      };
    },
  ),
  device(
    'small-queues-refused',
    { chapter: 'limits', breaks: 'VQ-12' },
    'A queue of less than 16 entries is refused.',
    inner => ({
      enableQueue: (index, size, addresses) => inner.enableQueue(index, size < 16 ? 3 : size, addresses),
    }),
  ),
];

/** The configuration space with bytes changed. */
function config(
  name: string,
  facts: Facts,
  doc: string,
  change: (
    view: DataView,
    offsets: { mtu: number; max_rdma_qps: number; max_rdma_cqs: number },
    reads: number,
  ) => void,
): Mutant {
  return device(name, { chapter: 'configuration', ...facts }, doc, (inner, { profile }) => {
    let reads = 0;
    return {
      readConfig() {
        const view = inner.readConfig();
        change(view, profile.config.offsets, ++reads);
        return view;
      },
    };
  });
}

const configuration: readonly Mutant[] = [
  config('no-queue-pairs', { breaks: 'CONF-02' }, 'max_rdma_qps is 0.', (view, { max_rdma_qps: at }) =>
    view.setUint32(at, 0, true),
  ),
  config(
    'too-many-queue-pairs',
    { breaks: 'CONF-02 CONF-03' },
    'max_rdma_qps is 16385.',
    (view, { max_rdma_qps: at }) => view.setUint32(at, 16385, true),
  ),
  config('no-completion-queues', { breaks: 'CONF-02' }, 'max_rdma_cqs is 0.', (view, { max_rdma_cqs: at }) =>
    view.setUint32(at, 0, true),
  ),
  config(
    'limits-exchanged',
    { breaks: 'CONF-01 VQ-01' },
    'max_rdma_qps and max_rdma_cqs are exchanged.',
    (view, { max_rdma_qps: a, max_rdma_cqs: b }) => {
      const first = view.getUint32(a, true);
      view.setUint32(a, view.getUint32(b, true), true);
      view.setUint32(b, first, true);
    },
  ),
  config('mtu-of-an-old-link', { breaks: 'CONF-12' }, 'The mtu is 300.', (view, { mtu }) =>
    view.setUint16(mtu, 300, true),
  ),
  config('mtu-big-endian', { breaks: 'OVR-01 CONF-12' }, 'The mtu is in big-endian order.', (view, { mtu }) =>
    view.setUint16(mtu, view.getUint16(mtu, true), false),
  ),
  config(
    'limits-change',
    { breaks: 'CONF-11 CONF-08', needs: 'history' },
    'From the third reading on there is one queue pair number less.',
    (view, { max_rdma_qps: at }, reads) => {
      if (reads > 2) view.setUint32(at, view.getUint32(at, true) - 1, true);
    },
  ),
  config(
    'configuration-changes-unsaid',
    { breaks: 'CONF-08 CONF-09', needs: 'history' },
    'Each reading finds another mtu, and the generation stays.',
    (view, { mtu }, reads) => view.setUint16(mtu, view.getUint16(mtu, true) + reads, true),
  ),
  device(
    'configuration-only-when-live',
    { chapter: 'configuration', breaks: 'CONF-04' },
    'The configuration reads as zero before FEATURES_OK.',
    inner => ({
      readConfig() {
        const view = inner.readConfig();
        const ready = (inner.readStatus() & FEATURES_OK) !== 0;
        return ready ? view : new DataView(new ArrayBuffer(view.byteLength));
      },
    }),
  ),
  device(
    'other-configuration-after-a-reset',
    { chapter: 'configuration', breaks: 'RST-35' },
    'After a reset from DRIVER_OK there is one completion queue less.',
    (inner, { profile }) => {
      let less = 0;
      return {
        writeStatus(written) {
          if (written === 0 && (inner.readStatus() & DRIVER_OK) !== 0) less = 1;
          inner.writeStatus(written);
        },
        readConfig() {
          const view = inner.readConfig();
          const at = profile.config.offsets.max_rdma_cqs;
          view.setUint32(at, view.getUint32(at, true) - less, true);
          return view;
        },
      };
    },
  ),
];

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

export const startMutants: readonly Mutant[] = [
  ...offers,
  ...statusBits,
  ...queues,
  ...configuration,
  ...drivers,
];
