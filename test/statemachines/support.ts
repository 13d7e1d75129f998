/** Walks through a machine: for each transition, the shortest way to take it. */
import type { CompiledMachine } from '../../src/statemachines/index.js';

export interface Step {
  readonly event: number;
  readonly arg: number;
}

/** Limit of the counter in these walks. */
export const LIMIT = 3;

/** An argument that lets the transition through its mask; 1 for the others, where it counts. */
export function fittingArg(machine: CompiledMachine, transition: number): number {
  const { guard } = machine.transitions[transition];
  return guard?.kind === 'mask' ? guard.required : 1;
}

/** Shortest walks over (state, counter), breadth first; the walk for transition t ends with t. Undefined: never taken. */
export function walks(machine: CompiledMachine): (readonly Step[] | undefined)[] {
  const found: (readonly Step[] | undefined)[] = machine.transitions.map(() => undefined);
  const queue: { state: number; count: number; path: readonly Step[] }[] = [
    { state: machine.initial, count: 0, path: [] },
  ];
  const seen = new Set([`${machine.initial} 0`]);
  for (const { state, count, path } of queue) {
    for (let event = 0; event < machine.eventNames.length; event++) {
      const cell = machine.cell[event * machine.stateNames.length + state];
      if (cell < 0) continue;
      const arg = fittingArg(machine, cell);
      if (machine.transitionFrom(state, event, arg, count, LIMIT) < 0) continue;
      const walk = [...path, { event, arg }];
      found[cell] ??= walk;
      const next = { state: machine.target[cell], count: machine.countAfter(event, arg, count), path: walk };
      if (next.count > LIMIT || seen.has(`${next.state} ${next.count}`)) continue;
      seen.add(`${next.state} ${next.count}`);
      queue.push(next);
    }
  }
  return found;
}
