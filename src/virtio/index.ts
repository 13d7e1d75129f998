/** Virtio: guest memory, virtqueues, feature negotiation, device status, and the line between a driver and a device. */
export * from './constants.js';
export * from './device-model.js';
export * from './driver-init.js';
export * from './features.js';
export * from './guest-memory.js';
export * from './observer.js';
export * from './queue.js';
export * from './split-chain.js';
export * from './split-device-queue.js';
export * from './split-driver-queue.js';
export * from './split-layout.js';
export * from './transport.js';
