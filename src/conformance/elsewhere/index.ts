/** Traces that somebody else's system has recorded, and their judge. */
export { ELSEWHERE_VERSION, traceLineSchema, tracePoints } from './format.js';
export type { ElsewhereEvent, TraceHeader, TracePoint } from './format.js';
export { TraceError, TraceJudge } from './trace-judge.js';
export type { TraceFinding, TraceVerdict } from './trace-judge.js';
