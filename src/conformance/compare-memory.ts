/** Whether the machines of two worlds hold the same bytes. */
import type { VerbsWorld } from './verbs-world.js';

/** The first byte that differs, in words; undefined when there is none. */
export function compareMemory(ours: VerbsWorld, bare: VerbsWorld): string | undefined {
  for (const [vm, machine] of ours.machines.entries()) {
    const bytes = machine.guest.arenaBytes;
    const other = bare.machines[vm].guest;
    const at = machine.guest.differenceFromGuest(0, other, 0, bytes);
    if (at < 0) continue;
    const [ended, wanted] = [machine.guest, other].map(guest => guest.readArena(at, 1)[0]);
    return `byte ${at} of machine ${vm} ended as ${ended}; on bare metal ${wanted}`;
  }
  return undefined;
}
