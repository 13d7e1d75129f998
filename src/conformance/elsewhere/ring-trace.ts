/**
 * The point `ring` of a trace: who owns each chain, and the notifications of both directions. Of a ring that only one side
 * recorded, the chains are judged and the notifications are not: what the other side knew of them is not in the trace.
 */
import type { Monitor } from '../../statemachines/index.js';
import type { MonitorBook } from '../monitors/book.js';
import { RingMonitors } from '../monitors/ring-monitors.js';
import type { RingEvent, TraceHeader } from './format.js';
import type { Names } from './instances.js';
import type { Unjudged } from './unjudged.js';

/** Chains that the machines of a trace may have in all; each takes some bytes. */
const CHAINS_MAX = 1 << 24;

/** Whose doing each event is; both: told by its own member `side`. */
const doneBy: Readonly<Record<RingEvent['what'], 'driver' | 'device' | 'either'>> = {
  available: 'driver',
  published: 'driver',
  notified: 'either',
  taken: 'device',
  used: 'device',
  interrupt: 'device',
  consumed: 'driver',
  asleep: 'either',
  woke: 'either',
  reset: 'either',
};

export class RingTrace {
  readonly #book: MonitorBook;
  readonly #header: TraceHeader;
  readonly #unjudged: Unjudged;
  /** The chains when one side alone was recorded. */
  readonly #half: HalfRing | undefined;
  readonly #machines: RingMonitors[] = [];
  /** Machines by number in the order of their appearance, so that numbers of chains stay small. */
  readonly #numbers: number[] = [];
  #count = 0;

  constructor(book: MonitorBook, header: TraceHeader, unjudged: Unjudged, names: Names) {
    this.#book = book;
    this.#header = header;
    this.#unjudged = unjudged;
    this.#half = header.sides.length === 1 ? new HalfRing(book, unjudged) : undefined;
    this.#nameRings(names);
  }

  /** Returns what makes the line impossible to understand. @throws LawBroken */
  event(event: RingEvent): string | undefined {
    const { queues, queueSizeMax, sides } = this.#header;
    const { vm, queue, what, head = 0, notify = false, side } = event;
    if (queue >= queues) return `queue ${queue}; the header has ${queues} queues`;
    if (head >= queueSizeMax) return `head ${head}; the header has queues of at most ${queueSizeMax}`;
    const missing = missingMember(event);
    if (missing !== undefined) return `${what} without ${missing}`;
    const by = doneBy[what] === 'either' ? side : doneBy[what];
    if ((by === 'driver' || by === 'device') && !sides.includes(by))
      return `${what} is the ${by}'s; the header has ${sides.join(', ')}`;
    const number = this.#numberOf(vm);
    if (number === undefined)
      return `machine ${vm}; a trace may have ${CHAINS_MAX} chains, and the header has ${queues} queues of ${queueSizeMax} for each machine`;
    if (this.#half !== undefined) {
      this.#half.event(event, (number * queues + queue) * queueSizeMax, queueSizeMax);
      return undefined;
    }
    const rings = (this.#machines[number] ??= this.#open(number));
    switch (what) {
      case 'available':
        rings.available(queue, head);
        break;
      case 'published':
        rings.published(queue, 0, notify);
        break;
      case 'notified':
        rings.notified(queue);
        break;
      case 'taken':
        rings.taken(queue, head);
        break;
      case 'used':
        rings.used(queue, head);
        break;
      case 'interrupt':
        if (this.#isCompletionQueue(queue)) this.#unjudged.count('form');
        rings.interrupt(queue, 0, notify);
        break;
      case 'consumed':
        rings.consumed(queue, head);
        break;
      case 'asleep':
        if (side !== undefined) rings.asleep(queue, side);
        break;
      case 'woke':
        if (side !== undefined) rings.woke(queue, side);
        break;
      case 'reset':
        rings.reset(queue);
        break;
    }
    return undefined;
  }

  #numberOf(vm: number): number | undefined {
    const known = this.#numbers.at(vm);
    if (known !== undefined) return known;
    const { queues, queueSizeMax } = this.#header;
    if ((this.#count + 1) * queues * queueSizeMax > CHAINS_MAX) return undefined;
    this.#numbers[vm] = this.#count;
    return this.#count++;
  }

  #isCompletionQueue(queue: number): boolean {
    const [first, count] = this.#header.completionQueues;
    return queue >= first && queue < first + count;
  }

  #open(number: number): RingMonitors {
    const { queues, queueSizeMax } = this.#header;
    return new RingMonitors(this.#book, {
      vm: number,
      queueCount: queues,
      queueSizeMax,
      isCompletionQueue: queue => this.#isCompletionQueue(queue),
    });
  }

  #nameRings(names: Names): void {
    const { queues, queueSizeMax } = this.#header;
    const queueName = (key: number): string =>
      `queue ${key % queues} of machine ${this.#numbers.indexOf(Math.floor(key / queues))}`;
    for (const machine of ['NOTIFY_DEVICE', 'NOTIFY_DRIVER']) names.rule(machine, queueName);
    names.rule('CHAIN', key => `chain ${key % queueSizeMax} of ${queueName(Math.floor(key / queueSizeMax))}`);
  }
}

/** Chains as one side sees them: what the other does to one stands between two things that this side does. */
class HalfRing {
  readonly #chains: Monitor;
  readonly #unjudged: Unjudged;
  readonly #ids: Readonly<Record<'MAKE_AVAILABLE' | 'TAKE' | 'USE' | 'CONSUME', number>>;

  constructor(book: MonitorBook, unjudged: Unjudged) {
    this.#chains = book.get('CHAIN');
    this.#unjudged = unjudged;
    const { machine } = this.#chains;
    this.#ids = {
      MAKE_AVAILABLE: machine.eventId('MAKE_AVAILABLE'),
      TAKE: machine.eventId('TAKE'),
      USE: machine.eventId('USE'),
      CONSUME: machine.eventId('CONSUME'),
    };
  }

  event({ what, head = 0 }: RingEvent, first: number, queueSizeMax: number): void {
    const key = first + head;
    const { MAKE_AVAILABLE, TAKE, USE, CONSUME } = this.#ids;
    switch (what) {
      case 'available':
        this.#steps(key, MAKE_AVAILABLE);
        break;
      case 'taken':
        this.#steps(key, MAKE_AVAILABLE, TAKE);
        break;
      case 'used':
        this.#steps(key, USE, CONSUME);
        break;
      case 'consumed':
        this.#steps(key, TAKE, USE, CONSUME);
        break;
      case 'reset':
        for (let at = first; at < first + queueSizeMax; at++) this.#chains.drop(at);
        break;
      default:
        this.#unjudged.count('form');
    }
  }

  /** A step that is broken ends it: the others were only to follow. */
  #steps(key: number, ...events: readonly number[]): void {
    if (!this.#chains.isOpen(key)) this.#chains.open(key);
    for (const event of events) if (!this.#chains.event(key, event)) return;
  }
}

/** What a line of its kind has to say and does not. */
function missingMember({ what, head, notify, side }: RingEvent): string | undefined {
  switch (what) {
    case 'published':
    case 'interrupt':
      return notify === undefined ? 'notify' : undefined;
    case 'asleep':
    case 'woke':
      return side === undefined ? 'side' : undefined;
    case 'notified':
    case 'reset':
      return undefined;
    default:
      return head === undefined ? 'head' : undefined;
  }
}
