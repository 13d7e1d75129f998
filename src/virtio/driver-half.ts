/**
 * What the driver half of a virtqueue does the same in every ring format: whether a chain finds room, what is pending and
 * outstanding, indirect tables, and that a device which breaks the rules is believed no more.
 */
import { clearedWindow } from './area.js';
import { ChainBuilder } from './chain-builder.js';
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
import { indirectAreaBytes } from './indirect-area.js';
import type { IndirectArea } from './indirect-area.js';
import type { RingObserver } from './observer.js';
import type { QueueConfig, RingFeatures } from './queue.js';
import { CHAIN_BYTES_MAX } from './split-layout.js';

export abstract class DriverHalf extends ChainBuilder {
  protected readonly eventIdx: boolean;
  protected readonly inOrder: boolean;
  protected readonly observer: RingObserver | undefined;
  protected readonly tables: MemoryWindow | undefined;
  readonly #indirect: IndirectArea | undefined;
  protected free: number;
  /** Chains committed and not yet published, and all that are not back. */
  protected pending = 0;
  protected chainsOut = 0;
  /** Chains of a used element that are not handed on yet: one, or more of an in-order batch; the last one has a length. */
  protected batch = 0;
  protected batchWritten = 0;
  protected interruptsEnabled = true;
  protected fault: string | undefined;

  /**
   * Clears the indirect tables. Throws RangeError for `fault`, and when something would be outstanding at the start.
   */
  protected constructor(
    fault: string | undefined,
    memory: GuestMemory,
    { index, size, start }: QueueConfig,
    features: RingFeatures,
    observer: RingObserver | undefined,
    indirectArea: IndirectArea | undefined,
  ) {
    super(index, size);
    if (fault !== undefined) throw new RangeError(`queue ${index}: ${fault}`);
    if (start !== undefined && start.avail !== start.used)
      throw new RangeError(`queue ${index}: chains are outstanding at start ${start.avail}, ${start.used}`);
    this.eventIdx = features.eventIdx;
    this.inOrder = features.inOrder === true;
    this.observer = observer;
    if (features.indirect && indirectArea !== undefined) {
      this.#indirect = indirectArea;
      const bytes = indirectAreaBytes(size, indirectArea.entriesPerTable);
      this.tables = clearedWindow(memory, indirectArea.address, bytes);
    }
    this.free = size;
  }

  get outstanding(): number {
    return this.chainsOut;
  }
  get freeDescriptors(): number {
    return this.free;
  }
  get broken(): string | undefined {
    return this.fault;
  }

  /** Puts the chain in the ring, in its table if there is one, and in the records. Returns what it is named by. */
  protected abstract lay(token: number, descriptors: number, table: IndirectArea | undefined): number;

  /** Throws Error when the chain has no part at all; no device could answer it. */
  commit(token: number, indirect = false): boolean {
    const { parts } = this;
    if (parts === 0) throw new Error('chain: no part with a length of 1 or more');
    const table =
      indirect && this.#indirect !== undefined && parts <= this.#indirect.entriesPerTable
        ? this.#indirect
        : undefined;
    const needed = table === undefined ? parts : 1;
    const bytes = this.readableBytes + this.writableBytes;
    const fits = parts <= this.size && needed <= this.free && bytes <= CHAIN_BYTES_MAX;
    if (!fits || this.fault !== undefined) {
      this.begin();
      return false;
    }
    const id = this.lay(token, needed, table);
    this.free -= needed;
    this.pending++;
    this.chainsOut++;
    this.observer?.available(this.index, id, this.readableBytes, this.writableBytes);
    this.begin();
    return true;
  }

  protected fail(why: string): false {
    this.fault = why;
    return false;
  }
}
