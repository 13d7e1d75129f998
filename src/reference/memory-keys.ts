/**
 * Memory regions and their keys. A key is the region's index (24 bits) and a generation (8 bits), so that a stale key of a
 * reused index does not work; it is never 0. Every access checks key, protection domain, range and rights again, so a
 * region that was deregistered is out of reach from the next packet on.
 */
import { AccessFlag } from '../abi/index.js';
import type { DmaMemory } from '../verbs/index.js';
import type { Counters } from './counters.js';
import type { HcaMr, HcaMrInit } from './hca.js';
import type { ProtectionDomain } from './protection-domain.js';

const REMOTE_RIGHTS = AccessFlag.REMOTE_READ | AccessFlag.REMOTE_WRITE;

export class MemoryRegion implements HcaMr {
  readonly kind = 'hca-mr';
  readonly lkey: number;
  readonly rkey: number;
  readonly pd: ProtectionDomain;
  readonly access: number;
  readonly #start: number;
  readonly #end: number;
  readonly #memory: DmaMemory;
  readonly #pageBytes: number;
  readonly #pages: Float64Array | undefined;
  /** Address at which the first page starts. */
  readonly #firstPage: number;
  readonly #counters: Counters;

  constructor(key: number, pd: ProtectionDomain, init: HcaMrInit, counters: Counters) {
    this.lkey = key;
    this.rkey = (init.access & REMOTE_RIGHTS) !== 0 ? key : 0;
    this.pd = pd;
    this.access = init.access;
    this.#start = init.iova;
    this.#end = init.iova + init.length;
    this.#memory = init.memory;
    this.#pageBytes = init.pageBytes;
    this.#pages = init.pages?.slice();
    this.#firstPage = init.iova - (init.iova % init.pageBytes);
    this.#counters = counters;
  }

  covers(address: number, length: number): boolean {
    return address >= this.#start && address + length <= this.#end;
  }

  /** Copies registered bytes to `target`. False when the memory behind the region is gone. */
  read(address: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    const pages = this.#pages;
    this.#counters.bytesCopied += length;
    if (pages === undefined) {
      this.#counters.addressTranslations++;
      return this.#memory.read(address, target, targetOffset, length);
    }
    for (let done = 0; done < length;) {
      const place = this.#place(pages, address + done);
      const part = Math.min(this.#restOfPage(address + done), length - done);
      if (!this.#memory.read(place, target, targetOffset + done, part)) return false;
      done += part;
    }
    return true;
  }

  /** Copies bytes of `source` to registered memory. */
  write(address: number, source: Uint8Array, sourceOffset: number, length: number): boolean {
    const pages = this.#pages;
    this.#counters.bytesCopied += length;
    if (pages === undefined) {
      this.#counters.addressTranslations++;
      return this.#memory.write(address, source, sourceOffset, length);
    }
    for (let done = 0; done < length;) {
      const place = this.#place(pages, address + done);
      const part = Math.min(this.#restOfPage(address + done), length - done);
      if (!this.#memory.write(place, source, sourceOffset + done, part)) return false;
      done += part;
    }
    return true;
  }

  #place(pages: Float64Array, address: number): number {
    this.#counters.addressTranslations++;
    const offset = address - this.#firstPage;
    const page = Math.floor(offset / this.#pageBytes);
    return pages[page] + (offset - page * this.#pageBytes);
  }

  #restOfPage(address: number): number {
    const offset = address - this.#firstPage;
    return this.#pageBytes - (offset - Math.floor(offset / this.#pageBytes) * this.#pageBytes);
  }
}

const INDEX_MAX = 0xff_ffff;

export class MemoryKeys {
  /** Index 0 is never used, so no key is 0. */
  readonly #regions: (MemoryRegion | undefined)[] = [undefined];
  readonly #generations: number[] = [0];
  readonly #free: number[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(make: (key: number) => MemoryRegion): MemoryRegion {
    const index = this.#free.pop() ?? this.#regions.length;
    if (index > INDEX_MAX) throw new RangeError('more than 2^24 memory regions');
    const generation = ((this.#generations[index] ?? 0) + 1) & 0xff;
    const region = make(((index << 8) | generation) >>> 0);
    this.#regions[index] = region;
    this.#generations[index] = generation;
    this.#count++;
    return region;
  }

  /** False when the region is not registered any more. */
  remove(region: MemoryRegion): boolean {
    const index = region.lkey >>> 8;
    if (this.#regions[index] !== region) return false;
    this.#regions[index] = undefined;
    this.#free.push(index);
    this.#count--;
    return true;
  }

  /** The region that `lkey` names, if it covers the range and grants `rights` to queue pairs of `pd`. */
  local(
    lkey: number,
    pd: ProtectionDomain,
    address: number,
    length: number,
    rights: number,
  ): MemoryRegion | undefined {
    const region = this.#regions[lkey >>> 8];
    if (region === undefined || region.lkey !== lkey) return undefined;
    return granted(region, pd, address, length, rights) ? region : undefined;
  }

  /** The same for a key that a peer sent. */
  remote(
    rkey: number,
    pd: ProtectionDomain,
    address: number,
    length: number,
    rights: number,
  ): MemoryRegion | undefined {
    const region = this.#regions[rkey >>> 8];
    if (region === undefined || region.rkey !== rkey) return undefined;
    return granted(region, pd, address, length, rights) ? region : undefined;
  }

  clear(): void {
    for (const region of this.#regions) if (region !== undefined) this.remove(region);
  }
}

function granted(
  region: MemoryRegion,
  pd: ProtectionDomain,
  address: number,
  length: number,
  rights: number,
): boolean {
  return region.pd === pd && (region.access & rights) === rights && region.covers(address, length);
}
