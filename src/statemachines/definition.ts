/**
 * A state machine as plain data. The XState machine, the integer tables, the pictures and the documentation are all made
 * from it, so a transition stands in one place only.
 */

/** When a transition may be taken. Mask guards look at the event's argument, the others at the instance's counter. */
export type Guard =
  | {
      /** Every required bit is in the argument, and no bit but the required and the optional ones. */
      readonly kind: 'mask';
      readonly required: number;
      readonly optional: number;
    }
  | { readonly kind: 'zero' }
  | { readonly kind: 'positive' }
  | { readonly kind: 'below-limit' }
  | { readonly kind: 'at-limit' };

/** What an event does to the counter: one more, one less, or more by the event's argument. */
export type Effect = 'inc' | 'dec' | 'add';

export interface StateDefinition {
  readonly name: string;
  readonly doc: string;
  /** A trace may end here. */
  readonly end?: true;
  /** A shade of another state, drawn together with it. */
  readonly shadeOf?: string;
}

export interface EventDefinition {
  readonly name: string;
  readonly doc: string;
  /** What the argument holds, for an event that has one. */
  readonly argument?: string;
}

export interface TransitionDefinition {
  readonly from: string;
  readonly event: string;
  readonly to: string;
  /** Id of the obligation in `spec/` that this transition carries out, such as `QP-24`. */
  readonly requirement: string;
  /** Happens inside the device and is not seen by an observer; a monitor reckons with it at any time. */
  readonly internal?: true;
  readonly guard?: Guard;
  readonly effect?: Effect;
}

/** An event that a state does not allow, with the obligation that it would break. */
export interface Prohibition {
  readonly from: string;
  readonly event: string;
  readonly requirement: string;
}

export interface MachineDefinition {
  /** Such as `QP.RC`. */
  readonly name: string;
  /** Two sentences. */
  readonly purpose: string;
  /** What one instance stands for. */
  readonly instance: string;
  /** A small natural number that every instance keeps, 0 at first, and the limit that guards compare it with. */
  readonly counter?: { readonly name: string; readonly doc: string; readonly limit?: string };
  readonly initial: string;
  /** At most 32. */
  readonly states: readonly StateDefinition[];
  readonly events: readonly EventDefinition[];
  /** At most one for each state and event. */
  readonly transitions: readonly TransitionDefinition[];
  readonly forbidden: readonly Prohibition[];
  /** Broken by a trace that ends in a state where it may not; needed if there is such a state. */
  readonly endRequirement?: string;
}

/**
 * Everything that is wrong with a definition, as sentences; empty when it is sound. Monitors follow sets of states with
 * one counter for the whole set, so what an event does to the counter must not depend on the state, and internal
 * transitions must leave it alone.
 */
export function faultsOf(definition: MachineDefinition): string[] {
  const faults: string[] = [];
  const states = new Set(definition.states.map(state => state.name));
  const events = new Set(definition.events.map(event => event.name));
  const check = (sound: boolean, fault: string) => {
    if (!sound) faults.push(`${definition.name}: ${fault}`);
  };
  check(states.size === definition.states.length, 'two states have the same name');
  check(events.size === definition.events.length, 'two events have the same name');
  check(states.size <= 32, `${states.size} states; a set of states must fit in 32 bits`);
  check(states.has(definition.initial), `initial state ${definition.initial} is not declared`);
  const endless = definition.states.some(state => !state.end);
  check(endless === (definition.endRequirement !== undefined), 'end requirement without a use, or missing');
  for (const { name, shadeOf } of definition.states) {
    check(shadeOf === undefined || states.has(shadeOf), `${name} is a shade of nothing that is declared`);
  }
  for (const { from, event } of definition.forbidden) {
    check(states.has(from) && events.has(event), `prohibition ${from} ${event} names something not declared`);
    check(
      !definition.transitions.some(t => t.from === from && t.event === event && t.guard === undefined),
      `${from} ${event} is both a transition and forbidden`,
    );
  }
  faults.push(...transitionFaults(definition, states, events), ...reachFaults(definition));
  return faults;
}

function transitionFaults(
  definition: MachineDefinition,
  states: ReadonlySet<string>,
  events: ReadonlySet<string>,
): string[] {
  const faults: string[] = [];
  const seen = new Set<string>();
  const effects = new Map<string, Effect | undefined>();
  const visibility = new Map<string, boolean>();
  for (const transition of definition.transitions) {
    const { from, event, to, guard, effect, internal } = transition;
    const where = `${definition.name}: ${from} ${event} -> ${to}`;
    if (!states.has(from) || !states.has(to) || !events.has(event)) faults.push(`${where}: not declared`);
    if (seen.has(`${from} ${event}`)) faults.push(`${where}: second transition of this state and event`);
    seen.add(`${from} ${event}`);
    const counts = effect !== undefined || (guard !== undefined && guard.kind !== 'mask');
    if (counts && definition.counter === undefined) faults.push(`${where}: counts without a counter`);
    if (internal && (counts || guard !== undefined)) faults.push(`${where}: internal and not free`);
    if (effect === 'dec' && guard?.kind !== 'positive') faults.push(`${where}: may count below 0`);
    if (effects.has(event) && effects.get(event) !== effect)
      faults.push(`${where}: effect depends on the state`);
    effects.set(event, effect);
    const hidden = internal === true;
    if ((visibility.get(event) ?? hidden) !== hidden) faults.push(`${where}: event is seen and unseen`);
    visibility.set(event, hidden);
  }
  return faults;
}

function reachFaults(definition: MachineDefinition): string[] {
  const reached = new Set([definition.initial]);
  for (let grown = true; grown;) {
    grown = false;
    for (const { from, to } of definition.transitions) {
      if (!reached.has(from) || reached.has(to)) continue;
      reached.add(to);
      grown = true;
    }
  }
  return definition.states
    .filter(state => !reached.has(state.name))
    .map(state => `${definition.name}: state ${state.name} cannot be reached`);
}
