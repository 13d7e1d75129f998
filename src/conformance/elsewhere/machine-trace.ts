/** Events that a trace gives to a machine by name: for recorders that know the machines, and for all that no other point tells. */
import { machines } from '../../statemachines/index.js';
import { tablesOf } from '../monitors/book.js';
import type { MonitorBook } from '../monitors/book.js';
import type { Handle, MachineEvent, TraceHeader } from './format.js';
import { Numbers } from './instances.js';
import type { Names } from './instances.js';
import type { Unjudged } from './unjudged.js';

interface Instances {
  readonly keys: Map<Handle, number>;
  readonly numbers: Numbers;
  readonly events: ReadonlyMap<string, number>;
}

/** Instances of a machine that may be open at one time. */
const INSTANCES_MAX = 1 << 20;

export class MachineTrace {
  readonly #book: MonitorBook;
  readonly #adopt: boolean;
  readonly #unjudged: Unjudged;
  readonly #names: Names;
  readonly #machines: ReadonlyMap<string, Instances>;

  /** @param book not that of another point, whose instances are others */
  constructor(book: MonitorBook, { from }: TraceHeader, unjudged: Unjudged, names: Names) {
    this.#book = book;
    this.#adopt = from === 'middle';
    this.#unjudged = unjudged;
    this.#names = names;
    this.#machines = new Map(
      machines.map(({ name, events }) => {
        const tables = tablesOf(name);
        const ids = new Map(events.map(event => [event.name, tables.eventId(event.name)]));
        return [name, { keys: new Map<Handle, number>(), numbers: new Numbers(), events: ids }];
      }),
    );
  }

  /** Returns what makes the line impossible to understand. */
  event({ machine, key, event, arg, limit }: MachineEvent): string | undefined {
    const instances = this.#machines.get(machine);
    if (instances === undefined)
      return `machine ${JSON.stringify(machine)}; expected one of ${[...this.#machines.keys()].join(', ')}`;
    const id = instances.events.get(event);
    if (id === undefined && event !== 'open' && event !== 'close')
      return `machine ${machine} has no event ${JSON.stringify(event)}; expected open, close, ${[...instances.events.keys()].join(', ')}`;
    const monitor = this.#book.get(machine);
    const known = instances.keys.get(key);
    // In the middle nobody knows the state of an instance but of one that begins.
    if (known === undefined && this.#adopt && event !== 'open') {
      this.#unjudged.count('older');
      return undefined;
    }
    if (event === 'close') {
      if (known === undefined) return `machine ${machine} has no instance ${key} to close`;
      monitor.close(known);
      instances.keys.delete(key);
      instances.numbers.give(known);
      return undefined;
    }
    if (known !== undefined && event === 'open') return `machine ${machine} has an instance ${key} already`;
    if (known === undefined && instances.keys.size >= INSTANCES_MAX)
      return `machine ${machine} has ${INSTANCES_MAX} instances; expected "close" for those that are over`;
    const number = known ?? this.#open(machine, instances, key, limit);
    if (id !== undefined) monitor.event(number, id, arg);
    return undefined;
  }

  #open(machine: string, { keys, numbers }: Instances, key: Handle, limit: number | undefined): number {
    const number = numbers.take();
    keys.set(key, number);
    this.#names.set(machine, number, `instance ${key}`);
    this.#book.get(machine).open(number, limit);
    return number;
  }
}
