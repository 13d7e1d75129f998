/**
 * Guest memory as the bench lends it to a driver: the same bytes, and whoever watches is told of each 16-bit word that the
 * driver publishes or looks at through a window, before and after. So the probe device can act at the very moment at which
 * a driver raises an index or asks for notifications, as a device on another processor would.
 */
import { GuestMemory, MemoryWindow } from '../../../virtio/index.js';
import type { RegionPlace } from '../../../virtio/index.js';

/** Told of accesses to words of the rings, by guest-physical address. */
export interface MemoryWatch {
  /** The driver is about to store the word. */
  storing(address: number, value: number): void;
  /** The driver has stored the word. */
  stored(address: number, value: number): void;
  /** The driver asked for a place; `length` bytes at `address`. */
  touched(address: number, length: number): void;
}

export class WatchedMemory extends GuestMemory {
  readonly #inner: GuestMemory;
  readonly #watch: MemoryWatch;

  constructor(inner: GuestMemory, watch: MemoryWatch) {
    super();
    this.#inner = inner;
    this.#watch = watch;
  }

  override get regions(): readonly RegionPlace[] {
    return this.#inner.regions;
  }
  override contains(address: number, length: number): boolean {
    return this.#inner.contains(address, length);
  }
  override inOneRegion(address: number, length: number): boolean {
    return this.#inner.inOneRegion(address, length);
  }
  override read(address: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    this.#watch.touched(address, length);
    return this.#inner.read(address, target, targetOffset, length);
  }
  override write(address: number, source: Uint8Array, sourceOffset: number, length: number): boolean {
    this.#watch.touched(address, length);
    return this.#inner.write(address, source, sourceOffset, length);
  }
  override newWindow(): MemoryWindow {
    return new WatchedWindow(this.#watch);
  }
  override window(address: number, length: number): MemoryWindow | undefined {
    const window = this.newWindow();
    return this.aim(window, address, length) ? window : undefined;
  }
  override aim(window: MemoryWindow, address: number, length: number): boolean {
    if (!this.#inner.aim(window, address, length)) return false;
    this.#watch.touched(address, length);
    return true;
  }
}

class WatchedWindow extends MemoryWindow {
  readonly #watch: MemoryWatch;

  constructor(watch: MemoryWatch) {
    super();
    this.#watch = watch;
  }

  override store16(offset: number, value: number): void {
    const at = this.address + offset;
    this.#watch.storing(at, value);
    super.store16(offset, value);
    this.#watch.stored(at, value);
  }
}
