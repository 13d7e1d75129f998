/** What the probe device of a case offers. */
import type { Profile } from '../../../abi/index.js';
import { FeatureBit, featureMask, featureSet } from '../../../virtio/index.js';
import type { FeatureSet, RingFeatures } from '../../../virtio/index.js';
import type { DeviceAnswer } from './sound-answers.js';

export interface BenchOptions {
  /** Ring features that the device offers, and that the driver is asked to use. */
  readonly indirect?: boolean;
  readonly eventIdx?: boolean;
  readonly packed?: boolean;
  readonly inOrder?: boolean;
  /** What the driver is asked to use, where that is something else. */
  readonly want?: RingFeatures;
  /** Offered besides. */
  readonly alsoOffers?: FeatureSet;
  /** Bit that is not offered. */
  readonly withholds?: number;
  readonly maxQps?: number;
  readonly maxCqs?: number;
  /** Largest size of every queue, or of each. */
  readonly queueSize?: number | ((index: number) => number);
  readonly queueCount?: number;
  readonly limits?: Partial<DeviceAnswer>;
  /** Ethernet MTU in bytes. */
  readonly mtu?: number;
  /** Changes the configuration space before the driver sees it. */
  readonly config?: (bytes: Uint8Array) => Uint8Array;
  readonly dmaBytes?: number;
  readonly scatterSeed?: number;
}

export function featuresOf(profile: Profile, options: BenchOptions): FeatureSet {
  const bits = [FeatureBit.VERSION_1, ...profile.features.map(({ bit }) => bit)];
  if (options.indirect === true) bits.push(FeatureBit.INDIRECT_DESC);
  if (options.eventIdx === true) bits.push(FeatureBit.EVENT_IDX);
  if (options.packed === true) bits.push(FeatureBit.RING_PACKED);
  if (options.inOrder === true) bits.push(FeatureBit.IN_ORDER);
  const offered = featureSet(...bits) | (options.alsoOffers ?? 0n);
  return options.withholds === undefined ? offered : offered & ~featureMask(options.withholds);
}

export function configBytes(profile: Profile, options: BenchOptions): Uint8Array {
  const bytes = new Uint8Array(profile.config.size);
  const view = new DataView(bytes.buffer);
  const { offsets } = profile.config;
  view.setUint16(offsets.mtu, options.mtu ?? 1500, true);
  view.setUint32(offsets.max_rdma_qps, options.maxQps ?? 5, true);
  view.setUint32(offsets.max_rdma_cqs, options.maxCqs ?? 3, true);
  return options.config?.(bytes) ?? bytes;
}

export function queueSizeOf({ queueSize = 16 }: BenchOptions, index: number): number {
  return typeof queueSize === 'number' ? queueSize : queueSize(index);
}
