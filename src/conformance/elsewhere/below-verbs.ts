/** The points of a trace below the verbs: commands of the control queue, and rings. */
import { acks, commands } from '../../abi/index.js';
import type { MonitorBook } from '../monitors/book.js';
import { CommandMonitors, RingMonitors } from '../monitors/ring-monitors.js';
import type { ControlEvent, RingEvent, TraceHeader } from './format.js';

export class ControlTrace {
  readonly #book: MonitorBook;
  readonly #adopt: boolean;
  readonly #sides: TraceHeader['sides'];
  readonly #machines: { readonly both: CommandMonitors; readonly pending: Pending }[] = [];

  constructor(book: MonitorBook, { from, sides }: TraceHeader) {
    this.#book = book;
    this.#adopt = from === 'middle';
    this.#sides = sides;
  }

  /** Returns what makes the line impossible to understand. */
  event({ vm, side, what, id, command, ack }: ControlEvent): string | undefined {
    if (!this.#sides.includes(side)) return `side ${side}; the header has ${this.#sides.join(', ')}`;
    const machine = (this.#machines[vm] ??= {
      both: new CommandMonitors(this.#book, vm),
      pending: { driver: new Map(), device: new Map() },
    });
    const pending = machine.pending[side];
    const code = commands.values[command];
    if (what === 'command') {
      if (pending.has(id)) return `command ${id} is under way already; its answer must come first`;
      pending.set(id, code);
      for (const each of this.#told(side, 'driver')) machine.both[each].command(id, code);
      return undefined;
    }
    if (ack === undefined) return 'an answer without ack; expected "OK" or "ERR"';
    if (!pending.delete(id))
      return this.#adopt ? undefined : `an answer to command ${id}, which was never issued`;
    for (const each of this.#told(side, 'device')) machine.both[each].answer(id, code, acks.values[ack]);
    return undefined;
  }

  /** Who is told of a step: its side, and the other one too where nobody recorded it, in the order of the step. */
  #told(side: 'driver' | 'device', first: 'driver' | 'device'): readonly ('driver' | 'device')[] {
    if (this.#sides.length > 1) return [side];
    return first === 'driver' ? ['driver', 'device'] : ['device', 'driver'];
  }
}

/** Commands under way, by the recorder's number. */
interface Pending {
  readonly driver: Map<number, number>;
  readonly device: Map<number, number>;
}

export class RingTrace {
  readonly #book: MonitorBook;
  readonly #header: TraceHeader;
  readonly #machines: RingMonitors[] = [];

  constructor(book: MonitorBook, header: TraceHeader) {
    this.#book = book;
    this.#header = header;
  }

  /** Returns what makes the line impossible to understand. */
  event(event: RingEvent): string | undefined {
    const { queues, queueSizeMax } = this.#header;
    const { vm, queue, what, head = 0, notify = false, side } = event;
    if (queue >= queues) return `queue ${queue}; the header has ${queues} queues`;
    if (head >= queueSizeMax) return `head ${head}; the header has queues of at most ${queueSizeMax}`;
    const missing = missingMember(event);
    if (missing !== undefined) return `${what} without ${missing}`;
    const rings = (this.#machines[vm] ??= this.#open(vm));
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
        rings.interrupt(queue, 0, notify);
        break;
      case 'consumed':
        rings.consumed(queue, head);
        break;
      case 'asleep':
        if (side !== undefined) rings.asleep(queue, side);
        break;
    }
    return undefined;
  }

  #open(vm: number): RingMonitors {
    const { queues, queueSizeMax, completionQueues } = this.#header;
    const [first, count] = completionQueues;
    return new RingMonitors(this.#book, {
      vm,
      queueCount: queues,
      queueSizeMax,
      isCompletionQueue: queue => queue >= first && queue < first + count,
    });
  }
}

/** What a line of its kind has to say and does not. */
function missingMember({ what, head, notify, side }: RingEvent): string | undefined {
  if (what === 'published' || what === 'interrupt') return notify === undefined ? 'notify' : undefined;
  if (what === 'asleep') return side === undefined ? 'side' : undefined;
  return what === 'notified' || head !== undefined ? undefined : 'head';
}
