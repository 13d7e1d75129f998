/**
 * A simulated guest machine: the `GuestOs` that the harness runs a driver on. Its memory is one region; the lower part is
 * handed out as DMA memory, the upper part holds the program's arena, whose pages lie there in a shuffled order, so that a
 * driver or device that takes neighbours in virtual memory for neighbours in guest-physical memory is found out.
 */
import type { DmaBuffer, GuestOs, Task } from '../driver/index.js';
import { SeededChoices } from '../fabric/index.js';
import type { Scheduler } from '../fabric/index.js';
import { VerbsError } from '../verbs/index.js';
import type { DmaMemory } from '../verbs/index.js';
import { GuestMemory, copyBytes } from '../virtio/index.js';
import type { Arena } from './arena.js';

export const PAGE_BYTES = 4096;

/** First virtual address of every arena. */
export const ARENA_BASE = 0x7f00_0000_0000;

/** First guest-physical address: not 0, so that an offset taken for an address misses. */
export const GUEST_BASE = 0x1_4000_0000;

/** Up to this many bytes are compared one by one: cheaper than making the views that comparing them at once needs. */
const COMPARED_ONE_BY_ONE = 256;

/** What freed DMA memory is filled with: whoever goes on using it reads nonsense. */
const FREED = 0xdb;

/** Where the memory of simulated guests comes from and goes to. */
export interface Memories {
  /** Bytes that are taken in place of so many, at least as many; whole pages. Absent: just as many. */
  sizeFor?(bytes: number): number;
  /** Zeroed memory; `bytes` is a multiple of the page size. */
  take(bytes: number): Uint8Array;
  /** Takes memory back that nobody uses any more. */
  give(memory: Uint8Array): void;
}

/**
 * Memories of guests that are gone, to be used again: megabytes that come and go with each program would keep the collector
 * busy, and the compiler with it, whose code dies with every collection.
 */
export class MemoryPool implements Memories {
  readonly #free: Uint8Array[] = [];

  take(bytes: number): Uint8Array {
    const at = this.#free.findIndex(memory => memory.length === bytes);
    if (at < 0) return new Uint8Array(bytes);
    const [memory] = this.#free.splice(at, 1);
    return memory.fill(0);
  }

  give(memory: Uint8Array): void {
    if (this.#free.length < POOLED_MAX && memory.length <= POOLED_BYTES_MAX) this.#free.push(memory);
  }
}

const POOLED_MAX = 8;
const POOLED_BYTES_MAX = 4 * 1024 * 1024;

export interface SimulatedGuestInit {
  readonly scheduler: Scheduler;
  /** All guest memory, arena included. Whole pages. */
  readonly memoryBytes: number;
  /** The program's memory. Whole pages, at least one. */
  readonly arenaBytes: number;
  /** Seed of the order in which the arena's pages lie in guest memory. */
  readonly scatterSeed: number;
  /** Where its memory comes from and goes to. */
  readonly pool?: Memories | undefined;
}

export class SimulatedGuest implements GuestOs, Arena {
  readonly memory = new GuestMemory();
  readonly arenaBytes: number;
  readonly #scheduler: Scheduler;
  readonly #bytes: Uint8Array;
  readonly #pool: Memories | undefined;
  readonly #dma: DmaArea;
  /** Offset in `#bytes` of each page of the arena. */
  readonly #pageOffsets: Float64Array;
  readonly #pinned: Uint32Array;

  constructor({ scheduler, memoryBytes, arenaBytes, scatterSeed, pool }: SimulatedGuestInit) {
    for (const [name, bytes] of Object.entries({ memoryBytes, arenaBytes })) {
      if (!(bytes > 0 && bytes % PAGE_BYTES === 0)) {
        throw new RangeError(`guest: ${name} is ${bytes}, expected a positive multiple of ${PAGE_BYTES}`);
      }
    }
    if (arenaBytes >= memoryBytes) {
      throw new RangeError(
        `guest: an arena of ${arenaBytes} bytes leaves no DMA memory in ${memoryBytes} bytes`,
      );
    }
    this.arenaBytes = arenaBytes;
    this.#scheduler = scheduler;
    this.#bytes = pool?.take(memoryBytes) ?? new Uint8Array(memoryBytes);
    this.#pool = pool;
    this.memory.addRegion(GUEST_BASE, this.#bytes);
    this.#dma = new DmaArea(this.#bytes, memoryBytes - arenaBytes);
    this.#pinned = new Uint32Array(arenaBytes / PAGE_BYTES);
    this.#pageOffsets = shuffledPages(memoryBytes - arenaBytes, arenaBytes / PAGE_BYTES, scatterSeed);
  }

  /** Puts the machine's memory, at its addresses, into another address space too. */
  shareWith(memory: GuestMemory): void {
    memory.addRegion(GUEST_BASE, this.#bytes);
  }

  /** The machine is gone: nobody looks at its memory from here on. */
  release(): void {
    this.#pool?.give(this.#bytes);
  }

  /** DMA memory that is allocated now; 0 when nothing leaks. */
  get dmaBytesInUse(): number {
    return this.#dma.bytesInUse;
  }

  allocDma(bytes: number, alignment: number): DmaBuffer {
    return this.#dma.alloc(bytes, alignment);
  }

  /** Throws Error for a buffer that is not allocated. */
  freeDma(buffer: DmaBuffer): void {
    this.#dma.free(buffer);
  }

  translate(virtualAddress: number): number {
    const offset = virtualAddress - ARENA_BASE;
    if (!(offset >= 0 && offset < this.arenaBytes)) {
      throw new VerbsError('EFAULT', 'translate', `address 0x${virtualAddress.toString(16)} is not mapped`);
    }
    const page = Math.floor(offset / PAGE_BYTES);
    this.#pinned[page]++;
    return GUEST_BASE + this.#place(offset);
  }

  /** Throws Error for a page that is not in use by anybody. */
  releasePage(virtualAddress: number): void {
    const page = Math.floor((virtualAddress - ARENA_BASE) / PAGE_BYTES);
    if (!(this.#pinned[page] > 0)) throw new Error(`guest: the page of ${virtualAddress} is not in use`);
    this.#pinned[page]--;
  }

  /** How often each page of the arena was translated and not released. */
  get pinned(): Uint32Array {
    return this.#pinned.slice();
  }

  defer(task: Task): void {
    this.#scheduler.post(task);
  }

  /** Virtual address of a byte of the arena; any integer is taken, so that a program can miss its arena. */
  arenaAddress(offset: number): number {
    return ARENA_BASE + offset;
  }

  /** Copies arena bytes [offset, offset+length) out. Throws RangeError outside the arena. */
  readArena(offset: number, length: number): Uint8Array {
    const target = new Uint8Array(length);
    if (!this.#copyOut(offset, target, 0, length)) throw outside(offset, length, this.arenaBytes);
    return target;
  }

  /** Copies bytes into the arena. Throws RangeError outside the arena. */
  writeArena(offset: number, bytes: Uint8Array): void {
    if (!this.#copyIn(offset, bytes, 0, bytes.length)) throw outside(offset, bytes.length, this.arenaBytes);
  }

  /** Copies the whole arena, `arenaBytes` long, in virtual order. */
  snapshotArena(into: Uint8Array): void {
    if (!this.#copyOut(0, into, 0, this.arenaBytes)) throw outside(0, this.arenaBytes, into.length);
  }

  /** The arena at its virtual addresses, as an HCA without an address translation of its own sees it. */
  flatMemory(): DmaMemory {
    return {
      read: (address, target, targetOffset, length) =>
        this.#copyOut(address - ARENA_BASE, target, targetOffset, length),
      write: (address, source, sourceOffset, length) =>
        this.#copyIn(address - ARENA_BASE, source, sourceOffset, length),
    };
  }

  /** The first of `length` bytes from arena byte `at` on that is not as in `source` from `sourceAt` on, counted from 0; -1: none. */
  differenceFrom(at: number, source: Uint8Array, sourceAt: number, length: number): number {
    for (let done = 0; done < length;) {
      const run = Math.min(length - done, PAGE_BYTES - ((at + done) % PAGE_BYTES));
      const found = firstDifference(this.#bytes, this.#place(at + done), source, sourceAt + done, run);
      if (found >= 0) return done + found;
      done += run;
    }
    return -1;
  }

  /** The same against the arena of another machine. */
  differenceFromGuest(at: number, other: Arena, otherAt: number, length: number): number {
    if (!(other instanceof SimulatedGuest))
      return this.differenceFrom(at, other.readArena(otherAt, length), 0, length);
    for (let done = 0; done < length;) {
      const run = Math.min(length - done, PAGE_BYTES - ((otherAt + done) % PAGE_BYTES));
      const found = this.differenceFrom(at + done, other.#bytes, other.#place(otherAt + done), run);
      if (found >= 0) return done + found;
      done += run;
    }
    return -1;
  }

  /** Offset in the region of an arena offset. */
  #place(offset: number): number {
    return this.#pageOffsets[Math.floor(offset / PAGE_BYTES)] + (offset % PAGE_BYTES);
  }

  #holds(offset: number, length: number): boolean {
    return offset >= 0 && length >= 0 && offset + length <= this.arenaBytes;
  }

  #copyOut(offset: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    if (!this.#holds(offset, length) || targetOffset + length > target.length) return false;
    for (let done = 0; done < length;) {
      const run = Math.min(length - done, PAGE_BYTES - ((offset + done) % PAGE_BYTES));
      copyBytes(this.#bytes, this.#place(offset + done), target, targetOffset + done, run);
      done += run;
    }
    return true;
  }

  #copyIn(offset: number, source: Uint8Array, sourceOffset: number, length: number): boolean {
    if (!this.#holds(offset, length) || sourceOffset + length > source.length) return false;
    for (let done = 0; done < length;) {
      const run = Math.min(length - done, PAGE_BYTES - ((offset + done) % PAGE_BYTES));
      copyBytes(source, sourceOffset + done, this.#bytes, this.#place(offset + done), run);
      done += run;
    }
    return true;
  }
}

/** Free runs of the DMA area, by ascending offset and never touching each other. */
class DmaArea {
  readonly #bytes: Uint8Array;
  readonly #free: { offset: number; length: number }[];
  /** Offset and length of every buffer that is out. */
  readonly #taken = new Map<DmaBuffer, { readonly offset: number; readonly length: number }>();
  #inUse = 0;

  constructor(bytes: Uint8Array, length: number) {
    this.#bytes = bytes;
    this.#free = [{ offset: 0, length }];
  }

  get bytesInUse(): number {
    return this.#inUse;
  }

  /** First fit. */
  alloc(length: number, alignment: number): DmaBuffer {
    if (!(length >= 1 && alignment >= 1))
      throw new RangeError(`DMA: ${length} bytes at a multiple of ${alignment}`);
    for (let i = 0; i < this.#free.length; i++) {
      const run = this.#free[i];
      const offset = Math.ceil((GUEST_BASE + run.offset) / alignment) * alignment - GUEST_BASE;
      const end = offset + length;
      if (end > run.offset + run.length) continue;
      this.#cut(i, offset, end);
      return this.#take(offset, length);
    }
    throw new VerbsError('ENOMEM', 'allocDma', `no ${length} bytes of DMA memory, ${this.#inUse} are in use`);
  }

  /** Takes [start, end) out of a free run. */
  #cut(at: number, start: number, end: number): void {
    const run = this.#free[at];
    const behind = run.offset + run.length - end;
    run.length = start - run.offset;
    if (behind > 0 && run.length > 0) this.#free.splice(at + 1, 0, { offset: end, length: behind });
    else if (behind > 0) {
      run.offset = end;
      run.length = behind;
    } else if (run.length === 0) this.#free.splice(at, 1);
  }

  free(buffer: DmaBuffer): void {
    const place = this.#taken.get(buffer);
    if (place === undefined) throw new Error(`DMA: the buffer at ${buffer.address} is not allocated`);
    this.#taken.delete(buffer);
    this.#inUse -= place.length;
    this.#bytes.fill(FREED, place.offset, place.offset + place.length);
    const free = this.#free;
    let at = free.findIndex(run => run.offset > place.offset);
    if (at < 0) at = free.length;
    free.splice(at, 0, { ...place });
    if (at + 1 < free.length) this.#join(at);
    if (at > 0) this.#join(at - 1);
  }

  #take(offset: number, length: number): DmaBuffer {
    const bytes = this.#bytes.subarray(offset, offset + length);
    const view = new DataView(bytes.buffer, bytes.byteOffset, length);
    const buffer = { address: GUEST_BASE + offset, bytes, view };
    this.#taken.set(buffer, { offset, length });
    this.#inUse += length;
    return buffer;
  }

  /** Joins a free run with the next one if they touch. */
  #join(at: number): void {
    const run = this.#free[at];
    const next = this.#free[at + 1];
    if (run.offset + run.length !== next.offset) return;
    run.length += next.length;
    this.#free.splice(at + 1, 1);
  }
}

function shuffledPages(start: number, count: number, seed: number): Float64Array {
  const choices = new SeededChoices(seed);
  const pages = new Float64Array(count);
  for (let page = 0; page < count; page++) pages[page] = start + page * PAGE_BYTES;
  for (let i = count - 1; i > 0; i--) {
    const j = choices.pick(i + 1);
    [pages[i], pages[j]] = [pages[j], pages[i]];
  }
  return pages;
}

/** Where two pieces of `length` bytes differ first, counted from their starts; -1: nowhere. */
function firstDifference(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, length: number): number {
  if (length > COMPARED_ONE_BY_ONE && equalBytes(a, aAt, b, bAt, length)) return -1;
  for (let i = 0; i < length; i++) if (a[aAt + i] !== b[bAt + i]) return i;
  return -1;
}

function equalBytes(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, length: number): boolean {
  return Buffer.compare(a.subarray(aAt, aAt + length), b.subarray(bAt, bAt + length)) === 0;
}

function outside(offset: number, length: number, arenaBytes: number): RangeError {
  return new RangeError(`arena bytes ${offset}..${offset + length - 1} of ${arenaBytes}`);
}
