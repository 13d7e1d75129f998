/**
 * What came of the cases, as plain data: the currency between a run, its reports (console, JSON, JUnit, HTML), `merge` and
 * `diff`.
 */
import type { Program } from '../program.js';
import type { ChartEvent } from '../chart-event.js';
import type { CaseHow, Party } from './case.js';

/**
 * - `pass`: the promise was kept.
 * - `non-strict`: broken, and every sentence that was broken is marked {strict}: a lenient reading of the public record allows it.
 * - `fail`: broken.
 * - `informational`: a SHOULD was not followed, or something was counted that nobody promised.
 * - `unsupported`: the implementation does not offer what the case needs.
 * - `skipped`: left out on purpose: by `--only`, `--skip`, `--known-failures`, or because it judges the other party.
 * - `inconclusive`: it could not be judged: the run ended before it, or nothing it is about ever happened.
 */
export const grades = [
  'pass',
  'non-strict',
  'fail',
  'informational',
  'unsupported',
  'skipped',
  'inconclusive',
] as const;
export type Grade = (typeof grades)[number];

export interface CaseResult {
  readonly id: string;
  readonly doc: string;
  readonly judges: Party;
  readonly kind: CaseHow['kind'];
  readonly grade: Grade;
  /** What the case shows when it passes, else what was broken, the most telling first. */
  readonly requirements: readonly string[];
  /** One line: what was seen and what was expected, or why there is no verdict; absent when it passed. */
  readonly message?: string;
  /** Law or machine that was broken, if one was. */
  readonly law?: string;
  /** The reason given in the file of known failures. */
  readonly known?: string;
  readonly runs: number;
  readonly actions: number;
  readonly elapsedMs: number;
  /** The shortest program that shows it, if a program does. */
  readonly program?: Program;
  /** The last steps before the failure, oldest first. */
  readonly steps?: readonly ChartEvent[];
  /** What the rings held at the end, a line each, where a ring is what was broken. */
  readonly rings?: readonly string[];
}

/** Who was judged, as people call it. */
export interface ImplementationName {
  /** `bundled`, or a name that its user gave (`--name`), or the file's. */
  readonly name: string;
  /** File of the driver and of the device; absent for the bundled ones. */
  readonly driver?: string;
  readonly device?: string;
}

/** The sentence of a requirement, so that a report can be read without the spec. */
export type RequirementTexts = Readonly<Record<string, string>>;
