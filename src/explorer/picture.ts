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
  /** Not seen by an observer. */
  readonly internal: boolean;
}

export interface Picture {
  readonly initial: string;
  readonly states: readonly string[];
  readonly groups: readonly Group[];
  /** Without the events that leave the state as it is. */
  readonly arrows: readonly Arrow[];
  /** States that nothing leads out of. */
  readonly finals: readonly string[];
}

/** So many states that do the same on an event are drawn as one box. */
const GROUP_SIZE = 4;

export function pictureOf(machine: MachineDefinition): Picture {
  const states = machine.states.map(state => state.name);
  const finals = states.filter(state => !machine.transitions.some(transition => transition.from === state));
  const groups = new Map<string, Group>();
  const arrows = new Map<string, { from: string; to: string; labels: string[]; internal: boolean }>();
  const moving = machine.transitions.filter(({ from, to }) => from !== to);
  const drawn = new Set<string>();
  for (const transition of moving) {
    const { event, to, internal = false } = transition;
    const sources = moving.filter(other => other.event === event && other.to === to).map(other => other.from);
    const from = sources.length < GROUP_SIZE ? transition.from : groupOf(sources, to, states, finals, groups);
    if (drawn.has(`${from} ${event} ${to}`)) continue;
    drawn.add(`${from} ${event} ${to}`);
    const key = `${from} ${to} ${internal}`;
    const arrow = arrows.get(key) ?? { from, to, labels: [], internal };
    arrow.labels.push(labelOf(transition, machine));
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
