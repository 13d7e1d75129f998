/**
 * Fills the writable bytes of a chain with a pattern before the chain is published. Where the pattern is still there when the
 * chain comes back, the device has written nothing. A single byte of it may be written by chance; four in a row are not.
 */
import {
  Avail,
  Descriptor,
  DescriptorFlag,
  PackedDescriptor,
  PackedFlag,
  advance,
  isAvailable,
  slotOf,
} from '../../../virtio/index.js';
import type { GuestMemory } from '../../../virtio/index.js';
import { PackedState } from '../packed-state.js';
import { read64 } from '../posted-chain.js';
import type { PostedChain } from '../posted-chain.js';
import type { RingState } from '../ring-state.js';
import { U16 } from '../ring-state.js';
import { SplitState } from '../split-state.js';

const RUN = 4;
/** Longer parts are left as they are. */
const PART_BYTES_MAX = 4096;

const pattern = Uint8Array.from({ length: PART_BYTES_MAX }, (_, i) => (i * 151 + 0x5b) & 0xff);
const scratch = new Uint8Array(Descriptor.SIZE);
const view = new DataView(scratch.buffer);

export class Canaries {
  readonly #memory: GuestMemory;
  /** Bytes of each part that is filled, by its address. */
  readonly #filled = new Map<number, number>();

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** The driver is about to store `value` at byte `at` of one of the ring's areas. */
  storing(ring: RingState, at: number, value: number): void {
    if (ring instanceof SplitState && at === ring.config.driver + Avail.IDX) this.#fillSplit(ring, value);
    if (ring instanceof PackedState) this.#fillPacked(ring, at - ring.config.descriptors, value);
  }

  #fillSplit(ring: SplitState, idx: number): void {
    const added = (idx - ring.availIdx) & U16;
    for (let i = 0; i < added && i < ring.size; i++)
      this.#fillTable(ring.config.descriptors, ring.slot((ring.availIdx + i) & ring.mask), ring.size);
  }

  #fillTable(table: number, head: number, entries: number, nested = false): void {
    let at = head;
    for (let left = entries; left > 0 && at < entries; left--) {
      if (!this.#memory.read(table + Descriptor.SIZE * at, scratch, 0, Descriptor.SIZE)) return;
      const flags = view.getUint16(Descriptor.FLAGS, true);
      const next = view.getUint16(Descriptor.NEXT, true);
      const address = read64(view, Descriptor.ADDR);
      const length = view.getUint32(Descriptor.LEN, true);
      if ((flags & DescriptorFlag.INDIRECT) !== 0) {
        if (!nested) this.#fillTable(address, 0, Math.floor(length / Descriptor.SIZE), true);
        return;
      }
      if ((flags & DescriptorFlag.WRITE) !== 0) this.#fill(address, length);
      if ((flags & DescriptorFlag.NEXT) === 0) return;
      at = next;
    }
  }

  /** Flags of the first of one or more chains are stored: with that, all of them are published. */
  #fillPacked(ring: PackedState, at: number, flags: number): void {
    const first = ring.published.position;
    if (at !== PackedDescriptor.SIZE * slotOf(first) + PackedDescriptor.FLAGS || !isAvailable(flags, first))
      return;
    let position = first;
    for (let left = ring.size; left > 0; left--) {
      const place = ring.config.descriptors + PackedDescriptor.SIZE * slotOf(position);
      if (!this.#memory.read(place, scratch, 0, PackedDescriptor.SIZE)) return;
      const own = position === first ? flags : view.getUint16(PackedDescriptor.FLAGS, true);
      if (!isAvailable(own, position)) return;
      const address = read64(view, PackedDescriptor.ADDR);
      const length = view.getUint32(PackedDescriptor.LEN, true);
      if ((own & PackedFlag.INDIRECT) !== 0) this.#fillPackedTable(address, length);
      else if ((own & PackedFlag.WRITE) !== 0) this.#fill(address, length);
      position = advance(position, 1, ring.size);
    }
  }

  #fillPackedTable(table: number, bytes: number): void {
    for (let at = 0; at + PackedDescriptor.SIZE <= bytes; at += PackedDescriptor.SIZE) {
      if (!this.#memory.read(table + at, scratch, 0, PackedDescriptor.SIZE)) return;
      if ((view.getUint16(PackedDescriptor.FLAGS, true) & PackedFlag.WRITE) === 0) continue;
      this.#fill(read64(view, PackedDescriptor.ADDR), view.getUint32(PackedDescriptor.LEN, true));
    }
  }

  #fill(address: number, length: number): void {
    if (length === 0 || length > PART_BYTES_MAX) return;
    if (this.#memory.write(address, pattern, 0, length)) this.#filled.set(address, length);
  }

  /**
   * Writable bytes of a chain that is back, from the first on, that were written as far as can be seen; all of them when
   * nothing was filled. The next call for it knows nothing any more.
   */
  written(chain: PostedChain): number {
    let offset = 0;
    let reached = -1;
    for (const { address, length, writable } of chain.parts) {
      if (!writable || length === 0) continue;
      const filled = this.#filled.get(address) === length;
      this.#filled.delete(address);
      if (reached < 0 && filled) {
        const untouched = this.#firstUntouched(address, length);
        if (untouched >= 0) reached = offset + untouched;
      }
      offset += length;
    }
    return reached < 0 ? chain.writableBytes : reached;
  }

  /** The first of {@link RUN} bytes of a part that are still as they were filled; -1 when there are none. */
  #firstUntouched(address: number, length: number): number {
    const bytes = new Uint8Array(length);
    this.#memory.read(address, bytes, 0, length);
    for (let i = 0, run = 0; i < length; i++) {
      run = bytes[i] === pattern[i] ? run + 1 : 0;
      if (run === RUN) return i - RUN + 1;
    }
    return -1;
  }

  clear(): void {
    this.#filled.clear();
  }
}
