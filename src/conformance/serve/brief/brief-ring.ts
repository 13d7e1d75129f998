/**
 * A ring that is followed in brief: what matters of its chains lies in typed arrays, and each access of the device is held
 * against them. As long as nothing is wrong there is nothing to say. Whatever is not plainly right is refused, with the state
 * as it was before, and is looked at again in detail: only there breaches are found, and put into words.
 */
import type { GuestMemory, MemoryWindow, QueueConfig, RingFeatures } from '../../../virtio/index.js';
import type { ObservationKey } from '../../ring-watch/observations.js';
import type { RingHost, RingState } from '../../ring-watch/ring-state.js';

/** Areas of a ring: what it is read by, what the driver writes, and what the device writes. Of a packed ring two are events. */
export const Area = { DESCRIPTORS: 0, DRIVER: 1, DEVICE: 2 } as const;

/** What can be counted while nothing is wrong: the place of each among the counts. */
export const Look = {
  availIndex: 0,
  reuse: 1,
  chainShape: 2,
  indirect: 3,
  driverFlags: 4,
  emptyDescriptor: 5,
  chainShown: 6,
  tableOrder: 7,
  ownership: 8,
  takeOrder: 9,
  deviceDoubleFetch: 10,
  readsWithin: 11,
  writesWithin: 12,
  foreignAreas: 13,
  lateWrites: 14,
  deviceFlags: 15,
  usedIndex: 16,
  usedId: 17,
  availEvent: 18,
  inOrder: 19,
  usedLength: 20,
  chainMachine: 21,
  notificationData: 22,
} as const satisfies Readonly<Partial<Record<ObservationKey, number>>>;

/** States of a chain. */
export const FREE = 0;
export const AVAILABLE = 1;
export const TAKEN = 2;
export const USED = 3;

/** Chains with more bytes are followed in detail. */
const BRIEF_BYTES_MAX = 1 << 20;
/** Chains that are looked through for the owner of a byte: the ones taken last. */
const OWNERS_MAX = 64;

/** Words of a descriptor as both formats have them: address in two, then the length. */
const LENGTH = 2;
export const WORDS = 4;

export interface BriefInit {
  /** The guest's memory, unwatched. */
  readonly memory: GuestMemory;
  readonly config: QueueConfig;
  readonly features: RingFeatures;
  readonly looks: Float64Array;
  /** Whether bytes belong to a ring: nobody follows those of a chain that lie there. */
  inRings(address: number, length: number): boolean;
}

export abstract class BriefRing {
  readonly config: QueueConfig;
  readonly size: number;
  readonly features: RingFeatures;
  /** The queue is gone, or followed in detail. */
  closed = false;
  protected readonly looks: Float64Array;
  protected readonly table: MemoryWindow;
  protected outstanding = 0;
  /** By chain: its state, its bytes, how many writable ones were written from the first on, and which readable ones were read. */
  protected readonly state: Uint8Array;
  protected readonly readableBytes: Uint32Array;
  protected readonly writableBytes: Uint32Array;
  protected readonly prefix: Uint32Array;
  protected readonly readFrom: Uint32Array;
  protected readonly readTo: Uint32Array;
  /** By descriptor: its words as they were published. */
  protected readonly words: Uint32Array;
  /** By its place in the ring: the chain that it belongs to or -1, and the bytes that were read, a bit each. */
  protected readonly owner: Int32Array;
  protected readonly bytesRead: Uint16Array;
  readonly #init: BriefInit;
  #writable = 0;
  #readable = 0;

  /** @param descriptors that are known at a time. */
  protected constructor(init: BriefInit, table: MemoryWindow, descriptors: number) {
    const { config, features, looks } = init;
    const { size } = config;
    this.#init = init;
    this.config = config;
    this.size = size;
    this.features = features;
    this.looks = looks;
    this.table = table;
    this.state = new Uint8Array(descriptors);
    this.readableBytes = new Uint32Array(descriptors);
    this.writableBytes = new Uint32Array(descriptors);
    this.prefix = new Uint32Array(descriptors);
    this.readFrom = new Uint32Array(descriptors);
    this.readTo = new Uint32Array(descriptors);
    this.words = new Uint32Array(WORDS * descriptors);
    this.owner = new Int32Array(size).fill(-1);
    this.bytesRead = new Uint16Array(size);
  }

  /** The driver has published what is not plainly right, and what comes behind it was not looked at. */
  behind = false;
  /** Takes up what the driver has published. False: not all of it is right. */
  sync(): boolean {
    if (this.closed) return false;
    this.behind = !this.takeUp();
    return !this.behind;
  }
  protected abstract takeUp(): boolean;
  /** The device read, wrote, or is about to store a word at bytes [from, to) of an area. False: it is not plainly right. */
  abstract read(area: number, from: number, to: number): boolean;
  abstract wrote(area: number, from: number, to: number): boolean;
  abstract storing(area: number, from: number, value: number): boolean;
  /** A position as a notification carries it. */
  abstract get nextAvailable(): number;
  /** The same ring in detail, as it stands. */
  abstract inDetail(host: RingHost): RingState;

  /** The chain that was taken `back` chains ago, 1 being the last one; -1 when there is none. */
  protected abstract takenBefore(back: number): number;
  /** The descriptor behind one of a chain; -1 behind its last. */
  protected abstract nextOf(descriptor: number): number;
  protected abstract isWritable(descriptor: number): boolean;

  /** The device read bytes that are in no ring. Undefined: they are of no chain here. */
  readData(address: number, length: number): boolean | undefined {
    const at = this.#find(address, length, false);
    if (at < 0) return undefined;
    const chain = this.#found;
    this.looks[Look.deviceDoubleFetch]++;
    const { readFrom, readTo } = this;
    const end = at + length;
    if (readFrom[chain] === readTo[chain]) {
      readFrom[chain] = at;
      readTo[chain] = end;
    } else if (at === readTo[chain]) readTo[chain] = end;
    else if (end === readFrom[chain]) readFrom[chain] = at;
    else {
      this.looks[Look.deviceDoubleFetch]--;
      return false;
    }
    this.looks[Look.readsWithin]++;
    return true;
  }

  /** The device wrote bytes that are in no ring. Undefined: they are of no chain here. */
  wroteData(address: number, length: number): boolean | undefined {
    const at = this.#find(address, length, true);
    if (at < 0) return undefined;
    const chain = this.#found;
    if (at > this.prefix[chain]) return false;
    this.prefix[chain] = Math.max(this.prefix[chain], at + length);
    this.looks[Look.writesWithin]++;
    this.looks[Look.foreignAreas]++;
    return true;
  }

  #found = 0;

  /** Finds the chain that has these bytes, in one descriptor. Returns the place among its readable or writable bytes, or -1. */
  #find(address: number, length: number, writable: boolean): number {
    for (let back = 1; back <= OWNERS_MAX; back++) {
      const chain = this.takenBefore(back);
      if (chain < 0) return -1;
      if (this.state[chain] !== TAKEN) continue;
      let offset = 0;
      for (let at = chain; at >= 0; at = this.nextOf(at)) {
        if (this.isWritable(at) !== writable) continue;
        const bytes = this.words[WORDS * at + LENGTH];
        const within = address - this.#addressOf(at);
        if (within >= 0 && within + length <= bytes) {
          this.#found = chain;
          return offset + within;
        }
        offset += bytes;
      }
    }
    return -1;
  }

  #addressOf(descriptor: number): number {
    return this.words[WORDS * descriptor] + this.words[WORDS * descriptor + 1] * 0x1_0000_0000;
  }

  /** Copies a descriptor out of its place in the ring. */
  protected copy(descriptor: number, place: number): void {
    const at = WORDS * descriptor;
    const from = 4 * WORDS * place;
    const { table, words } = this;
    words[at] = table.get32(from);
    words[at + 1] = table.get32(from + 4);
    words[at + 2] = table.get32(from + 8);
    words[at + 3] = table.get32(from + 12);
  }

  protected startChain(): void {
    this.#readable = 0;
    this.#writable = 0;
  }

  /** The part that a copied descriptor stands for. False: it is not plainly right. */
  protected addPart(descriptor: number): boolean {
    const length = this.words[WORDS * descriptor + LENGTH];
    const writable = this.isWritable(descriptor);
    if (length === 0 || (!writable && this.#writable > 0)) return false;
    if (this.#readable + this.#writable + length > BRIEF_BYTES_MAX) return false;
    const address = this.#addressOf(descriptor);
    if (!this.#init.memory.contains(address, length) || this.#init.inRings(address, length)) return false;
    if (writable) this.#writable += length;
    else this.#readable += length;
    return true;
  }

  /** All its parts are right: the chain is the device's. */
  protected enter(chain: number): void {
    this.readableBytes[chain] = this.#readable;
    this.writableBytes[chain] = this.#writable;
    this.prefix[chain] = 0;
    this.readFrom[chain] = this.readTo[chain] = 0;
    this.state[chain] = AVAILABLE;
    this.outstanding++;
    const { looks } = this;
    looks[Look.reuse]++;
    looks[Look.chainShape]++;
    looks[Look.indirect]++;
    looks[Look.driverFlags]++;
    looks[Look.emptyDescriptor]++;
    looks[Look.chainMachine]++;
  }

  protected take(chain: number): void {
    this.state[chain] = TAKEN;
    this.looks[Look.chainMachine]++;
  }

  /** Whether a chain may come back with so many bytes. */
  protected mayReturn(chain: number, length: number): boolean {
    return this.state[chain] === TAKEN && length <= this.prefix[chain];
  }

  protected back(chain: number): void {
    this.state[chain] = USED;
    this.outstanding--;
    const { looks } = this;
    if (this.features.inOrder === true) looks[Look.inOrder]++;
    looks[Look.usedLength]++;
    looks[Look.ownership]++;
    looks[Look.chainMachine]++;
  }
}

/** Bits `from` .. `to` - 1. */
export function bits(from: number, to: number): number {
  return (1 << to) - (1 << from);
}
