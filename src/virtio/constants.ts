/** Numbers of virtio 1.4 (OASIS, April 2026): device status, device-independent features, ring flags. */
import { flagSet } from '../abi/index.js';

export const deviceStatuses = flagSet('device_status', 'Device status bits', {
  ACKNOWLEDGE: [1, 'The driver has found the device'],
  DRIVER: [2, 'The driver knows how to drive it'],
  DRIVER_OK: [4, 'The driver is ready; the device is live'],
  FEATURES_OK: [8, 'Feature negotiation is complete'],
  SUSPEND: [16, 'Suspended'],
  DEVICE_NEEDS_RESET: [64, 'The device is in an error that only a reset ends'],
  FAILED: [128, 'The driver has given the device up'],
});
export const DeviceStatus = deviceStatuses.values;

/** Device-independent feature bits, by bit number. */
export const FeatureBit = {
  INDIRECT_DESC: 28,
  EVENT_IDX: 29,
  VERSION_1: 32,
  ACCESS_PLATFORM: 33,
  RING_PACKED: 34,
  IN_ORDER: 35,
  ORDER_PLATFORM: 36,
  NOTIFICATION_DATA: 38,
  NOTIF_CONFIG_DATA: 39,
  RING_RESET: 40,
} as const;

export function featureMask(bit: number): bigint {
  return 1n << BigInt(bit);
}
