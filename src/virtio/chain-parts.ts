/**
 * The parts of a descriptor chain as the device half keeps them, the same for every ring format: read once, checked against
 * guest memory and copied, so that what a driver does to its descriptors afterwards changes nothing. Readable parts come
 * first, then writable ones.
 */
import type { GuestMemory } from './guest-memory.js';
import type { DescriptorChain } from './queue.js';
import { CHAIN_BYTES_MAX } from './split-layout.js';

/** A descriptor of some chain, from when it is read until its part is added: address in two words, length, and the rest. */
export const words = new Uint32Array(4);

/** Exact up to 2^53 - 1; a larger one is in no region. */
export function addressOf(descriptor: Uint32Array): number {
  return descriptor[0] + descriptor[1] * 0x1_0000_0000;
}

export abstract class ChainParts implements DescriptorChain {
  protected readonly memory: GuestMemory;
  /** Of each part; they grow to the longest chain that was taken, at most the queue's size. */
  readonly #address: number[] = [];
  readonly #length: number[] = [];
  #head = 0;
  #readableParts = 0;
  #parts = 0;
  #readableBytes = 0;
  #writableBytes = 0;
  /** Where the last access ended: a part and the byte of its half that it starts with. Going on from there needs no search. */
  #seekPart = 0;
  #seekStart = 0;
  #seekWritable = false;

  constructor(memory: GuestMemory) {
    this.memory = memory;
  }

  get head(): number {
    return this.#head;
  }
  get readableBytes(): number {
    return this.#readableBytes;
  }
  get writableBytes(): number {
    return this.#writableBytes;
  }

  protected clear(): void {
    this.#parts = 0;
    this.#readableParts = 0;
    this.#readableBytes = 0;
    this.#writableBytes = 0;
    this.#seekPart = 0;
    this.#seekStart = 0;
    this.#seekWritable = false;
  }

  protected setHead(head: number): void {
    this.#head = head;
  }

  /** Adds a part. Returns the rule that the driver broke, or undefined. */
  protected add(address: number, length: number, writable: boolean): string | undefined {
    if (!writable && this.#parts !== this.#readableParts) return 'a readable descriptor after a writable one';
    // Of no bytes: legal, contributes nothing, and may point anywhere. A writable one still ends the readable half.
    if (length === 0 && !writable) return undefined;
    if (length !== 0 && !this.memory.contains(address, length))
      return `${length} bytes at ${address} are not in guest memory`;
    if (this.#readableBytes + this.#writableBytes + length > CHAIN_BYTES_MAX)
      return `more than ${CHAIN_BYTES_MAX} bytes`;
    this.#address[this.#parts] = address;
    this.#length[this.#parts++] = length;
    if (writable) this.#writableBytes += length;
    else {
      this.#readableParts++;
      this.#readableBytes += length;
    }
    return undefined;
  }

  copyReadable(offset: number, target: Uint8Array, targetOffset: number, length: number): number {
    const wanted = Math.min(length, this.#readableBytes - offset);
    let done = 0;
    while (done < wanted) {
      const part = this.#seek(false, offset + done);
      const within = offset + done - this.#seekStart;
      const run = Math.min(wanted - done, this.#length[part] - within);
      if (!this.memory.read(this.#address[part] + within, target, targetOffset + done, run)) break;
      done += run;
    }
    return done;
  }

  writeWritable(offset: number, source: Uint8Array, sourceOffset: number, length: number): number {
    const wanted = Math.min(length, this.#writableBytes - offset);
    let done = 0;
    while (done < wanted) {
      const part = this.#seek(true, offset + done);
      const within = offset + done - this.#seekStart;
      const run = Math.min(wanted - done, this.#length[part] - within);
      if (!this.memory.write(this.#address[part] + within, source, sourceOffset + done, run)) break;
      done += run;
    }
    return done;
  }

  copyTo(offset: number, target: DescriptorChain, targetOffset: number, length: number): number {
    if (!(target instanceof ChainParts) || target.memory !== this.memory)
      throw new TypeError('copyTo: the chain is of another memory');
    const wanted = Math.min(length, this.#readableBytes - offset, target.#writableBytes - targetOffset);
    let done = 0;
    while (done < wanted) {
      const part = this.#seek(false, offset + done);
      const within = offset + done - this.#seekStart;
      const targetPart = target.#seek(true, targetOffset + done);
      const targetWithin = targetOffset + done - target.#seekStart;
      const run = Math.min(
        wanted - done,
        this.#length[part] - within,
        target.#length[targetPart] - targetWithin,
      );
      if (!this.memory.move(this.#address[part] + within, target.#address[targetPart] + targetWithin, run))
        break;
      done += run;
    }
    return done;
  }

  /** The part that holds byte `offset` of one half; there is one. Leaves the part's first byte in `#seekStart`. */
  #seek(writable: boolean, offset: number): number {
    if (writable !== this.#seekWritable || offset < this.#seekStart) {
      this.#seekWritable = writable;
      this.#seekPart = writable ? this.#readableParts : 0;
      this.#seekStart = 0;
    }
    while (offset >= this.#seekStart + this.#length[this.#seekPart]) {
      this.#seekStart += this.#length[this.#seekPart++];
    }
    return this.#seekPart;
  }
}
