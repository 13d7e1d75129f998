/** The part of the conformance kit that the command line drives, as one interface, so that tests can put another in place. */
import type * as conformance from '../conformance/index.js';

export type Engine = Pick<
  typeof conformance,
  | 'AgentMachines'
  | 'DrivenMachines'
  | 'greet'
  | 'argued'
  | 'casesMatching'
  | 'catalogue'
  | 'check'
  | 'mutants'
  | 'programOf'
  | 'replay'
  | 'parseProgram'
  | 'unasked'
  | 'vhostUserDevice'
>;
export type { ReplayReport } from '../conformance/replay.js';
