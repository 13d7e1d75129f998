/**
 * The bench of the wire: machines with the judged stack on one or two hosts, a network on which every packet is seen and may be lost,
 * doubled or held up, and a peer that sends whatever a case says. Everything is driven by one scheduler in virtual time.
 */
import { Packet } from '../../../fabric/index.js';
import type { FabricPort } from '../../../fabric/index.js';
import type { CaseBroken, CaseContext, CaseEffort } from '../../cases/case.js';
import { smallLimits } from '../../limits.js';
import { machineOfGid } from '../../patterns.js';
import type { Program } from '../../program.js';
import { PROGRAM_VERSION } from '../../program.js';
import { Steps } from '../steps.js';
import type { StepKind } from '../steps.js';
import { turn } from '../../turn.js';
import { paravirtualWorld } from '../../world.js';
import type { World, WorldObservers } from '../../world.js';
import { textOf, wirePacketOf } from './packets.js';
import type { PacketFields, WirePacket } from './packets.js';

export interface WireOptions {
  /** The host of each machine; two machines on two hosts when absent. */
  readonly hosts?: readonly number[];
  /** Of 1024 packets, how many are lost, doubled and delayed. */
  readonly faults?: Program['faults'];
  readonly views?: WorldObservers['views'];
}

/** Nobody has it: a packet for it is lost. */
export const NOBODY = 'fe80000000000000ffffffffffffffff';

const ARENA_BYTES = 64 * 1024;
/** Steps in which everything must have come to rest. */
const STEPS_MAX = 100_000;
/** Turns of the microtask queue in which whatever waits for a promise has moved on. */
const TURNS = 32;

/** What a packet of the case says where the case says nothing. */
const blank = new Packet(() => undefined);

type Selector = (packet: WirePacket) => boolean;

export class WireBench {
  readonly world: World;
  /** Every packet that left, also one that is then lost. */
  readonly wire: WirePacket[] = [];
  readonly #told = new Steps();
  readonly #port: FabricPort;
  #lose: Selector = () => false;
  #forging = false;
  #heard = 0;
  #calls = 0;

  static async of(context: CaseContext, options: WireOptions = {}): Promise<WireBench> {
    const { hosts = [0, 1], faults = { drop: 0, duplicate: 0, reorder: 0 }, views } = options;
    const program: Program = {
      version: PROGRAM_VERSION,
      mode: 'settled',
      hosts: [...hosts],
      arenaBytes: ARENA_BYTES,
      indirect: true,
      eventIdx: true,
      faults,
      seed: context.seed,
      choices: { list: [], only: true },
      actions: [],
    };
    const { profile, implementation } = context;
    const observers = views === undefined ? {} : { views };
    return new WireBench(
      await paravirtualWorld(program, { profile, limits: smallLimits, implementation, observers }),
    );
  }

  private constructor(world: World) {
    this.world = world;
    this.#port = world.fabric.attach({ receive: () => undefined });
    // Behind whoever changes packets on their way: what is seen here is what travels.
    world.fabric.observe({
      sent: packet => this.#sent(packet),
      delivered: () => undefined,
      dropped: () => undefined,
    });
  }

  // ---------------------------------------------------------------- the network

  /** From here on packets of the judged that `selector` takes are lost; it is asked once for each packet, in order. */
  lose(selector: Selector): void {
    this.#lose = selector;
  }

  /** What the judged have sent since the last call. */
  heard(selector: Selector = () => true): readonly WirePacket[] {
    const packets = this.wire.slice(this.#heard).filter(packet => !packet.forged && selector(packet));
    this.#heard = this.wire.length;
    return packets;
  }

  /** Makes the case's own peer the owner of a GID. */
  claim(gid: string): void {
    this.world.fabric.claimGid(this.#port, gid);
  }

  /** Puts a packet of the case on the wire. */
  inject(fields: PacketFields, payload: Uint8Array = new Uint8Array(fields.payloadLength)): void {
    const packet = this.world.fabric.newPacket();
    packet.copyFrom(blank);
    Object.assign(packet, fields);
    packet.payload.set(payload);
    this.#forging = true;
    this.world.fabric.send(this.#port, packet);
    this.#forging = false;
  }

  #sent(packet: Packet): void {
    const seen = wirePacketOf(packet, this.world.scheduler.nowNs, this.#forging);
    const lost = !this.#forging && this.#lose(seen);
    this.wire.push(seen);
    const from = this.#forging ? 'peer' : nameOf(packet.sourceGid);
    const text = `${textOf(seen)}${lost ? ', lost' : ''}`;
    this.note(from, nameOf(packet.destinationGid), text, this.#forging || lost ? 'action' : 'answer');
    if (lost) packet.destinationGid = NOBODY;
  }

  // ---------------------------------------------------------------- time

  /** Runs until nothing moves. */
  async rest(): Promise<void> {
    for (let turns = 0; turns < TURNS; turns++) {
      if (turns === 0 || !this.world.scheduler.quiet) {
        this.world.runUntilQuiet(STEPS_MAX, steps => this.#endless(steps));
        turns = 0;
      }
      await turn;
    }
  }

  /** Lets so many nanoseconds pass, with all that happens meanwhile. */
  async pass(ns: number): Promise<void> {
    const { scheduler } = this.world;
    const alarm = scheduler.schedule(ns, { run: () => undefined }, 'timer');
    for (let steps = 0; alarm.armed; steps++) {
      if (steps > STEPS_MAX) throw this.#endless(steps);
      scheduler.step();
      await turn;
    }
  }

  /** Awaits a verb, without letting time pass that it does not need. */
  async call<T>(what: string, promise: Promise<T>): Promise<T> {
    this.#calls++;
    let settled = false;
    const done = (): void => {
      settled = true;
    };
    promise.then(done, done);
    const { scheduler } = this.world;
    for (let idle = 0; !settled && idle < TURNS;) {
      await turn;
      idle = scheduler.readyCount > 0 && scheduler.step() ? 0 : idle + 1;
    }
    if (!settled) this.accuse(['HOST-01', 'HOST-34'], `${what} is never answered`);
    try {
      return await promise;
    } catch (error) {
      return this.accuse(['OVR-10', 'OVR-11'], `${what} was refused: ${String(error)}`);
    }
  }

  #endless(steps: number): CaseBroken {
    return this.#broken(['HOST-01'], `not at rest after ${steps} steps of the scheduler`);
  }

  // ---------------------------------------------------------------- the verdict

  note(from: string, to: string, text: string, kind: StepKind = 'action'): void {
    this.#told.add({ timeNs: this.world.scheduler.nowNs, from, to, text }, kind);
  }

  /** Does what only sets the scene: one step of the exchange when it went well. */
  scene<T>(text: string, work: () => Promise<T>): Promise<T> {
    const summary = () => ({ timeNs: this.world.scheduler.nowNs, from: 'probe', to: 'probe', text });
    return this.#told.foldAsync(summary, work);
  }

  accuse(requirements: readonly string[], message: string): never {
    throw this.#broken(requirements, message);
  }

  #broken(requirements: readonly string[], text: string): CaseBroken {
    const timeNs = this.world.scheduler.nowNs;
    return this.#told.broken(requirements, { timeNs, from: 'probe', to: 'probe', text });
  }

  /** Accuses unless the two are the same as JSON. `what` says what was looked at. */
  same(requirements: readonly string[], what: string, actual: unknown, expected: unknown): void {
    const [got, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
    if (got !== wanted) this.accuse(requirements, `${what}: ${got}, expected ${wanted}`);
  }

  /** The same of the packets that the judged have sent since the last time. */
  hears(
    requirements: readonly string[],
    what: string,
    expected: readonly string[],
    selector?: Selector,
  ): void {
    this.same(requirements, what, this.heard(selector).map(textOf), expected);
  }

  get effort(): CaseEffort {
    return { runs: 1, actions: this.#calls + this.wire.length };
  }
}

function nameOf(gid: string): string {
  if (gid === PEER_GID || gid === OTHER_PEER_GID) return 'peer';
  return gid === NOBODY ? 'nobody' : `vm${machineOfGid(gid)}`;
}

/** Addresses of the case's own peers. */
export const PEER_GID = 'fe8000000000000000000077000000aa';
export const OTHER_PEER_GID = 'fe8000000000000000000077000000bb';
