/** Turns a machine into integer tables, so that a step costs a few array reads. */
import { faultsOf } from './definition.js';
import type { Effect, Guard, MachineDefinition, TransitionDefinition } from './definition.js';

const GuardCode = {
  none: 0,
  mask: 1,
  zero: 2,
  positive: 3,
  'below-limit': 4,
  'at-limit': 5,
} as const satisfies Record<'none' | Guard['kind'], number>;
const EffectCode = { none: 0, inc: 1, dec: 2, add: 3 } as const satisfies Record<'none' | Effect, number>;

/** A machine as tables. States, events and transitions are numbered in the order of the definition, from 0. */
export class CompiledMachine {
  readonly definition: MachineDefinition;
  readonly stateNames: readonly string[];
  readonly eventNames: readonly string[];
  readonly transitions: readonly TransitionDefinition[];
  readonly initial: number;
  /** Bit per state: a trace may end there. */
  readonly endStates: number;
  /** For `event * stateNames.length + state`: the transition, or -1. */
  readonly cell: Int16Array;
  /** For each transition: the state it leads to. */
  readonly target: Uint8Array;
  /** For each state: what internal transitions can make of it, itself included, as a bit per state. */
  readonly closure: Int32Array;
  /** For `from * stateNames.length + to`: the first internal transition on a way from one to the other, or -1. */
  readonly hiddenStep: Int16Array;
  readonly #stateCount: number;
  readonly #guard: Uint8Array;
  readonly #required: Int32Array;
  /** Complement of the bits that a mask guard allows. */
  readonly #excluded: Int32Array;
  readonly #effect: Uint8Array;

  constructor(definition: MachineDefinition) {
    const faults = faultsOf(definition);
    if (faults.length > 0) throw new Error(`cannot compile: ${faults.join('; ')}`);
    this.definition = definition;
    this.stateNames = definition.states.map(state => state.name);
    this.eventNames = definition.events.map(event => event.name);
    this.transitions = definition.transitions;
    this.initial = this.stateId(definition.initial);
    this.endStates = definition.states.reduce((mask, state, i) => (state.end ? mask | (1 << i) : mask), 0);
    this.#stateCount = this.stateNames.length;
    const count = this.transitions.length;
    this.cell = new Int16Array(this.eventNames.length * this.stateNames.length).fill(-1);
    this.target = new Uint8Array(count);
    this.#guard = new Uint8Array(count);
    this.#required = new Int32Array(count);
    this.#excluded = new Int32Array(count);
    this.#effect = new Uint8Array(this.eventNames.length);
    this.transitions.forEach((transition, index) => this.#add(transition, index));
    this.hiddenStep = hiddenSteps(this);
    this.closure = closures(this);
  }

  #add(transition: TransitionDefinition, index: number): void {
    const event = this.eventId(transition.event);
    this.cell[event * this.stateNames.length + this.stateId(transition.from)] = index;
    this.target[index] = this.stateId(transition.to);
    this.#guard[index] = GuardCode[transition.guard?.kind ?? 'none'];
    if (transition.guard?.kind === 'mask') {
      this.#required[index] = transition.guard.required;
      this.#excluded[index] = ~(transition.guard.required | transition.guard.optional);
    }
    this.#effect[event] = EffectCode[transition.effect ?? 'none'];
  }

  /** Number of a state. Throws when there is none of that name. */
  stateId(name: string): number {
    return find(this.stateNames, name, `state of ${this.definition.name}`);
  }

  /** Number of an event. Throws when there is none of that name. */
  eventId(name: string): number {
    return find(this.eventNames, name, `event of ${this.definition.name}`);
  }

  /** Number of the transition of a state and an event. Throws when there is none. */
  transitionId(state: string, event: string): number {
    const index = this.cell[this.eventId(event) * this.stateNames.length + this.stateId(state)];
    if (index < 0) throw new Error(`${this.definition.name}: no transition of ${event} in ${state}`);
    return index;
  }

  /** The names of a set of states. */
  namesOf(states: number): string[] {
    return this.stateNames.filter((_, state) => (states & (1 << state)) !== 0);
  }

  /** The transition that one state takes, or -1. */
  transitionFrom(state: number, event: number, arg: number, count: number, limit: number): number {
    const transition = this.cell[event * this.#stateCount + state];
    return transition >= 0 && this.#holds(transition, arg, count, limit) ? transition : -1;
  }

  /** The states that a set of states can be in after an event and after whatever happens unseen; 0: none allows it. */
  image(states: number, event: number, arg: number, count: number, limit: number): number {
    const row = event * this.#stateCount;
    let after = 0;
    for (let rest = states; rest !== 0; rest &= rest - 1) {
      const transition = this.cell[row + 31 - Math.clz32(rest & -rest)];
      if (transition >= 0 && this.#holds(transition, arg, count, limit)) {
        after |= this.closure[this.target[transition]];
      }
    }
    return after;
  }

  /** Those of a set of states that allow an event. */
  allowing(states: number, event: number, arg: number, count: number, limit: number): number {
    let allowing = 0;
    for (let rest = states; rest !== 0; rest &= rest - 1) {
      const state = 31 - Math.clz32(rest & -rest);
      if (this.transitionFrom(state, event, arg, count, limit) >= 0) allowing |= 1 << state;
    }
    return allowing;
  }

  /** The counter after an event that was taken. */
  countAfter(event: number, arg: number, count: number): number {
    const effect = this.#effect[event];
    if (effect === EffectCode.none) return count;
    if (effect === EffectCode.inc) return count + 1;
    return effect === EffectCode.dec ? count - 1 : count + arg;
  }

  /** Whether an event touches the counter. */
  counts(event: number): boolean {
    return this.#effect[event] !== EffectCode.none;
  }

  #holds(transition: number, arg: number, count: number, limit: number): boolean {
    switch (this.#guard[transition]) {
      case GuardCode.none:
        return true;
      case GuardCode.mask:
        return (
          (arg & this.#required[transition]) === this.#required[transition] &&
          (arg & this.#excluded[transition]) === 0
        );
      case GuardCode.zero:
        return count === 0;
      case GuardCode.positive:
        return count > 0;
      case GuardCode['below-limit']:
        return count < limit;
      default:
        return count >= limit;
    }
  }
}

/** Compiles a machine. Throws, with every reason, when the definition is not sound. */
export function compile(definition: MachineDefinition): CompiledMachine {
  return new CompiledMachine(definition);
}

/** Whether a set of states allows an event: in each of its states, in some, in none. */
export function acceptable(
  machine: CompiledMachine,
  states: number,
  event: number,
  arg: number,
): 'always' | 'sometimes' | 'never' {
  const allowing = machine.allowing(states, event, arg, 0, Number.MAX_SAFE_INTEGER);
  if (allowing === 0) return 'never';
  return allowing === states >> 0 ? 'always' : 'sometimes';
}

function find(names: readonly string[], name: string, what: string): number {
  const index = names.indexOf(name);
  if (index < 0) throw new Error(`${name} is no ${what}; there are ${names.join(', ')}`);
  return index;
}

/** First steps of shortest unseen ways, breadth first from every state. */
function hiddenSteps(machine: CompiledMachine): Int16Array {
  const size = machine.stateNames.length;
  const steps = new Int16Array(size * size).fill(-1);
  const hidden = machine.transitions.flatMap((transition, index) =>
    transition.internal ? [{ index, from: machine.stateId(transition.from), to: machine.target[index] }] : [],
  );
  for (let start = 0; start < size; start++) {
    const queue = [start];
    for (const state of queue) {
      for (const { index, from, to } of hidden) {
        if (from !== state || steps[start * size + to] >= 0) continue;
        steps[start * size + to] = state === start ? index : steps[start * size + state];
        queue.push(to);
      }
    }
  }
  return steps;
}

function closures(machine: CompiledMachine): Int32Array {
  const size = machine.stateNames.length;
  return Int32Array.from({ length: size }, (_, from) => {
    let mask = 1 << from;
    for (let to = 0; to < size; to++) if (machine.hiddenStep[from * size + to] >= 0) mask |= 1 << to;
    return mask;
  });
}
