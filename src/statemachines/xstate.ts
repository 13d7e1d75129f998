/** Makes the XState v5 machine of a definition: same states, events and transitions, each with its requirement in `meta`. */
import { assign, setup } from 'xstate';
import type { Guard, MachineDefinition, TransitionDefinition } from './definition.js';

export interface MachineContext {
  readonly count: number;
  readonly limit: number;
}
export interface MachineEvent {
  readonly type: string;
  readonly arg: number;
}
export interface MachineInput {
  /** What guards compare the counter with. */
  readonly limit: number;
}

const parts = setup({
  types: {
    context: {} as MachineContext,
    events: {} as MachineEvent,
    input: {} as MachineInput,
  },
  guards: {
    mask: ({ event }, { required, optional }: { required: number; optional: number }) =>
      (event.arg & required) === required && (event.arg & ~(required | optional)) === 0,
    zero: ({ context }) => context.count === 0,
    positive: ({ context }) => context.count > 0,
    'below-limit': ({ context }) => context.count < context.limit,
    'at-limit': ({ context }) => context.count >= context.limit,
  },
  actions: {
    inc: assign({ count: ({ context }) => context.count + 1 }),
    dec: assign({ count: ({ context }) => context.count - 1 }),
    add: assign({ count: ({ context, event }) => context.count + event.arg }),
  },
});

function guardOf(guard: Guard) {
  if (guard.kind !== 'mask') return { type: guard.kind };
  return { type: guard.kind, params: { required: guard.required, optional: guard.optional } };
}

function transitionOf({ to, guard, effect, requirement, internal }: TransitionDefinition) {
  return {
    target: to,
    ...(guard === undefined ? {} : { guard: guardOf(guard) }),
    ...(effect === undefined ? {} : { actions: [effect] }),
    meta: { requirement, internal: internal === true },
  };
}

/** The machine's configuration without context: plain data, fit for JSON. */
export function xstateConfig(definition: MachineDefinition) {
  const states = definition.states.map(state => {
    const leaving = definition.transitions.filter(transition => transition.from === state.name);
    const on = Object.fromEntries(leaving.map(transition => [transition.event, transitionOf(transition)]));
    const final = leaving.length === 0 ? { type: 'final' as const } : {};
    return [state.name, { ...final, description: state.doc, on }] as const;
  });
  return {
    id: definition.name,
    description: definition.purpose,
    initial: definition.initial,
    states: Object.fromEntries(states),
  };
}

/** The XState machine. Events are `{ type: name, arg }`; context holds the counter. */
export function toXState(definition: MachineDefinition) {
  return parts.createMachine({
    ...xstateConfig(definition),
    context: ({ input }) => ({ count: 0, limit: input.limit }),
  });
}
