/** The part of the conformance kit that the command line drives, as one interface, so that tests can put another in place. */
import type { DeviceFactory, DriverFactory } from '../conformance/implementation.js';
import type { Program } from '../conformance/program.js';
import type { ChartEvent, CheckReport, Finding, Progress, SuiteName } from '../conformance/report.js';

export interface ImplementationOptions {
  readonly profile: 'roce' | 'rdma';
  readonly driver?: DriverFactory;
  readonly device?: DeviceFactory;
}

export interface CheckOptions extends ImplementationOptions {
  readonly seed: number;
  readonly suites: readonly SuiteName[];
  readonly runs?: number;
  readonly timeMs?: number;
  nowMs(): number;
  onProgress(progress: Progress): void;
  shouldStop(): boolean;
  readonly runIndex?: Int32Array;
}

export interface ReplayStep {
  /** Position in the program's list of actions. */
  readonly index: number;
  readonly action: string;
  readonly events: readonly ChartEvent[];
}

export interface ReplayReport {
  readonly verdict: 'pass' | 'fail' | 'inconclusive';
  readonly finding?: Finding;
  readonly steps: readonly ReplayStep[];
  /** JSON Lines. */
  readonly trace: string;
}

export interface Engine {
  check(options: CheckOptions): Promise<CheckReport>;
  /** The program that `check` runs as number `run` of a batch. */
  programOf(batchSeed: number, run: number, mode: number): Program;
  replay(program: Program, options: ImplementationOptions): Promise<ReplayReport>;
  parseProgram(text: string, fileName: string): Program;
}
