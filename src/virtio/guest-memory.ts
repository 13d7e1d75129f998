/**
 * Guest memory: regions at guest-physical addresses over any buffer, with bounds checks on every access. Both halves of a
 * queue, the driver and the device's DMA see memory through this class only, so the same code runs on memory of one
 * process or on memory shared with another.
 *
 * Index, flag and event words of a ring are accessed through Atomics. Atomics are sequentially consistent: a load is an
 * acquire, a store is a release, and a store is seen before a later load of another word is done. So a publishing store
 * carries the full barrier that must stand between it and the look at the other side's event word; no other fence exists.
 */

import { WordsOfSame, copyByWords, copyBytes } from './copy-bytes.js';

/** Anything that bytes can live in; a `Uint8Array` gives a part of a buffer, or a mapped external one. */
export type RegionBuffer = ArrayBufferLike | Uint8Array;

/** Where a region lies, as `regions` lists them. */
export interface RegionPlace {
  readonly address: number;
  readonly length: number;
}

/** Regions start at a multiple of this, in the guest and in the buffer, so that words aligned for the guest are aligned here. */
const REGION_ALIGNMENT = 8;

/**
 * Guest-physical memory. Addresses are numbers in 0 .. 2^53-1; anything else (NaN, fractions, larger) is out of range.
 * Nothing throws but `addRegion` and `removeRegion`.
 */
export class GuestMemory {
  readonly #regions: Region[] = [];
  /** The region of the last access; nearly every access hits it. */
  #recent: Region | undefined;
  /** Words of the buffer that others copy from and to. */
  readonly #near = new WordsOfSame();

  constructor() {
    if (!hostIsLittleEndian())
      throw new Error('guest memory needs a little-endian host: rings are little-endian');
  }

  /** Regions by ascending address. */
  get regions(): readonly RegionPlace[] {
    return this.#regions.map(({ address, length }) => ({ address, length }));
  }

  /**
   * Puts a buffer into guest memory. Throws RangeError when the place is not a multiple of 8, not below 2^53, empty, or
   * overlaps another region.
   */
  addRegion(address: number, buffer: RegionBuffer): void {
    const bytes = buffer instanceof Uint8Array ? buffer : new Uint8Array(buffer);
    const end = address + bytes.length;
    if (!isAddress(address) || !isAddress(end)) throw new RangeError(`region at ${address}: beyond 2^53`);
    if (bytes.length === 0) throw new RangeError(`region at ${hex(address)}: its buffer is empty`);
    if (address % REGION_ALIGNMENT !== 0 || bytes.byteOffset % REGION_ALIGNMENT !== 0) {
      throw new RangeError(
        `region at ${hex(address)}, byte ${bytes.byteOffset} of its buffer: both must be multiples of ${REGION_ALIGNMENT}`,
      );
    }
    for (const region of this.#regions) {
      if (address < region.address + region.length && region.address < end) {
        throw new RangeError(
          `region ${hex(address)}..${hex(end)} overlaps ${hex(region.address)}..${hex(region.address + region.length)}`,
        );
      }
    }
    this.#regions.push(new Region(address, bytes));
    this.#regions.sort((a, b) => a.address - b.address);
  }

  /**
   * Takes the region that starts at `address` out of guest memory; nothing is found there any more. Windows on it go on
   * seeing the buffer that it had: whoever lends foreign memory must leave something harmless there. Throws RangeError
   * when no region starts at `address`.
   */
  removeRegion(address: number): void {
    const at = this.#regions.findIndex(region => region.address === address);
    if (at < 0) throw new RangeError(`no region starts at ${hex(address)}`);
    this.#regions.splice(at, 1);
    this.#recent = undefined;
  }

  /** True when every byte of [address, address+length) is guest memory. No bytes are contained at any address. */
  contains(address: number, length: number): boolean {
    const region = this.#find(address);
    if (region !== undefined && length >= 0 && address - region.address + length <= region.length)
      return true;
    return this.#containsAcross(address, length);
  }

  /** Copies `length` bytes at `address` to `target` from `targetOffset` on. False, and nothing copied, out of range. */
  read(address: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    const region = this.#find(address);
    if (region !== undefined) {
      const from = address - region.address;
      if (length >= 0 && from + length <= region.length) {
        if (targetOffset + length > target.length) return false;
        copyOut(region, from, target, this.#near.of(target), targetOffset, length);
        return true;
      }
    }
    return this.#readAcross(address, target, targetOffset, length);
  }

  /** Copies `length` bytes of `source` from `sourceOffset` on to `address`. False, and nothing copied, out of range. */
  write(address: number, source: Uint8Array, sourceOffset: number, length: number): boolean {
    const region = this.#find(address);
    if (region !== undefined) {
      const to = address - region.address;
      if (length >= 0 && to + length <= region.length) {
        if (sourceOffset + length > source.length) return false;
        copyIn(region, to, source, this.#near.of(source), sourceOffset, length);
        return true;
      }
    }
    return this.#writeAcross(address, source, sourceOffset, length);
  }

  /**
   * Copies `length` bytes from one place of guest memory to another, by way of nothing else. Places that overlap may be mixed
   * up. False, and nothing copied, when one of them is out of range.
   */
  move(from: number, to: number, length: number): boolean {
    const source = this.#whole(from, length);
    const target = this.#whole(to, length);
    if (source === undefined || target === undefined) return this.#moveAcross(from, to, length);
    const at = from - source.address;
    if (source === target) moveBytes(source, at, to - target.address, length);
    else
      copyByWords(
        source.bytes,
        source.longWords,
        at,
        target.bytes,
        target.longWords,
        to - target.address,
        length,
      );
    return true;
  }

  /** A window on [address, address+length), which must lie in one region; undefined when it does not. */
  window(address: number, length: number): MemoryWindow | undefined {
    const window = this.newWindow();
    return this.aim(window, address, length) ? window : undefined;
  }

  /** A window that points nowhere yet, for `aim`. */
  newWindow(): MemoryWindow {
    return new MemoryWindow();
  }

  /** Points an existing window at another place; allocates nothing. False, and the window as it was, when it does not lie in one region. */
  aim(window: MemoryWindow, address: number, length: number): boolean {
    const region = this.#whole(address, length);
    if (region === undefined) return false;
    window.point(region, address - region.address);
    return true;
  }

  /** Whether `window` and `aim` would find the place. */
  inOneRegion(address: number, length: number): boolean {
    return this.#whole(address, length) !== undefined;
  }

  /** The region that holds all of [address, address+length). */
  #whole(address: number, length: number): Region | undefined {
    const region = this.#find(address);
    if (region === undefined || !(length >= 0)) return undefined;
    return address - region.address + length <= region.length ? region : undefined;
  }

  #find(address: number): Region | undefined {
    const recent = this.#recent;
    if (recent !== undefined && holds(recent, address)) return recent;
    for (const region of this.#regions) {
      if (holds(region, address)) {
        this.#recent = region;
        return region;
      }
    }
    return undefined;
  }

  /** Bytes from `address` to the end of its region, at most `length`; 0 outside memory. */
  #run(address: number, length: number): number {
    const region = this.#find(address);
    return region === undefined ? 0 : Math.min(length, region.address + region.length - address);
  }

  #containsAcross(address: number, length: number): boolean {
    if (!isAddress(address) || !isAddress(length)) return false;
    let left = length;
    let at = address;
    while (left > 0) {
      const run = this.#run(at, left);
      if (run === 0) return false;
      at += run;
      left -= run;
    }
    return true;
  }

  #readAcross(address: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    if (!this.#containsAcross(address, length) || targetOffset + length > target.length) return false;
    for (let done = 0; done < length;) {
      const run = this.#run(address + done, length - done);
      this.read(address + done, target, targetOffset + done, run);
      done += run;
    }
    return true;
  }

  #moveAcross(from: number, to: number, length: number): boolean {
    if (!this.#containsAcross(from, length) || !this.#containsAcross(to, length)) return false;
    for (let done = 0; done < length;) {
      const run = Math.min(this.#run(from + done, length - done), this.#run(to + done, length - done));
      this.move(from + done, to + done, run);
      done += run;
    }
    return true;
  }

  #writeAcross(address: number, source: Uint8Array, sourceOffset: number, length: number): boolean {
    if (!this.#containsAcross(address, length) || sourceOffset + length > source.length) return false;
    for (let done = 0; done < length;) {
      const run = this.#run(address + done, length - done);
      this.write(address + done, source, sourceOffset + done, run);
      done += run;
    }
    return true;
  }
}

function moveBytes({ bytes, longWords }: Region, from: number, to: number, length: number): void {
  if (length > MOVE_BY_WORDS_MAX || ((from | to | length) & 3) !== 0) {
    bytes.copyWithin(to, from, from + length);
    return;
  }
  const shift = (to >>> 2) - (from >>> 2);
  const end = (from + length) >>> 2;
  for (let word = from >>> 2; word < end; word++) longWords[word + shift] = longWords[word];
}

/** Longer moves are quicker in one call. */
const MOVE_BY_WORDS_MAX = 96;

/**
 * A place in one region for code that knows the layout there: a ring area or an indirect table. Offsets are bytes from its
 * start; the caller stays inside the length it asked for. `load16` and `store16` need an even address.
 */
export class MemoryWindow {
  #region: Region = nowhere;
  #start = 0;

  /** @internal Called by {@link GuestMemory.aim}. */
  point(region: Region, start: number): void {
    this.#region = region;
    this.#start = start;
  }

  /** Guest-physical address of offset 0. */
  get address(): number {
    return this.#region.address + this.#start;
  }

  /** Loads a 16-bit word, with acquire meaning. */
  load16(offset: number): number {
    return Atomics.load(this.#region.words, (this.#start + offset) >>> 1);
  }

  /** Stores a 16-bit word, with release meaning and a full barrier behind it. */
  store16(offset: number, value: number): void {
    Atomics.store(this.#region.words, (this.#start + offset) >>> 1, value);
  }

  /** Plain accesses, little-endian; ordered by the `load16` before or the `store16` after them. */
  get16(offset: number): number {
    return this.#region.view.getUint16(this.#start + offset, true);
  }
  get32(offset: number): number {
    return this.#region.view.getUint32(this.#start + offset, true);
  }
  /** Exact up to 2^53 - 1; a larger value gives a number that no region holds. */
  get64(offset: number): number {
    const { view } = this.#region;
    const at = this.#start + offset;
    return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
  }
  /** The 16 bytes of a descriptor as four words, in one access: each byte is read once. */
  get128(offset: number, into: Uint32Array): void {
    const { view } = this.#region;
    const at = this.#start + offset;
    into[0] = view.getUint32(at, true);
    into[1] = view.getUint32(at + 4, true);
    into[2] = view.getUint32(at + 8, true);
    into[3] = view.getUint32(at + 12, true);
  }
  set16(offset: number, value: number): void {
    this.#region.view.setUint16(this.#start + offset, value, true);
  }
  set32(offset: number, value: number): void {
    this.#region.view.setUint32(this.#start + offset, value, true);
  }
  /** Two words side by side, in one access. */
  set32x2(offset: number, first: number, second: number): void {
    const { view } = this.#region;
    const at = this.#start + offset;
    view.setUint32(at, first, true);
    view.setUint32(at + 4, second, true);
  }
  set64(offset: number, value: number): void {
    const { view } = this.#region;
    const at = this.#start + offset;
    view.setUint32(at, value % 0x1_0000_0000, true);
    view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
  }
  zero(offset: number, length: number): void {
    const from = this.#start + offset;
    this.#region.bytes.fill(0, from, from + length);
  }
}

/** One region with the views that its accesses need. */
class Region {
  readonly address: number;
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly words: Uint16Array;
  readonly longWords: Int32Array;
  readonly view: DataView;

  constructor(address: number, bytes: Uint8Array) {
    this.address = address;
    this.length = bytes.length;
    this.bytes = bytes;
    this.words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 1);
    this.longWords = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}

function copyOut(
  { bytes, longWords }: Region,
  from: number,
  target: Uint8Array,
  targetWords: Int32Array | undefined,
  to: number,
  length: number,
): void {
  if (targetWords === undefined) copyBytes(bytes, from, target, to, length);
  else copyByWords(bytes, longWords, from, target, targetWords, to, length);
}

function copyIn(
  { bytes, longWords }: Region,
  to: number,
  source: Uint8Array,
  sourceWords: Int32Array | undefined,
  from: number,
  length: number,
): void {
  if (sourceWords === undefined) copyBytes(source, from, bytes, to, length);
  else copyByWords(source, sourceWords, from, bytes, longWords, to, length);
}

const nowhere = new Region(0, new Uint8Array(0));

function holds(region: Region, address: number): boolean {
  const offset = address - region.address;
  return offset >= 0 && offset < region.length && Number.isInteger(address);
}

function isAddress(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function hostIsLittleEndian(): boolean {
  return new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}
