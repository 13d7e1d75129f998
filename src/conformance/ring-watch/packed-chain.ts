/** A chain of a packed ring as the driver published it. Its number stands for its buffer id, which may be any 16 bits. */
import { PackedDescriptor, PackedFlag, advance, isAvailable, slotOf } from '../../virtio/index.js';
import type { GuestMemory } from '../../virtio/index.js';
import { PostedChain, read64, shape } from './posted-chain.js';
import type { ChainFault } from './posted-chain.js';

const KNOWN_FLAGS =
  PackedFlag.NEXT | PackedFlag.WRITE | PackedFlag.INDIRECT | PackedFlag.AVAIL | PackedFlag.USED;

const scratch = new Uint8Array(PackedDescriptor.SIZE);
const view = new DataView(scratch.buffer);

/** What is wrong with a chain; of one that is shown in part nothing more can be said. */
export type PackedFault = ChainFault | { readonly breaks: 'chainShown'; readonly message: string };

/** Flags of a slot that stand in place of those in memory. */
export interface ShownFlags {
  readonly slot: number;
  readonly flags: number;
}

export class PackedPostedChain extends PostedChain {
  id = 0;
  /** The device was seen to read its first flags, and other bytes of it. */
  flagsRead = false;

  /** Follows the chain that begins at `position` of a ring. Returns what is wrong with it, the first thing only. */
  fillAt(
    memory: GuestMemory,
    ring: number,
    position: number,
    size: number,
    indirectAllowed: boolean,
    shown?: ShownFlags,
  ): PackedFault | undefined {
    this.clear();
    this.flagsRead = false;
    this.slot = slotOf(position);
    let at = position;
    let fault: PackedFault | undefined;
    for (let count = 1; ; count++) {
      if (count > size) return shape(`it has more than ${size} descriptors`);
      const slot = slotOf(at);
      memory.read(ring + PackedDescriptor.SIZE * slot, scratch, 0, PackedDescriptor.SIZE);
      if (shown?.slot === slot) view.setUint16(PackedDescriptor.FLAGS, shown.flags, true);
      const flags = view.getUint16(PackedDescriptor.FLAGS, true);
      if (!isAvailable(flags, at))
        return { breaks: 'chainShown', message: `descriptor ${slot}, the ${count}. of it, is not available` };
      this.keep(slot, scratch);
      this.id = view.getUint16(PackedDescriptor.ID, true);
      if ((flags & ~KNOWN_FLAGS) !== 0)
        fault ??= { breaks: 'driverFlags', message: `descriptor ${slot} has flags ${flags}` };
      const more = (flags & PackedFlag.NEXT) !== 0;
      const wrong = this.#element(memory, flags, more || count > 1, indirectAllowed);
      if (wrong !== undefined) return wrong;
      if (!more) break;
      at = advance(at, 1, size);
    }
    this.followBytes(memory);
    return fault;
  }

  /** One descriptor of the ring, in `scratch`. */
  #element(
    memory: GuestMemory,
    flags: number,
    inList: boolean,
    indirectAllowed: boolean,
  ): ChainFault | undefined {
    const address = read64(view, PackedDescriptor.ADDR);
    const length = view.getUint32(PackedDescriptor.LEN, true);
    if ((flags & PackedFlag.INDIRECT) !== 0) {
      const wrong = indirectAllowed
        ? inList
          ? 'it uses INDIRECT in a list of descriptors'
          : this.keepTable(memory, address, length)
        : 'it uses INDIRECT, which was not negotiated';
      return wrong === undefined ? this.#table(memory) : { breaks: 'indirect', message: wrong };
    }
    const wrong = this.add(memory, address, length, (flags & PackedFlag.WRITE) !== 0);
    return wrong === undefined ? undefined : shape(wrong);
  }

  #table(memory: GuestMemory): ChainFault | undefined {
    const bytes = this.tableCopy;
    const entries = new DataView(bytes.buffer, bytes.byteOffset, this.tableBytes);
    let fault: ChainFault | undefined;
    for (let at = 0; at < this.tableBytes; at += PackedDescriptor.SIZE) {
      const flags = entries.getUint16(at + PackedDescriptor.FLAGS, true);
      if ((flags & ~PackedFlag.WRITE) !== 0)
        fault ??= { breaks: 'indirect', message: `byte ${at} of its table has flags ${flags}` };
      const address = read64(entries, at + PackedDescriptor.ADDR);
      const length = entries.getUint32(at + PackedDescriptor.LEN, true);
      const wrong = this.add(memory, address, length, (flags & PackedFlag.WRITE) !== 0);
      if (wrong !== undefined) return shape(wrong);
    }
    return fault;
  }
}
