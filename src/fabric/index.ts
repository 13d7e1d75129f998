/** The virtual clock, the one source of choices, the network between HCAs, and the frames of RoCE v2. */
export * from './choices.js';
export * from './fabric.js';
export * from './faults.js';
export * from './packet.js';
export * from './packet-opcode.js';
export * from './roce/addresses.js';
export * from './roce/capture.js';
export * from './roce/codec.js';
export * from './roce/frame.js';
export { wireHeaders } from './roce/headers.js';
export { knownOpcodes, opcodeLayout } from './roce/opcodes.js';
export type { OpcodeLayout, PayloadRule } from './roce/opcodes.js';
export * from './roce/pcap.js';
export * from './roce/print.js';
export * from './scheduler.js';
