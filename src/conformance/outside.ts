/**
 * Parties of a world that work outside its scheduler: a driver or a device in another process. The kit cannot step them; it
 * lets them go on and waits until they are at rest, as far as that can be known.
 */

/** How much has happened on bare metal after an action of a settled program; by machine. */
export interface Expected {
  /** Completions that were added to completion queues since the start. */
  readonly completions: readonly number[];
  /** Completion events that were raised since the start. */
  readonly events: readonly number[];
}

/** May wait by blocking the thread or by a promise; a watchdog of its own ends a wait that nothing comes of. */
export interface Outside {
  /** Takes up what has come meanwhile, without waiting. True: something has. */
  poll(): boolean;
  /**
   * Waits until something comes, or until the parties are at rest; a party that is silent for as long as it is given is at
   * rest. `expected`, where it is known, says what a right implementation comes to, so that nobody waits longer than that
   * takes. True: something came, and there may be more; false: at rest.
   *
   * @throws LawBroken for a party that is gone, or breaks the rules of the line
   */
  rest(expected: Expected | undefined): boolean | Promise<boolean>;
}
