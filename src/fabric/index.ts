/** The virtual clock, the one source of choices, and the network between HCAs. */
export * from './choices.js';
export * from './fabric.js';
export * from './faults.js';
export * from './packet.js';
export * from './packet-opcode.js';
export * from './scheduler.js';
