/**
 * Law: a reset leaves nothing behind. Once a device shows status 0 its adapter holds no object and no GID for it, and nothing
 * from before sends a packet, raises an interrupt, returns a chain or changes the program's memory.
 */
import { Used } from '../../virtio/index.js';
import { LawBroken, laws } from '../laws.js';
import type { EnabledQueue } from '../monitors/transport-monitors.js';
import type { Machine, World } from '../world.js';

/** Steps that may follow a reset: what drivers have put off, and packets that find nobody. */
const STEPS_MAX = 100_000;

interface Remains {
  readonly machine: Machine;
  readonly queues: readonly EnabledQueue[];
  readonly interrupts: number;
  /** Of each queue's used ring. */
  readonly heads: readonly number[];
  readonly arena: Uint8Array;
}

/** Resets every device of a world, lets the world come to rest, and throws LawBroken when anything shows. */
export function expectCleanReset(
  world: World,
  queuesOf: (vm: number) => Iterable<EnabledQueue>,
  when: string,
): void {
  const remains: Remains[] = [];
  for (const machine of world.machines) {
    const { transport } = machine;
    if (transport === undefined) continue;
    const queues = [...queuesOf(machine.vm)];
    transport.writeStatus(0);
    if (transport.readStatus() !== 0) throw broken(machine, when, `the status is ${transport.readStatus()}`);
    remains.push({ machine, queues, ...snapshot(machine, queues) });
  }
  let packets = 0;
  world.fabric.observe({ sent: () => void packets++, delivered() {}, dropped() {} });
  const { scheduler } = world;
  for (let steps = 0; !scheduler.quiet; steps++) {
    if (steps > STEPS_MAX) throw new LawBroken(laws.worksBounded, `still busy after a reset ${when}`);
    scheduler.step();
  }
  world.outside?.poll();
  for (const each of remains) expectUnchanged(each, when);
  if (packets > 0)
    throw new LawBroken(laws.resetsClean, `${packets} packet(s) were sent after a reset ${when}`);
  for (const { machine } of remains) expectEmpty(machine, when);
}

function snapshot(machine: Machine, queues: readonly EnabledQueue[]) {
  return {
    interrupts: interruptsOf(machine),
    heads: queues.map(queue => usedHead(machine, queue)),
    arena: machine.guest.readArena(0, machine.guest.arenaBytes),
  };
}

function interruptsOf({ transport }: Machine): number {
  return transport === undefined ? 0 : transport.queueInterrupts + transport.configInterrupts;
}

/** Flags and index of a used ring as one number; nothing is returned without a new index. */
function usedHead({ guest }: Machine, { device }: EnabledQueue): number {
  guest.memory.read(device, head, 0, head.length);
  return headView.getUint32(0, true);
}

const head = new Uint8Array(Used.RING);
const headView = new DataView(head.buffer);

function expectUnchanged({ machine, queues, interrupts, heads, arena }: Remains, when: string): void {
  const more = interruptsOf(machine) - interrupts;
  if (more > 0) throw broken(machine, when, `${more} interrupt(s) came`);
  for (const [i, queue] of queues.entries()) {
    if (heads[i] !== usedHead(machine, queue))
      throw broken(machine, when, `the used ring of queue ${queue.index} changed`);
  }
  const at = machine.guest.differenceFrom(0, arena, 0, arena.length);
  if (at >= 0) throw broken(machine, when, `byte ${at} of the program's memory changed`);
}

/** The adapter must hold as little as when it was new. */
function expectEmpty(machine: Machine, when: string): void {
  const held = [...machine.function.inventory()].filter(([, count]) => count > 0);
  if (held.length === 0) return;
  const what = held.map(([kind, count]) => `${count} ${kind}`).join(', ');
  throw broken(machine, when, `the adapter still held ${what}`);
}

function broken(machine: Machine, when: string, what: string): LawBroken {
  return new LawBroken(laws.resetsClean, `machine ${machine.vm}, reset ${when}: ${what}`);
}
