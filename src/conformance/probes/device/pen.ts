/**
 * The driver's half of a virtqueue as the probe plays it, whatever the format: chains of any cut, direct or in indirect tables,
 * and lists that no sound driver writes. What a format alone has is done with its own hand, `SplitPen` or `PackedPen`; neither
 * shares code with the drivers and devices that are judged.
 */
import { writeLe64 } from '../../../abi/index.js';
import { Descriptor } from '../../../virtio/index.js';
import type { QueueAddresses } from '../../../virtio/index.js';
import type { WatchedMemory } from './watched-memory.js';

/** A run of guest memory that one descriptor names. */
export interface Part {
  readonly address: number;
  readonly length: number;
  readonly writable?: boolean;
}

/** A descriptor as it lies in memory; `address` may be any 64-bit number. */
export interface RawDescriptor {
  readonly address: number | bigint;
  readonly length: number;
  readonly flags?: number;
  /** Of a split ring the descriptor that follows, of a packed one the buffer id. */
  readonly next?: number;
  /** Bits of the flags that are turned over once all else is laid, marks of a packed ring among them. */
  readonly turned?: number;
}

/** How a list that is laid by hand is made available, where that is not as it should be. */
export interface Offer {
  /** What it is named by: of a split ring the head in its slot, of a packed one the buffer id. */
  readonly head?: number | undefined;
  /** How far the next chain lies behind this one: of a split ring in slots, of a packed one in lists. 1 when absent. */
  readonly jump?: number | undefined;
}

/** A chain that was made available and has not come back. */
export interface Chain {
  readonly head: number;
  readonly parts: readonly Part[];
  /** Descriptors of the ring that it takes. */
  readonly descriptors: readonly number[];
}

export interface UsedElement {
  readonly id: number;
  readonly length: number;
  readonly chain: Chain;
}

/** A word of a ring that an attack may overwrite; a format that does not have it has its like. */
export const ringWords = [
  'available-index',
  'available-flags',
  'slot',
  'used-index',
  'used-flags',
  'used-event',
  'available-event',
  'descriptor-length',
  'descriptor-flags',
  'descriptor-next',
] as const;
export type RingWord = (typeof ringWords)[number];

/** Reports a broken rule; never returns. */
export type Accuse = (requirements: readonly string[], message: string) => never;

export interface PenInit {
  readonly index: number;
  readonly size: number;
  readonly addresses: QueueAddresses;
  readonly memory: WatchedMemory;
  readonly accuse: Accuse;
}

export abstract class RingPen {
  readonly index: number;
  readonly size: number;
  readonly addresses: QueueAddresses;
  readonly outstanding = new Map<number, Chain>();
  protected readonly memory: WatchedMemory;
  protected readonly accuse: Accuse;

  constructor({ index, size, addresses, memory, accuse }: PenInit) {
    this.index = index;
    this.size = size;
    this.addresses = addresses;
    this.memory = memory;
    this.accuse = accuse;
  }

  abstract get freeDescriptors(): number;

  /**
   * Lays a chain into the ring without showing it. With `table` the parts from `direct` on stand in an indirect table at
   * that address.
   */
  abstract add(parts: readonly Part[], table?: number, direct?: number): Chain;

  /** Shows the device all that was added. */
  abstract publish(): void;

  /** Whether the device asks to be told of what was published since the last time this was asked. */
  abstract kickWanted(eventIdx: boolean): boolean;

  /** The used element that stands next, and what comes with it; empty when there is none. Accuses of one that cannot be. */
  protected abstract take(): UsedElement[];

  /**
   * Lays a list by hand where the next chain belongs and shows it. Descriptors are linked where they have NEXT and no `next`;
   * nothing is kept track of. Returns what the list is named by.
   */
  abstract offer(list: readonly RawDescriptor[], how?: Offer): number;

  /** Writes an indirect table with the flags that are given, linked where the format links them. */
  abstract table(place: number, entries: readonly RawDescriptor[]): void;

  /** Makes a chain that the device has available once more. */
  abstract offerAgain(chain: Chain): void;

  /** The queue is enabled anew: its areas are zeros, and both sides stand at the start. */
  abstract restart(): void;

  protected abstract wordAddress(word: RingWord, at: number): number;

  /** Overwrites a word, the one of descriptor or slot `at` where there are many. */
  scribble(word: RingWord, at: number, value: number): void {
    const place = this.memory.at(this.wordAddress(word, at % this.size));
    if (word === 'descriptor-length') this.memory.view.setUint32(place, value, true);
    else this.memory.view.setUint16(place, value & 0xffff, true);
  }

  /** Takes what came back. Accuses of an element that cannot be. */
  harvest(): UsedElement[] {
    const all: UsedElement[] = [];
    for (let some = this.take(); some.length > 0; some = this.take()) all.push(...some);
    return all;
  }

  /** A chain that comes back with a used length; accuses when it cannot. */
  protected returned(id: number, length: number, unknown: readonly string[]): UsedElement {
    const chain = this.outstanding.get(id);
    if (chain === undefined)
      return this.accuse(unknown, `queue ${this.index}: id ${id} came back, which is no outstanding chain`);
    const room = roomOf(chain);
    if (length > room)
      return this.accuse(
        [room === 0 ? 'VQ-38' : 'VQ-37'],
        `queue ${this.index}: used length ${length} for a chain with ${room} writable bytes`,
      );
    this.outstanding.delete(id);
    for (const part of chain.parts) if (part.writable === true) this.memory.forbid(part.address, part.length);
    return { id, length, chain };
  }

  descriptor(index: number, descriptor: RawDescriptor): void {
    this.descriptorAt(this.addresses.descriptors + Descriptor.SIZE * index, descriptor);
  }
  /** Writes a descriptor anywhere, such as into an indirect table. */
  abstract descriptorAt(place: number, descriptor: RawDescriptor): void;

  /** Address and length, which both formats have in the same place. */
  protected writeRun(at: number, { address, length }: RawDescriptor): void {
    const { view } = this.memory;
    if (typeof address === 'bigint') view.setBigUint64(at, address, true);
    else writeLe64(view, at, address);
    view.setUint32(at + Descriptor.LEN, length, true);
  }

  protected set16(address: number, value: number): void {
    this.memory.view.setUint16(this.memory.at(address), value & 0xffff, true);
  }
  protected get16(address: number): number {
    return this.memory.view.getUint16(this.memory.at(address), true);
  }
}

/** Writable bytes of a chain. */
export function roomOf({ parts }: Chain): number {
  return parts.reduce((sum, part) => sum + (part.writable === true ? part.length : 0), 0);
}
