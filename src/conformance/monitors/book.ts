/**
 * One monitor for each machine, shared by all runs of a check: each run opens its instances anew, and what was covered adds
 * up. A violation becomes a broken law.
 */
import { Monitor, compile, machines } from '../../statemachines/index.js';
import type { CompiledMachine, MachineDefinition, Violation } from '../../statemachines/index.js';
import { LawBroken } from '../laws.js';
import type { CoverageTable } from '../report.js';

const compiled: ReadonlyMap<string, CompiledMachine> = new Map(
  machines.map(definition => [definition.name, compile(definition)]),
);

/** The tables of a machine; throws when there is none of that name. */
export function tablesOf(name: string): CompiledMachine {
  const found = compiled.get(name);
  if (found === undefined) throw new Error(`there is no machine ${name}`);
  return found;
}

export class MonitorBook {
  readonly #monitors: ReadonlyMap<string, Monitor>;
  #broken: LawBroken | undefined;

  /** `changed`: definitions that stand in for those of the same name, to see whether a change would be noticed. */
  constructor(changed: readonly MachineDefinition[] = []) {
    const report = (violation: Violation): void => this.report(new MachineBroken(violation));
    const tables = new Map([...compiled, ...changed.map(each => [each.name, compile(each)] as const)]);
    this.#monitors = new Map([...tables].map(([name, machine]) => [name, new Monitor(machine, report)]));
  }

  /** Notes a law that was found broken; the first one counts. */
  report(broken: LawBroken): void {
    this.#broken ??= broken;
  }

  get(name: string): Monitor {
    const monitor = this.#monitors.get(name);
    if (monitor === undefined) throw new Error(`there is no machine ${name}`);
    return monitor;
  }

  /** Forgets all instances and what was broken; coverage stays. */
  begin(): void {
    this.#broken = undefined;
    for (const monitor of this.#monitors.values()) monitor.reset();
  }

  /** The first violation since {@link begin}. */
  get broken(): LawBroken | undefined {
    return this.#broken;
  }

  /** Ends the run: every instance must be where a trace may end, and every event must have been judged. */
  finish(): LawBroken | undefined {
    for (const monitor of this.#monitors.values()) monitor.finish();
    return this.#broken;
  }

  /** Events of instances that had broken their machine before. */
  get unjudged(): number {
    let sum = 0;
    for (const monitor of this.#monitors.values()) sum += monitor.unjudged;
    return sum;
  }

  /** Transitions taken at least once, and all that an observer could see taken. */
  transitionCoverage(): { readonly covered: number; readonly total: number } {
    let covered = 0;
    let total = 0;
    for (const monitor of this.#monitors.values()) {
      total += monitor.coverage.length;
      for (const count of monitor.coverage) if (count > 0) covered++;
    }
    return { covered, total };
  }

  /** Requirements of the transitions that were taken. */
  requirementsTouched(): Set<string> {
    const touched = new Set<string>();
    for (const monitor of this.#monitors.values()) {
      for (const [i, count] of monitor.coverage.entries()) {
        if (count > 0) touched.add(monitor.machine.transitions[i].requirement);
      }
    }
    return touched;
  }

  /** Requirements that transitions of the machines carry. */
  requirementsTotal(): number {
    return new Set(machines.flatMap(machine => machine.transitions.map(each => each.requirement))).size;
  }

  /** How often each transition was taken, by machine. */
  table(): CoverageTable {
    const counts: Record<string, number> = {};
    for (const [name, monitor] of this.#monitors) {
      for (const [i, { from, event, to }] of monitor.machine.transitions.entries()) {
        const key = `${name}: ${from} ${event} -> ${to}`;
        counts[key] = (counts[key] ?? 0) + monitor.coverage[i];
      }
    }
    return { name: 'machine transitions', counts };
  }
}

/** A machine met what no state that was possible allows. */
export class MachineBroken extends LawBroken {
  readonly violation: Violation;

  constructor(violation: Violation) {
    const { machine, key, states, event, expected, requirements } = violation;
    const where = states.length === 0 ? 'which does not exist' : `in state ${states.join(' or ')}`;
    const could = expected.length === 0 ? '' : `; it allows ${expected.join(', ')}`;
    super(
      { name: `machine ${machine}`, requirements },
      `${machine} number ${key}, ${where}, met ${event}${could}`,
    );
    this.violation = violation;
  }
}
