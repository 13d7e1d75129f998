/**
 * Machines that are elsewhere as a whole: each with an HCA and with the program's memory, in somebody else's process. The kit
 * sees their verbs and nothing below.
 */
import type { Limits } from './limits.js';
import type { Program } from './program.js';
import type { VerbsWorld } from './verbs-world.js';

export interface RemoteMachines {
  /** What the party calls itself. */
  readonly name: string;
  /** The party is at rest when as much has happened as on bare metal: that has to be known first. */
  readonly restsByExpected: boolean;
  /** Why a program cannot be run as it stands; undefined when it can. */
  missingFor(program: Program): string | undefined;
  /** The program without what is not there. */
  without(program: Program): Program;
  /**
   * Opens fresh machines; those of the program before are over. `hasty`: the program is one of many that are tried, so
   * nobody waits long for one that hangs.
   *
   * @throws LawBroken when the party does not answer as it has to
   */
  open(program: Program, limits: Limits, hasty: boolean): VerbsWorld;
  /** The machines are not used any more. */
  close(): void;
}
