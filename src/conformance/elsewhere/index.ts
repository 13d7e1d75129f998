/** Traces, from this kit and from elsewhere: their format, and their judge. */
export { TRACE_VERSION, traceLineSchema, tracePoints, traceSchemaText } from './format.js';
export type { TraceEvent, TraceHeader, TracePoint } from './format.js';
export { LineError, Lines } from './lines.js';
export { TraceError, TraceJudge } from './trace-judge.js';
export type { TraceFinding, TraceVerdict } from './trace-judge.js';
export { unjudgedReasons } from './unjudged.js';
