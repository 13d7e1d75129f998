/**
 * The bounds of the performance chapter: notifications, commands and translations a verb, counted on a run of every verb,
 * and throughput in virtual time. Nothing here is a time on a clock.
 */
import { AccessFlag, QpState, QpType, SendFlag, WrOpcode, profiles } from '../../abi/index.js';
import type { ProfileName } from '../../abi/index.js';
import type { GuestOs } from '../../driver/index.js';
import { emptyCompletion } from '../../verbs/index.js';
import type { ControlObserver } from '../../virtio/index.js';
import { bundledDriver } from '../bundled.js';
import type { Implementation } from '../implementation.js';
import { LawBroken, laws } from '../laws.js';
import { limitsOf } from '../limits.js';
import type { Limits } from '../limits.js';
import { gidOf } from '../patterns.js';
import type { BoundName, BoundRow, ThroughputRow } from '../report.js';
import { paravirtualWorld } from '../world.js';
import type { Machine, World } from '../world.js';
import { emptyProgram } from './leaks.js';
import { rest, settle } from './pump.js';
import { measureThroughput } from './throughput.js';

export interface BoundsReport {
  readonly rows: readonly BoundRow[];
  readonly throughput: readonly ThroughputRow[];
  readonly broken: LawBroken | undefined;
  /** Verbs calls made while counting. */
  readonly calls: number;
}

export interface BoundsOptions {
  readonly profile: ProfileName;
  readonly implementation?: Implementation;
}

const DEPTHS = [1, 16, 128] as const;
const MESSAGE_BYTES = [64, 4096] as const;
const ROUNDS = 40;
const REGION_BYTES = 3 * 4096 + 100;
const REGION_OFFSET = 3000;

export async function checkBounds(options: BoundsOptions): Promise<BoundsReport> {
  const counts = new Counts();
  const throughput: ThroughputRow[] = [];
  try {
    await countVerbs(options, counts);
    // Virtual time says nothing about a device that has a clock of its own.
    const timed = options.implementation?.outsideDevice === undefined ? MESSAGE_BYTES : [];
    for (const bytes of timed) {
      for (const depth of DEPTHS) throughput.push(await measureThroughput(options, depth, bytes));
    }
  } catch (error) {
    const broken =
      error instanceof LawBroken
        ? error
        : new LawBroken(laws.expected, `after ${counts.calls} calls of the counted run: ${String(error)}`);
    return { rows: [], throughput, broken, calls: counts.calls };
  }
  const seesOs = options.implementation?.elsewhere !== true;
  const rows = [...counts.rows(seesOs), ...(polled(options, throughput) ? throughputRows(throughput) : [])];
  const bad = rows.find(row => !holds(row));
  return { rows, throughput, broken: bad && asLaw(bad), calls: counts.calls };
}

/**
 * Whether the device polled. The kit has its own device poll; one that is handed to it may sleep, and then the run is not a
 * polling run (chapter 15.5), of which alone PERF-18 and PERF-19 speak. What wakes a device that sleeps is an exit. Where
 * nothing was run, nothing polled.
 */
function polled({ implementation }: BoundsOptions, rows: readonly ThroughputRow[]): boolean {
  if (rows.length === 0) return false;
  return implementation?.device === undefined || rows.every(row => row.exitsPerMessage === 0);
}

export function holds(row: BoundRow): boolean {
  return row.kind === 'most' ? row.measured <= row.limit : row.measured >= row.limit;
}

function asLaw(row: BoundRow): LawBroken {
  const law = { name: `bound: ${row.formula}`, requirements: [row.requirement] };
  return new LawBroken(
    law,
    `counted ${row.measured}, ${row.kind === 'most' ? 'at most' : 'at least'} ${row.limit} is allowed`,
  );
}

function throughputRows(rows: readonly ThroughputRow[]): BoundRow[] {
  const deep = rows.filter(row => row.depth === 128);
  const exits = Math.max(...rows.map(row => row.exitsPerMessage));
  const ratio = Math.min(...deep.map(row => row.ratio));
  return [
    {
      name: 'exits-a-message',
      requirement: 'PERF-18',
      formula: 'exits a message, polling = 0',
      measured: exits,
      limit: 0,
      kind: 'most',
    },
    {
      name: 'throughput',
      requirement: 'PERF-19',
      formula: 'para-virtual over native throughput at depth 128 >= 0.97',
      measured: Math.round(ratio * 1000) / 1000,
      limit: 0.97,
      kind: 'least',
    },
  ];
}

/** The most that any one verb took. */
class Counts {
  calls = 0;
  commands = 0;
  #kicksAPost = 0;
  #kicksACommand = 0;
  #interruptsACommand = 0;
  #commandsAVerb = 0;
  #commandsAPost = 0;
  #exitsAPoll = 0;
  translations = 0;
  #translationsARegion = 0;
  #requestInterrupts = 0;
  #eventsMinusArms = Number.NEGATIVE_INFINITY;

  control(kicks: number, interrupts: number, commands: number): void {
    this.#kicksACommand = Math.max(this.#kicksACommand, kicks);
    this.#interruptsACommand = Math.max(this.#interruptsACommand, interrupts);
    this.#commandsAVerb = Math.max(this.#commandsAVerb, commands);
  }
  post(kicks: number, commands: number): void {
    this.#kicksAPost = Math.max(this.#kicksAPost, kicks);
    this.#commandsAPost = Math.max(this.#commandsAPost, commands);
  }
  poll(exits: number): void {
    this.#exitsAPoll = Math.max(this.#exitsAPoll, exits);
  }
  region(translations: number): void {
    this.#translationsARegion = translations;
  }
  interrupts(onRequestQueues: number, onCompletionQueues: number, arms: number): void {
    this.#requestInterrupts = onRequestQueues;
    this.#eventsMinusArms = onCompletionQueues - arms;
  }

  /** @param seesOs the driver asks its operating system where the kit sees it */
  rows(seesOs: boolean): BoundRow[] {
    const pages =
      Math.floor((REGION_OFFSET + REGION_BYTES - 1) / 4096) - Math.floor(REGION_OFFSET / 4096) + 1;
    const row = (
      name: BoundName,
      requirement: string,
      formula: string,
      measured: number,
      limit: number,
    ): BoundRow => ({
      name,
      requirement,
      formula,
      measured,
      limit,
      kind: 'most',
    });
    const rows = [
      row('kicks-a-post', 'PERF-01', 'kicks a post <= 1', this.#kicksAPost, 1),
      row('kicks-a-command', 'PERF-01', 'kicks a control verb <= 1', this.#kicksACommand, 1),
      row(
        'completion-interrupts',
        'PERF-05',
        'interrupts of completion queues minus arms <= 0',
        this.#eventsMinusArms,
        0,
      ),
      row(
        'request-interrupts',
        'PERF-06',
        'interrupts of send and receive queues = 0',
        this.#requestInterrupts,
        0,
      ),
      row('exits-a-poll', 'PERF-07', 'exits a poll = 0', this.#exitsAPoll, 0),
      row('commands-a-verb', 'PERF-08', 'commands a control verb <= 1', this.#commandsAVerb, 1),
      row('commands-a-post', 'PERF-09', 'commands a post or poll = 0', this.#commandsAPost, 0),
      row('interrupts-a-command', 'PERF-10', 'interrupts a command <= 1', this.#interruptsACommand, 1),
    ];
    const translations = row(
      'translations',
      'PERF-12',
      `translations of a region of ${pages} pages <= ${pages}`,
      this.#translationsARegion,
      pages,
    );
    return seesOs ? [...rows, translations] : rows;
  }
}

/** Runs every verb once at least, and posts, polls and arms many times, on one machine that talks to itself. */
async function countVerbs(options: BoundsOptions, counts: Counts): Promise<void> {
  const createDriver = options.implementation?.driver ?? bundledDriver;
  const control = (): ControlObserver => ({
    command: () => {
      counts.commands++;
    },
    answer: () => undefined,
  });
  const world = await paravirtualWorld(emptyProgram, {
    profile: options.profile,
    implementation: {
      ...options.implementation,
      driver: context => createDriver({ ...context, os: countingOs(context.os, counts) }),
    },
    observers: options.implementation?.outsideDevice === undefined ? { control } : { driverControl: control },
  });
  const limits = limitsOf({}, options.implementation?.outsideDevice);
  await new Counting(world, options.profile, limits, counts).run();
}

function countingOs(os: GuestOs, counts: Counts): GuestOs {
  return {
    allocDma: (bytes, alignment) => os.allocDma(bytes, alignment),
    freeDma: buffer => os.freeDma(buffer),
    defer: task => os.defer(task),
    releasePage: address => os.releasePage(address),
    translate: address => {
      counts.translations++;
      return os.translate(address);
    },
  };
}

class Counting {
  readonly #world: World;
  readonly #machine: Machine;
  readonly #counts: Counts;
  readonly #queues;
  readonly #limits: Limits;
  #arms = 0;

  constructor(world: World, profile: ProfileName, limits: Limits, counts: Counts) {
    this.#world = world;
    [this.#machine] = world.machines;
    this.#counts = counts;
    this.#limits = limits;
    const { maxQps, maxCqs } = limits.device;
    this.#queues = profiles[profile].queues(maxQps, maxCqs);
  }

  get #kicks(): number {
    return this.#machine.transport?.notifications ?? 0;
  }

  get #controlInterrupts(): number {
    return this.#machine.transport?.interruptsByQueue[this.#queues.control] ?? 0;
  }

  /** One control verb, counted. */
  async #control<T>(call: () => Promise<T>): Promise<T> {
    const [kicks, interrupts, commands] = [this.#kicks, this.#controlInterrupts, this.#counts.commands];
    this.#counts.calls++;
    const value = await settle(this.#world, call());
    this.#counts.control(
      this.#kicks - kicks,
      this.#controlInterrupts - interrupts,
      this.#counts.commands - commands,
    );
    return value;
  }

  #post(call: () => void): void {
    const [kicks, commands] = [this.#kicks, this.#counts.commands];
    this.#counts.calls++;
    call();
    this.#counts.post(this.#kicks - kicks, this.#counts.commands - commands);
  }

  async run(): Promise<void> {
    const { verbs, guest, transport } = this.#machine;
    await this.#control(() => verbs.queryDevice());
    await this.#control(() => verbs.queryPort());
    await this.#control(() => verbs.addGid(0, gidOf(0, 0)));
    await this.#control(() => verbs.addGid(1, gidOf(0, 1)));
    await this.#control(() => verbs.delGid(1));
    const pd = await this.#control(() => verbs.createPd());
    const cq = await this.#control(() => verbs.createCq(64));
    const addr = guest.arenaAddress(REGION_OFFSET);
    const before = this.#counts.translations;
    const mr = await this.#control(() =>
      verbs.regMr(pd, { addr, length: REGION_BYTES, access: AccessFlag.LOCAL_WRITE }),
    );
    this.#counts.region(this.#counts.translations - before);
    const dma = await this.#control(() => verbs.getDmaMr(pd, AccessFlag.LOCAL_WRITE));
    const route = { dgid: gidOf(0, 0), sgidIndex: 0, flowLabel: 0, hopLimit: 64, trafficClass: 0 };
    const ah = await this.#control(() => verbs.createAh(pd, route));
    const cap = { maxSendWr: 8, maxRecvWr: 8, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
    const init = { type: QpType.UD, sqSigAll: true, sendCq: cq, recvCq: cq, cap };
    const qp = await this.#control(() => verbs.createQp(pd, init));
    await this.#control(() => verbs.modifyQp(qp, { qpState: QpState.INIT, qkey: 5 }));
    await this.#control(() => verbs.modifyQp(qp, { qpState: QpState.RTR }));
    await this.#control(() => verbs.modifyQp(qp, { qpState: QpState.RTS, sqPsn: 0 }));
    await this.#control(() => verbs.queryQp(qp));
    const completions = Array.from({ length: 8 }, emptyCompletion);
    for (let round = 0; round < ROUNDS; round++) {
      if (round % 4 === 0) {
        this.#arms++;
        await this.#control(() => verbs.reqNotifyCq(cq, false));
      }
      this.#post(() => verbs.postRecv(qp, { wrId: round, sges: [{ addr, length: 128, lkey: mr.lkey }] }));
      this.#post(() =>
        verbs.postSend(qp, {
          wrId: round,
          opcode: WrOpcode.SEND,
          sendFlags: SendFlag.SIGNALED,
          sges: [{ addr, length: 32, lkey: mr.lkey }],
          ah,
          remoteQpn: qp.qpNum,
          remoteQkey: 5,
        }),
      );
      await rest(this.#world);
      this.#poll(() => verbs.pollCq(cq, completions, 8));
      this.#poll(() => verbs.pollCq(cq, completions, 8));
    }
    await this.#control(() => verbs.destroyQp(qp));
    await this.#control(() => verbs.destroyAh(ah));
    await this.#control(() => verbs.deregMr(dma));
    await this.#control(() => verbs.deregMr(mr));
    await this.#control(() => verbs.destroyCq(cq));
    await this.#control(() => verbs.destroyPd(pd));
    const byQueue = transport?.interruptsByQueue ?? new Uint32Array(this.#queues.count);
    this.#counts.interrupts(this.#sum(byQueue, 'requests'), this.#sum(byQueue, 'completions'), this.#arms);
  }

  #poll(call: () => number): void {
    const { transport } = this.#machine;
    const exits = this.#kicks + (transport?.registerAccesses ?? 0);
    this.#counts.calls++;
    call();
    this.#counts.poll(this.#kicks + (transport?.registerAccesses ?? 0) - exits);
  }

  #sum(byQueue: Uint32Array, which: 'requests' | 'completions'): number {
    const { maxQps, maxCqs } = this.#limits.device;
    let sum = 0;
    if (which === 'completions') for (let n = 0; n < maxCqs; n++) sum += byQueue[this.#queues.cq(n)];
    else for (let n = 0; n < maxQps; n++) sum += byQueue[this.#queues.sq(n)] + byQueue[this.#queues.rq(n)];
    return sum;
  }
}
