/** What a picture of a machine shows: states, and one arrow for all events between two of them. Every drawing format uses it. */
import type { Guard, MachineDefinition, TransitionDefinition } from '../statemachines/index.js';

/** A box that is no state but stands for several, from which an event leads to the same place. */
export interface Group {
  readonly id: string;
  readonly label: string;
}

export interface Arrow {
  /** A state or a group. */
  readonly from: string;
  readonly to: string;
  readonly labels: readonly string[];
  /** Obligations that its transitions carry. */
  readonly requirements: readonly string[];
  /** Not seen by an observer. */
  readonly internal: boolean;
}

export interface Picture {
  readonly initial: string;
  /** Without the shades of other states. */
  readonly states: readonly string[];
  readonly groups: readonly Group[];
  /** Without the events that leave the state, or the state that it is a shade of, as it is. */
  readonly arrows: readonly Arrow[];
  /** States that are never left. */
  readonly finals: readonly string[];
}

/** So many states that do the same on an event are drawn as one box. */
const GROUP_SIZE = 3;

export function pictureOf(machine: MachineDefinition): Picture {
  const box = boxes(machine);
  const states = machine.states.filter(state => state.shadeOf === undefined).map(state => state.name);
  const groups = new Map<string, Group>();
  const arrows = new Map<string, Arrow & { readonly labels: string[]; readonly requirements: string[] }>();
  const moving = machine.transitions
    .map(transition => ({ transition, source: box(transition.from), target: box(transition.to) }))
    .filter(({ source, target }) => source !== target);
  const finals = states.filter(state => !moving.some(({ source }) => source === state));
  const drawn = new Set<string>();
  for (const { transition, source, target: to } of moving) {
    const { event, internal = false } = transition;
    const same = moving.filter(other => other.transition.event === event && other.target === to);
    const sources = [...new Set(same.map(other => other.source))];
    const from = sources.length < GROUP_SIZE ? source : groupOf(sources, to, states, finals, groups);
    if (drawn.has(`${from} ${event} ${to}`)) continue;
    drawn.add(`${from} ${event} ${to}`);
    const key = `${from} ${to} ${internal}`;
    const arrow = arrows.get(key) ?? { from, to, labels: [], requirements: [], internal };
    arrow.labels.push(labelOf(transition, machine));
    arrow.requirements.push(...same.map(other => other.transition.requirement));
    arrows.set(key, arrow);
  }
  return {
    initial: machine.initial,
    states,
    groups: [...groups.values()],
    arrows: [...arrows.values()],
    finals,
  };
}

/** The box that a state is drawn in. */
function boxes(machine: MachineDefinition): (state: string) => string {
  const shades = new Map(machine.states.map(({ name, shadeOf }) => [name, shadeOf ?? name]));
  return state => shades.get(state) ?? state;
}

/** The box for a set of states, named by its members or by those that are missing, whichever is shorter. */
function groupOf(
  sources: readonly string[],
  target: string,
  states: readonly string[],
  finals: readonly string[],
  groups: Map<string, Group>,
): string {
  const missing = states.filter(
    state => !sources.includes(state) && state !== target && !finals.includes(state),
  );
  const label =
    missing.length === 0
      ? 'any other state'
      : missing.length < sources.length
        ? `any other state but ${missing.join(', ')}`
        : sources.join(', ');
  const key = `${label} ${missing.length === 0 ? target : ''}`;
  const group = groups.get(key) ?? { id: `group${groups.size + 1}`, label };
  groups.set(key, group);
  return group.id;
}

function labelOf({ event, guard }: TransitionDefinition, machine: MachineDefinition): string {
  const condition = guard === undefined ? undefined : conditionOf(guard, machine);
  return condition === undefined ? event : `${event} [${condition}]`;
}

/** A guard in words; undefined for masks, which are too long for a picture. */
export function conditionOf(guard: Guard, machine: MachineDefinition): string | undefined {
  const counter = machine.counter?.name ?? 'counter';
  if (guard.kind === 'mask') return undefined;
  if (guard.kind === 'zero') return `${counter} is 0`;
  if (guard.kind === 'positive') return `${counter} above 0`;
  return guard.kind === 'below-limit' ? `${counter} below limit` : `${counter} at limit`;
}
