/** The parties of a sequence chart, in the order in which a reader expects them. */
import type { ChartEvent } from '../conformance/chart-event.js';

const ROLES = ['program', 'driver', 'device', 'hca'];

/**
 * The parties of some events from left to right. Names such as `driver 0` are put in the order in which a request goes
 * down and, with two machines, up again; other names come in the order of their first appearance.
 */
export function partiesOf(events: readonly ChartEvent[]): string[] {
  const names = [...new Set(events.flatMap(event => [event.from, event.to]))];
  const machines = new Set(names.map(machineOf));
  const place = (name: string) => {
    const role = ROLES.findIndex(known => name.startsWith(`${known} `));
    if (role < 0) return Number.MAX_SAFE_INTEGER;
    const machine = machineOf(name);
    const down = machine === Math.min(...machines) || machines.size > 2;
    return machine * ROLES.length + (down ? role : ROLES.length - 1 - role);
  };
  return names.toSorted((a, b) => place(a) - place(b));
}

function machineOf(name: string): number {
  return Number(/ (\d+)$/.exec(name)?.[1] ?? 0);
}
