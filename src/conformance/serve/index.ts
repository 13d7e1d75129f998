/** Devices of this kit for drivers in other processes. */
export * from './host.js';
export * from './kinds.js';
export * from './live-judge.js';
export * from './serve.js';
