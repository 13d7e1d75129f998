/** The judge in the middle of the wire. */
export * from './frame-judge.js';
export * from './wire-judge.js';
