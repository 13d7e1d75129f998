/** The verbs agent: machines that a program in any language offers by a line protocol. */
export * from './agent-machines.js';
export * from './driven-machines.js';
export * from './protocol.js';
