/** Follows a descriptor chain as a device that keeps every descriptor for inspection, and says which rules of chapter 4 it breaks. */
import { Descriptor, DescriptorFlag } from '../../../virtio/index.js';
import type { GuestMemory, MemoryWindow, RingFeatures } from '../../../virtio/index.js';

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

export class ChainWalk {
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
