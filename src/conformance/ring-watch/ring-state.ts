/** What is known of a watched ring: its indices, the chains that are out, who has read what; and how a breach is told. */
import {
  Avail,
  Used,
  availEventOffset,
  availRingBytes,
  descriptorTableBytes,
  usedEventOffset,
  usedRingBytes,
} from '../../virtio/index.js';
import type {
  GuestMemory,
  MemoryWindow,
  QueueConfig,
  RingFeatures,
  RingObserver,
} from '../../virtio/index.js';
import type { ObservationKey } from './observations.js';
import type { Place, Places } from './places.js';
import type { PostedChain } from './posted-chain.js';
import type { Tally } from './tally.js';
import { WakeUps } from './wake-ups.js';
import type { WakeUpListener } from './wake-ups.js';

export type QueueKind = 'control' | 'completion' | 'send' | 'receive' | 'other';

/** What a ring needs of the machine that it belongs to. */
export interface RingHost {
  readonly vm: number;
  /** The guest's memory, unwatched. */
  readonly memory: GuestMemory;
  readonly places: Places;
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

export abstract class RingState {
  abstract readonly driver: RingSide & {
    /** Looks whether the available index was raised. */
    sync(): void;
  };
  abstract readonly device: RingSide;
  readonly index: number;
  readonly size: number;
  readonly kind: QueueKind;
  readonly config: QueueConfig;
  readonly features: RingFeatures;
  readonly toDevice: WakeUps;
  readonly toDriver: WakeUps;
  readonly host: RingHost;
  readonly mask: number;
  readonly avail: MemoryWindow;
  readonly used: MemoryWindow;
  readonly #areas: readonly Place[];
  /** A rule was broken by which the ring is read, or it is closed: nothing more can be said of it. */
  lost = false;

  /** Index as published, position up to which the device has taken, and the last index that it read. */
  availIdx = 0;
  takenIdx = 0;
  seenAvail = 0;
  /** Index as published, position up to which the driver has taken, and the last index that it read. */
  usedIdx = 0;
  consumedIdx = 0;
  seenUsed = 0;
  /** Chains that the device has, taken or not. */
  outstanding = 0;

  readonly chains: (PostedChain | undefined)[];
  /** The chain published last in each slot, and the one returned last in each used element. */
  readonly bySlot: (PostedChain | undefined)[];
  readonly returned: (PostedChain | undefined)[];
  /** By descriptor, the chain that the device has and that uses it. */
  readonly owners: (PostedChain | undefined)[];
  /** Bytes that the device has read of each slot and descriptor, and the driver of each used element, a bit each. */
  readonly slotRead: Uint8Array;
  readonly descriptorRead: Uint16Array;
  readonly elementRead: Uint8Array;

  /** Throws RangeError when the areas are not in guest memory. */
  constructor(host: RingHost, config: QueueConfig, features: RingFeatures, kind: QueueKind) {
    const { size, index } = config;
    this.index = index;
    this.size = size;
    this.kind = kind;
    this.config = config;
    this.features = features;
    this.host = host;
    this.mask = size - 1;
    const avail = host.memory.window(config.driver, availRingBytes(size));
    const used = host.memory.window(config.device, usedRingBytes(size));
    if (avail === undefined || used === undefined)
      throw new RangeError(`queue ${index}: not in guest memory`);
    this.avail = avail;
    this.used = used;
    this.chains = new Array<PostedChain | undefined>(size).fill(undefined);
    this.bySlot = new Array<PostedChain | undefined>(size).fill(undefined);
    this.returned = new Array<PostedChain | undefined>(size).fill(undefined);
    this.owners = new Array<PostedChain | undefined>(size).fill(undefined);
    this.slotRead = new Uint8Array(size);
    this.descriptorRead = new Uint16Array(size);
    this.elementRead = new Uint8Array(size);
    this.toDevice = new WakeUps(
      features.eventIdx,
      {
        silent: () => (used.get16(Used.FLAGS) & Used.NO_NOTIFY) !== 0,
        event: () => used.get16(availEventOffset(size)),
      },
      this.#toDeviceListener(),
    );
    this.toDriver = new WakeUps(
      features.eventIdx,
      {
        silent: () => (avail.get16(Avail.FLAGS) & Avail.NO_INTERRUPT) !== 0,
        event: () => avail.get16(usedEventOffset(size)),
      },
      this.#toDriverListener(),
    );
    this.#areas = [
      this.#area('descriptors', config.descriptors, descriptorTableBytes(size)),
      this.#area('available', config.driver, availRingBytes(size)),
      this.#area('used', config.device, usedRingBytes(size)),
    ];
    for (const area of this.#areas) host.places.add(area);
  }

  #area(kind: 'descriptors' | 'available' | 'used', start: number, length: number): Place {
    return { kind, start, end: start + length, ring: this, chain: undefined, offset: 0 };
  }

  /** The queue is no longer enabled: its memory is the driver's again. */
  close(): void {
    for (const area of this.#areas) this.host.places.remove(area);
    for (const chain of this.chains) if (chain !== undefined) this.leave(chain);
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
    return this.chains.find(
      chain =>
        chain?.state === 'used' &&
        chain.parts.some(
          part => part.writable && address >= part.address && address < part.address + part.length,
        ),
    );
  }

  // ---------------------------------------------------------------- notifications

  #toDeviceListener(): WakeUpListener {
    const keys = {
      missing: 'kickMissing',
      needless: 'kickNeedless',
      barrier: 'driverBarrier',
      recheck: 'deviceRecheck',
    } as const;
    return {
      decided: (idx, sent) => this.host.sink.published(this.index, idx, sent),
      slept: () => this.host.sink.asleep(this.index, 'device'),
      wokeByItself: () => this.host.sink.woke(this.index, 'device'),
      looked: what => this.looked(keys[what]),
      broke: (what, message) => this.breach(keys[what], message),
    };
  }

  #toDriverListener(): WakeUpListener {
    const keys = {
      missing: 'interruptMissing',
      needless: 'interruptNeedless',
      barrier: 'deviceBarrier',
      recheck: 'driverRecheck',
    } as const;
    return {
      decided: (idx, sent) => {
        if (this.kind !== 'completion') this.host.sink.interrupt(this.index, idx, sent);
      },
      slept: () => this.host.sink.asleep(this.index, 'driver'),
      wokeByItself: () => this.host.sink.woke(this.index, 'driver'),
      looked: what => this.looked(keys[what]),
      broke: (what, message) => this.breach(keys[what], message),
    };
  }

  // ---------------------------------------------------------------- telling

  slot(s: number): number {
    return this.avail.get16(Avail.RING + Avail.ENTRY * s);
  }

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
    const { index, size, kind } = this;
    const lines = [
      `queue ${index} (${kind}), ${size} entries${this.features.eventIdx ? ', EVENT_IDX' : ''}`,
      `available idx ${this.avail.get16(Avail.IDX)} flags ${this.avail.get16(Avail.FLAGS)} used_event ${this.avail.get16(usedEventOffset(size))}, taken up to ${this.takenIdx}`,
      `used      idx ${this.used.get16(Used.IDX)} flags ${this.used.get16(Used.FLAGS)} avail_event ${this.used.get16(availEventOffset(size))}, consumed up to ${this.consumedIdx}`,
    ];
    const out = this.chains.filter(chain => chain !== undefined && chain.state !== 'free');
    for (const chain of out.slice(0, DUMPED_CHAINS_MAX)) {
      if (chain === undefined) continue;
      const parts = chain.parts.map(
        ({ address, length, writable }) => `${writable ? 'w' : 'r'} 0x${address.toString(16)}+${length}`,
      );
      lines.push(`chain ${chain.head} ${chain.state}, slot ${chain.slot}: ${parts.join(', ')}`);
    }
    if (out.length > DUMPED_CHAINS_MAX) lines.push(`and ${out.length - DUMPED_CHAINS_MAX} more chains`);
    return lines;
  }
}

const DUMPED_CHAINS_MAX = 12;

/** Bits `from` .. `to` - 1. */
export function bitsOf(from: number, to: number): number {
  return (1 << to) - (1 << from);
}
