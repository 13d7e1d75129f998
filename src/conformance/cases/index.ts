/** The cases of the conformance kit: what is asked, how, and what came of it. */
export * from './case.js';
export * from './case-report.js';
export * from './catalogue.js';
export * from './finish.js';
export { unasked } from './unasked.js';
