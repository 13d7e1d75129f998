/** The HCA contract, the reference HCA behind it, and verbs on it without a hypervisor. */
export type * from './hca.js';
export { Counters } from './counters.js';
export { ReferenceFunction } from './function.js';
export { NativeVerbs } from './native-verbs.js';
export { ReferenceHca } from './reference-hca.js';
export { ackTimeoutNs, rnrTimerNs } from './retry.js';
