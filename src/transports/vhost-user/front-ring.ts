/**
 * What a front-end sees of a ring whose driver and whose device are both somebody else's: chains that were published and chains
 * that have come back. It looks from time to time, and follows what memory shows then.
 */
import {
  Avail,
  PACKED_START,
  PackedDescriptor,
  PackedFlag,
  Used,
  advance,
  availRingBytes,
  isAvailable,
  isUsed,
  slotOf,
  usedRingBytes,
} from '../../virtio/index.js';
import type { GuestMemory, MemoryWindow, QueueAddresses, RingFeatures } from '../../virtio/index.js';

export interface FrontRing {
  /** Chains published up to now, counted since the ring was placed, as far as was looked. */
  readonly published: number;
  /** Chains that have come back. */
  readonly returned: number;
  /** Those of them that had something in them. */
  readonly filled: number;
  /** Takes up what memory shows now. */
  look(): void;
  /** What SET_VRING_BASE says of a ring that goes on behind all that has come back. */
  readonly base: number;
}

export interface FrontRingPlace {
  readonly size: number;
  readonly addresses: QueueAddresses;
  readonly features: RingFeatures;
  /** Each chain of the queue is one descriptor. */
  readonly single: boolean;
}

/** Undefined when the ring does not lie in memory: there is nothing to be seen of it then. */
export function frontRing(memory: GuestMemory, place: FrontRingPlace): FrontRing | undefined {
  const { addresses, features, size } = place;
  if (features.packed === true) {
    const ring = memory.window(addresses.descriptors, PackedDescriptor.SIZE * size);
    return ring && new PackedFrontRing(ring, place);
  }
  const avail = memory.window(addresses.driver, availRingBytes(size));
  const used = memory.window(addresses.device, usedRingBytes(size));
  return avail && used && new SplitFrontRing(avail, used, place);
}

/** Both positions of a packed ring, where they are the same: slots in bits 0 and 16 on, wrap counters in bits 15 and 31. */
function packedBase(position: number): number {
  return (position | (position << 16)) >>> 0;
}

class SplitFrontRing implements FrontRing {
  readonly #avail: MemoryWindow;
  readonly #used: MemoryWindow;
  readonly #mask: number;
  readonly #inOrder: boolean;
  published = 0;
  returned = 0;
  filled = 0;
  #availIdx = 0;
  #usedIdx = 0;

  constructor(avail: MemoryWindow, used: MemoryWindow, { size, features }: FrontRingPlace) {
    this.#avail = avail;
    this.#used = used;
    this.#mask = size - 1;
    this.#inOrder = features.inOrder === true;
  }

  look(): void {
    const availIdx = this.#avail.load16(Avail.IDX);
    this.published += (availIdx - this.#availIdx) & 0xffff;
    this.#availIdx = availIdx;
    const usedIdx = this.#used.load16(Used.IDX);
    const came = (usedIdx - this.#usedIdx) & 0xffff;
    // Of a device that went too far only the last lap can be read.
    for (let left = Math.min(came, this.#mask + 1); left > 0;) {
      const at = (usedIdx - left) & this.#mask;
      const batch = this.#inOrder ? this.#batchAt(at, left) : 1;
      const length = this.#used.get32(Used.RING + Used.ENTRY * at + Used.LEN);
      // What a batch passes over was wholly written.
      this.filled += batch - 1 + (length > 0 ? 1 : 0);
      left -= batch;
    }
    this.returned += came;
    this.#usedIdx = usedIdx;
  }

  /** Chains that the element in a slot stands for, at most `left`. */
  #batchAt(slot: number, left: number): number {
    const id = this.#used.get32(Used.RING + Used.ENTRY * slot + Used.ID);
    for (let i = 0; i < left; i++)
      if (this.#avail.get16(Avail.RING + Avail.ENTRY * ((slot + i) & this.#mask)) === id) return i + 1;
    return left;
  }

  get base(): number {
    return this.#usedIdx;
  }
}

const { SIZE, LEN, ID, FLAGS } = PackedDescriptor;

interface Chain {
  readonly id: number;
  readonly descriptors: number;
}

/**
 * A chain may be published and returned between two looks, and then its first descriptor is a used element already. The others
 * are as the driver left them: they are available, and the last has the buffer id. That holds for a device that works in order; one
 * that does not is followed as long as it has to be kicked, since everything is seen before a kick.
 */
class PackedFrontRing implements FrontRing {
  readonly #ring: MemoryWindow;
  readonly #size: number;
  readonly #inOrder: boolean;
  readonly #single: boolean;
  /** Chains that are out, in order. */
  readonly #out: Chain[] = [];
  published = 0;
  returned = 0;
  filled = 0;
  #avail = PACKED_START;
  #used = PACKED_START;

  constructor(ring: MemoryWindow, { size, features, single }: FrontRingPlace) {
    this.#ring = ring;
    this.#size = size;
    this.#inOrder = features.inOrder === true;
    this.#single = single;
  }

  look(): void {
    // Each round takes a chain that is published or an element that is used, and there are at most as many as slots.
    for (let left = 2 * this.#size; left > 0; left--) {
      const flags = this.#flags(this.#avail);
      if (isAvailable(flags, this.#avail)) this.#publish(this.#chainAt(this.#avail));
      else if (!this.#takeUsed()) return;
    }
  }

  #flags(position: number): number {
    return this.#ring.load16(SIZE * slotOf(position) + FLAGS);
  }
  #id(position: number): number {
    return this.#ring.get16(SIZE * slotOf(position) + ID);
  }

  #publish(chain: Chain): void {
    this.#out.push(chain);
    this.published++;
    this.#avail = advance(this.#avail, chain.descriptors, this.#size);
  }

  /** The chain whose first descriptor is available at a position. */
  #chainAt(first: number): Chain {
    let at = first;
    let descriptors = 1;
    while (descriptors < this.#size && (this.#flags(at) & PackedFlag.NEXT) !== 0) {
      at = advance(at, 1, this.#size);
      descriptors++;
    }
    return { id: this.#id(at), descriptors };
  }

  #takeUsed(): boolean {
    const flags = this.#flags(this.#used);
    if (!isUsed(flags, this.#used)) return false;
    const id = this.#id(this.#used);
    const written = (flags & PackedFlag.WRITE) !== 0 && this.#ring.get32(SIZE * slotOf(this.#used) + LEN) > 0;
    let at = this.#out.findIndex(chain => chain.id === id);
    if (at < 0 && this.#out.length === 0) {
      this.#publish({ id, descriptors: this.#unseenAt(this.#used, id) });
      at = 0;
    }
    // A used element of nothing that is out: a ring that is broken is not followed.
    if (at < 0) return false;
    const back = this.#inOrder ? this.#out.splice(0, at + 1) : this.#out.splice(at, 1);
    for (const { descriptors } of back) this.#used = advance(this.#used, descriptors, this.#size);
    this.returned += back.length;
    this.filled += back.length - 1 + (written ? 1 : 0);
    return true;
  }

  /** Descriptors of a chain that was returned before anybody saw it published. */
  #unseenAt(first: number, id: number): number {
    if (this.#single) return 1;
    const second = advance(first, 1, this.#size);
    if (!isAvailable(this.#flags(second), second)) return 1;
    const rest = this.#chainAt(second);
    return rest.id === id ? Math.min(1 + rest.descriptors, this.#size) : 1;
  }

  get base(): number {
    return packedBase(this.#used);
  }
}
