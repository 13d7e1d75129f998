/**
 * A descriptor chain as the driver published it: where its parts lie, which descriptors it uses, and a copy of what the
 * device may read. It is kept and filled again, one for each head of a ring.
 */
import type { GuestMemory } from '../../virtio/index.js';
import { CHAIN_BYTES_MAX, Descriptor, DescriptorFlag } from '../../virtio/index.js';
import type { Stretch } from './places.js';

export interface Part {
  readonly address: number;
  readonly length: number;
  readonly writable: boolean;
}

/** Something wrong with a chain, by the observation that it breaks. */
export interface ChainFault {
  readonly breaks: 'chainShape' | 'indirect' | 'driverFlags';
  readonly message: string;
}

const KNOWN_FLAGS = DescriptorFlag.NEXT | DescriptorFlag.WRITE | DescriptorFlag.INDIRECT;
/** Bytes of a string of which each one is followed; what lies behind counts as written. */
const FOLLOWED_BYTES_MAX = 1 << 20;

const scratch = new Uint8Array(Descriptor.SIZE);
const scratchView = new DataView(scratch.buffer);

/** What is there before anything is: one for all chains. */
const NO_BYTES = new Uint8Array(0);
const NO_ENTRIES = new Uint16Array(0);

export type ChainState = 'free' | 'available' | 'taken' | 'used';

export class PostedChain {
  readonly head: number;
  state: ChainState = 'free';
  /** Slot of the available ring; of a packed ring, that of the first descriptor. */
  slot = 0;
  readonly parts: Part[] = [];
  readonly places: Stretch[] = [];
  /** Descriptors in the ring's table that it uses, with what they hold. */
  readonly descriptors: number[] = [];
  #ringCopy = NO_BYTES;
  /** The indirect table; of no bytes when there is none. */
  tableAddress = 0;
  tableBytes = 0;
  #tableCopy = NO_BYTES;
  /** Bytes of each table entry that the device has read, a bit each. */
  #tableRead = NO_ENTRIES;
  readableBytes = 0;
  writableBytes = 0;
  emptyParts = 0;
  /** What the readable part held when it was published. */
  readable = NO_BYTES;
  /** 1 for each readable byte that the device has read. */
  #fetched = NO_BYTES;
  /** 1 for each writable byte that the device has written. */
  #written = NO_BYTES;
  /** Writable bytes written from the first on without a gap. */
  prefix = 0;
  /** Bytes that the device returned it with, and the used element that said so. */
  usedLength = 0;
  usedSlot = 0;

  constructor(head: number) {
    this.head = head;
  }

  /** Follows the chain through memory. Returns what is wrong with it, the first thing only. */
  fill(memory: GuestMemory, table: number, size: number, indirectAllowed: boolean): ChainFault | undefined {
    this.clear();
    let base = table;
    let entries = size;
    let at = this.head;
    let fault: ChainFault | undefined;
    for (let count = 0; ;) {
      if (at >= entries) return shape(`next ${at} is not below the ${entries} entries of its table`);
      if (count === size) return shape(`it has more than ${size} descriptors, or a loop`);
      if (!memory.read(base + Descriptor.SIZE * at, scratch, 0, Descriptor.SIZE))
        return shape(`descriptor ${at} is not in guest memory`);
      const inTable = this.tableBytes > 0;
      if (!inTable) this.keep(at, scratch);
      const address = read64(scratchView, Descriptor.ADDR);
      const length = scratchView.getUint32(Descriptor.LEN, true);
      const flags = scratchView.getUint16(Descriptor.FLAGS, true);
      const next = scratchView.getUint16(Descriptor.NEXT, true);
      if ((flags & ~KNOWN_FLAGS) !== 0)
        fault ??= { breaks: 'driverFlags', message: `descriptor ${at} has flags ${flags}` };
      if ((flags & DescriptorFlag.INDIRECT) !== 0) {
        const wrong = this.#enter(memory, { address, length, flags, nested: inTable, indirectAllowed });
        if (wrong !== undefined) return { breaks: 'indirect', message: wrong };
        base = address;
        entries = length / Descriptor.SIZE;
        at = 0;
        continue;
      }
      count++;
      const wrong = this.add(memory, address, length, (flags & DescriptorFlag.WRITE) !== 0);
      if (wrong !== undefined) return shape(wrong);
      if ((flags & DescriptorFlag.NEXT) === 0) break;
      at = next;
    }
    this.followBytes(memory);
    return fault;
  }

  protected clear(): void {
    this.parts.length = 0;
    this.descriptors.length = 0;
    this.tableBytes = 0;
    this.readableBytes = 0;
    this.writableBytes = 0;
    this.emptyParts = 0;
    this.prefix = 0;
  }

  /** Keeps what descriptor `at` of the ring holds. */
  protected keep(at: number, bytes: Uint8Array): void {
    const end = this.descriptors.length * Descriptor.SIZE;
    this.#ringCopy = longer(this.#ringCopy, end, end + Descriptor.SIZE);
    this.#ringCopy.set(bytes, end);
    this.descriptors.push(at);
  }

  /** All parts are known: their bytes are followed from here on. */
  protected followBytes(memory: GuestMemory): void {
    this.#copyReadable(memory);
    const followed = Math.min(this.writableBytes, FOLLOWED_BYTES_MAX);
    this.#written = grown(this.#written, followed);
    this.#written.fill(0, 0, followed);
  }

  #enter(
    memory: GuestMemory,
    table: { address: number; length: number; flags: number; nested: boolean; indirectAllowed: boolean },
  ): string | undefined {
    const { address, length, flags, nested } = table;
    if (!table.indirectAllowed) return 'it uses INDIRECT, which was not negotiated';
    if (nested) return 'it uses INDIRECT within an indirect table';
    if ((flags & DescriptorFlag.NEXT) !== 0) return 'it has INDIRECT and NEXT in one descriptor';
    return this.keepTable(memory, address, length);
  }

  protected keepTable(memory: GuestMemory, address: number, length: number): string | undefined {
    if (length === 0 || length % Descriptor.SIZE !== 0) return `its indirect table has ${length} bytes`;
    this.#tableCopy = grown(this.#tableCopy, length);
    if (!memory.read(address, this.#tableCopy, 0, length))
      return `its indirect table at ${address}, ${length} bytes, is not in guest memory`;
    this.tableAddress = address;
    this.tableBytes = length;
    const entries = length / Descriptor.SIZE;
    if (this.#tableRead.length < entries) this.#tableRead = new Uint16Array(entries);
    this.#tableRead.fill(0, 0, entries);
    return undefined;
  }

  protected add(memory: GuestMemory, address: number, length: number, writable: boolean): string | undefined {
    if (!writable && this.parts.some(part => part.writable))
      return 'it has a readable descriptor behind a writable one';
    if (length === 0) this.emptyParts++;
    else if (!memory.contains(address, length))
      return `${length} bytes at ${address} are not in guest memory`;
    if (this.readableBytes + this.writableBytes + length > CHAIN_BYTES_MAX)
      return 'it has more than 2^32 bytes';
    this.parts.push({ address, length, writable });
    if (writable) this.writableBytes += length;
    else this.readableBytes += length;
    return undefined;
  }

  #copyReadable(memory: GuestMemory): void {
    const bytes = this.followed;
    this.readable = grown(this.readable, bytes);
    this.#fetched = grown(this.#fetched, bytes);
    this.#fetched.fill(0, 0, bytes);
    let offset = 0;
    for (const { address, length, writable } of this.parts) {
      if (writable || offset >= bytes) break;
      memory.read(address, this.readable, offset, Math.min(length, bytes - offset));
      offset += length;
    }
  }

  /** Readable bytes of which {@link readable} has a copy. */
  get followed(): number {
    return Math.min(this.readableBytes, FOLLOWED_BYTES_MAX);
  }

  /** Whether its descriptors and its table hold what they held; the index of the first descriptor that does not. */
  changedDescriptor(memory: GuestMemory, table: number): number | undefined {
    for (const [i, at] of this.descriptors.entries()) {
      memory.read(table + Descriptor.SIZE * at, scratch, 0, Descriptor.SIZE);
      for (let byte = 0; byte < Descriptor.SIZE; byte++)
        if (scratch[byte] !== this.#ringCopy[i * Descriptor.SIZE + byte]) return at;
    }
    return undefined;
  }

  /** A copy of the descriptors of its table. */
  protected get tableCopy(): Uint8Array<ArrayBuffer> {
    return this.#tableCopy;
  }

  /** The first byte of its table that has changed. */
  changedTable(memory: GuestMemory): number | undefined {
    for (let from = 0; from < this.tableBytes; from += Descriptor.SIZE) {
      memory.read(this.tableAddress + from, scratch, 0, Descriptor.SIZE);
      for (let byte = 0; byte < Descriptor.SIZE; byte++)
        if (scratch[byte] !== this.#tableCopy[from + byte]) return from + byte;
    }
    return undefined;
  }

  /** The first readable byte of [from, to) that has changed. */
  changedReadable(memory: GuestMemory, from = 0, to = this.followed): number | undefined {
    let offset = 0;
    for (const { address, length, writable } of this.parts) {
      if (writable) break;
      for (let done = Math.max(0, from - offset); done < length && offset + done < to;) {
        const run = Math.min(Descriptor.SIZE, length - done, to - offset - done);
        memory.read(address + done, scratch, 0, run);
        for (let byte = 0; byte < run; byte++)
          if (scratch[byte] !== this.readable[offset + done + byte]) return offset + done + byte;
        done += run;
      }
      offset += length;
    }
    return undefined;
  }

  /** The device read table bytes [from, to). True: one of them again. */
  readTable(from: number, to: number): boolean {
    let again = false;
    for (let byte = from; byte < to; byte++) {
      const entry = byte >> 4;
      const bit = 1 << (byte & 15);
      if ((this.#tableRead[entry] & bit) !== 0) again = true;
      this.#tableRead[entry] |= bit;
    }
    return again;
  }

  /** The device read readable bytes [from, to). True: one of them again. */
  fetch(from: number, to: number): boolean {
    let again = false;
    const end = Math.min(to, this.followed);
    for (let byte = from; byte < end; byte++) {
      if (this.#fetched[byte] === 1) again = true;
      this.#fetched[byte] = 1;
    }
    return again;
  }

  /** The device wrote writable bytes [from, to). */
  wrote(from: number, to: number): void {
    this.#written.fill(1, from, to);
    const followed = Math.min(this.writableBytes, FOLLOWED_BYTES_MAX);
    while (this.prefix < followed && this.#written[this.prefix] === 1) this.prefix++;
    if (this.prefix === FOLLOWED_BYTES_MAX) this.prefix = this.writableBytes;
  }

  /** The writable bytes [0, length) as they are in memory. */
  copyWritable(memory: GuestMemory, length: number): Uint8Array {
    const bytes = new Uint8Array(Math.min(length, this.writableBytes));
    let offset = 0;
    for (const part of this.parts) {
      if (!part.writable || offset >= bytes.length) continue;
      const run = Math.min(part.length, bytes.length - offset);
      memory.read(part.address, bytes, offset, run);
      offset += run;
    }
    return bytes;
  }
}

export function shape(message: string): ChainFault {
  return { breaks: 'chainShape', message };
}

function grown(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  return bytes.length >= length ? bytes : new Uint8Array(Math.max(length, 2 * bytes.length));
}

/** At least `length` bytes, of which the first `kept` are those of before. */
function longer(bytes: Uint8Array<ArrayBuffer>, kept: number, length: number): Uint8Array<ArrayBuffer> {
  if (bytes.length >= length) return bytes;
  const more = grown(bytes, length);
  more.set(bytes.subarray(0, kept));
  return more;
}

export function read64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}

/** The device has it. */
export function isOut({ state }: PostedChain): boolean {
  return state === 'available' || state === 'taken';
}
