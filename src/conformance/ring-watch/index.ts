/** Watched rings: what no API shows, judged from what driver and device do to guest memory. */
export { runObservations } from './campaign.js';
export type { ObservationOutcome, ObservationReport } from './campaign.js';
export { observationCases } from './observation-cases.js';
export { observations, ringObservations } from './observations.js';
export { unseenOutside } from './outside/unseen.js';
