/**
 * Parties of a world that work outside its scheduler: a driver or a device in another process. The kit cannot step them; it
 * lets them go on and waits until they are at rest, as far as that can be known.
 */
import type { Limits } from './limits.js';

/** How much has happened on bare metal after an action of a settled program; by machine. */
export interface Expected {
  /** Completions that were added to completion queues since the start. */
  readonly completions: readonly number[];
  /** Completion events that were raised since the start. */
  readonly events: readonly number[];
}

/** A device that the kit can neither build with limits of its choice nor look into. */
export interface OutsideDevice {
  /** What the device says that it allows; bare metal is held to the same. */
  readonly limits: Limits;
  /** Machines that can have such a device at the same time. */
  readonly machinesMax: number;
  /** Its status register can be read, so that a device that has given up is told from one that is slow. */
  readonly showsStatus: boolean;
}

/** The moments at which memory that is shared with a party outside is brought in line. */
export interface Turns {
  /** The party is about to be told of something: from now on it may act. */
  telling(): void;
  /** It has called, and the other party is about to hear of it. */
  called(): void;
}

/** May wait by blocking the thread or by a promise; a watchdog of its own ends a wait that nothing comes of. */
export interface Outside {
  /** A world of so many machines begins: what came before it is over. Called before their memory is taken. */
  begin?(machines: number): void;
  /** Sets who is told of turns until the next world begins. */
  watchTurns?(turns: Turns): void;
  /** Takes up what has come meanwhile, without waiting. True: something has. */
  poll(): boolean;
  /**
   * Waits until something comes, or until the parties are at rest; a party that is silent for as long as it is given is at
   * rest. `expected`, where it is known, says what a right implementation comes to, so that nobody waits longer than that
   * takes; `seenEvents` gives the completion events that machines have had so far. True: something came, and there may be
   * more; false: at rest.
   *
   * @throws LawBroken for a party that is gone, or breaks the rules of the line
   */
  rest(expected: Expected | undefined, seenEvents?: () => readonly number[]): boolean | Promise<boolean>;
  /**
   * Waits until something comes, for as long as something that is due may take: a request of which nothing is heard any more
   * fails by the clock of the party. False: nothing came.
   */
  linger?(): boolean;
}
