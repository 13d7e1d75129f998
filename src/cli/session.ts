/** One run of the command line, as its commands see it. */
import type { ExitCode } from './exit-code.js';
import type { Io } from './io.js';
import type { Kit } from './kit.js';

/** What a command is run with; it leaves its exit code here. */
export interface Session {
  readonly io: Io;
  readonly kit: Kit;
  exitCode: ExitCode;
}
