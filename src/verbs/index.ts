/** The verbs vocabulary and the `Verbs` interface. */
export * from './errors.js';
export * from './types.js';
export * from './verbs.js';
