/**
 * What differs between the proposals, in one table a profile: device type, feature bit, control class, place of each
 * virtqueue, configuration fields. Nothing else in the project names these numbers.
 */
import { bytes, le16, le32, reserved, struct } from './layout.js';

export type ProfileName = 'roce' | 'rdma';

/** Index of each virtqueue of a device with given limits. */
export interface QueueMap {
  readonly control: number;
  /** Queue of completion queue number `cqn`, 0 <= cqn < max_rdma_cqs. */
  cq(cqn: number): number;
  /** Send queue of queue pair number `qpn`, 0 <= qpn < max_rdma_qps; pair 0 is never used. */
  sq(qpn: number): number;
  /** Receive queue of queue pair number `qpn`. */
  rq(qpn: number): number;
  /** Number of virtqueues of the device. */
  readonly count: number;
}

export interface Profile {
  readonly name: ProfileName;
  readonly doc: string;
  /** Virtio device type. */
  readonly deviceId: number;
  /** Device-type feature bits that must be negotiated for RDMA to work, as bit numbers; the last one depends on the others. */
  readonly features: readonly {
    readonly bit: number;
    readonly name: string;
    readonly requires: readonly number[];
    readonly doc: string;
  }[];
  /** First byte of each RDMA control command. */
  readonly controlClass: number;
  /** Device configuration space, fixed part. */
  readonly config: typeof roceConfig | typeof rdmaConfig;
  queues(maxQps: number, maxCqs: number): QueueMap;
}

export const roceConfig = struct(
  'virtio_net_config',
  'Configuration of a network device with the RoCE extension',
  {
    mac: bytes(6, 'MAC address'),
    status: le16('Link status; bit 0 set while the link is up'),
    max_virtqueue_pairs: le16('Network queue pairs; 1 here'),
    mtu: le16('Ethernet MTU, bytes'),
    speed: reserved('le32', 1, 'Of the network function; not used here'),
    duplex: reserved('u8', 1, 'Of the network function; not used here'),
    rss_max_key_size: reserved('u8', 1, 'Of the network function; not used here'),
    rss_max_indirection_table_length: reserved('le16', 1, 'Of the network function; not used here'),
    supported_hash_types: reserved('le32', 1, 'Of the network function; not used here'),
    max_rdma_qps: le32('Queue pair numbers 0 .. max_rdma_qps - 1; 1..16384'),
    max_rdma_cqs: le32('Completion queue numbers 0 .. max_rdma_cqs - 1; 1..16384'),
  },
);

export const rdmaConfig = struct('virtio_rdma_config', 'Configuration of an RDMA device', {
  max_rdma_qps: le32('Queue pair numbers 0 .. max_rdma_qps - 1; 1..16384'),
  max_rdma_cqs: le32('Completion queue numbers 0 .. max_rdma_cqs - 1; 1..16384'),
  mtu: le16('Ethernet MTU, bytes'),
  padding: reserved('le16'),
});

function queueMap(control: number, maxQps: number, maxCqs: number): QueueMap {
  const firstCq = control + 1;
  const firstPair = firstCq + maxCqs;
  return {
    control,
    cq: cqn => firstCq + cqn,
    sq: qpn => firstPair + 2 * qpn,
    rq: qpn => firstPair + 2 * qpn + 1,
    count: firstPair + 2 * maxQps,
  };
}

/** Network queue pairs before the control queue of a `roce` device: this model has no MQ and no RSS. */
const NET_QUEUES = 2;

export const profiles: Readonly<Record<ProfileName, Profile>> = {
  roce: {
    name: 'roce',
    doc: 'RoCE extension of the network device, RFC v2 of May 2022',
    deviceId: 1,
    features: [
      { bit: 17, name: 'VIRTIO_NET_F_CTRL_VQ', requires: [], doc: 'Control virtqueue' },
      { bit: 55, name: 'VIRTIO_NET_F_ROCE', requires: [17], doc: 'RDMA over Converged Ethernet' },
    ],
    controlClass: 6,
    config: roceConfig,
    queues: (maxQps, maxCqs) => queueMap(NET_QUEUES, maxQps, maxCqs),
  },
  rdma: {
    name: 'rdma',
    doc: 'RDMA device of its own, type 42, with the same commands',
    deviceId: 42,
    features: [],
    controlClass: 0,
    config: rdmaConfig,
    queues: (maxQps, maxCqs) => queueMap(0, maxQps, maxCqs),
  },
};
