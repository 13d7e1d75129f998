/**
 * Law: a reset leaves nothing behind. Once a device shows status 0 its adapter holds no object and no GID for it, and nothing
 * from before sends a packet, raises an interrupt, returns a chain or changes the program's memory.
 */
import { QpType } from '../../abi/index.js';
import type { HcaCq, HcaFunction, HcaPd } from '../../reference/index.js';
import { VerbsError } from '../../verbs/index.js';
import { Used } from '../../virtio/index.js';
import { LawBroken, laws } from '../laws.js';
import type { EnabledQueue } from '../monitors/transport-monitors.js';
import type { Machine, World } from '../world.js';

/** Flags and index of a used ring; nothing is returned without a new index. */
const USED_HEAD_BYTES = Used.RING;

/** Steps that may follow a reset: what drivers have put off, and packets that find nobody. */
const STEPS_MAX = 100_000;

interface Remains {
  readonly machine: Machine;
  readonly queues: readonly EnabledQueue[];
  readonly interrupts: number;
  readonly rings: readonly Uint8Array[];
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
  for (const each of remains) expectUnchanged(each, when);
  if (packets > 0)
    throw new LawBroken(laws.resetsClean, `${packets} packet(s) were sent after a reset ${when}`);
  for (const { machine } of remains) expectEmpty(machine, when);
}

function snapshot(machine: Machine, queues: readonly EnabledQueue[]) {
  return {
    interrupts: interruptsOf(machine),
    rings: queues.map(queue => usedRing(machine, queue)),
    arena: machine.guest.readArena(0, machine.guest.arenaBytes),
  };
}

function interruptsOf({ transport }: Machine): number {
  return transport === undefined ? 0 : transport.queueInterrupts + transport.configInterrupts;
}

function usedRing({ guest }: Machine, { device }: EnabledQueue): Uint8Array {
  const bytes = new Uint8Array(USED_HEAD_BYTES);
  guest.memory.read(device, bytes, 0, bytes.length);
  return bytes;
}

function expectUnchanged({ machine, queues, interrupts, rings, arena }: Remains, when: string): void {
  const more = interruptsOf(machine) - interrupts;
  if (more > 0) throw broken(machine, when, `${more} interrupt(s) came`);
  for (const [i, queue] of queues.entries()) {
    if (firstChange(rings[i], usedRing(machine, queue)) >= 0)
      throw broken(machine, when, `the used ring of queue ${queue.index} changed`);
  }
  const at = firstChange(arena, machine.guest.readArena(0, arena.length));
  if (at >= 0) throw broken(machine, when, `byte ${at} of the program's memory changed`);
}

function firstChange(before: Uint8Array, after: Uint8Array): number {
  if (Buffer.compare(before, after) === 0) return -1;
  for (let i = 0; i < before.length; i++) if (before[i] !== after[i]) return i;
  return -1;
}

/** The adapter must take as many objects of each kind as it takes when it is new. */
function expectEmpty(machine: Machine, when: string): void {
  const hca: HcaFunction = machine.function;
  const { attributes, port } = hca;
  for (let index = 0; index < port.gidTableLength; index++) {
    if (accepted(() => hca.delGid(index)))
      throw broken(machine, when, `GID table entry ${index} was still set`);
  }
  let pd: HcaPd | undefined;
  let cq: HcaCq | undefined;
  const fill = (kind: string, count: number, create: () => void): void => {
    for (let i = 0; i < count; i++) {
      if (!accepted(create))
        throw broken(machine, when, `only ${i} of ${count} ${kind} could be created anew`);
    }
  };
  fill('protection domains', attributes.maxPd, () => void (pd = hca.createPd()));
  fill('completion queues', attributes.maxCq, () => void (cq = hca.createCq(1, silent)));
  const init = { access: 0, iova: 0, length: 1, pageBytes: 4096, pages: undefined };
  const { memory } = machine.guest;
  fill('memory regions', attributes.maxMr, () => void (pd && hca.registerMr(pd, { ...init, memory })));
  const cap = { maxSendWr: 1, maxRecvWr: 1, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
  fill('queue pairs', attributes.maxQp - 2, () => {
    if (pd === undefined || cq === undefined) return;
    hca.createQp(pd, { type: QpType.UD, sqSigAll: false, sendCq: cq, recvCq: cq, cap }, silent);
  });
  hca.reset();
}

const silent = {
  completionAdded() {},
  eventRaised() {},
  unconsumed: () => 0,
  overran() {},
  sendRetired() {},
  recvRetired() {},
};

function accepted(call: () => void): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (error instanceof VerbsError) return false;
    throw error;
  }
}

function broken(machine: Machine, when: string, what: string): LawBroken {
  return new LawBroken(laws.resetsClean, `machine ${machine.vm}, reset ${when}: ${what}`);
}
