/**
 * The operating system under a driver that is probed: a simulated guest whose allocations, translations and deferred work
 * are taken down, and which hands out memory full of dirt, since nobody promised that it is clean.
 */
import type { DmaBuffer, GuestOs, Task } from '../../../driver/index.js';
import type { Scheduler } from '../../../fabric/index.js';
import type { GuestMemory } from '../../../virtio/index.js';
import { ARENA_BASE, MemoryPool, PAGE_BYTES, SimulatedGuest } from '../../simulated-guest.js';
import type { Memories } from '../../simulated-guest.js';
import type { MemoryWatch } from './watched-memory.js';
import { WatchedMemory } from './watched-memory.js';

/** What fresh DMA memory holds. */
export const DIRT = 0xa5;
/** Guest-physical memory of the program, in bytes. */
export const ARENA_BYTES = 16 * PAGE_BYTES;

const pool = new MemoryPool();

/** A piece of DMA memory that the driver has, or had. */
export interface Allocation {
  readonly buffer: DmaBuffer;
  freed: boolean;
}

export class ProbeGuest implements GuestOs {
  readonly inner: SimulatedGuest;
  /** What the driver gets; its accesses are watched. */
  readonly memory: GuestMemory;
  readonly allocations: Allocation[] = [];
  /** Virtual addresses in the order in which they were translated. */
  readonly translations: number[] = [];
  releases = 0;
  /** Handed to the case with each buffer, before the driver has it: it may put watchers on the views. */
  onAlloc: (buffer: DmaBuffer) => void = () => {};
  onFree: (buffer: DmaBuffer) => void = () => {};
  /** Runs a piece of the driver's work; an exception in it is the driver's fault. */
  runTask: (task: Task) => void = task => task.run();
  readonly #scheduler: Scheduler;
  readonly #live = new Map<DmaBuffer, Allocation>();
  /** Starts of the machine. */
  #epoch = 0;

  constructor(
    scheduler: Scheduler,
    dmaBytes: number,
    seed: number,
    watch: MemoryWatch,
    memories: Memories = pool,
  ) {
    this.#scheduler = scheduler;
    this.inner = new SimulatedGuest({
      scheduler,
      memoryBytes: dmaBytes + ARENA_BYTES,
      arenaBytes: ARENA_BYTES,
      scatterSeed: seed,
      pool: memories,
    });
    this.memory = new WatchedMemory(this.inner.memory, watch);
  }

  /** Nobody looks at the memory any more; the next guest may have it. */
  release(): void {
    this.inner.release();
  }

  /** DMA memory that the driver holds. */
  get held(): Allocation[] {
    return [...this.#live.values()];
  }

  allocDma(bytes: number, alignment: number): DmaBuffer {
    const buffer = this.inner.allocDma(bytes, alignment);
    buffer.bytes.fill(DIRT);
    const allocation = { buffer, freed: false };
    this.allocations.push(allocation);
    this.#live.set(buffer, allocation);
    this.onAlloc(buffer);
    return buffer;
  }

  freeDma(buffer: DmaBuffer): void {
    const allocation = this.#live.get(buffer);
    if (allocation !== undefined) allocation.freed = true;
    this.#live.delete(buffer);
    this.onFree(buffer);
    this.inner.freeDma(buffer);
  }

  /** The machine starts anew: memory that a driver held is nobody's, and its work is forgotten. */
  freeAll(): void {
    this.#epoch++;
    for (const buffer of this.#live.keys()) this.inner.freeDma(buffer);
    this.#live.clear();
  }

  translate(virtualAddress: number): number {
    const place = this.inner.translate(virtualAddress);
    this.translations.push(virtualAddress);
    return place;
  }

  releasePage(virtualAddress: number): void {
    this.releases++;
    this.inner.releasePage(virtualAddress);
  }

  defer(task: Task): void {
    const epoch = this.#epoch;
    this.#scheduler.post({
      run: () => {
        if (epoch === this.#epoch) this.runTask(task);
      },
    });
  }

  /** True when the whole range lies in memory that the driver holds. */
  owns(address: number, length: number): boolean {
    for (const { buffer } of this.#live.values()) {
      if (address >= buffer.address && address + length <= buffer.address + buffer.bytes.length) return true;
    }
    return false;
  }

  /** Pages of the program that are in use for the device, counted as often as they are. */
  get pinnedPages(): number {
    return this.inner.pinned.reduce((sum, count) => sum + count, 0);
  }

  /** Guest-physical address of a byte of the program's memory, found without pinning it. */
  placeOf(virtualAddress: number): number {
    const place = this.inner.translate(virtualAddress);
    this.inner.releasePage(virtualAddress);
    return place;
  }
}

export { ARENA_BASE, PAGE_BYTES };
