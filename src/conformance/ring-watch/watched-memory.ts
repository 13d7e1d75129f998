/**
 * Guest memory as one party sees it, with somebody who is told of each access. The bytes are the guest's own, so that both
 * parties see the same memory; memory that nobody watches is a plain `GuestMemory`, which knows nothing of this.
 */
import type { DmaBuffer, GuestOs, Task } from '../../driver/index.js';
import { GuestMemory, MemoryWindow } from '../../virtio/index.js';

/** Told after each access, by guest-physical address. It may change memory: the next access sees the change. */
export interface AccessListener {
  read(address: number, length: number): void;
  written(address: number, length: number): void;
  /** Told before a 16-bit word is stored with release meaning: what it publishes is in memory, and nobody has seen it. */
  storing?(address: number, value: number): void;
}

export class WatchedMemory extends GuestMemory {
  readonly #listener: AccessListener;

  constructor(listener: AccessListener) {
    super();
    this.#listener = listener;
  }

  override read(address: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    const done = super.read(address, target, targetOffset, length);
    if (done && length > 0) this.#listener.read(address, length);
    return done;
  }

  override write(address: number, source: Uint8Array, sourceOffset: number, length: number): boolean {
    const done = super.write(address, source, sourceOffset, length);
    if (done && length > 0) this.#listener.written(address, length);
    return done;
  }

  override move(from: number, to: number, length: number): boolean {
    const done = super.move(from, to, length);
    if (done && length > 0) {
      this.#listener.read(from, length);
      this.#listener.written(to, length);
    }
    return done;
  }

  override newWindow(): MemoryWindow {
    return new WatchedWindow(this.#listener);
  }
}

class WatchedWindow extends MemoryWindow {
  readonly #listener: AccessListener;

  constructor(listener: AccessListener) {
    super();
    this.#listener = listener;
  }

  override load16(offset: number): number {
    const value = super.load16(offset);
    this.#listener.read(this.address + offset, 2);
    return value;
  }
  override get16(offset: number): number {
    const value = super.get16(offset);
    this.#listener.read(this.address + offset, 2);
    return value;
  }
  override get32(offset: number): number {
    const value = super.get32(offset);
    this.#listener.read(this.address + offset, 4);
    return value;
  }
  override get64(offset: number): number {
    const value = super.get64(offset);
    this.#listener.read(this.address + offset, 8);
    return value;
  }
  override get128(offset: number, into: Uint32Array): void {
    super.get128(offset, into);
    this.#listener.read(this.address + offset, 16);
  }
  override store16(offset: number, value: number): void {
    this.#listener.storing?.(this.address + offset, value);
    super.store16(offset, value);
    this.#listener.written(this.address + offset, 2);
  }
  override set16(offset: number, value: number): void {
    super.set16(offset, value);
    this.#listener.written(this.address + offset, 2);
  }
  override set32(offset: number, value: number): void {
    super.set32(offset, value);
    this.#listener.written(this.address + offset, 4);
  }
  override set32x2(offset: number, first: number, second: number): void {
    super.set32x2(offset, first, second);
    this.#listener.written(this.address + offset, 8);
  }
  override set64(offset: number, value: number): void {
    super.set64(offset, value);
    this.#listener.written(this.address + offset, 8);
  }
  override zero(offset: number, length: number): void {
    super.zero(offset, length);
    if (length > 0) this.#listener.written(this.address + offset, length);
  }
}

/** What the operating system's port tells besides the accesses. */
export interface OsListener extends AccessListener {
  /** DMA memory is about to be given back. */
  freeing(address: number, length: number): void;
  /** A page of the program was translated, or is about to be released; by its guest-physical address. */
  pinned(page: number): void;
  unpinning(page: number): void;
}

const PAGE_BYTES = 4096;

/**
 * An operating system whose DMA buffers are watched as far as JavaScript lets one: what goes through `view` is told access by
 * access. What goes through `bytes` is not: a byte that changed without being told of was written by the driver, since
 * the device has nothing but its watched memory.
 */
export class WatchedOs implements GuestOs {
  readonly #inner: GuestOs;
  readonly #listener: OsListener;
  readonly #inners = new Map<DmaBuffer, DmaBuffer>();
  /** Guest-physical page by the virtual one. */
  readonly #places = new Map<number, number>();

  constructor(inner: GuestOs, listener: OsListener) {
    this.#inner = inner;
    this.#listener = listener;
  }

  allocDma(bytes: number, alignment: number): DmaBuffer {
    const inner = this.#inner.allocDma(bytes, alignment);
    const watched = {
      address: inner.address,
      bytes: inner.bytes,
      view: new WatchedView(inner, this.#listener),
    };
    this.#inners.set(watched, inner);
    return watched;
  }

  freeDma(buffer: DmaBuffer): void {
    const inner = this.#inners.get(buffer);
    if (inner !== undefined) this.#listener.freeing(buffer.address, buffer.bytes.length);
    this.#inners.delete(buffer);
    this.#inner.freeDma(inner ?? buffer);
  }

  translate(virtualAddress: number): number {
    const place = this.#inner.translate(virtualAddress);
    const page = place - (place % PAGE_BYTES);
    this.#places.set(Math.floor(virtualAddress / PAGE_BYTES), page);
    this.#listener.pinned(page);
    return place;
  }

  releasePage(virtualAddress: number): void {
    const page = this.#places.get(Math.floor(virtualAddress / PAGE_BYTES));
    if (page !== undefined) this.#listener.unpinning(page);
    this.#inner.releasePage(virtualAddress);
  }

  defer(task: Task): void {
    this.#inner.defer(task);
  }
}

class WatchedView extends DataView<ArrayBufferLike> {
  readonly #address: number;
  readonly #listener: AccessListener;

  constructor({ address, view }: DmaBuffer, listener: AccessListener) {
    super(view.buffer, view.byteOffset, view.byteLength);
    this.#address = address;
    this.#listener = listener;
  }

  #got<T>(offset: number, length: number, value: T): T {
    this.#listener.read(this.#address + offset, length);
    return value;
  }
  #put(offset: number, length: number): void {
    this.#listener.written(this.#address + offset, length);
  }

  override getUint8(offset: number): number {
    return this.#got(offset, 1, super.getUint8(offset));
  }
  override getInt8(offset: number): number {
    return this.#got(offset, 1, super.getInt8(offset));
  }
  override getUint16(offset: number, little?: boolean): number {
    return this.#got(offset, 2, super.getUint16(offset, little));
  }
  override getInt16(offset: number, little?: boolean): number {
    return this.#got(offset, 2, super.getInt16(offset, little));
  }
  override getUint32(offset: number, little?: boolean): number {
    return this.#got(offset, 4, super.getUint32(offset, little));
  }
  override getInt32(offset: number, little?: boolean): number {
    return this.#got(offset, 4, super.getInt32(offset, little));
  }
  override getBigUint64(offset: number, little?: boolean): bigint {
    return this.#got(offset, 8, super.getBigUint64(offset, little));
  }
  override setUint8(offset: number, value: number): void {
    super.setUint8(offset, value);
    this.#put(offset, 1);
  }
  override setInt8(offset: number, value: number): void {
    super.setInt8(offset, value);
    this.#put(offset, 1);
  }
  override setUint16(offset: number, value: number, little?: boolean): void {
    super.setUint16(offset, value, little);
    this.#put(offset, 2);
  }
  override setInt16(offset: number, value: number, little?: boolean): void {
    super.setInt16(offset, value, little);
    this.#put(offset, 2);
  }
  override setUint32(offset: number, value: number, little?: boolean): void {
    super.setUint32(offset, value, little);
    this.#put(offset, 4);
  }
  override setInt32(offset: number, value: number, little?: boolean): void {
    super.setInt32(offset, value, little);
    this.#put(offset, 4);
  }
  override setBigUint64(offset: number, value: bigint, little?: boolean): void {
    super.setBigUint64(offset, value, little);
    this.#put(offset, 8);
  }
  override setFloat64(offset: number, value: number, little?: boolean): void {
    super.setFloat64(offset, value, little);
    this.#put(offset, 8);
  }
}
