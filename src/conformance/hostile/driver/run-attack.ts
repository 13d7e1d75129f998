/**
 * Attacks carried out and judged: the device does not throw, comes to rest after bounded work, writes nowhere that it may not,
 * lets two neighbours see exactly what they see without the attack, and works again after a reset.
 */
import fc from 'fast-check';
import { CaseBroken } from '../../cases/case.js';
import type { CaseContext } from '../../cases/case.js';
import { LawBroken } from '../../laws.js';
import { Bench } from '../../probes/device/bench.js';
import { WrOpcode } from '../../../abi/index.js';
import { connectedOthers } from '../../probes/device/broken.js';
import { createCq, createPd, destroyCq, destroyPd, queryQp } from '../../probes/device/messages.js';
import type { Side } from '../../probes/device/site.js';
import { attackArbitrary } from './arbitrary.js';
import type { AttackFamily } from './arbitrary.js';
import type { Act, Attack } from './attack.js';
import { Attacker } from './attacker.js';

/** Readings of guest memory that one act may cause, with all that comes of it, and those of coming to life. */
const READS_PER_ACT = 20_000;

const LIVE = 15;

/** Acts that mean nothing to a device that is not live, or has stopped; it is brought to life again before them. */
const needsLife: ReadonlySet<Act['act']> = new Set([
  'chain',
  'command',
  'send',
  'receive',
  'modify',
  'scribble',
  'ambush',
]);

/** How many inputs an attack was. */
export interface AttackEffort {
  readonly inputs: number;
}

/** A world to attack in, for as many attacks as all promises are kept. After a broken one it is of no use any more. */
export class AttackGround {
  readonly #bench: Bench;
  readonly #attacker: Attacker;
  readonly #others: { readonly a: Side; readonly b: Side };
  /** What the neighbours see when nobody attacks. */
  readonly #quiet: string;
  readonly #marks: readonly number[];
  readonly #start: number;

  constructor(context: CaseContext) {
    this.#bench = new Bench(context, { machines: 3, unstarted: true });
    this.#others = connectedOthers(this.#bench);
    const { a, b } = this.#others;
    this.#marks = [a.machine.allocated, b.machine.allocated];
    this.#begin();
    this.#bench.run();
    this.#quiet = this.#end();
    this.#start = this.#bench.me.allocated;
    this.#attacker = new Attacker(this.#bench);
  }

  /** Throws CaseBroken when a promise is broken. */
  attack(attack: Attack): AttackEffort {
    const { machine } = this.#attacker;
    try {
      this.#attacker.revive(attack);
      this.#begin();
      const before = this.#reads;
      for (const act of attack.acts) {
        if (needsLife.has(act.act) && machine.status !== LIVE) this.#attacker.revive(attack);
        this.#attacker.do(act);
      }
      this.#bench.run();
      machine.memory.watch = undefined;
      this.#boundedWork(this.#reads - before, attack);
      this.#unseen(this.#end());
      // The whole of a life is tried when the next attack begins.
      machine.rewind(this.#start);
      machine.start();
      machine.must(createPd, {}, ['FEAT-31', 'RST-36']);
    } catch (error) {
      if (error instanceof CaseBroken || error instanceof LawBroken) throw error;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      return this.#bench.accuse(['HOST-01'], `the device threw: ${text}`);
    }
    return { inputs: attack.acts.length };
  }

  /** Readings of guest memory so far; none are seen of a device outside. */
  get #reads(): number {
    return this.#bench.inHand ? this.#attacker.machine.memory.reads : 0;
  }

  #boundedWork(reads: number, { acts }: Attack): void {
    const most = READS_PER_ACT * (acts.length + 1);
    if (reads > most)
      this.#bench.accuse(['HOST-01'], `${reads} readings for ${acts.length} acts, expected at most ${most}`);
  }

  #unseen(seen: string): void {
    if (seen === this.#quiet) return;
    this.#bench.accuse(
      ['ISO-14', 'HOST-01'],
      `two neighbours see ${seen} beside the attack, and without it ${this.#quiet}`,
    );
  }

  /** The neighbours' program: messages both ways and a read, in flight while the attack goes on. */
  #begin(): void {
    const { a, b } = this.#others;
    for (const [i, { machine }] of [a, b].entries()) machine.rewind(this.#marks[i]);
    for (const [from, to, fill] of [
      [a, b, 1],
      [b, a, 2],
    ] as const) {
      const { address, lkey } = to.region;
      to.machine.memory.put(address, new Uint8Array(4096));
      to.machine.postRecv(to.qpn, 10 + fill, [{ addr: address, length: 64, lkey }]);
      from.machine.postSend(from.qpn, { wrId: 20 + fill, inline: new Uint8Array(40).fill(fill) });
    }
    const rdma = { remote_addr: b.region.address + 2048, rkey: b.region.rkey };
    const sges = [{ addr: a.region.address + 1024, length: 1500, lkey: a.region.lkey }];
    a.machine.postSend(a.qpn, { wrId: 30, opcode: WrOpcode.RDMA_READ, sges, rdma });
  }

  /** Runs to the end of it, asks both devices a few commands, and writes down all that was seen. */
  #end(): string {
    this.#bench.run();
    const seen = [this.#others.a, this.#others.b].map(({ machine, cqn, qpn, region }) => {
      const completions = machine.poll(cqn).map(({ bytes }) => Buffer.from(bytes).toString('hex'));
      const { queues } = machine;
      const back = [queues.sq(qpn), queues.rq(qpn)].map(index => machine.returned(index).length);
      const made = machine.must(createCq, { cqe: 2 });
      machine.must(destroyCq, made);
      machine.must(destroyPd, machine.must(createPd));
      const { qp_state } = machine.must(queryQp, { qpn, attr_mask: 0 });
      const memory = Buffer.from(machine.memory.copy(region.address, 4096))
        .toString('base64')
        .replace(/A{8,}/gu, '…');
      return { completions, back, cqn: made.cqn, qp_state, status: machine.status, memory };
    });
    return JSON.stringify(seen);
  }
}

/** One attack in a world of its own. Throws CaseBroken when a promise is broken. */
export function runAttack(attack: Attack, context: CaseContext): AttackEffort {
  return new AttackGround(context).attack(attack);
}

/** Acts of an attack made from a seed at most: many, since bringing a device to life costs more than most of them. */
const ACTS_MAX = 64;

/** The attack that a seed stands for. */
export function attackOf(seed: number, family?: AttackFamily): Attack {
  const [attack] = fc.sample(attackArbitrary(family, ACTS_MAX), { seed, numRuns: 1 });
  return attack;
}

/**
 * One attack, given or by its seed, for loops that go on for hours: pass a ground to use it again. A ground on which a promise
 * was broken is to be thrown away.
 */
export function attackOnce(
  attack: number | Attack,
  context: CaseContext,
  ground: AttackGround = new AttackGround(context),
): Promise<AttackEffort> {
  return Promise.resolve().then(() => ground.attack(typeof attack === 'number' ? attackOf(attack) : attack));
}
