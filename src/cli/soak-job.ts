/** What passes between `vrdma soak` and its worker threads. */
import type {
  Batch,
  BatchOutcome,
  Failure,
  PlacedFailure,
  Shrunk,
  SoakInput,
  SoakPlan,
} from '../conformance/soak/index.js';
import { Signal, SIGNALS, type Modules } from './job.js';

export interface SoakWorkerData {
  readonly plan: SoakPlan;
  readonly modules: Modules;
  /** Int32Array of {@link SoakSignal} members. */
  readonly signals: SharedArrayBuffer;
}

/** Places in the shared signal array. */
export const SoakSignal = {
  ...Signal,
  /** Place in its batch of the input under way; -1 while none is. */
  place: SIGNALS,
} as const;
export const SOAK_SIGNALS = SIGNALS + 1;

export type SoakTask =
  | { readonly task: 'batch'; readonly batch: Batch; readonly skip: readonly number[] }
  | { readonly task: 'shrink'; readonly batch: Batch; readonly failure: PlacedFailure }
  /** A finding that was saved. */
  | { readonly task: 'again'; readonly input: SoakInput };

export type SoakAnswer =
  | { readonly kind: 'done'; readonly outcome: BatchOutcome }
  | { readonly kind: 'shrunk'; readonly shrunk: Shrunk }
  | { readonly kind: 'again'; readonly failure: Failure | undefined }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'not-loaded'; readonly reason: string }
  /** The kit itself threw. */
  | { readonly kind: 'failed'; readonly stack: string };
