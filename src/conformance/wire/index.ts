/** The judge in the middle of the wire. */
export * from './capture-judge.js';
export * from './frame-judge.js';
export * from './wire-judge.js';
