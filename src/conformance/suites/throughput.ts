/**
 * Messages a second in virtual time, on bare metal and para-virtual, with work that takes time: a closed loop of two
 * programs that keeps a number of sends outstanding. The costs are a model, stated below, not a measurement; the same HCA
 * and link serve both sides, so the ratio shows what driver, rings and device add that cannot overlap.
 */
import { AccessFlag, QpState, QpType, SendFlag, WcStatus, WrOpcode } from '../../abi/index.js';
import { RdmaDevice } from '../../device/index.js';
import { emptyCompletion } from '../../verbs/index.js';
import type { CompletionQueue, MemoryRegion, QueuePair, WorkCompletion } from '../../verbs/index.js';
import type { Implementation } from '../implementation.js';
import { LawBroken, laws } from '../laws.js';
import { gidOf } from '../patterns.js';
import type { Program } from '../program.js';
import type { ThroughputRow } from '../report.js';
import { bareMetalWorld, paravirtualWorld } from '../world.js';
import type { Machine, World, WorldOptions } from '../world.js';
import { emptyProgram } from './leaks.js';
import { Processor } from './processor.js';
import { settle } from './pump.js';

/** Virtual nanoseconds that each piece of work takes. */
export const costsNs = {
  /** HCA: a request fetched, a packet sent or received, a completion written. */
  hcaRequest: 60,
  hcaPacket: 40,
  hcaCompletion: 20,
  /** Device: a chain taken from a ring, a chain returned. */
  deviceTake: 40,
  deviceReturn: 15,
  /** Program and driver: one turn of the polling loop, a post, a completion polled. */
  programTurn: 100,
  programPost: 50,
  programPoll: 10,
  /** An exit from the guest. */
  exit: 1500,
  /** A polling device looks at an empty ring this often. */
  devicePoll: 100,
} as const;

const WARM_UP = 256;
const MEASURED = 1024;

const program: Program = { ...emptyProgram, name: 'throughput', hosts: [0, 1], wide: true };

/** Runs the loop on both sides. The device is the bundled one in its polling mode unless another is given. */
export async function measureThroughput(
  options: Pick<WorldOptions, 'profile'> & { readonly implementation?: Implementation },
  depth: number,
  messageBytes: number,
): Promise<ThroughputRow> {
  const native = await measure(
    bareMetalWorld(program, worldOptions(options, new Costs())),
    depth,
    messageBytes,
  );
  const costs = new Costs();
  const world = await paravirtualWorld(program, worldOptions(options, costs));
  const paravirtual = await measure(world, depth, messageBytes);
  return {
    depth,
    messageBytes,
    nativePerSecond: native.perSecond,
    paravirtualPerSecond: paravirtual.perSecond,
    ratio: paravirtual.perSecond / native.perSecond,
    exitsPerMessage: paravirtual.exits / MEASURED,
  };
}

/** What each party has done so far, in nanoseconds. */
class Costs {
  readonly #device: number[] = [0, 0];

  hca(world: World, host: number): number {
    const machine = world.machines[host];
    if (machine === undefined) return 0;
    const { sendRequests, packetsSent, packetsReceived, completions } = machine.function.counters;
    return (
      sendRequests * costsNs.hcaRequest +
      (packetsSent + packetsReceived) * costsNs.hcaPacket +
      completions * costsNs.hcaCompletion
    );
  }

  device(vm: number): number {
    return this.#device[vm];
  }

  addDevice(vm: number, costNs: number): void {
    this.#device[vm] += costNs;
  }
}

function worldOptions(
  options: Pick<WorldOptions, 'profile'> & { readonly implementation?: Implementation },
  costs: Costs,
): WorldOptions {
  return {
    profile: options.profile,
    implementation: {
      driver: options.implementation?.driver,
      memories: options.implementation?.memories,
      device:
        options.implementation?.device ??
        (context => new RdmaDevice({ ...context, pollIntervalNs: costsNs.devicePoll })),
    },
    processors: {
      hca: (host, world) => new Processor(world.scheduler, () => costs.hca(world, host)),
      device: (vm, world) => new Processor(world.scheduler, () => costs.device(vm)),
    },
    observers: {
      ring: vm => ({
        available() {},
        published() {},
        taken: () => costs.addDevice(vm, costsNs.deviceTake),
        used: () => costs.addDevice(vm, costsNs.deviceReturn),
        interrupt() {},
        consumed() {},
        asleep() {},
      }),
    },
  };
}

interface End {
  readonly machine: Machine;
  readonly cq: CompletionQueue;
  readonly qp: QueuePair;
  readonly mr: MemoryRegion;
  readonly addr: number;
}

async function connect(world: World): Promise<[End, End]> {
  const ends: End[] = [];
  for (const machine of world.machines) {
    const { verbs, guest, vm } = machine;
    await settle(world, verbs.addGid(0, gidOf(vm, 0)));
    const pd = await settle(world, verbs.createPd());
    const cq = await settle(world, verbs.createCq(512));
    const addr = guest.arenaAddress(0);
    const init = { addr, length: guest.arenaBytes, access: AccessFlag.LOCAL_WRITE };
    const mr = await settle(world, verbs.regMr(pd, init));
    const cap = { maxSendWr: 256, maxRecvWr: 256, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
    const qp = await settle(
      world,
      verbs.createQp(pd, { type: QpType.RC, sqSigAll: false, sendCq: cq, recvCq: cq, cap }),
    );
    ends.push({ machine, cq, qp, mr, addr });
  }
  const [a, b] = ends;
  await raise(world, a, b);
  await raise(world, b, a);
  return [a, b];
}

async function raise(world: World, end: End, peer: End): Promise<void> {
  const { verbs } = end.machine;
  const dgid = gidOf(peer.machine.vm, 0);
  const ahAttr = { dgid, sgidIndex: 0, flowLabel: 0, hopLimit: 64, trafficClass: 0 };
  const steps = [
    { qpState: QpState.INIT, qpAccessFlags: 0 },
    {
      qpState: QpState.RTR,
      pathMtu: 5,
      destQpNum: peer.qp.qpNum,
      rqPsn: 0,
      ahAttr,
      maxDestRdAtomic: 1,
      minRnrTimer: 1,
    },
    { qpState: QpState.RTS, sqPsn: 0, timeout: 14, retryCnt: 7, rnrRetry: 7, maxRdAtomic: 1 },
  ];
  for (const step of steps) await settle(world, verbs.modifyQp(end.qp, step));
}

async function measure(
  world: World,
  depth: number,
  messageBytes: number,
): Promise<{ readonly perSecond: number; readonly exits: number }> {
  const [sender, receiver] = await connect(world);
  const loop = new Loop(world, sender, receiver, depth, messageBytes);
  loop.start();
  while (loop.completed < WARM_UP) if (!world.scheduler.step()) throw stalled(loop.completed);
  const startedNs = world.scheduler.nowNs;
  const exitsBefore = exitsOf(world);
  while (loop.completed < WARM_UP + MEASURED) if (!world.scheduler.step()) throw stalled(loop.completed);
  const elapsedNs = world.scheduler.nowNs - startedNs;
  return { perSecond: Math.round((MEASURED * 1e9) / elapsedNs), exits: exitsOf(world) - exitsBefore };
}

function stalled(completed: number): LawBroken {
  return new LawBroken(laws.completesOnce, `nothing moves any more after ${completed} messages`);
}

function exitsOf(world: World): number {
  let exits = 0;
  for (const { transport } of world.machines) {
    if (transport !== undefined) exits += transport.notifications + transport.registerAccesses;
  }
  return exits;
}

/** Both programs: the sender keeps `depth` sends outstanding, the receiver as many receives as it can. */
class Loop {
  completed = 0;
  #outstanding = 0;
  readonly #world: World;
  readonly #sender: End;
  readonly #receiver: End;
  readonly #depth: number;
  readonly #messageBytes: number;
  readonly #completions: WorkCompletion[] = Array.from({ length: 64 }, emptyCompletion);

  constructor(world: World, sender: End, receiver: End, depth: number, messageBytes: number) {
    this.#world = world;
    this.#sender = sender;
    this.#receiver = receiver;
    this.#depth = depth;
    this.#messageBytes = messageBytes;
  }

  start(): void {
    for (let i = 0; i < 256; i++) this.#postRecv();
    this.#next({ run: () => this.#turn() }, 0);
    this.#next({ run: () => this.#receive() }, 0);
  }

  #next(task: { run(): void }, afterNs: number): void {
    this.#world.scheduler.schedule(afterNs, task, 'wire');
  }

  /** One turn of the sender; the next comes when its work is done. */
  #turn(): void {
    const { machine, cq, qp, mr, addr } = this.#sender;
    const { verbs, transport } = machine;
    const exits = transport?.notifications ?? 0;
    const polled = this.#poll(cq, machine);
    this.#outstanding -= polled;
    this.completed += polled;
    let posts = 0;
    for (; this.#outstanding < this.#depth; this.#outstanding++, posts++) {
      verbs.postSend(qp, {
        wrId: 1,
        opcode: WrOpcode.SEND,
        sendFlags: SendFlag.SIGNALED,
        sges: [{ addr, length: this.#messageBytes, lkey: mr.lkey }],
      });
    }
    const kicks = (transport?.notifications ?? 0) - exits;
    this.#next({ run: () => this.#turn() }, turnNs(posts, polled, kicks));
  }

  #receive(): void {
    const { machine, cq } = this.#receiver;
    const exits = machine.transport?.notifications ?? 0;
    const polled = this.#poll(cq, machine);
    for (let i = 0; i < polled; i++) this.#postRecv();
    const kicks = (machine.transport?.notifications ?? 0) - exits;
    this.#next({ run: () => this.#receive() }, turnNs(polled, polled, kicks));
  }

  #postRecv(): void {
    const { machine, qp, mr, addr } = this.#receiver;
    machine.verbs.postRecv(qp, { wrId: 2, sges: [{ addr, length: 8192, lkey: mr.lkey }] });
  }

  #poll(cq: CompletionQueue, machine: Machine): number {
    const count = machine.verbs.pollCq(cq, this.#completions, 64);
    for (let i = 0; i < count; i++) {
      const { status } = this.#completions[i];
      if (status !== WcStatus.SUCCESS) {
        throw new LawBroken(laws.completesOnce, `a message of the throughput run came to status ${status}`);
      }
    }
    return count;
  }
}

function turnNs(posts: number, polled: number, kicks: number): number {
  const { programTurn, programPost, programPoll, exit } = costsNs;
  return programTurn + posts * programPost + polled * programPoll + kicks * exit;
}
