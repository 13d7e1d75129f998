/** What the rings show to somebody who watches; each half of a queue reports what it does. All indices are 16-bit, free-running. */
export interface RingObserver {
  /** The driver half made a chain available. */
  available(queue: number, head: number, readableBytes: number, writableBytes: number): void;
  /** The driver half published its available index. */
  published(queue: number, availIdx: number, notify: boolean): void;
  /** The device half took a chain. */
  taken(queue: number, head: number): void;
  /** The device half returned a chain. */
  used(queue: number, head: number, writtenBytes: number): void;
  /** The device half decided about an interrupt after raising its used index. */
  interrupt(queue: number, usedIdx: number, sent: boolean): void;
  /** The driver half took a used element. */
  consumed(queue: number, head: number, writtenBytes: number): void;
  /** A side went to sleep on the queue after arming notifications and looking again. */
  asleep(queue: number, side: 'driver' | 'device'): void;
}

/** What the control queue shows: one command, one answer. */
export interface ControlObserver {
  /** A command was issued (driver) or taken (device). `id` is unique among the commands in flight. */
  command(id: number, command: number): void;
  /** Its answer was given (device) or seen (driver). */
  answer(id: number, command: number, ack: number): void;
}
