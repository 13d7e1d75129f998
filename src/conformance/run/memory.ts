/** Actions of a program on its own memory. */
import { unexpected } from '../expectations.js';
import { patternByte, patternBytes } from '../patterns.js';
import type { ActionOf } from '../program.js';
import type { VerbsMachine } from '../verbs-world.js';
import type { Stage } from './stage.js';

export function writeMemory(
  stage: Stage,
  index: number,
  action: ActionOf<'writeMemory'>,
  machine: VerbsMachine,
): void {
  if (action.at + action.length > stage.program.arenaBytes) return stage.skip(index, action);
  machine.guest.writeArena(action.at, patternBytes(action.fill, action.length));
  for (const observer of stage.observers) observer.actionEnded(index, action, undefined);
}

export function expectMemory(
  stage: Stage,
  index: number,
  action: ActionOf<'expectMemory'>,
  machine: VerbsMachine,
): void {
  const { at, fill, length, vm } = action;
  const seen = machine.guest.readArena(at, length);
  const listed = typeof fill === 'string' ? Buffer.from(fill, 'hex') : undefined;
  for (let i = 0; i < seen.length; i++) {
    const wanted = typeof fill === 'number' ? patternByte(fill, i) : listed?.[i % listed.length];
    if (seen[i] !== wanted) {
      throw unexpected(index, `byte ${at + i} of machine ${vm} is ${seen[i]}`, String(wanted));
    }
  }
  for (const observer of stage.observers) observer.actionEnded(index, action, undefined);
}
