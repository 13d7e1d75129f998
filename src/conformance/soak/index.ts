/** A soak: all ways of trying an implementation, for hours, with a state that goes on where the last session ended. */
export { soakModes, soakProfiles, soakRings } from './batch.js';
export type { Batch, SoakInput, SoakMode, SoakPlan } from './batch.js';
export { findingText, parseFinding } from './finding-file.js';
export { runBatch, shrinkFailure, tryAgain } from './run-batch.js';
export type { BatchOutcome, PlacedFailure } from './run-batch.js';
export { soak } from './session.js';
export type { Died, SoakCrew, Stopped } from './session.js';
export type { Shrunk } from './shrink.js';
export { SoakStateError, newState, parseState, totalsOf } from './state.js';
export type { SoakFinding, SoakState, SoakSubject } from './state.js';
export { KIT_FAULT } from './trial.js';
export type { Failure } from './trial.js';
