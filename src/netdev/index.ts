/** A virtio network device: frames come back to who sent them, or go through a switch to the other machines. */
export * from './layout.js';
export * from './net-device.js';
export type { NetCounts } from './queue-pair.js';
export * from './switch.js';
