/**
 * The ring observations on a device that is served: its driver runs in another process at the same time, and what it does is
 * seen in memory, when the device looks. What would need more than that is not judged, so that no driver is accused of
 * something that was only seen too late.
 */
import type { QueueMap } from '../../abi/index.js';
import { GuestMemory } from '../../virtio/index.js';
import type { ResumableDevice } from '../../virtio/index.js';
import { MonitorBook, tablesOf } from '../monitors/book.js';
import type { ControlSinks } from '../ring-watch/objects-watch.js';
import { observationKeys, observations } from '../ring-watch/observations.js';
import type { ObservationKey, RingObservation } from '../ring-watch/observations.js';
import type { RingSink, RingState } from '../ring-watch/ring-state.js';
import { Tally } from '../ring-watch/tally.js';
import type { Breach } from '../ring-watch/tally.js';
import { WatchedMachine } from '../ring-watch/watched-machine.js';
import type { WatchedGuest } from '../ring-watch/watched-machine.js';
import { BriefWatch } from './brief/brief-watch.js';

/** Observations that need the driver's own accesses, or the moment at which nothing moves any more. */
const unseen: readonly ObservationKey[] = [
  'usedRing',
  'usedEvent',
  'kickMissing',
  'kickNeedless',
  'driverBarrier',
  'driverRecheck',
  'usedOrder',
  'driverDoubleFetch',
  'release',
  'interruptMissing',
  'interruptNeedless',
  'deviceBarrier',
  'deviceRecheck',
  'toDeviceMachine',
  'toDriverMachine',
  'commandMachine',
];
/** Of devices without RDMA: nobody promises that the bytes of a frame stay as they are while they are sent. */
const ofRdmaOnly: readonly ObservationKey[] = ['requestBytes'];

export interface LiveOutcome {
  readonly observation: RingObservation;
  readonly looks: number;
  readonly breaches: number;
  readonly first: Breach | undefined;
}

/** Counts what may be judged and forgets the rest. */
class LiveTally extends Tally {
  readonly #ignored: ReadonlySet<ObservationKey>;

  constructor(ignored: readonly ObservationKey[]) {
    super();
    this.#ignored = new Set(ignored);
  }

  judges(key: ObservationKey): boolean {
    return !this.#ignored.has(key);
  }
  override looked(key: ObservationKey, times?: number): void {
    if (!this.#ignored.has(key)) super.looked(key, times);
  }
  override breach(key: ObservationKey, message: string, rings: () => readonly string[]): void {
    if (!this.#ignored.has(key)) super.breach(key, message, rings);
  }
}

/** Which queues of a device mean what; undefined for a device that is not an RDMA device. */
export interface RdmaQueues {
  readonly queues: QueueMap;
  readonly maxQps: number;
  readonly maxCqs: number;
}

/** A device under watch, with the memories that must hold the guest's regions. */
export interface WatchedLive {
  /** What the device has in place of the guest's memory. */
  readonly deviceMemory: GuestMemory;
  readonly memories: readonly GuestMemory[];
  /** What is driven in place of the device. */
  watch(device: ResumableDevice): ResumableDevice;
}

export class LiveJudge {
  readonly #rdma: RdmaQueues | undefined;
  readonly #tally: LiveTally;
  readonly #book = new MonitorBook();
  /** Numbers of chains, by queue of a machine and by head, and the next one. */
  readonly #keys = new Map<number, Map<number, number>>();
  #nextKey = 0;
  #told: Error | undefined;
  /** Told of each breach when it is seen first. */
  readonly #found: (observation: RingObservation, breach: Breach) => void;
  readonly #briefs: BriefWatch[] = [];
  readonly #inDetail: boolean;

  /**
   * `inDetail`: everything is looked at in detail from the start, as devices with RDMA always are; others are followed in
   * brief until something is not plainly right.
   */
  constructor(
    rdma: RdmaQueues | undefined,
    found: (observation: RingObservation, breach: Breach) => void,
    inDetail = rdma !== undefined,
  ) {
    this.#rdma = rdma;
    this.#inDetail = inDetail;
    this.#tally = new LiveTally([...unseen, ...(rdma === undefined ? ofRdmaOnly : [])]);
    this.#found = found;
  }

  open(vm: number): WatchedLive {
    const memory = new GuestMemory();
    const { queues = noQueues, maxQps = 0, maxCqs = 0 } = this.#rdma ?? {};
    this.#tally.onBreach = key => {
      const breach = this.#tally.breaches.get(key);
      if (this.#tally.counts.get(key) === 1 && breach !== undefined) this.#found(observations[key], breach);
    };
    const brief = this.#inDetail ? undefined : new BriefWatch(memory);
    if (brief !== undefined) this.#briefs.push(brief);
    const machine = new WatchedMachine(
      {
        vm,
        queues,
        maxQps,
        maxCqs,
        tally: this.#tally,
        sink: this.#sink(vm),
        control: noControl,
        concurrent: true,
        closed: queue => this.#forget(vm, queue),
        brief,
      },
      new ForeignGuest(memory),
    );
    brief?.useDetail({
      host: machine,
      device: machine.deviceListener,
      adopt: ring => {
        this.#recall(vm, ring);
        machine.adopt(ring);
      },
    });
    const deviceMemory = brief?.memory ?? machine.deviceMemory;
    return {
      deviceMemory,
      memories: [memory, deviceMemory],
      watch: device => machine.watchResumable(device),
    };
  }

  /** Holds chains against the machine of their ownership; notifications cannot be followed from here. */
  #sink(vm: number): RingSink {
    const monitor = this.#book.get('CHAIN');
    const tell = (event: number) => (queue: number, head: number) => {
      const key = this.#keyOf(vm * QUEUES_MAX + queue, head);
      if (!monitor.isOpen(key)) monitor.open(key);
      monitor.event(key, event);
      this.#tally.looked('chainMachine');
      const { broken } = this.#book;
      if (broken === undefined || broken === this.#told) return;
      this.#told = broken;
      this.#tally.breach('chainMachine', broken.message, () => []);
    };
    return {
      available: tell(chain.MAKE_AVAILABLE),
      taken: tell(chain.TAKE),
      used: tell(chain.USE),
      consumed: tell(chain.CONSUME),
      published: () => undefined,
      interrupt: () => undefined,
      asleep: () => undefined,
      notified: () => undefined,
      woke: () => undefined,
    };
  }

  /** Brings the machine of each chain of a ring to where the chain is. */
  #recall(vm: number, ring: RingState): void {
    const monitor = this.#book.get('CHAIN');
    for (const { head, state } of ring.known()) {
      if (state === 'free') continue;
      const key = this.#keyOf(vm * QUEUES_MAX + ring.index, head);
      if (!monitor.isOpen(key)) monitor.open(key);
      monitor.event(key, chain.MAKE_AVAILABLE);
      if (state !== 'available') monitor.event(key, chain.TAKE);
      if (state === 'used') monitor.event(key, chain.USE);
    }
  }

  /** A monitor has room for all keys up to the largest: they must lie close together. */
  #keyOf(queue: number, head: number): number {
    let heads = this.#keys.get(queue);
    if (heads === undefined) this.#keys.set(queue, (heads = new Map<number, number>()));
    let key = heads.get(head);
    if (key === undefined) heads.set(head, (key = this.#nextKey++));
    return key;
  }

  /** The ring is gone, and its chains with it. */
  #forget(vm: number, queue: number): void {
    const monitor = this.#book.get('CHAIN');
    for (const key of this.#keys.get(vm * QUEUES_MAX + queue)?.values() ?? [])
      if (monitor.isOpen(key)) monitor.event(key, chain.RESET);
  }

  /** What was judged, by id. */
  get outcomes(): readonly LiveOutcome[] {
    for (const brief of this.#briefs) brief.countInto(this.#tally);
    return observationKeys
      .filter(key => this.#tally.judges(key))
      .map(key => ({
        observation: observations[key],
        looks: this.#tally.looks.get(key) ?? 0,
        breaches: this.#tally.counts.get(key) ?? 0,
        first: this.#tally.breaches.get(key),
      }));
  }

  /** Observations that cannot be made here. */
  get notJudged(): number {
    return observationKeys.filter(key => !this.#tally.judges(key)).length;
  }
}

const chain = {
  MAKE_AVAILABLE: tablesOf('CHAIN').eventId('MAKE_AVAILABLE'),
  TAKE: tablesOf('CHAIN').eventId('TAKE'),
  USE: tablesOf('CHAIN').eventId('USE'),
  CONSUME: tablesOf('CHAIN').eventId('CONSUME'),
  RESET: tablesOf('CHAIN').eventId('RESET'),
};

const QUEUES_MAX = 256;

const noQueues: QueueMap = { control: -1, cq: () => -1, sq: () => -1, rq: () => -1, count: 0 };
const nobody = { command: () => undefined, answer: () => undefined };
const noControl: ControlSinks = { driver: nobody, device: nobody };

/** A guest of which nothing is there but its memory. */
class ForeignGuest implements WatchedGuest {
  readonly memory: GuestMemory;

  constructor(memory: GuestMemory) {
    this.memory = memory;
  }

  /** The regions come later, from the front-end. */
  shareWith(): void {
    return;
  }
  allocDma(): never {
    throw new TypeError(FOREIGN);
  }
  freeDma(): never {
    throw new TypeError(FOREIGN);
  }
  translate(): never {
    throw new TypeError(FOREIGN);
  }
  releasePage(): never {
    throw new TypeError(FOREIGN);
  }
  defer(): never {
    throw new TypeError(FOREIGN);
  }
}

const FOREIGN = 'the guest is another process: its operating system cannot be called';
