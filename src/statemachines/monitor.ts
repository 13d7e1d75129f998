/**
 * Judges the events of many instances of one machine. An observer does not see everything, so for each instance the
 * monitor keeps the set of states that are possible; an event that none of them allows is a violation.
 */
import type { CompiledMachine } from './compile.js';

/** A broken rule, as data. */
export interface Violation {
  readonly machine: string;
  readonly key: number;
  /** The states that were possible; empty when the instance was not open. */
  readonly states: readonly string[];
  /** The event that none of them allows; `end of trace` when the trace may not end there. */
  readonly event: string;
  readonly arg: number;
  /** What could have come instead. */
  readonly expected: readonly string[];
  readonly requirements: readonly string[];
}

const Life = { closed: 0, open: 1, failed: 2 } as const;
const NOTHING = -1;

/**
 * Keys are small dense numbers, 0 and up. After a violation the instance is judged no more until it is opened again; its
 * events are counted in `unjudged`.
 *
 * A command in flight takes effect at some time between `begin` and `commit` or `abort`. Meanwhile both are possible: that
 * it has happened, and that it has not.
 */
export class Monitor {
  readonly machine: CompiledMachine;
  /** For each transition, how often it was taken, by the plainest account: nothing unseen happens unless it must have. */
  readonly coverage: Uint32Array;
  /** Events judged. */
  consumed = 0;
  /** Events of instances that had failed before. */
  unjudged = 0;
  readonly #report: (violation: Violation) => void;
  #violations: Violation[] = [];
  /** Keys from here on have not been opened since the last reset. */
  #end = 0;
  readonly #stateCount: number;
  #life = new Uint8Array(64);
  /** States possible if a command in flight has not taken effect. */
  #possible = new Int32Array(64);
  /** States possible if it has. */
  #possibleAfter = new Int32Array(64);
  #pendingEvent = new Int16Array(64).fill(NOTHING);
  #pendingArg = new Int32Array(64);
  /** 1 if the plainest account has the command in flight behind it. */
  #pendingTaken = new Uint8Array(64);
  /** 1 if at some time since `begin` a refusal was in order. */
  #refusable = new Uint8Array(64);
  /** The state by the plainest account. */
  #plain = new Uint8Array(64);
  #count = new Int32Array(64);
  #limit = new Int32Array(64);

  constructor(machine: CompiledMachine, report: (violation: Violation) => void = () => undefined) {
    this.machine = machine;
    this.#report = report;
    this.#stateCount = machine.stateNames.length;
    this.coverage = new Uint32Array(machine.transitions.length);
  }

  /** Starts an instance in the initial state, whatever it was before. `limit` is what guards compare the counter with. */
  open(key: number, limit = 0x7fff_ffff): void {
    if (key >= this.#life.length) this.#grow(key + 1);
    if (key >= this.#end) this.#end = key + 1;
    this.#life[key] = Life.open;
    this.#possible[key] = this.machine.closure[this.machine.initial];
    this.#possibleAfter[key] = 0;
    this.#pendingEvent[key] = NOTHING;
    this.#plain[key] = this.machine.initial;
    this.#count[key] = 0;
    this.#limit[key] = limit;
  }

  /** Ends an instance where a trace may end; else that is a violation. */
  close(key: number): void {
    if (this.#lifeOf(key) === Life.open) this.#checkEnd(key);
    if (key < this.#life.length) this.#life[key] = Life.closed;
  }

  /** Forgets an instance without a judgement. */
  drop(key: number): void {
    if (key < this.#life.length) this.#life[key] = Life.closed;
  }

  /** Forgets every instance and violation; coverage stays. For the next trace. */
  reset(): void {
    this.#life.fill(Life.closed, 0, this.#end);
    this.#end = 0;
    this.#violations = [];
    this.consumed = 0;
    this.unjudged = 0;
  }

  isOpen(key: number): boolean {
    return this.#lifeOf(key) !== Life.closed;
  }

  /** Judges an event. `arg` is 0 .. 2^31-1. Returns false on a violation, and for an instance that has failed before. */
  event(key: number, event: number, arg = 0): boolean {
    this.consumed++;
    if (this.#lifeOf(key) !== Life.open) return this.#notOpen(key, event, arg);
    if (this.#pendingEvent[key] === NOTHING && this.#stepPlainly(key, event, arg)) return true;
    const before = this.#possible[key];
    const now = this.machine.image(before, event, arg, this.#count[key], this.#limit[key]);
    if (this.#pendingEvent[key] !== NOTHING) return this.#eventInFlight(key, event, arg, now);
    if (now === 0) return this.#fail(key, this.machine.eventNames[event], event, arg);
    this.#possible[key] = now;
    this.#follow(key, before, event, arg);
    this.#count[key] = this.machine.countAfter(event, arg, this.#count[key]);
    return true;
  }

  /** The short way for nearly every event: one state is possible and allows it. False: it has to be looked at closely. */
  #stepPlainly(key: number, event: number, arg: number): boolean {
    const machine = this.machine;
    const state = this.#plain[key];
    if (this.#possible[key] !== 1 << state) return false;
    const count = this.#count[key];
    const transition = machine.transitionFrom(state, event, arg, count, this.#limit[key]);
    if (transition < 0) return false;
    const to = machine.target[transition];
    this.coverage[transition]++;
    this.#plain[key] = to;
    this.#possible[key] = machine.closure[to];
    this.#count[key] = machine.countAfter(event, arg, count);
    return true;
  }

  /** The states that are possible, as a bit per state; 0 when the instance is not open. */
  possible(key: number): number {
    if (this.#lifeOf(key) !== Life.open) return 0;
    return (this.#possible[key] | this.#possibleAfter[key]) >>> 0;
  }

  /** The counter of an instance. */
  count(key: number): number {
    return this.#count[key];
  }

  /**
   * A command was issued that will take effect as `event`, or be refused. One at a time for each instance, and no event that
   * counts; throws otherwise.
   */
  begin(key: number, event: number, arg = 0): void {
    if (this.#lifeOf(key) !== Life.open) return;
    const name = this.machine.eventNames[event];
    if (this.#pendingEvent[key] !== NOTHING)
      throw new Error(`${this.#name(key)}: begin ${name} while another is in flight`);
    if (this.machine.counts(event))
      throw new Error(`${this.#name(key)}: begin ${name}, but it counts; report it when it happens`);
    this.#pendingEvent[key] = event;
    this.#pendingArg[key] = arg;
    this.#refusable[key] = 0;
    this.#pendingTaken[key] = 0;
    this.#possibleAfter[key] = this.#withPending(key, this.#possible[key]);
  }

  /** The command in flight took effect at some time since `begin`. Returns false when it never could. */
  commit(key: number): boolean {
    this.consumed++;
    if (this.#lifeOf(key) !== Life.open) return this.#notOpen(key, NOTHING, 0);
    const event = this.#pendingEvent[key];
    const arg = this.#pendingArg[key];
    if (event === NOTHING) return this.#notOpen(key, NOTHING, 0);
    const after = this.#possibleAfter[key];
    if (after === 0) return this.#fail(key, this.machine.eventNames[event], event, arg);
    if (this.#pendingTaken[key] === 0) this.#follow(key, this.#possible[key], event, arg);
    this.#possible[key] = after;
    this.#endPending(key);
    return true;
  }

  /**
   * The command in flight had no effect. With `judged` it was refused for its state and mask alone, and that is a violation
   * if it was legal all the time. Returns false on a violation.
   */
  abort(key: number, judged = false): boolean {
    this.consumed++;
    if (this.#lifeOf(key) !== Life.open) return this.#notOpen(key, NOTHING, 0);
    const event = this.#pendingEvent[key];
    const arg = this.#pendingArg[key];
    if (event === NOTHING) return this.#notOpen(key, NOTHING, 0);
    const wrong = this.#possible[key] === 0 || (judged && this.#refusable[key] === 0);
    if (wrong) return this.#fail(key, `${this.machine.eventNames[event]} refused`, event, arg);
    this.#endPending(key);
    return true;
  }

  /** Judges a refusal for reasons of state and argument: some possible state must not allow the event. */
  refused(key: number, event: number, arg = 0): boolean {
    this.consumed++;
    if (this.#lifeOf(key) !== Life.open) return this.#notOpen(key, event, arg);
    const states = this.#possible[key];
    const refusing = states & ~this.machine.allowing(states, event, arg, this.#count[key], this.#limit[key]);
    if (refusing === 0) return this.#fail(key, `${this.machine.eventNames[event]} refused`, event, arg);
    this.#possible[key] = this.#closed(refusing);
    return true;
  }

  /**
   * Ends the trace: every open instance must be where a trace may end, and all that was offered must have been judged.
   * `offered` is the number of events that the caller has reported. Returns all violations, the earlier ones included.
   */
  finish(offered = this.consumed): readonly Violation[] {
    for (let key = 0; key < this.#end; key++) if (this.#life[key] === Life.open) this.#checkEnd(key);
    if (offered !== this.consumed) {
      throw new Error(
        `${this.machine.definition.name}: ${offered} events offered, ${this.consumed} consumed`,
      );
    }
    return this.#violations;
  }

  #lifeOf(key: number): number {
    return key < this.#life.length ? this.#life[key] : Life.closed;
  }

  #eventInFlight(key: number, event: number, arg: number, now: number): boolean {
    const machine = this.machine;
    const happened = machine.image(this.#possibleAfter[key], event, arg, this.#count[key], this.#limit[key]);
    if ((now | happened) === 0) return this.#fail(key, machine.eventNames[event], event, arg);
    if (now === 0 && this.#pendingTaken[key] === 0) {
      this.#follow(key, this.#possible[key], this.#pendingEvent[key], this.#pendingArg[key]);
      this.#pendingTaken[key] = 1;
    }
    this.#follow(key, now === 0 ? this.#possibleAfter[key] : this.#possible[key], event, arg);
    this.#possible[key] = now;
    this.#count[key] = machine.countAfter(event, arg, this.#count[key]);
    this.#possibleAfter[key] = happened | this.#withPending(key, now);
    return true;
  }

  /** What the command in flight makes of a set of states; notes whether one of them refuses it. */
  #withPending(key: number, states: number): number {
    const event = this.#pendingEvent[key];
    const arg = this.#pendingArg[key];
    const allowing = this.machine.allowing(states, event, arg, this.#count[key], this.#limit[key]);
    if (allowing !== states) this.#refusable[key] = 1;
    return this.machine.image(states, event, arg, this.#count[key], this.#limit[key]);
  }

  #endPending(key: number): void {
    this.#pendingEvent[key] = NOTHING;
    this.#possibleAfter[key] = 0;
  }

  #closed(states: number): number {
    let closed = 0;
    for (let rest = states; rest !== 0; rest &= rest - 1)
      closed |= this.machine.closure[31 - Math.clz32(rest & -rest)];
    return closed;
  }

  /** Moves the plainest account on, and counts what it takes. An event that two hidden ways explain counts for neither. */
  #follow(key: number, states: number, event: number, arg: number): void {
    const machine = this.machine;
    const count = this.#count[key];
    const limit = this.#limit[key];
    let transition = machine.transitionFrom(this.#plain[key], event, arg, count, limit);
    if (transition < 0) {
      const allowing = machine.allowing(states, event, arg, count, limit);
      if (allowing === 0) return;
      const state = 31 - Math.clz32(allowing & -allowing);
      transition = machine.transitionFrom(state, event, arg, count, limit);
      const certain = (allowing & (allowing - 1)) === 0;
      if (certain) this.#countHidden(this.#plain[key], state);
      if (certain) this.coverage[transition]++;
    } else this.coverage[transition]++;
    this.#plain[key] = machine.target[transition];
  }

  #countHidden(from: number, to: number): void {
    let at = from;
    while (at !== to) {
      const step = this.machine.hiddenStep[at * this.#stateCount + to];
      if (step < 0) return;
      this.coverage[step]++;
      at = this.machine.target[step];
    }
  }

  #checkEnd(key: number): void {
    const { endRequirement } = this.machine.definition;
    if ((this.possible(key) & this.machine.endStates) !== 0) return;
    this.#record(key, 'end of trace', 0, endRequirement === undefined ? [] : [endRequirement]);
  }

  #notOpen(key: number, event: number, arg: number): false {
    if (this.#lifeOf(key) === Life.failed) this.unjudged++;
    else
      this.#fail(
        key,
        event === NOTHING ? 'answer without a command' : this.machine.eventNames[event],
        event,
        arg,
      );
    return false;
  }

  #fail(key: number, what: string, event: number, arg: number): false {
    const states = this.machine.namesOf(this.possible(key));
    const plain = states.length === 0 ? undefined : this.machine.stateNames[this.#plain[key]];
    this.#record(key, what, arg, brokenBy(this.machine, plain, states, this.machine.eventNames[event]));
    return false;
  }

  #record(key: number, event: string, arg: number, requirements: readonly string[]): void {
    const states = this.machine.namesOf(this.possible(key));
    const expected = new Set(
      this.machine.transitions.filter(t => states.includes(t.from) && !t.internal).map(t => t.event),
    );
    const machine = this.machine.definition.name;
    const violation: Violation = { machine, key, states, event, arg, expected: [...expected], requirements };
    if (key >= this.#life.length) this.#grow(key + 1);
    if (key >= this.#end) this.#end = key + 1;
    this.#life[key] = Life.failed;
    this.#violations.push(violation);
    this.#report(violation);
  }

  #name(key: number): string {
    return `${this.machine.definition.name} ${key}`;
  }

  #grow(needed: number): void {
    const size = Math.max(needed, 2 * this.#life.length);
    this.#life = widen(this.#life, new Uint8Array(size));
    this.#possible = widen(this.#possible, new Int32Array(size));
    this.#possibleAfter = widen(this.#possibleAfter, new Int32Array(size));
    this.#pendingEvent = widen(this.#pendingEvent, new Int16Array(size).fill(NOTHING));
    this.#pendingArg = widen(this.#pendingArg, new Int32Array(size));
    this.#pendingTaken = widen(this.#pendingTaken, new Uint8Array(size));
    this.#refusable = widen(this.#refusable, new Uint8Array(size));
    this.#plain = widen(this.#plain, new Uint8Array(size));
    this.#count = widen(this.#count, new Int32Array(size));
    this.#limit = widen(this.#limit, new Int32Array(size));
  }
}

/**
 * The obligations that an event breaks: those of the prohibitions of the plainest state, else of any state that is
 * possible, else those of the event elsewhere.
 */
function brokenBy(
  machine: CompiledMachine,
  plain: string | undefined,
  states: readonly string[],
  event: string | undefined,
): readonly string[] {
  const { forbidden, transitions } = machine.definition;
  const here = forbidden.filter(rule => rule.event === event && states.includes(rule.from));
  const plainly = here.filter(rule => rule.from === plain);
  const elsewhere = transitions.filter(transition => transition.event === event);
  const source = [plainly, here, elsewhere].find(rules => rules.length > 0) ?? [];
  return [...new Set(source.map(rule => rule.requirement))];
}

function widen<T extends Uint8Array | Int16Array | Int32Array>(old: T, wider: T): T {
  wider.set(old);
  return wider;
}

/** A monitor for a machine's events. `report` is called for each violation as it happens. */
export function monitor(machine: CompiledMachine, report?: (violation: Violation) => void): Monitor {
  return new Monitor(machine, report);
}
