/** A chain of a packed ring as the device half takes it: descriptors side by side in the ring, or one that names a table. */
import { ChainParts } from './chain-parts.js';
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
    const fault = this.#follow(ring, position, flags, size, room, indirectAllowed);
    return fault === undefined ? undefined : `chain at slot ${slotOf(position)}: ${fault}`;
  }

  #follow(
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
      if (count > 1) {
        own = ring.get16(offset + PackedDescriptor.FLAGS);
        if (!isAvailable(own, at)) return `descriptor ${count} of it is not available`;
      }
      const address = ring.get64(offset + PackedDescriptor.ADDR);
      const length = ring.get32(offset + PackedDescriptor.LEN);
      const more = (own & PackedFlag.NEXT) !== 0;
      if (!more) this.setHead(ring.get16(offset + PackedDescriptor.ID));
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
      const partAddress = this.#table.get64(at + PackedDescriptor.ADDR);
      const partLength = this.#table.get32(at + PackedDescriptor.LEN);
      const flags = this.#table.get16(at + PackedDescriptor.FLAGS);
      const fault = this.add(partAddress, partLength, (flags & PackedFlag.WRITE) !== 0);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
}
