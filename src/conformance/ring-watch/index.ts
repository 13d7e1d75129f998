/** Watched rings: what no API shows, judged from what driver and device do to guest memory. */
export { runObservations } from './campaign.js';
export type {
  ObservationOptions,
  ObservationOutcome,
  ObservationReport,
  ObservedBreach,
} from './campaign.js';
export { observationCases } from './observation-cases.js';
export { ringObservations } from './observations.js';
export type { RingObservation } from './observations.js';
