/** A chain of a split ring as the device half takes it: from the head on by `next`, and on in an indirect table. */
import { ChainParts, addressOf, words } from './chain-parts.js';
import type { GuestMemory, MemoryWindow } from './guest-memory.js';
import { Descriptor, DescriptorFlag } from './split-layout.js';

export class SplitDescriptorChain extends ChainParts {
  readonly #table: MemoryWindow;

  constructor(memory: GuestMemory) {
    super(memory);
    this.#table = memory.newWindow();
  }

  /**
   * Copies the chain at `head` of a table of `size` descriptors. Returns the rule that the driver broke, or undefined. At
   * most `size` descriptors are read, besides the one that refers to an indirect table.
   */
  fill(head: number, descriptors: MemoryWindow, size: number, indirectAllowed: boolean): string | undefined {
    this.clear();
    this.setHead(head);
    let table = descriptors;
    let entries = size;
    let at = head;
    for (let count = 0; ;) {
      if (count === size) return `chain ${head}: longer than the queue, or a loop; size ${size}`;
      if (at >= entries) return `chain ${head}: next ${at} is out of range; ${entries} entries`;
      const offset = Descriptor.SIZE * at;
      table.get128(offset, words);
      const address = addressOf(words);
      const length = words[2];
      const flags = words[3] & 0xffff;
      const next = words[3] >>> 16;
      if ((flags & DescriptorFlag.INDIRECT) !== 0) {
        const fault = this.#enterTable(address, length, flags, indirectAllowed && table === descriptors);
        if (fault !== undefined) return fault;
        table = this.#table;
        entries = length / Descriptor.SIZE;
        at = 0;
        continue;
      }
      count++;
      const fault = this.add(address, length, (flags & DescriptorFlag.WRITE) !== 0);
      if (fault !== undefined) return `chain ${head}: ${fault}`;
      if ((flags & DescriptorFlag.NEXT) === 0) return undefined;
      at = next;
    }
  }

  #enterTable(address: number, length: number, flags: number, allowed: boolean): string | undefined {
    const chain = `chain ${this.head}`;
    if (!allowed) return `${chain}: an indirect table where none is allowed`;
    if ((flags & DescriptorFlag.NEXT) !== 0) return `${chain}: INDIRECT and NEXT in one descriptor`;
    if (length === 0 || length % Descriptor.SIZE !== 0)
      return `${chain}: an indirect table of ${length} bytes`;
    if (!this.memory.aim(this.#table, address, length)) {
      return `${chain}: indirect table at ${address}, ${length} bytes, is not in one region of guest memory`;
    }
    return undefined;
  }
}
