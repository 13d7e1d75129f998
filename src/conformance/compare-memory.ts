/** Whether the machines of two worlds hold the same bytes. */
import type { Span } from './invariants/data.js';
import type { VerbsWorld } from './verbs-world.js';

/** The first byte that differs, in words; undefined when there is none. Bytes that are `free` may differ. */
export function compareMemory(
  ours: VerbsWorld,
  bare: VerbsWorld,
  free: readonly Span[] = [],
): string | undefined {
  for (const [vm, machine] of ours.machines.entries()) {
    const other = bare.machines[vm].guest;
    for (const [from, to] of stretches(vm, machine.guest.arenaBytes, free)) {
      const found = machine.guest.differenceFromGuest(from, other, from, to - from);
      if (found < 0) continue;
      const at = from + found;
      const [ended, wanted] = [machine.guest, other].map(guest => guest.readArena(at, 1)[0]);
      return `byte ${at} of machine ${vm} ended as ${ended}; on bare metal ${wanted}`;
    }
  }
  return undefined;
}

/** What lies between the free bytes of a machine, as [from, to). */
function stretches(vm: number, bytes: number, free: readonly Span[]): (readonly [number, number])[] {
  const found: (readonly [number, number])[] = [];
  const own = free.filter(span => span.vm === vm).toSorted((a, b) => a.at - b.at);
  let from = 0;
  for (const { at, length } of own) {
    const end = Math.min(at, bytes);
    if (end > from) found.push([from, end]);
    from = Math.max(from, at + length);
  }
  if (from < bytes) found.push([from, bytes]);
  return found;
}
