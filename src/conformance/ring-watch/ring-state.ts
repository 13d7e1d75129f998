/** What every watched ring has, whatever its format: its areas, the chains that are out, and how a breach is told. */
import type { GuestMemory, QueueConfig, RingFeatures, RingObserver } from '../../virtio/index.js';
import type { ObservationKey } from './observations.js';
import type { Places, Stretch } from './places.js';
import type { PostedChain } from './posted-chain.js';
import type { Tally } from './tally.js';
import type { WakeUpListener, WakeUps } from './wake-ups.js';

/**
 * Of a packed ring, `ring` is what both sides write, and the event structures stand where the rings of a split one do: the
 * driver's is `available`, the device's is `used`.
 */
export type PlaceKind = 'descriptors' | 'ring' | 'available' | 'used' | 'table' | 'readable' | 'writable';

/** Bytes with a meaning: part of a ring, of an indirect table, or of a chain that is out. */
export interface Place extends Stretch {
  readonly kind: PlaceKind;
  readonly ring: RingState;
  /** Of a table and of a part of a chain. */
  readonly chain: PostedChain | undefined;
  /** Byte of the chain's readable or writable string that `start` is. */
  readonly offset: number;
}

export type QueueKind = 'control' | 'completion' | 'send' | 'receive' | 'other';

/** What a ring needs of the machine that it belongs to. */
export interface RingHost {
  readonly vm: number;
  /** The guest's memory, unwatched. */
  readonly memory: GuestMemory;
  readonly places: Places<Place>;
  readonly tally: Tally;
  readonly sink: RingSink;
  /** DRIVER_OK, and nobody has given up. */
  readonly live: boolean;
  published(ring: RingState, chain: PostedChain): void;
  taken(ring: RingState, chain: PostedChain): void;
  used(ring: RingState, chain: PostedChain): void;
  consumed(ring: RingState, chain: PostedChain): void;
}

/** Told of what happens in the rings, whoever does it and however. */
export interface RingSink extends RingObserver {
  /** A notification is on its way to the device. */
  notified(queue: number): void;
  /** A side that slept is awake, and nobody told it. */
  woke(queue: number, side: 'driver' | 'device'): void;
}

export const U16 = 0xffff;

/** What one party does to the ring; each call tells of bytes [start, end) of a place. */
export interface RingSide {
  wrote(place: Place, start: number, end: number): void;
  read(place: Place, start: number, end: number): void;
}

/** A device's side is also told before it stores a word that may publish chains. */
export interface DeviceRingSide extends RingSide {
  /** A word `value` is about to be stored at byte `at` of a place. */
  publishing(place: Place, at: number, value: number): void;
}

export abstract class RingState {
  abstract readonly driver: RingSide & {
    /** Looks whether something was published; whoever reads the ring after the driver may ask. */
    sync(): void;
    /** It has looked at all that came back, where that is not seen. */
    looked(): void;
  };
  abstract readonly device: DeviceRingSide;
  abstract readonly toDevice: WakeUps;
  abstract readonly toDriver: WakeUps;
  readonly index: number;
  readonly size: number;
  readonly kind: QueueKind;
  readonly config: QueueConfig;
  readonly features: RingFeatures;
  readonly host: RingHost;
  readonly #areas: Place[] = [];
  /** A rule was broken by which the ring is read, or it is closed: nothing more can be said of it. */
  lost = false;
  /** Chains that the device has, taken or not. */
  outstanding = 0;
  /** The driver was seen to look whether something came back: only then is its order of reading judged. */
  driverLooks = false;

  constructor(host: RingHost, config: QueueConfig, features: RingFeatures, kind: QueueKind) {
    const { size, index } = config;
    this.index = index;
    this.size = size;
    this.kind = kind;
    this.config = config;
    this.features = features;
    this.host = host;
  }

  /** What `nextAvailable` of a driver half would be by what is seen. */
  abstract get nextAvailable(): number;

  /** The chains that the ring knows, whatever their state. */
  abstract known(): readonly PostedChain[];

  /** Indices, flags and wishes as a person reads them, a line each. */
  protected abstract describe(): string[];

  /** Something that shows only when nothing moves any more. */
  protected abstract lastLook(): void;

  protected addArea(kind: PlaceKind, start: number, length: number): void {
    const area: Place = { kind, start, end: start + length, ring: this, chain: undefined, offset: 0 };
    this.#areas.push(area);
    this.host.places.add(area);
  }

  /** Nothing moves any more. */
  atRest(): void {
    this.driver.sync();
    if (this.lost) return;
    if (this.host.live) {
      this.lastLook();
      this.toDevice.atRest();
      this.toDriver.atRest();
    } else {
      this.toDevice.forgive();
      this.toDriver.forgive();
    }
  }

  /** The queue is no longer enabled: its memory is the driver's again. */
  close(): void {
    for (const area of this.#areas) this.host.places.remove(area);
    for (const chain of this.known()) this.leave(chain);
    this.lost = true;
  }

  enter(chain: PostedChain): void {
    let readable = 0;
    let writable = 0;
    const put = (
      kind: 'table' | 'readable' | 'writable',
      start: number,
      length: number,
      offset: number,
    ): void => {
      const place = { kind, start, end: start + length, ring: this, chain, offset };
      chain.places.push(place);
      this.host.places.add(place);
    };
    if (chain.tableBytes > 0) put('table', chain.tableAddress, chain.tableBytes, 0);
    for (const part of chain.parts) {
      if (part.length === 0) continue;
      put(
        part.writable ? 'writable' : 'readable',
        part.address,
        part.length,
        part.writable ? writable : readable,
      );
      if (part.writable) writable += part.length;
      else readable += part.length;
    }
  }

  leave(chain: PostedChain): void {
    for (const place of chain.places) this.host.places.remove(place);
    chain.places.length = 0;
  }

  /** A chain that is back and had the writable byte at `address`. */
  returnedOwner(address: number): PostedChain | undefined {
    return this.known().find(
      chain =>
        chain.state === 'used' &&
        chain.parts.some(
          part => part.writable && address >= part.address && address < part.address + part.length,
        ),
    );
  }

  /**
   * Judges a chain that comes back with a used length, or that a batch passes over. False: nothing more can be said of the
   * ring.
   */
  mayReturn(chain: PostedChain, length: number, skipped: boolean): boolean {
    const { head } = chain;
    if (this.features.inOrder === true) this.looked('inOrder');
    if (chain.state === 'available') {
      this.host.sink.used(this.index, head, length);
      this.lose('usedId', `chain ${head} was returned and never taken`);
      return false;
    }
    this.looked('usedLength');
    if (length <= chain.prefix) return true;
    const written = `${chain.prefix} of its ${chain.writableBytes} writable bytes were written`;
    if (skipped) this.breach('inOrder', `chain ${head} was passed over, and ${written}`);
    else this.breach('usedLength', `chain ${head} came back with length ${length}, and ${written}`);
    return true;
  }

  /** What the driver changed of a chain where nobody saw it shows at the latest when it comes back. */
  lastLookAt(chain: PostedChain): void {
    const { memory } = this.host;
    this.looked('ownership');
    this.looked('requestBytes');
    if (chain.changedTable(memory) !== undefined)
      this.breach('ownership', `the table of chain ${chain.head} changed while the device had it`);
    const byte = chain.changedReadable(memory);
    if (byte !== undefined)
      this.breach('requestBytes', `byte ${byte} of chain ${chain.head} changed while the device had it`);
  }

  // ---------------------------------------------------------------- notifications

  protected toDeviceListener(indexOf: (idx: number) => number): WakeUpListener {
    const keys = {
      missing: 'kickMissing',
      needless: 'kickNeedless',
      barrier: 'driverBarrier',
      recheck: 'deviceRecheck',
    } as const;
    return {
      decided: (idx, sent) => this.host.sink.published(this.index, indexOf(idx), sent),
      slept: () => this.host.sink.asleep(this.index, 'device'),
      wokeByItself: () => this.host.sink.woke(this.index, 'device'),
      looked: what => this.looked(keys[what]),
      broke: (what, message) => this.breach(keys[what], message),
    };
  }

  protected toDriverListener(indexOf: (idx: number) => number): WakeUpListener {
    const keys = {
      missing: 'interruptMissing',
      needless: 'interruptNeedless',
      barrier: 'deviceBarrier',
      recheck: 'driverRecheck',
    } as const;
    return {
      decided: (idx, sent) => {
        if (this.kind !== 'completion') this.host.sink.interrupt(this.index, indexOf(idx), sent);
      },
      slept: () => this.host.sink.asleep(this.index, 'driver'),
      wokeByItself: () => this.host.sink.woke(this.index, 'driver'),
      looked: what => this.looked(keys[what]),
      broke: (what, message) => this.breach(keys[what], message),
    };
  }

  // ---------------------------------------------------------------- telling

  looked(key: ObservationKey): void {
    this.host.tally.looked(key);
  }

  breach(key: ObservationKey, message: string): void {
    this.host.tally.breach(key, `machine ${this.host.vm}, queue ${this.index}: ${message}`, () =>
      this.dump(),
    );
  }

  lose(key: ObservationKey, message: string): void {
    this.breach(key, message);
    this.lost = true;
  }

  /** The ring as a person reads it, a line each. */
  dump(): string[] {
    const { index, size, kind, features } = this;
    const format = features.packed === true ? ', packed' : '';
    const order = features.inOrder === true ? ', IN_ORDER' : '';
    const lines = [
      `queue ${index} (${kind}), ${size} entries${format}${features.eventIdx ? ', EVENT_IDX' : ''}${order}`,
      ...this.describe(),
    ];
    const out = this.known().filter(chain => chain.state !== 'free');
    for (const chain of out.slice(0, DUMPED_CHAINS_MAX)) {
      const parts = chain.parts.map(
        ({ address, length, writable }) => `${writable ? 'w' : 'r'} 0x${address.toString(16)}+${length}`,
      );
      lines.push(`chain ${chain.head} ${chain.state}, slot ${chain.slot}: ${parts.join(', ')}`);
    }
    if (out.length > DUMPED_CHAINS_MAX) lines.push(`and ${out.length - DUMPED_CHAINS_MAX} more chains`);
    return lines;
  }
}

/** Chains that a device has, in the order in which they were made available; kept when their use is in order. */
export class ChainOrder<Chain> {
  readonly #chains: Chain[] = [];
  readonly #inOrder: boolean;

  constructor({ inOrder }: RingFeatures) {
    this.#inOrder = inOrder === true;
  }

  push(chain: Chain): void {
    if (this.#inOrder) this.#chains.push(chain);
  }

  /** The chains that come back with this one, itself the last: with IN_ORDER all that are older. They leave the order. */
  upTo(chain: Chain): readonly Chain[] {
    return this.#inOrder ? this.#chains.splice(0, this.#chains.indexOf(chain) + 1) : [chain];
  }
}

const DUMPED_CHAINS_MAX = 12;

/** Bits `from` .. `to` - 1. */
export function bitsOf(from: number, to: number): number {
  return (1 << to) - (1 << from);
}

/** Whether bytes [from, to) touch the 16-bit word at `at`. */
export function touchesWord(from: number, to: number, at: number): boolean {
  return from < at + 2 && at < to;
}
