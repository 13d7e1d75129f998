/**
 * The DMA memory of a driver as it is by all that is known: what the driver has written, and what the device has returned.
 * What differs is the doing of a device that works in another process.
 */
import type { DmaBuffer, GuestOs } from '../../../driver/index.js';
import type { GuestMemory } from '../../../virtio/index.js';
import type { Extent } from './sight.js';

/** Bytes that are compared at once. */
const BLOCK_BYTES = 4096;

export class DmaShadow {
  readonly #memory: GuestMemory;
  readonly #base: number;
  /** Length of each buffer, by its address. */
  readonly #buffers = new Map<number, number>();
  #copy = new Uint8Array(0);
  /** Buffers that their driver may be filling at this moment. */
  readonly #fresh: Extent[] = [];
  readonly #block = new Uint8Array(BLOCK_BYTES);

  constructor(memory: GuestMemory) {
    this.#memory = memory;
    this.#base = memory.regions[0]?.address ?? 0;
  }

  /** The operating system of a driver, whose buffers are known from here on. */
  of(os: GuestOs): GuestOs {
    return {
      allocDma: (bytes: number, alignment: number): DmaBuffer => {
        this.settleFresh();
        const buffer = os.allocDma(bytes, alignment);
        this.#add(buffer.address, buffer.bytes.length);
        return buffer;
      },
      freeDma: buffer => {
        this.#buffers.delete(buffer.address);
        os.freeDma(buffer);
      },
      translate: address => os.translate(address),
      releasePage: address => os.releasePage(address),
      defer: task => os.defer(task),
    };
  }

  #add(address: number, length: number): void {
    this.#buffers.set(address, length);
    const needed = address + length - this.#base;
    if (this.#copy.length < needed) {
      const more = new Uint8Array(Math.max(needed, 2 * this.#copy.length));
      more.set(this.#copy);
      this.#copy = more;
    }
    this.#fresh.push({ address, length });
  }

  /** A driver clears what it gets through the bytes themselves, before it does anything else. */
  settleFresh(): void {
    if (this.#fresh.length === 0) return;
    for (const extent of this.#fresh.splice(0)) this.settle(extent);
  }

  /** These bytes are right as they are. */
  settle({ address, length }: Extent): void {
    const at = address - this.#base;
    if (at < 0 || at + length > this.#copy.length) return;
    this.#memory.read(address, this.#copy, at, length);
  }

  settleAll(): void {
    for (const [address, length] of this.#buffers) this.settle({ address, length });
  }

  /** Tells of each byte that differs, and takes it for right from then on. */
  check(told: (address: number) => void): void {
    for (const [address, length] of this.#buffers)
      for (let from = 0; from < length; from += BLOCK_BYTES)
        this.#checkBlock(address + from, Math.min(BLOCK_BYTES, length - from), told);
  }

  #checkBlock(address: number, length: number, told: (address: number) => void): void {
    const block = this.#block;
    const at = address - this.#base;
    if (!this.#memory.read(address, block, 0, length)) return;
    const known = this.#copy.subarray(at, at + length);
    if (Buffer.compare(block.subarray(0, length), known) === 0) return;
    for (let i = 0; i < length; i++) {
      if (block[i] === known[i]) continue;
      known[i] = block[i];
      told(address + i);
    }
  }
}
