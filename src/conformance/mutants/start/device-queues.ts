/** Devices that are wrong about the queues and the configuration that they show. */
import type { Mutant } from '../mutant.js';
import { FeatureBit, featureMask } from '../../../virtio/index.js';
import { DRIVER_OK, FEATURES_OK, device } from './support.js';
import type { Facts } from './support.js';

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

export const deviceQueueMutants: readonly Mutant[] = [...queues, ...configuration];
