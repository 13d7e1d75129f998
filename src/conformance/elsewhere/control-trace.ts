/**
 * The point `control` of a trace. Each side names its commands by numbers of its own; the queue is first in, first out, so the
 * n-th command issued is the n-th taken. A side that was not recorded is taken to have done what the other shows.
 */
import { acks, commands } from '../../abi/index.js';
import type { Monitor } from '../../statemachines/index.js';
import { LawBroken, laws } from '../laws.js';
import type { MonitorBook } from '../monitors/book.js';
import type { ControlEvent, TraceHeader } from './format.js';
import { Numbers } from './instances.js';
import type { Names } from './instances.js';
import type { Unjudged } from './unjudged.js';

type Side = ControlEvent['side'];

interface Issued {
  readonly key: number;
  readonly code: number;
}

/** Commands of one machine that are under way. */
interface Machine {
  /** Issued by the driver and not taken by the device, oldest first. */
  readonly waiting: Issued[];
  readonly pending: Readonly<Record<Side, Map<number, Issued>>>;
}

/** More means that answers are missing from the trace; a control queue holds at most half as many. */
const PENDING_MAX = 65_536;

export class ControlTrace {
  readonly #adopt: boolean;
  readonly #sides: readonly Side[];
  readonly #unjudged: Unjudged;
  readonly #names: Names;
  readonly #monitor: Monitor;
  readonly #numbers = new Numbers();
  readonly #machines: Machine[] = [];
  readonly #ids: Readonly<Record<'TAKE' | 'ANSWER_OK' | 'ANSWER_ERR' | 'SEE_OK' | 'SEE_ERR', number>>;

  constructor(book: MonitorBook, { from, sides }: TraceHeader, unjudged: Unjudged, names: Names) {
    this.#adopt = from === 'middle';
    this.#sides = sides;
    this.#unjudged = unjudged;
    this.#names = names;
    this.#monitor = book.get('COMMAND');
    const { machine } = this.#monitor;
    this.#ids = {
      TAKE: machine.eventId('TAKE'),
      ANSWER_OK: machine.eventId('ANSWER_OK'),
      ANSWER_ERR: machine.eventId('ANSWER_ERR'),
      SEE_OK: machine.eventId('SEE_OK'),
      SEE_ERR: machine.eventId('SEE_ERR'),
    };
  }

  /** Commands that are paired between the sides. In the middle nobody knows which of the driver's the device takes first. */
  get #paired(): boolean {
    return this.#sides.length > 1 && !this.#adopt;
  }

  /** Returns what makes the line impossible to understand. @throws LawBroken */
  event(event: ControlEvent): string | undefined {
    const { vm, side, what, id } = event;
    if (!this.#sides.includes(side)) return `side ${side}; the header has ${this.#sides.join(', ')}`;
    const machine = (this.#machines[vm] ??= {
      waiting: [],
      pending: { driver: new Map(), device: new Map() },
    });
    const pending = machine.pending[side];
    const code = typeof event.command === 'number' ? event.command : commands.values[event.command];
    if (what === 'answer') return this.#answer(event, pending, code);
    if (pending.has(id)) return `command ${id} is under way already; its answer must come first`;
    if (pending.size >= PENDING_MAX) return `${PENDING_MAX} commands are under way; answers must be missing`;
    if (side === 'driver' || !this.#paired) {
      const issued = this.#issue(event, code);
      pending.set(id, issued);
      if (this.#paired) machine.waiting.push(issued);
      else this.#monitor.event(issued.key, this.#ids.TAKE);
      return undefined;
    }
    return this.#take(machine, id, code, vm);
  }

  #issue({ vm, side, id, command }: ControlEvent, code: number): Issued {
    const key = this.#numbers.take();
    this.#monitor.open(key);
    this.#names.set('COMMAND', key, `command ${id} (${command}) of the ${side} of machine ${vm}`);
    return { key, code };
  }

  #take({ waiting, pending }: Machine, id: number, code: number, vm: number): undefined {
    const next = waiting.shift();
    const shown = commands.nameOf(code) ?? code;
    if (next === undefined)
      throw new LawBroken(
        laws.answersOnce,
        `the device of machine ${vm} took ${shown}, and no command was waiting`,
      );
    pending.device.set(id, next);
    this.#monitor.event(next.key, this.#ids.TAKE);
    if (next.code === code) return undefined;
    const expected = commands.nameOf(next.code) ?? next.code;
    throw new LawBroken(
      { name: 'machine COMMAND', requirements: ['ORD-16'] },
      `the device of machine ${vm} took ${shown}; the oldest command that waited was ${expected}`,
    );
  }

  #answer(
    { vm, side, id, ack }: ControlEvent,
    pending: Map<number, Issued>,
    code: number,
  ): string | undefined {
    if (ack === undefined) return 'an answer without ack; expected "OK" or "ERR"';
    const issued = pending.get(id);
    if (issued === undefined) {
      if (!this.#adopt)
        throw new LawBroken(
          laws.answersOnce,
          `an answer on the ${side} of machine ${vm} to command ${id}, which is not under way`,
        );
      this.#unjudged.count('older');
      return undefined;
    }
    pending.delete(id);
    if (issued.code !== code && (side === 'driver' || !this.#paired))
      return `an answer to ${commands.nameOf(code) ?? code}, but command ${id} is ${commands.nameOf(issued.code) ?? issued.code}`;
    const ok = acks.values[ack] === acks.values.OK;
    const { key } = issued;
    if (side === 'device' || !this.#paired)
      this.#monitor.event(key, ok ? this.#ids.ANSWER_OK : this.#ids.ANSWER_ERR);
    if (side === 'device' && this.#paired) return undefined;
    this.#monitor.event(key, ok ? this.#ids.SEE_OK : this.#ids.SEE_ERR);
    this.#monitor.drop(key);
    this.#numbers.give(key);
    return undefined;
  }
}
