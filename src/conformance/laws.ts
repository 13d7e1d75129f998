/**
 * The laws that runs are judged by, beside the state machines: what each says, and which requirements it comes from. A law
 * stands here once; who finds it broken names it.
 */

export interface Law {
  /** The law in one sentence; findings are told apart by it. */
  readonly name: string;
  readonly requirements: readonly string[];
}

function law(name: string, ...requirements: readonly string[]): Law {
  return { name, requirements };
}

export const laws = {
  invisible: law('para-virtualisation is invisible', 'OVR-10', 'OVR-11'),
  completesOnce: law('every work request completes exactly once', 'CQ-01', 'CQ-02', 'CQ-05', 'CQ-33'),
  completesInPlace: law(
    'a completion names its request, queue pair, queue and operation',
    'CQ-18',
    'CQ-19',
    'CQ-21',
  ),
  completesInOrder: law('completions of a queue come in posting order', 'ORD-01', 'ORD-02', 'ORD-13'),
  flushesTheRest: law('the rest of a failed queue is flushed', 'QP-48', 'QP-50'),
  pollsWhatIsAsked: law('a poll returns no more than it was asked for', 'CQ-53'),
  losesNoWakeUp: law('no wake-up is lost', 'CQ-08', 'CQ-36', 'CQ-46'),
  eventsAreArmed: law('an event needs an arming', 'CQ-09', 'CQ-37', 'CQ-46', 'CQ-47'),
  takesWhatIsThere: law('at rest nothing waits that could be taken', 'DATA-30', 'DATA-33', 'VQ-31', 'CQ-30'),
  dataArrives: law('what arrives is what was sent', 'DATA-37', 'DATA-38', 'DATA-47', 'DATA-36', 'DATA-46'),
  answersOnce: law('every command is answered exactly once', 'ERR-07', 'CTRL-01', 'CTRL-03'),
  keepsMemory: law('no byte outside a posted buffer or registered range changes', 'ISO-08', 'ERR-23'),
  keepsUsed: law('what is in use is not destroyed', 'RST-01', 'RST-02'),
  destroysOnce: law('nothing is destroyed twice, and nothing is made in what is gone', 'RST-03', 'RST-26'),
  leaksNothing: law('nothing leaks', 'RST-24', 'RST-25'),
  resetsClean: law('a reset leaves nothing behind', 'RST-30', 'RST-31', 'RST-32', 'RST-33', 'FEAT-28'),
  worksBounded: law('work is bounded', 'HOST-01', 'HOST-33'),
  answers: law('an implementation answers', 'HOST-01', 'HOST-34'),
  neverCrashes: law('an implementation never crashes', 'HOST-01', 'HOST-34'),
  getsAlong: law('driver and device get along', 'OVR-10', 'OVR-11'),
  starts: law('a driver starts', 'FEAT-21', 'FEAT-31'),
  expected: law('the program comes to what it expects', 'OVR-10', 'OVR-11'),
} as const satisfies Record<string, Law>;

/** A law that a run broke: what was seen, against what the law says. */
export class LawBroken extends Error {
  readonly law: string;
  readonly requirements: readonly string[];

  constructor(broken: Law, message: string) {
    super(message);
    this.name = 'LawBroken';
    this.law = broken.name;
    this.requirements = broken.requirements;
  }
}
