/** The conformance kit: check, replay, programs, reports, and the seam for other drivers and devices. */
export { programOf } from './campaign.js';
export * from './cases/index.js';
export * from './check.js';
export * from './elsewhere/index.js';
export * from './implementation.js';
export * from './judge.js';
export * from './laws.js';
export * from './limits.js';
export * from './matrix.js';
export { argued } from './mutants/argued.js';
export { mutants } from './mutants/index.js';
export * from './observer.js';
export * from './program.js';
export * from './replay.js';
export * from './report.js';
export * from './requirements.js';
export * from './script.js';
export * from './trace.js';
