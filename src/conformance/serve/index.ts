/** Devices of this kit for drivers in other processes. */
export * from './kinds.js';
export * from './serve.js';
