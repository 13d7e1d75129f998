/** Pictures and documentation of the machines. */
export * from './exporters.js';
export * from './machine-docs.js';
export * from './picture.js';
