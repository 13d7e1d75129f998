/**
 * What depends on nothing but time. An adapter elsewhere has times of its own, so a difference from bare metal convicts it only
 * where bare metal comes to the same whatever its times are.
 */
import { compare, runBare } from './bare-metal.js';
import type { Bare, BareOptions } from './bare-metal.js';
import type { Action, Program } from './program.js';
import type { Timing } from './world.js';

/** Whether bare metal itself comes to something else when its network and its parties take other times. */
export async function dependsOnTiming(program: Program, options: BareOptions, usual: Bare): Promise<boolean> {
  // Which completions a queue that overruns loses, and whether a queue pair that is its own peer hears its requests or their
  // answers first, is a matter of nothing but time.
  if (usual.run.overran || program.actions.some(isOwnPeer)) return true;
  for (const { timing, seed } of otherTimes) {
    const choices = seed === undefined ? program.choices : { list: [], only: false };
    const other = await runBare({ ...program, choices, seed: seed ?? program.seed }, options, timing);
    const differs = compare(other, usual) !== undefined;
    other.world.release();
    if (differs) return true;
  }
  return false;
}

function isOwnPeer(action: Action): boolean {
  if (action.op !== 'modifyQp') return false;
  const { dest } = action.set;
  return typeof dest === 'object' && dest.vm === action.vm && dest.qp === action.qp;
}

/** An answer comes long before, or long after, the next packet goes; and parties take turns in another order. */
const otherTimes: readonly { readonly timing?: Timing; readonly seed?: number }[] = [
  { timing: { latencyNs: 1, bandwidthBitsPerSecond: 1_000_000_000 } },
  { timing: { latencyNs: 20_000, bandwidthBitsPerSecond: 100_000_000_000 } },
  { seed: 1 },
  { seed: 2 },
  { seed: 3 },
  { seed: 4 },
];
