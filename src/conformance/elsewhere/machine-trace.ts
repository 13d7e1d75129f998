/** Events that a trace gives to a machine by name: for recorders that know the machines, and for all that no other point tells. */
import { machines } from '../../statemachines/index.js';
import { tablesOf } from '../monitors/book.js';
import type { MonitorBook } from '../monitors/book.js';
import type { Handle, MachineEvent } from './format.js';
import { Numbers } from './instances.js';

interface Instances {
  readonly keys: Map<Handle, number>;
  readonly numbers: Numbers;
  readonly events: ReadonlyMap<string, number>;
}

export class MachineTrace {
  readonly #book: MonitorBook;
  readonly #machines: ReadonlyMap<string, Instances>;

  constructor(book: MonitorBook) {
    this.#book = book;
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
    if (instances === undefined) {
      return `machine ${JSON.stringify(machine)}; expected one of ${[...this.#machines.keys()].join(', ')}`;
    }
    const monitor = this.#book.get(machine);
    let number = instances.keys.get(key);
    if (event === 'close') {
      if (number === undefined) return `machine ${machine} has no instance ${key} to close`;
      monitor.close(number);
      instances.keys.delete(key);
      instances.numbers.give(number);
      return undefined;
    }
    if (number === undefined) {
      number = instances.numbers.take();
      instances.keys.set(key, number);
      monitor.open(number, limit);
    }
    if (event === 'open') return undefined;
    const id = instances.events.get(event);
    if (id === undefined) {
      return `machine ${machine} has no event ${JSON.stringify(event)}; expected open, close, ${[...instances.events.keys()].join(', ')}`;
    }
    monitor.event(number, id, arg);
    return undefined;
  }
}
