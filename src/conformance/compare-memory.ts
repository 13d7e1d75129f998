/** Whether the machines of two worlds hold the same bytes. */
import type { World } from './world.js';

/** The first byte that differs, in words; undefined when there is none. */
export function compareMemory(ours: World, bare: World): string | undefined {
  for (const [vm, machine] of ours.machines.entries()) {
    const bytes = machine.guest.arenaBytes;
    const a = machine.guest.readArena(0, bytes);
    const b = bare.machines[vm].guest.readArena(0, bytes);
    if (Buffer.compare(a, b) === 0) continue;
    for (let i = 0; i < bytes; i++) {
      if (a[i] !== b[i]) return `byte ${i} of machine ${vm} ended as ${a[i]}; on bare metal ${b[i]}`;
    }
  }
  return undefined;
}
