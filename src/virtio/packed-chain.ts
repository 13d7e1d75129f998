/** A chain of a packed ring as the device half takes it: descriptors side by side in the ring, or one that names a table. */
import { ChainParts, addressOf, words } from './chain-parts.js';
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
import { PackedDescriptor, PackedFlag, advance, isAvailable, slotOf } from './packed-layout.js';

export class PackedDescriptorChain extends ChainParts {
  readonly #table: MemoryWindow;
  #descriptors = 0;

  constructor(memory: GuestMemory) {
    super(memory);
    this.#table = memory.newWindow();
  }

  /** Slots of the ring that it takes. */
  get descriptors(): number {
    return this.#descriptors;
  }

  /**
   * Copies the chain that begins at `position`, whose first flags were read as `flags`, out of a ring of `size`
   * descriptors, of which `room` are not in flight. Returns the rule that the driver broke, or undefined. At most `size`
   * descriptors are read, besides one that names a table.
   */
  fill(
    ring: MemoryWindow,
    position: number,
    flags: number,
    size: number,
    room: number,
    indirectAllowed: boolean,
  ): string | undefined {
    this.clear();
    let at = position;
    for (let count = 1, own = flags; ; count++) {
      if (count > room) return `longer than the ${room} descriptors that are free; size ${size}`;
      const offset = PackedDescriptor.SIZE * slotOf(at);
      ring.get128(offset, words);
      // The first flags showed the chain: what they said then counts.
      if (count > 1) {
        own = words[3] >>> 16;
        if (!isAvailable(own, at)) return `descriptor ${count} of it is not available`;
      }
      const address = addressOf(words);
      const length = words[2];
      const more = (own & PackedFlag.NEXT) !== 0;
      if (!more) this.setHead(words[3] & 0xffff);
      const fault =
        (own & PackedFlag.INDIRECT) === 0
          ? this.add(address, length, (own & PackedFlag.WRITE) !== 0)
          : this.#addTable(address, length, size, indirectAllowed && !more && count === 1);
      if (fault !== undefined) return fault;
      if (!more) {
        this.#descriptors = count;
        return undefined;
      }
      at = advance(at, 1, size);
    }
  }

  /** Every entry of the table in turn; of their flags only WRITE has a meaning. */
  #addTable(address: number, length: number, size: number, allowed: boolean): string | undefined {
    if (!allowed) return 'an indirect table where none is allowed';
    if (length === 0 || length % PackedDescriptor.SIZE !== 0) return `an indirect table of ${length} bytes`;
    const entries = length / PackedDescriptor.SIZE;
    if (entries > size) return `an indirect table of ${entries} entries; size ${size}`;
    if (!this.memory.aim(this.#table, address, length))
      return `indirect table at ${address}, ${length} bytes, is not in one region of guest memory`;
    for (let at = 0; at < length; at += PackedDescriptor.SIZE) {
      this.#table.get128(at, words);
      const partAddress = addressOf(words);
      const writable = ((words[3] >>> 16) & PackedFlag.WRITE) !== 0;
      const fault = this.add(partAddress, words[2], writable);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
}
