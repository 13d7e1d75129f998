/** What of the ring observations cannot be made of a device in another process, and why. */
import type { ObservationKey } from '../observations.js';
import type { RingSink } from '../ring-state.js';
import { Tally } from '../tally.js';

const READS = 'the device is another process, and what it reads is not seen in memory';
const WISHES =
  'the device is another process, and when it reads or changes what is asked of a side is not seen in memory';
const SLEEP = 'the device is another process, and when it sleeps is not seen in memory';

/** The reason for each. */
export const unseenOutside: ReadonlyMap<ObservationKey, string> = new Map([
  ['readsWithin', READS],
  ['takeOrder', READS],
  ['deviceDoubleFetch', READS],
  ['bufferUnread', READS],
  ['noObject', 'the device is another process, and when it takes a chain is not seen in memory'],
  ['deviceBarrier', WISHES],
  ['deviceRecheck', WISHES],
  ['kickMissing', WISHES],
  ['kickNeedless', WISHES],
  ['driverBarrier', WISHES],
  ['driverRecheck', WISHES],
  ['toDeviceMachine', SLEEP],
  ['toDriverMachine', SLEEP],
]);

/** Passes on what can be seen. */
export class OutsideTally extends Tally {
  readonly #inner: Tally;
  readonly #driverSeen: boolean;
  /** A look is under way: what has changed unseen, the device has changed. */
  looking = false;

  /** `driverSeen`: no write of the driver goes unseen. Where one may, nobody knows who changed what. */
  constructor(inner: Tally, driverSeen: boolean) {
    super();
    this.#inner = inner;
    this.#driverSeen = driverSeen;
  }

  override looked(key: ObservationKey, times?: number): void {
    if (!unseenOutside.has(key)) this.#inner.looked(key, times);
  }

  override breach(key: ObservationKey, message: string, rings: () => readonly string[]): void {
    if (unseenOutside.has(key)) return;
    const changed = this.looking && (key === 'ownership' || key === 'requestBytes');
    if (changed && !this.#driverSeen) return;
    this.#inner.breach(changed ? 'foreignAreas' : key, message, rings);
  }
}

/** Passes on who has which chain; notifications cannot be followed in memory. */
export function chainsOnly(sink: RingSink): RingSink {
  const nothing = (): void => undefined;
  return {
    available: (queue, head, readable, writable) => sink.available(queue, head, readable, writable),
    taken: (queue, head) => sink.taken(queue, head),
    used: (queue, head, written) => sink.used(queue, head, written),
    consumed: (queue, head, written) => sink.consumed(queue, head, written),
    published: nothing,
    interrupt: nothing,
    asleep: nothing,
    notified: nothing,
    woke: nothing,
  };
}
