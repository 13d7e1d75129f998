/**
 * A descriptor chain as the device half takes it: the descriptors are copied once, checked against guest memory and kept,
 * so that what a driver does to them afterwards changes nothing. Readable parts come first, then writable ones.
 */
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
import type { DescriptorChain } from './queue.js';
import { CHAIN_BYTES_MAX, Descriptor, DescriptorFlag } from './split-layout.js';

export class SplitDescriptorChain implements DescriptorChain {
  readonly #memory: GuestMemory;
  /** Of each part; they grow to the longest chain that was taken, at most the queue's size. */
  readonly #address: number[] = [];
  readonly #length: number[] = [];
  readonly #table: MemoryWindow;
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
    this.#memory = memory;
    this.#table = memory.newWindow();
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

  /**
   * Copies the chain at `head` of a table of `size` descriptors. Returns the rule that the driver broke, or undefined. At
   * most `size` descriptors are read, besides the one that refers to an indirect table.
   */
  fill(head: number, descriptors: MemoryWindow, size: number, indirectAllowed: boolean): string | undefined {
    this.#clear(head);
    let table = descriptors;
    let entries = size;
    let at = head;
    for (let count = 0; ;) {
      if (count === size) return `chain ${head}: longer than the queue, or a loop; size ${size}`;
      if (at >= entries) return `chain ${head}: next ${at} is out of range; ${entries} entries`;
      const offset = Descriptor.SIZE * at;
      const address = table.get64(offset + Descriptor.ADDR);
      const length = table.get32(offset + Descriptor.LEN);
      const flags = table.get16(offset + Descriptor.FLAGS);
      const next = table.get16(offset + Descriptor.NEXT);
      if ((flags & DescriptorFlag.INDIRECT) !== 0) {
        const fault = this.#enterTable(address, length, flags, indirectAllowed && table === descriptors);
        if (fault !== undefined) return fault;
        table = this.#table;
        entries = length / Descriptor.SIZE;
        at = 0;
        continue;
      }
      count++;
      const fault = this.#add(address, length, (flags & DescriptorFlag.WRITE) !== 0);
      if (fault !== undefined) return fault;
      if ((flags & DescriptorFlag.NEXT) === 0) return undefined;
      at = next;
    }
  }

  #clear(head: number): void {
    this.#head = head;
    this.#parts = 0;
    this.#readableParts = 0;
    this.#readableBytes = 0;
    this.#writableBytes = 0;
    this.#seekPart = 0;
    this.#seekStart = 0;
    this.#seekWritable = false;
  }

  #enterTable(address: number, length: number, flags: number, allowed: boolean): string | undefined {
    const chain = `chain ${this.#head}`;
    if (!allowed) return `${chain}: an indirect table where none is allowed`;
    if ((flags & DescriptorFlag.NEXT) !== 0) return `${chain}: INDIRECT and NEXT in one descriptor`;
    if (length === 0 || length % Descriptor.SIZE !== 0)
      return `${chain}: an indirect table of ${length} bytes`;
    if (!this.#memory.aim(this.#table, address, length)) {
      return `${chain}: indirect table at ${address}, ${length} bytes, is not in one region of guest memory`;
    }
    return undefined;
  }

  #add(address: number, length: number, writable: boolean): string | undefined {
    if (!writable && this.#parts !== this.#readableParts) {
      return `chain ${this.#head}: a readable descriptor after a writable one`;
    }
    // Of no bytes: legal, contributes nothing, and may point anywhere. A writable one still ends the readable half.
    if (length === 0 && !writable) return undefined;
    if (length !== 0 && !this.#memory.contains(address, length)) {
      return `chain ${this.#head}: ${length} bytes at ${address} are not in guest memory`;
    }
    if (this.#readableBytes + this.#writableBytes + length > CHAIN_BYTES_MAX) {
      return `chain ${this.#head}: more than ${CHAIN_BYTES_MAX} bytes`;
    }
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
      if (!this.#memory.read(this.#address[part] + within, target, targetOffset + done, run)) break;
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
      if (!this.#memory.write(this.#address[part] + within, source, sourceOffset + done, run)) break;
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
