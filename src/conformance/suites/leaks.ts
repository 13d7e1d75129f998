/**
 * Law: nothing leaks. Objects are created, used and destroyed over and over; every round must succeed under limits that a
 * leak of one object would soon reach, and the memory that the driver holds must not grow.
 */
import { AccessFlag, QpState, QpType, SendFlag, WcStatus, WrOpcode } from '../../abi/index.js';
import { emptyCompletion } from '../../verbs/index.js';
import type { CompletionQueue, QueuePair, Verbs } from '../../verbs/index.js';
import { LawBroken, laws } from '../laws.js';
import { gidOf } from '../patterns.js';
import { PROGRAM_VERSION } from '../program.js';
import type { Program } from '../program.js';
import { paravirtualWorld } from '../world.js';
import type { Machine, World, WorldOptions } from '../world.js';
import { rest, settle } from './pump.js';

/** A world of one machine with nothing in it yet. */
export const emptyProgram: Program = {
  version: PROGRAM_VERSION,
  name: 'leaks',
  mode: 'settled',
  hosts: [0],
  arenaBytes: 16_384,
  indirect: true,
  eventIdx: true,
  faults: { drop: 0, duplicate: 0, reorder: 0 },
  seed: 1,
  choices: { list: [], only: true },
  actions: [],
};

export interface LeakResult {
  readonly broken: LawBroken | undefined;
  readonly rounds: number;
  /** Verbs calls made. */
  readonly calls: number;
}

/** Runs up to `rounds` rounds; stops early when `shouldStop` says so. */
export async function checkLeaks(
  options: Pick<WorldOptions, 'profile' | 'implementation'>,
  rounds: number,
  shouldStop: () => boolean,
): Promise<LeakResult> {
  let calls = 0;
  let round = 0;
  try {
    const world = await paravirtualWorld(emptyProgram, options);
    const [machine] = world.machines;
    const life = new Life(world, machine);
    await life.settle(machine.verbs.addGid(0, gidOf(0, 0)));
    let settled: number | undefined;
    for (; round < rounds && !shouldStop(); round++) {
      await life.round(round);
      const held = machine.guest.dmaBytesInUse;
      // The first rounds may fill pools that are kept.
      if (round === 10) settled = held;
      if (settled !== undefined && held > settled) {
        throw new LawBroken(
          laws.leaksNothing,
          `the driver holds ${held} bytes of DMA memory after ${round + 1} rounds, ${settled} after 11`,
        );
      }
      calls = life.calls;
    }
    return { broken: undefined, rounds: round, calls };
  } catch (error) {
    const broken =
      error instanceof LawBroken
        ? error
        : new LawBroken(laws.leaksNothing, `round ${round}: ${String(error)}`);
    return { broken, rounds: round, calls };
  }
}

/** One machine that goes through the whole life of each kind of object. */
class Life {
  calls = 0;
  readonly #world: World;
  readonly #machine: Machine;
  readonly #verbs: Verbs;
  readonly #completions = [emptyCompletion(), emptyCompletion(), emptyCompletion(), emptyCompletion()];

  constructor(world: World, machine: Machine) {
    this.#world = world;
    this.#machine = machine;
    this.#verbs = machine.verbs;
  }

  /** Calls one verb and waits for it. */
  settle<T>(promise: Promise<T>): Promise<T> {
    this.calls++;
    return settle(this.#world, promise);
  }

  async round(round: number): Promise<void> {
    const verbs = this.#verbs;
    const { guest } = this.#machine;
    const pd = await this.settle(verbs.createPd());
    const cq = await this.settle(verbs.createCq(8));
    const addr = guest.arenaAddress(0);
    const mr = await this.settle(verbs.regMr(pd, { addr, length: 8192, access: AccessFlag.LOCAL_WRITE }));
    const ah = await this.settle(
      verbs.createAh(pd, { dgid: gidOf(0, 0), sgidIndex: 0, flowLabel: 0, hopLimit: 64, trafficClass: 0 }),
    );
    const cap = { maxSendWr: 4, maxRecvWr: 4, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
    const qp = await this.settle(
      verbs.createQp(pd, { type: QpType.UD, sqSigAll: false, sendCq: cq, recvCq: cq, cap }),
    );
    await this.#raise(qp);
    verbs.postRecv(qp, { wrId: 1, sges: [{ addr, length: 128, lkey: mr.lkey }] });
    verbs.postSend(qp, {
      wrId: 2,
      opcode: WrOpcode.SEND,
      sendFlags: SendFlag.SIGNALED,
      sges: [{ addr: addr + 4096, length: 32, lkey: mr.lkey }],
      ah,
      remoteQpn: qp.qpNum,
      remoteQkey: 5,
    });
    await rest(this.#world);
    this.#expectBoth(cq);
    // Every other round is destroyed under load: receives are outstanding.
    if (round % 2 === 1) verbs.postRecv(qp, { wrId: 3, sges: [{ addr, length: 128, lkey: mr.lkey }] });
    this.calls += 4;
    await this.settle(verbs.destroyQp(qp));
    await this.settle(verbs.destroyAh(ah));
    await this.settle(verbs.deregMr(mr));
    await this.settle(verbs.destroyCq(cq));
    await this.settle(verbs.destroyPd(pd));
  }

  async #raise(qp: QueuePair): Promise<void> {
    await this.settle(this.#verbs.modifyQp(qp, { qpState: QpState.INIT, qkey: 5 }));
    await this.settle(this.#verbs.modifyQp(qp, { qpState: QpState.RTR }));
    await this.settle(this.#verbs.modifyQp(qp, { qpState: QpState.RTS, sqPsn: 0 }));
  }

  #expectBoth(cq: CompletionQueue): void {
    const count = this.#verbs.pollCq(cq, this.#completions, 4);
    const good = this.#completions.slice(0, count).filter(each => each.status === WcStatus.SUCCESS).length;
    if (good !== 2)
      throw new LawBroken(laws.leaksNothing, `${good} of 2 completions of a datagram to oneself came`);
  }
}
