/**
 * The device's half of a split virtqueue as the bench holds it: it takes chains with every descriptor kept for inspection,
 * reports what breaks the rules of the ring, and writes used elements that are right, or anything else.
 */
import {
  Avail,
  Descriptor,
  DescriptorFlag,
  Used,
  availEventOffset,
  availRingBytes,
  descriptorTableBytes,
  needsEvent,
  usedEventOffset,
  usedRingBytes,
} from '../../../virtio/index.js';
import type { GuestMemory, MemoryWindow, QueueAddresses, RingFeatures } from '../../../virtio/index.js';

/** One descriptor with a place in the message. */
export interface Part {
  readonly address: number;
  readonly length: number;
  readonly writable: boolean;
}

/** A chain that the bench has taken. */
export interface Chain {
  readonly queue: number;
  readonly head: number;
  readonly parts: readonly Part[];
  /** Descriptors of the ring that it occupies. */
  readonly descriptors: readonly number[];
  /** The indirect table that it goes on in. */
  readonly table: { readonly address: number; readonly bytes: number } | undefined;
  /** The readable string as it was when the chain was taken. */
  readonly readable: Uint8Array;
  readonly writableBytes: number;
}

/** Takes down that a rule is broken; the case goes on and fails at its end. */
export type Report = (requirements: readonly string[], message: string) => void;

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

/** Follows one chain and says which rules of chapter 4 it breaks. */
class ChainWalk {
  readonly #memory: GuestMemory;
  readonly #ring: MemoryWindow;
  readonly #queue: number;
  readonly #size: number;
  readonly #features: RingFeatures;
  readonly #report: Report;
  readonly #parts: Part[] = [];
  readonly #descriptors: number[] = [];
  #table: { readonly address: number; readonly bytes: number } | undefined;

  constructor(
    memory: GuestMemory,
    ring: MemoryWindow,
    queue: number,
    size: number,
    features: RingFeatures,
    report: Report,
  ) {
    this.#memory = memory;
    this.#ring = ring;
    this.#queue = queue;
    this.#size = size;
    this.#features = features;
    this.#report = report;
  }

  follow(head: number): Chain | undefined {
    let entries = this.#size;
    let window = this.#ring;
    let at = head;
    for (;;) {
      if (at >= entries) return this.#bad(['VQ-28'], head, `names descriptor ${at} of ${entries}`);
      const offset = Descriptor.SIZE * at;
      const address = window.get64(offset + Descriptor.ADDR);
      const length = window.get32(offset + Descriptor.LEN);
      const flags = window.get16(offset + Descriptor.FLAGS);
      const next = window.get16(offset + Descriptor.NEXT);
      if (this.#table === undefined) this.#descriptors.push(at);
      if ((flags & DescriptorFlag.INDIRECT) !== 0) {
        const table = this.#enter(head, address, length, flags);
        if (table === undefined) return undefined;
        window = table;
        entries = length / Descriptor.SIZE;
        at = 0;
        continue;
      }
      if (!this.#add(head, address, length, (flags & DescriptorFlag.WRITE) !== 0)) return undefined;
      if ((flags & DescriptorFlag.NEXT) === 0) return this.#done(head);
      at = next;
    }
  }

  #enter(head: number, address: number, length: number, flags: number): MemoryWindow | undefined {
    if (!this.#features.indirect) return this.#bad(['VQ-20'], head, 'uses INDIRECT, which is not negotiated');
    if (this.#table !== undefined)
      return this.#bad(['VQ-21'], head, 'uses INDIRECT within an indirect table');
    if ((flags & DescriptorFlag.NEXT) !== 0)
      return this.#bad(['VQ-22'], head, 'sets INDIRECT and NEXT in one descriptor');
    if (length === 0 || length % Descriptor.SIZE !== 0)
      return this.#bad(['VQ-28'], head, `has an indirect table of ${length} bytes`);
    this.#table = { address, bytes: length };
    const window = this.#memory.window(address, length);
    if (window === undefined) return this.#bad(['VQ-28'], head, 'has an indirect table outside guest memory');
    return window;
  }

  #add(head: number, address: number, length: number, writable: boolean): boolean {
    if (!writable && this.#parts.some(part => part.writable)) {
      this.#bad(['VQ-14'], head, 'has a readable descriptor behind a writable one');
      return false;
    }
    if (length === 0) this.#bad(['VQ-19'], head, 'has a descriptor of length 0');
    if (length > 0 && !this.#memory.contains(address, length)) {
      this.#bad(['VQ-28'], head, `names ${length} bytes at 0x${address.toString(16)}, outside guest memory`);
      return false;
    }
    this.#parts.push({ address, length, writable });
    if (this.#parts.length <= this.#size) return true;
    this.#bad(['VQ-15'], head, `has more than ${this.#size} descriptors`);
    return false;
  }

  #done(head: number): Chain | undefined {
    const parts = this.#parts;
    const bytes = parts.reduce((sum, { length }) => sum + length, 0);
    if (bytes > 2 ** 32) return this.#bad(['VQ-17'], head, `has ${bytes} bytes`);
    const readable = new Uint8Array(parts.reduce((sum, part) => sum + (part.writable ? 0 : part.length), 0));
    let at = 0;
    for (const { address, length, writable } of parts) {
      if (writable) continue;
      this.#memory.read(address, readable, at, length);
      at += length;
    }
    return {
      queue: this.#queue,
      head,
      parts,
      descriptors: this.#descriptors,
      table: this.#table,
      readable,
      writableBytes: bytes - readable.length,
    };
  }

  #bad(requirements: readonly string[], head: number, what: string): undefined {
    this.#report(requirements, `queue ${this.#queue}: chain ${head} ${what}`);
    return undefined;
  }
}

function areaOf(memory: GuestMemory, address: number, length: number): MemoryWindow {
  const window = memory.window(address, length);
  if (window === undefined) throw new RangeError(`${length} bytes at ${address} are not in guest memory`);
  return window;
}
