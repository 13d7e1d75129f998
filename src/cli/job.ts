/** What passes between the command line and the worker thread that does the judging. */
import type { Program } from '../conformance/program.js';
import type { CaseResult } from '../conformance/cases/case-report.js';
import type { CheckReport, Finding, Progress, SuiteName } from '../conformance/report.js';
import type { PeerOptions } from '../transports/vhost-user/peer-options.js';
import type { ReplayReport } from './engine.js';

export type ProfileName = 'roce' | 'rdma';

export interface CheckJob {
  readonly task: 'check';
  readonly profile: ProfileName;
  readonly seed: number;
  readonly suites: readonly SuiteName[];
  /** Ids of the cases to ask; all when undefined. */
  readonly cases: readonly string[] | undefined;
  /** Ids of the cases that have been asked already. */
  readonly done: readonly string[];
  readonly runs: number | undefined;
  readonly timeMs: number | undefined;
}

export interface ReplayJob {
  readonly task: 'replay';
  readonly profile: ProfileName;
  readonly program: Program;
  /** Whether a capture of the network is wanted. */
  readonly capture: boolean;
}

export type Job = CheckJob | ReplayJob;

/** A device behind a vhost-user socket. */
export interface Peer {
  readonly path: string;
  readonly options: PeerOptions;
  /** Set when the command line has started the device: Int32Array of `DeviceSignal` members. */
  readonly started?: SharedArrayBuffer | undefined;
}

/** Files of somebody else's implementation, as absolute paths, or a device elsewhere. */
export interface Modules {
  readonly driver: string | undefined;
  readonly device: string | undefined;
  readonly peer?: Peer | undefined;
  readonly agent?: AgentModule | undefined;
}

/** A verbs agent in place of driver and device. */
export interface AgentModule {
  readonly command: string;
  /** Files; undefined where none is written. */
  readonly log: string | undefined;
  readonly trace: string | undefined;
  /** Milliseconds that one answer may take. */
  readonly limitMs: number;
  /** Version of the kit. */
  readonly kit: string;
}

export interface WorkerData {
  readonly job: Job;
  readonly modules: Modules;
  /** Module that holds the conformance kit. */
  readonly engineUrl: string;
  /** Int32Array of {@link Signal} members. */
  readonly signals: SharedArrayBuffer;
  /** Int32Array of {@link RUN_INDEX_LENGTH} places, as the kit's `UnderWay` names them. */
  readonly runIndex: SharedArrayBuffer;
}

/** Places in the shared signal array. */
export const Signal = {
  /** Counts up while the kit is alive. */
  heartbeat: 0,
  /** 1 asks the kit to stop after the run at hand. */
  stop: 1,
  /** A {@link Phase}. */
  phase: 2,
  /** Process group of the verbs agent; 0 while there is none. */
  agent: 3,
} as const;

/** How far a worker has come. */
export const Phase = {
  /** The kit itself loads; the implementation is not to blame for the time. */
  kit: 0,
  /** The implementation's modules load. */
  modules: 1,
  judging: 2,
} as const;
export const SIGNALS = 4;
/** Batch seed, number of the program in the batch, mode, place of the case in the catalogue. */
export const RUN_INDEX_LENGTH = 4;

export type WorkerMessage =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'case'; readonly result: CaseResult }
  | { readonly kind: 'finding'; readonly finding: Finding }
  | { readonly kind: 'checked'; readonly report: CheckReport }
  | { readonly kind: 'replayed'; readonly report: ReplayReport }
  | { readonly kind: 'not-loaded'; readonly reason: string }
  /** The device has to be started again. */
  | { readonly kind: 'restart-device'; readonly hung: boolean }
  /** The kit itself threw. */
  | { readonly kind: 'failed'; readonly stack: string };
