/** The package's front door: check and replay from a program of your own. Each room has a door too, such as `vrdma/virtio`. */
export { check, parseProgram, ProgramError, programOf, replay } from './conformance/index.js';
export type {
  ChartEvent,
  CheckOptions,
  CheckReport,
  DeviceContext,
  DeviceFactory,
  DriverContext,
  DriverFactory,
  Finding,
  Program,
  Progress,
  ReplayReport,
} from './conformance/index.js';
export { VerbsError } from './verbs/index.js';
export type { Verbs } from './verbs/index.js';
