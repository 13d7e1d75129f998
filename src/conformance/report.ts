/** What a check reports while it runs and when it ends: plain data that every face (console, JSON, page) reads. */
import type { CaseResult, ImplementationName, RequirementTexts } from './cases/case-report.js';
import type { ChartEvent } from './chart-event.js';
import type { Program } from './program.js';

/** In the order in which a check runs them. */
export const suiteNames = [
  'probes',
  'scenarios',
  'rings',
  'hostile',
  'bounds',
  'leaks',
  'settled',
  'racing',
] as const;
export type SuiteName = (typeof suiteNames)[number];

/** Sent a few times a second while a check runs. */
export interface Progress {
  readonly suite: SuiteName;
  readonly programs: number;
  readonly actions: number;
  readonly elapsedMs: number;
  /** 0..1 of the suite. */
  readonly done: number;
  readonly transitionsCovered: number;
  readonly transitionsTotal: number;
  readonly requirementsTouched: number;
  readonly requirementsTotal: number;
}

/** One broken law, with the shortest program that was found to break it. */
export interface Finding {
  readonly suite: SuiteName;
  /** Name of the law, invariant, machine or comparison that was broken. */
  readonly law: string;
  readonly requirements: readonly string[];
  /** One line: what was seen and what was expected. */
  readonly message: string;
  readonly program: Program;
  readonly actions: number;
  readonly shrinks: number;
  /** The last events before the failure, oldest first, for the sequence chart. */
  readonly tail: readonly ChartEvent[];
}

export interface SuiteReport {
  readonly suite: SuiteName;
  readonly programs: number;
  readonly actions: number;
  readonly findings: number;
  readonly elapsedMs: number;
}

/** How often something was reached; 0 means never. */
export interface CoverageTable {
  readonly name: string;
  /** The table lists only what was seen: nobody says how much there could be. */
  readonly open?: true;
  readonly counts: Readonly<Record<string, number>>;
}

export const boundNames = [
  'kicks-a-post',
  'kicks-a-command',
  'completion-interrupts',
  'request-interrupts',
  'exits-a-poll',
  'commands-a-verb',
  'commands-a-post',
  'interrupts-a-command',
  'translations',
  'exits-a-message',
  'throughput',
] as const;
export type BoundName = (typeof boundNames)[number];

/** One bound: what it says, what was counted, whether it holds. */
export interface BoundRow {
  readonly name: BoundName;
  readonly requirement: string;
  /** The bound as a formula, such as `kicks a post <= 1`. */
  readonly formula: string;
  readonly measured: number;
  readonly limit: number;
  /** `most`: the count must not exceed the limit; `least`: it must reach it. */
  readonly kind: 'most' | 'least';
}

/** Messages a second in virtual time, at one depth and length. */
export interface ThroughputRow {
  readonly depth: number;
  readonly messageBytes: number;
  readonly nativePerSecond: number;
  readonly paravirtualPerSecond: number;
  /** Para-virtual over native. */
  readonly ratio: number;
  /** Exits from the guest, both machines together, a message. */
  readonly exitsPerMessage: number;
}

/** What the bounds suite counted. */
export interface BoundsSummary {
  readonly rows: readonly BoundRow[];
  readonly throughput: readonly ThroughputRow[];
}

/** The version of the report's JSON form; it grows when a reader of the old form would misread the new one. */
export const REPORT_VERSION = 2;

export interface CheckReport {
  readonly version: typeof REPORT_VERSION;
  /** Version of the kit that judged. */
  readonly kit: string;
  readonly implementation: ImplementationName;
  readonly verdict: 'pass' | 'fail' | 'inconclusive';
  /** Why a run could not judge, or why it ended early. */
  readonly reason: string | undefined;
  readonly seed: number;
  readonly profile: 'roce' | 'rdma';
  readonly programs: number;
  readonly actions: number;
  readonly elapsedMs: number;
  readonly interrupted: boolean;
  readonly suites: readonly SuiteReport[];
  readonly findings: readonly Finding[];
  /** One result for each case of the catalogue, in its order. */
  readonly cases: readonly CaseResult[];
  /** The sentences of the requirements that cases and findings name. */
  readonly requirements: RequirementTexts;
  /** machine transitions, commands x results, statuses x transports, pairs of actions, "sometimes" witnesses */
  readonly coverage: readonly CoverageTable[];
  /** Undefined when the bounds suite did not run. */
  readonly bounds: BoundsSummary | undefined;
}
