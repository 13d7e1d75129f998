/**
 * The driver's side of initialisation: the sequence that every virtio driver goes through, with each refusal as an error
 * that says at which step. After `negotiate` the driver sets its queues up; `startDriver` then makes the device live.
 */
import { DeviceStatus } from './constants.js';
import { acceptFeatures, featureBits } from './features.js';
import type { FeatureRequirement } from './features.js';
import type { FeatureSet, VirtioTransport } from './transport.js';

export type InitFault =
  /** The status did not return to 0 after a reset. */
  | 'no-reset'
  /** A feature that the driver cannot do without is not offered, or one that it needs is not. */
  | 'missing-features'
  /** The device did not keep FEATURES_OK. */
  | 'features-refused'
  /** The configuration changed each time it was read. */
  | 'config-unstable'
  /** The device gave itself up before it became live. */
  | 'needs-reset';

export class VirtioInitError extends Error {
  readonly fault: InitFault;

  constructor(fault: InitFault, message: string) {
    super(message);
    this.name = 'VirtioInitError';
    this.fault = fault;
  }
}

export interface NegotiateOptions {
  /** Features that the driver knows and would use. */
  readonly wanted: FeatureSet;
  /** Those of them that it cannot do without. */
  readonly required: FeatureSet;
  readonly requirements?: readonly FeatureRequirement[];
}

/** Times that a register is read before the device counts as not answering. */
const READS_MAX = 100;

/** Reset to FEATURES_OK. Returns the features in force. Throws VirtioInitError; FAILED is set then. */
export function negotiate(transport: VirtioTransport, options: NegotiateOptions): FeatureSet {
  resetDevice(transport);
  let status: number = DeviceStatus.ACKNOWLEDGE;
  transport.writeStatus(status);
  status |= DeviceStatus.DRIVER;
  transport.writeStatus(status);

  const offered = transport.deviceFeatures;
  const accepted = acceptFeatures(offered, options.wanted | options.required, options.requirements ?? []);
  const missing = options.required & ~accepted;
  if (missing !== 0n) {
    const bits = featureBits(missing).join(', ');
    throw giveUp(transport, 'missing-features', `feature bits ${bits} are required and not offered`);
  }
  transport.setDriverFeatures(accepted);
  status |= DeviceStatus.FEATURES_OK;
  transport.writeStatus(status);
  if ((transport.readStatus() & DeviceStatus.FEATURES_OK) === 0) {
    const bits = featureBits(accepted).join(', ');
    throw giveUp(transport, 'features-refused', `the device refused feature bits ${bits}`);
  }
  return accepted;
}

/** Sets DRIVER_OK. Throws VirtioInitError when the device has given itself up, or does so now. */
export function startDriver(transport: VirtioTransport): void {
  transport.writeStatus(transport.readStatus() | DeviceStatus.DRIVER_OK);
  if ((transport.readStatus() & DeviceStatus.DEVICE_NEEDS_RESET) !== 0) {
    throw giveUp(transport, 'needs-reset', 'the device needs a reset; was a queue set up wrongly?');
  }
}

/** Resets the device and waits until it says so. Throws VirtioInitError. */
export function resetDevice(transport: VirtioTransport): void {
  transport.writeStatus(0);
  for (let reads = 0; reads < READS_MAX; reads++) if (transport.readStatus() === 0) return;
  throw giveUp(transport, 'no-reset', `the status was not 0 within ${READS_MAX} reads after a reset`);
}

/** Reads the configuration space between two equal generations, so that all its fields belong together. */
export function readStableConfig(transport: VirtioTransport): DataView {
  for (let reads = 0; reads < READS_MAX; reads++) {
    const before = transport.configGeneration;
    const config = transport.readConfig();
    if (transport.configGeneration === before) return config;
  }
  throw giveUp(transport, 'config-unstable', `the configuration changed during each of ${READS_MAX} reads`);
}

/** Sets FAILED; only a reset leads on from there. */
export function markFailed(transport: VirtioTransport): void {
  transport.writeStatus(transport.readStatus() | DeviceStatus.FAILED);
}

function giveUp(transport: VirtioTransport, fault: InitFault, message: string): VirtioInitError {
  markFailed(transport);
  return new VirtioInitError(fault, message);
}
