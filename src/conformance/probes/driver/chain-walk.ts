/** Follows a descriptor chain as a device that keeps every descriptor for inspection, and says which rules of chapter 4 it breaks. */
import { Descriptor, DescriptorFlag, PackedDescriptor, PackedFlag } from '../../../virtio/index.js';
import type { GuestMemory, MemoryWindow, RingFeatures } from '../../../virtio/index.js';
import { MARKS } from '../packed-place.js';
import type { Place } from '../packed-place.js';

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

export interface WalkInit {
  readonly memory: GuestMemory;
  readonly ring: MemoryWindow;
  readonly queue: number;
  readonly size: number;
  readonly features: RingFeatures;
  readonly report: Report;
}

/** What every format has: parts in their order, at most so many, in guest memory. */
abstract class ChainWalk {
  protected readonly init: WalkInit;
  protected readonly descriptors: number[] = [];
  protected table: { readonly address: number; readonly bytes: number } | undefined;
  readonly #parts: Part[] = [];

  constructor(init: WalkInit) {
    this.init = init;
  }

  /** The table that a descriptor names; undefined when there may be none, or not there. */
  protected enter(head: number, address: number, length: number): MemoryWindow | undefined {
    const { features, memory } = this.init;
    if (!features.indirect) return this.bad(['VQ-20'], head, 'uses INDIRECT, which is not negotiated');
    if (length === 0 || length % Descriptor.SIZE !== 0)
      return this.bad(['VQ-28'], head, `has an indirect table of ${length} bytes`);
    this.table = { address, bytes: length };
    const window = memory.window(address, length);
    if (window === undefined) return this.bad(['VQ-28'], head, 'has an indirect table outside guest memory');
    return window;
  }

  protected add(head: number, address: number, length: number, writable: boolean): boolean {
    const { memory, size } = this.init;
    if (!writable && this.#parts.some(part => part.writable)) {
      this.bad(['VQ-14'], head, 'has a readable descriptor behind a writable one');
      return false;
    }
    if (length === 0) this.bad(['VQ-19'], head, 'has a descriptor of length 0');
    if (length > 0 && !memory.contains(address, length)) {
      this.bad(['VQ-28'], head, `names ${length} bytes at 0x${address.toString(16)}, outside guest memory`);
      return false;
    }
    this.#parts.push({ address, length, writable });
    if (this.#parts.length <= size) return true;
    this.bad(['VQ-15'], head, `has more than ${size} descriptors`);
    return false;
  }

  protected done(head: number): Chain | undefined {
    const { memory, queue } = this.init;
    const parts = this.#parts;
    const bytes = parts.reduce((sum, { length }) => sum + length, 0);
    if (bytes > 2 ** 32) return this.bad(['VQ-17'], head, `has ${bytes} bytes`);
    const readable = new Uint8Array(parts.reduce((sum, part) => sum + (part.writable ? 0 : part.length), 0));
    let at = 0;
    for (const { address, length, writable } of parts) {
      if (writable) continue;
      memory.read(address, readable, at, length);
      at += length;
    }
    return {
      queue,
      head,
      parts,
      descriptors: this.descriptors,
      table: this.table,
      readable,
      writableBytes: bytes - readable.length,
    };
  }

  protected bad(requirements: readonly string[], head: number, what: string): undefined {
    const { report, queue } = this.init;
    report(requirements, `queue ${queue}: chain ${head} ${what}`);
    return undefined;
  }
}

/** Goes from descriptor to descriptor by `next`. */
export class SplitWalk extends ChainWalk {
  follow(head: number): Chain | undefined {
    let entries = this.init.size;
    let window = this.init.ring;
    let at = head;
    for (;;) {
      if (at >= entries) return this.bad(['VQ-28'], head, `names descriptor ${at} of ${entries}`);
      const offset = Descriptor.SIZE * at;
      const address = window.get64(offset + Descriptor.ADDR);
      const length = window.get32(offset + Descriptor.LEN);
      const flags = window.get16(offset + Descriptor.FLAGS);
      const next = window.get16(offset + Descriptor.NEXT);
      if (this.table === undefined) this.descriptors.push(at);
      if ((flags & DescriptorFlag.INDIRECT) !== 0) {
        if (this.table !== undefined)
          return this.bad(['VQ-21'], head, 'uses INDIRECT within an indirect table');
        if ((flags & DescriptorFlag.NEXT) !== 0)
          return this.bad(['VQ-22'], head, 'sets INDIRECT and NEXT in one descriptor');
        const table = this.enter(head, address, length);
        if (table === undefined) return undefined;
        window = table;
        entries = length / Descriptor.SIZE;
        at = 0;
        continue;
      }
      if (!this.add(head, address, length, (flags & DescriptorFlag.WRITE) !== 0)) return undefined;
      if ((flags & DescriptorFlag.NEXT) === 0) return this.done(head);
      at = next;
    }
  }
}

/** Goes from slot to slot, and through a table from entry to entry. The chain is named by the id in its last descriptor. */
export class PackedWalk extends ChainWalk {
  follow(from: Place): Chain | undefined {
    const { ring, size } = this.init;
    const last = this.#last(from);
    if (last === undefined) return undefined;
    const id = ring.get16(PackedDescriptor.SIZE * from.ahead(last).slot + PackedDescriptor.ID);
    for (let i = 0; i <= last; i++) {
      const { slot } = from.ahead(i);
      const offset = PackedDescriptor.SIZE * slot;
      const flags = ring.get16(offset + PackedDescriptor.FLAGS);
      const address = ring.get64(offset + PackedDescriptor.ADDR);
      const length = ring.get32(offset + PackedDescriptor.LEN);
      this.descriptors.push(slot);
      if ((flags & PackedFlag.INDIRECT) !== 0) {
        if (last > 0) return this.bad(['VQ-89'], id, 'sets INDIRECT, and has several descriptors');
        if (length > PackedDescriptor.SIZE * size)
          return this.bad(['VQ-15'], id, `has a table of ${length} bytes in a queue of ${size}`);
        if (!this.#addTable(id, address, length)) return undefined;
      } else if (!this.add(id, address, length, (flags & PackedFlag.WRITE) !== 0)) return undefined;
    }
    return this.done(id);
  }

  /** Descriptors behind the first up to the last of the chain. */
  #last(from: Place): number | undefined {
    const { ring, size } = this.init;
    for (let i = 0; i < size; i++) {
      const { slot, available } = from.ahead(i);
      const flags = ring.get16(PackedDescriptor.SIZE * slot + PackedDescriptor.FLAGS);
      if ((flags & MARKS) !== available)
        return this.bad(
          ['VQ-85'],
          from.slot,
          `at slot ${from.slot} goes on into slot ${slot}, which is not available`,
        );
      if ((flags & PackedFlag.NEXT) === 0) return i;
    }
    return this.bad(['VQ-15'], from.slot, `at slot ${from.slot} has more than ${size} descriptors`);
  }

  #addTable(id: number, address: number, length: number): boolean {
    const table = this.enter(id, address, length);
    if (table === undefined) return false;
    for (let at = 0; at < length; at += PackedDescriptor.SIZE) {
      const flags = table.get16(at + PackedDescriptor.FLAGS);
      if ((flags & ~PackedFlag.WRITE) !== 0)
        this.bad(
          ['VQ-89'],
          id,
          `has flags 0x${flags.toString(16)} in its table, where only WRITE has a meaning`,
        );
      const part = table.get64(at + PackedDescriptor.ADDR);
      const bytes = table.get32(at + PackedDescriptor.LEN);
      if (!this.add(id, part, bytes, (flags & PackedFlag.WRITE) !== 0)) return false;
    }
    return true;
  }
}
