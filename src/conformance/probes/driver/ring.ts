/**
 * The device's half of a split virtqueue as the bench holds it: it takes chains with every descriptor kept for inspection,
 * reports what breaks the rules of the ring, and writes used elements that are right, or anything else.
 */
import {
  Avail,
  Descriptor,
  Used,
  availEventOffset,
  availRingBytes,
  descriptorTableBytes,
  needsEvent,
  usedEventOffset,
  usedRingBytes,
} from '../../../virtio/index.js';
import type { GuestMemory, MemoryWindow, QueueAddresses, RingFeatures } from '../../../virtio/index.js';
import { ChainWalk } from './chain-walk.js';
import type { Chain, Report } from './chain-walk.js';

export type { Chain, Report } from './chain-walk.js';

export class ProbeRing {
  readonly index: number;
  readonly size: number;
  readonly addresses: QueueAddresses;
  readonly outstanding = new Map<number, Chain>();
  readonly #memory: GuestMemory;
  readonly #features: RingFeatures;
  readonly #report: Report;
  readonly #table: MemoryWindow;
  readonly #avail: MemoryWindow;
  readonly #used: MemoryWindow;
  /** Chains taken so far; their low 16 bits are the ring's index. */
  taken = 0;
  #usedIdx = 0;
  #signalled = 0;

  /** Throws RangeError when an area is not in guest memory. */
  constructor(
    memory: GuestMemory,
    index: number,
    size: number,
    addresses: QueueAddresses,
    features: RingFeatures,
    report: Report,
  ) {
    this.index = index;
    this.size = size;
    this.addresses = addresses;
    this.#memory = memory;
    this.#features = features;
    this.#report = report;
    this.#table = areaOf(memory, addresses.descriptors, descriptorTableBytes(size));
    this.#avail = areaOf(memory, addresses.driver, availRingBytes(size));
    this.#used = areaOf(memory, addresses.device, usedRingBytes(size));
  }

  /** The driver's index, and chains that it made available and nobody has taken. */
  get availIdx(): number {
    return this.#avail.load16(Avail.IDX);
  }
  get available(): number {
    return (this.availIdx - this.taken) & 0xffff;
  }
  get usedIdx(): number {
    return this.#usedIdx;
  }
  get availFlags(): number {
    return this.#avail.load16(Avail.FLAGS);
  }
  get usedEvent(): number {
    return this.#avail.load16(usedEventOffset(this.size));
  }

  /** The next chain; undefined when there is none, or none that can be followed. */
  take(): Chain | undefined {
    const { available } = this;
    if (available === 0) return undefined;
    if (available + this.outstanding.size > this.size) {
      this.#report(
        ['VQ-30'],
        `queue ${this.index}: ${available} chains are available and ${this.outstanding.size} with the device, but the queue has ${this.size} entries`,
      );
      return undefined;
    }
    const head = this.#avail.get16(Avail.RING + Avail.ENTRY * (this.taken % this.size));
    const chain = this.#follow(head);
    if (chain === undefined) return undefined;
    this.taken++;
    this.#checkOwnership(chain);
    this.outstanding.set(head, chain);
    return chain;
  }

  takeAll(): Chain[] {
    const chains: Chain[] = [];
    for (let chain = this.take(); chain !== undefined; chain = this.take()) chains.push(chain);
    return chains;
  }

  /** Returns a chain as it should be: once, with the bytes that were written. */
  giveBack(chain: Chain, written: number): void {
    this.outstanding.delete(chain.head);
    this.element(chain.head, written);
  }

  /** Puts any element at all into the next place of the used ring and raises the index by one. */
  element(id: number, written: number): void {
    const at = Used.RING + Used.ENTRY * (this.#usedIdx % this.size);
    this.#used.set32(at + Used.ID, id);
    this.#used.set32(at + Used.LEN, written);
    this.raise(1);
  }

  /** Raises the used index, whatever stands in the ring. */
  raise(by: number): void {
    this.#usedIdx = (this.#usedIdx + by) & 0xffff;
    this.#used.store16(Used.IDX, this.#usedIdx);
  }

  /** Whether the driver asked for a notification of what was returned since the last time this was asked. */
  interruptWanted(): boolean {
    const from = this.#signalled;
    this.#signalled = this.#usedIdx;
    if (from === this.#usedIdx) return false;
    if (this.#features.eventIdx) return needsEvent(this.usedEvent, this.#usedIdx, from);
    return (this.availFlags & Avail.NO_INTERRUPT) === 0;
  }

  /** Writes the flags of the used ring: 1 asks for no kicks. */
  setFlags(flags: number): void {
    this.#used.store16(Used.FLAGS, flags);
  }
  /** Names the entry of the available ring at which the device wants a kick; 16 bits. */
  setAvailEvent(entry: number): void {
    this.#used.store16(availEventOffset(this.size), entry & 0xffff);
  }

  /** Writes to the writable part of a chain from `offset` on; what does not fit is left out. */
  write(chain: Chain, offset: number, bytes: Uint8Array): void {
    let start = 0;
    for (const part of chain.parts) {
      if (!part.writable) continue;
      const from = Math.max(offset, start);
      const to = Math.min(offset + bytes.length, start + part.length);
      if (from < to) this.#memory.write(part.address + from - start, bytes, from - offset, to - from);
      start += part.length;
    }
  }

  /** The descriptors, the table and the readable bytes of a chain as they are now, for comparison. */
  snapshot(chain: Chain): Uint8Array {
    const { descriptors, table, parts } = chain;
    const pieces: { address: number; length: number }[] = descriptors.map(at => ({
      address: this.addresses.descriptors + Descriptor.SIZE * at,
      length: Descriptor.SIZE,
    }));
    if (table !== undefined) pieces.push({ address: table.address, length: table.bytes });
    for (const { address, length, writable } of parts) if (!writable) pieces.push({ address, length });
    const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const { address, length } of pieces) {
      this.#memory.read(address, bytes, at, length);
      at += length;
    }
    return bytes;
  }

  #follow(head: number): Chain | undefined {
    const walk = new ChainWalk(
      this.#memory,
      this.#table,
      this.index,
      this.size,
      this.#features,
      this.#report,
    );
    return walk.follow(head);
  }

  #checkOwnership(chain: Chain): void {
    for (const other of this.outstanding.values()) {
      const shared = chain.descriptors.find(at => other.descriptors.includes(at));
      if (shared === undefined) continue;
      this.#report(
        ['VQ-30'],
        `queue ${this.index}: chain ${chain.head} uses descriptor ${shared}, which is in chain ${other.head} that is outstanding`,
      );
    }
  }
}

function areaOf(memory: GuestMemory, address: number, length: number): MemoryWindow {
  const window = memory.window(address, length);
  if (window === undefined) throw new RangeError(`${length} bytes at ${address} are not in guest memory`);
  return window;
}
