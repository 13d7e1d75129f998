/** The protocol's states: the machines, their tables, and the monitors that judge traces by them. */
export * from './compile.js';
export * from './definition.js';
export { qpStateOf } from './machines/qp.js';
export * from './monitor.js';
export * from './qp-table.js';
export * from './registry.js';
export * from './xstate.js';
