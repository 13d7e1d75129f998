/** Puts runs of several implementations or versions side by side. */
import { REPORT_VERSION, type CheckReport } from '../conformance/report.js';
import type { MergedReport } from './document.js';

/** The runs in their order; a run that is there twice, to the last figure, is taken once. */
export function mergedReport(reports: readonly CheckReport[]): MergedReport {
  const runs = new Map(reports.map(report => [JSON.stringify(report), report]));
  return { version: REPORT_VERSION, runs: [...runs.values()] };
}
