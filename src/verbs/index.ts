/** The verbs vocabulary and the `Verbs` interface. */
export * from './errors.js';
export * from './opcodes.js';
export * from './types.js';
export * from './verbs.js';
