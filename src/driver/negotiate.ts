/**
 * From reset to FEATURES_OK: which features the driver asks for and what it reads from the configuration space. Throws
 * VirtioInitError, or VerbsError ENODEV when the device is none that this driver can use; FAILED is set then.
 */
import { PathMtu, pathMtuBytes, pathMtus } from '../abi/index.js';
import type { Profile } from '../abi/index.js';
import { VerbsError } from '../verbs/index.js';
import {
  FeatureBit,
  featureSet,
  markFailed,
  negotiate as negotiateFeatures,
  readStableConfig,
  ringFeatureSet,
  ringFeatures,
} from '../virtio/index.js';
import type { VirtioTransport } from '../virtio/index.js';
import { Session } from './session.js';
import type { DriverOptions } from './session.js';

/** Most queue pair and completion queue numbers that a device may have. */
const NUMBERS_MAX = 16384;

/**
 * Bytes of an Ethernet payload besides the data of a RoCE packet: IPv6 40, UDP 8, base header 12, the largest extended
 * headers 28 + 4, ICRC 4.
 */
const ROCE_OVERHEAD_BYTES = 40 + 8 + 12 + 28 + 4 + 4;

export function negotiate(options: DriverOptions): Session {
  const { transport, profile } = options;
  if (transport.deviceId !== profile.deviceId) {
    const expected = `${profile.deviceId} of profile ${profile.name}`;
    throw unusable(transport, `device type is ${transport.deviceId}, expected ${expected}`);
  }
  const required = featureSet(FeatureBit.VERSION_1, ...profile.features.map(({ bit }) => bit));
  const features = negotiateFeatures(transport, {
    wanted: required | ringFeatureSet(options.ringFeatures),
    required,
    requirements: profile.features,
  });
  return new Session(options, { ...readConfig(transport, profile), features: ringFeatures(features) });
}

function readConfig(
  transport: VirtioTransport,
  profile: Profile,
): Pick<Session, 'maxQps' | 'maxCqs' | 'queueMap' | 'activeMtu'> {
  const config = readStableConfig(transport);
  const layout = profile.config;
  if (config.byteLength < layout.size) {
    const expected = `${layout.size} or more`;
    throw unusable(transport, `the configuration space has ${config.byteLength} bytes, expected ${expected}`);
  }
  const value = layout.decode(config, 0);
  const { max_rdma_qps: maxQps, max_rdma_cqs: maxCqs } = value;
  for (const [name, count] of Object.entries({ max_rdma_qps: maxQps, max_rdma_cqs: maxCqs })) {
    if (count < 1 || count > NUMBERS_MAX) {
      throw unusable(transport, `${name} is ${count}, expected 1..${NUMBERS_MAX}`);
    }
  }
  const queueMap = profile.queues(maxQps, maxCqs);
  if (transport.queueCount < queueMap.count) {
    throw unusable(
      transport,
      `${transport.queueCount} virtqueues, but the configuration needs ${queueMap.count}`,
    );
  }
  return { maxQps, maxCqs, queueMap, activeMtu: activeMtuOf(value.mtu) };
}

/** The largest path MTU code whose packets fit an Ethernet MTU; the smallest one at least. */
function activeMtuOf(ethernetMtuBytes: number): number {
  let active: number = PathMtu.MTU_256;
  for (const name of pathMtus.names) {
    const code = PathMtu[name];
    if (pathMtuBytes(code) + ROCE_OVERHEAD_BYTES <= ethernetMtuBytes) active = code;
  }
  return active;
}

function unusable(transport: VirtioTransport, detail: string): VerbsError {
  markFailed(transport);
  return new VerbsError('ENODEV', 'start', detail);
}
