/** What passes between `vrdma mutants` and the worker threads that hunt. */
import type { Detection } from '../conformance/mutants/detect.js';
import type { ProfileName } from './job.js';

export interface MutantWorkerData {
  readonly profile: ProfileName;
  readonly all: boolean;
}

/** One hunt. */
export interface MutantTask {
  readonly id: string;
  readonly seed: number;
  /** The program that is found is left as it is: it is made small on the first seed alone. */
  readonly quick: boolean;
  /** Id of a case to ask before the others. */
  readonly first?: string | undefined;
}

export type MutantAnswer =
  | { readonly kind: 'detected'; readonly detection: Detection }
  /** The kit itself threw. */
  | { readonly kind: 'failed'; readonly task: MutantTask; readonly stack: string };
