/** Feature sets: which bit needs which, what a driver accepts of an offer, and what the bits mean for a ring. */
import { FeatureBit, featureMask } from './constants.js';
import type { RingFeatures } from './queue.js';
import type { FeatureSet } from './transport.js';

/** A feature and those that must be accepted with it, as bit numbers. */
export interface FeatureRequirement {
  readonly bit: number;
  readonly requires: readonly number[];
}

/** A feature was accepted and one that it needs was not. */
export interface MissingPrerequisite {
  readonly bit: number;
  readonly requires: number;
}

export function hasFeature(features: FeatureSet, bit: number): boolean {
  return (features & featureMask(bit)) !== 0n;
}

export function featureSet(...bits: readonly number[]): FeatureSet {
  return bits.reduce((set, bit) => set | featureMask(bit), 0n);
}

/** Bit numbers of a set, ascending. */
export function featureBits(features: FeatureSet): number[] {
  const bits: number[] = [];
  for (let bit = 0, left = features; left > 0n; bit++, left >>= 1n) if ((left & 1n) === 1n) bits.push(bit);
  return bits;
}

/** Device-independent features of virtio 1.4 that need others: none does. */
export function missingPrerequisites(
  features: FeatureSet,
  requirements: readonly FeatureRequirement[],
): MissingPrerequisite[] {
  return requirements
    .filter(({ bit }) => hasFeature(features, bit))
    .flatMap(({ bit, requires }) =>
      requires.filter(needed => !hasFeature(features, needed)).map(needed => ({ bit, requires: needed })),
    );
}

/**
 * What a driver that wants `wanted` accepts of `offered`: bits that are in both and whose prerequisites are accepted too.
 * Offered bits that it does not know are left alone.
 */
export function acceptFeatures(
  offered: FeatureSet,
  wanted: FeatureSet,
  requirements: readonly FeatureRequirement[],
): FeatureSet {
  let accepted = offered & wanted;
  for (;;) {
    const missing = missingPrerequisites(accepted, requirements);
    if (missing.length === 0) return accepted;
    for (const { bit } of missing) accepted &= ~featureMask(bit);
  }
}

export function ringFeatures(features: FeatureSet): RingFeatures {
  return {
    indirect: hasFeature(features, FeatureBit.INDIRECT_DESC),
    eventIdx: hasFeature(features, FeatureBit.EVENT_IDX),
    packed: hasFeature(features, FeatureBit.RING_PACKED),
    inOrder: hasFeature(features, FeatureBit.IN_ORDER),
    notificationData: hasFeature(features, FeatureBit.NOTIFICATION_DATA),
  };
}

/** The feature bits for what is asked of a ring. */
export function ringFeatureSet(features: RingFeatures): FeatureSet {
  const { indirect, eventIdx, packed = false, inOrder = false, notificationData = false } = features;
  return featureSet(
    ...(indirect ? [FeatureBit.INDIRECT_DESC] : []),
    ...(eventIdx ? [FeatureBit.EVENT_IDX] : []),
    ...(packed ? [FeatureBit.RING_PACKED] : []),
    ...(inOrder ? [FeatureBit.IN_ORDER] : []),
    ...(notificationData ? [FeatureBit.NOTIFICATION_DATA] : []),
  );
}
