/**
 * The driver's half of a split virtqueue as the probe plays it: chains of any cut, direct or in indirect tables, and every
 * word of the three areas by hand. It shares no code with the drivers and devices that are judged.
 */
import { writeLe64 } from '../../../abi/index.js';
import {
  Avail,
  Descriptor,
  DescriptorFlag,
  Used,
  availEventOffset,
  usedEventOffset,
  usedRingBytes,
} from '../../../virtio/index.js';
import type { QueueAddresses } from '../../../virtio/index.js';
import type { WatchedMemory } from './watched-memory.js';

/** A run of guest memory that one descriptor names. */
export interface Part {
  readonly address: number;
  readonly length: number;
  readonly writable?: boolean;
}

/** A descriptor as it lies in memory; `address` may be any 64-bit number. */
export interface RawDescriptor {
  readonly address: number | bigint;
  readonly length: number;
  readonly flags?: number;
  readonly next?: number;
}

/** A chain that was made available and has not come back. */
export interface Chain {
  readonly head: number;
  readonly parts: readonly Part[];
  /** Descriptors of the ring that it takes. */
  readonly descriptors: readonly number[];
}

export interface UsedElement {
  readonly id: number;
  readonly length: number;
  readonly chain: Chain;
}

/** Reports a broken rule; never returns. */
export type Accuse = (requirements: readonly string[], message: string) => never;

export interface RingInit {
  readonly index: number;
  readonly size: number;
  readonly addresses: QueueAddresses;
  readonly memory: WatchedMemory;
  readonly accuse: Accuse;
}

export class ProbeRing {
  readonly index: number;
  readonly size: number;
  readonly addresses: QueueAddresses;
  /** Available index as last written into a slot, and as last published; free-running. */
  nextAvail = 0;
  /** Used elements taken so far, 16-bit. */
  usedSeen = 0;
  readonly outstanding = new Map<number, Chain>();
  readonly #memory: WatchedMemory;
  readonly #accuse: Accuse;
  readonly #free: number[] = [];

  constructor({ index, size, addresses, memory, accuse }: RingInit) {
    this.index = index;
    this.size = size;
    this.addresses = addresses;
    this.#memory = memory;
    this.#accuse = accuse;
    for (let i = size - 1; i >= 0; i--) this.#free.push(i);
    memory.permit(addresses.device, usedRingBytes(size));
    memory.pushLast(addresses.driver + Avail.IDX);
  }

  get freeDescriptors(): number {
    return this.#free.length;
  }

  /**
   * Lays a chain into the ring and its head into the next slot, without raising the index. With `table` the parts from
   * `direct` on stand in an indirect table at that address.
   */
  add(parts: readonly Part[], table?: number, direct = 0): Chain {
    const inRing = table === undefined ? parts.length : direct + 1;
    if (inRing > this.#free.length) throw new Error(`queue ${this.index}: no ${inRing} free descriptors`);
    const descriptors = this.#free.splice(this.#free.length - inRing, inRing).toReversed();
    parts.forEach((part, i) => {
      const flags = part.writable === true ? DescriptorFlag.WRITE : 0;
      const last = i === parts.length - 1;
      const more = last ? 0 : DescriptorFlag.NEXT;
      if (part.writable === true) this.#memory.permit(part.address, part.length);
      if (table !== undefined && i >= direct) {
        const place = i - direct;
        this.descriptorAt(table + 16 * place, { ...part, flags: flags | more, next: last ? 0 : place + 1 });
      } else this.descriptor(descriptors[i], { ...part, flags: flags | more, next: descriptors[i + 1] ?? 0 });
    });
    if (table !== undefined) {
      const length = 16 * (parts.length - direct);
      this.descriptor(descriptors[direct], { address: table, length, flags: DescriptorFlag.INDIRECT });
    }
    const chain = { head: descriptors[0], parts, descriptors };
    this.outstanding.set(chain.head, chain);
    this.slot(this.nextAvail, chain.head);
    this.nextAvail = (this.nextAvail + 1) & 0xffff;
    return chain;
  }

  /** Publishes all that was added. */
  publish(): void {
    this.setAvailIdx(this.nextAvail);
  }

  /** Takes what came back. Accuses of an element that cannot be. */
  harvest(): UsedElement[] {
    const elements: UsedElement[] = [];
    const ready = (this.usedIdx - this.usedSeen) & 0xffff;
    if (ready > this.outstanding.size) {
      this.#accuse(
        ['VQ-35'],
        `queue ${this.index}: the used index went on by ${ready}, with ${this.outstanding.size} chains outstanding`,
      );
    }
    for (let i = 0; i < ready; i++) elements.push(this.#take());
    return elements;
  }

  #take(): UsedElement {
    const at = this.addresses.device + Used.RING + Used.ENTRY * (this.usedSeen % this.size);
    const id = this.#memory.view.getUint32(this.#memory.at(at), true);
    const length = this.#memory.view.getUint32(this.#memory.at(at) + Used.LEN, true);
    this.usedSeen = (this.usedSeen + 1) & 0xffff;
    const chain = this.outstanding.get(id);
    if (chain === undefined) {
      return this.#accuse(
        ['VQ-35'],
        `queue ${this.index}: id ${id} came back, which is no outstanding chain`,
      );
    }
    const room = chain.parts.reduce((sum, part) => sum + (part.writable === true ? part.length : 0), 0);
    if (length > room) {
      const id37 = room === 0 ? 'VQ-38' : 'VQ-37';
      return this.#accuse(
        [id37],
        `queue ${this.index}: used length ${length} for a chain with ${room} writable bytes`,
      );
    }
    this.outstanding.delete(id);
    this.#free.push(...chain.descriptors.toReversed());
    for (const part of chain.parts) {
      if (part.writable === true) this.#memory.forbid(part.address, part.length);
    }
    return { id, length, chain };
  }

  // --- single words ---

  descriptor(index: number, descriptor: RawDescriptor): void {
    this.descriptorAt(this.addresses.descriptors + Descriptor.SIZE * index, descriptor);
  }
  /** Writes a descriptor anywhere, such as into an indirect table. */
  descriptorAt(place: number, { address, length, flags = 0, next = 0 }: RawDescriptor): void {
    const { view } = this.#memory;
    const at = this.#memory.at(place);
    if (typeof address === 'bigint') view.setBigUint64(at, address, true);
    else writeLe64(view, at, address);
    view.setUint32(at + Descriptor.LEN, length, true);
    view.setUint16(at + Descriptor.FLAGS, flags, true);
    view.setUint16(at + Descriptor.NEXT, next, true);
  }
  /** Writes the slot of a free-running index. */
  slot(idx: number, head: number): void {
    this.#set16(this.addresses.driver + Avail.RING + Avail.ENTRY * (idx % this.size), head);
  }
  setAvailIdx(value: number): void {
    this.#set16(this.addresses.driver + Avail.IDX, value);
  }
  setAvailFlags(value: number): void {
    this.#set16(this.addresses.driver + Avail.FLAGS, value);
  }
  setUsedEvent(value: number): void {
    this.#set16(this.addresses.driver + usedEventOffset(this.size), value);
  }
  get usedIdx(): number {
    return this.#get16(this.addresses.device + Used.IDX);
  }
  get usedFlags(): number {
    return this.#get16(this.addresses.device + Used.FLAGS);
  }
  get availEvent(): number {
    return this.#get16(this.addresses.device + availEventOffset(this.size));
  }

  /** A head made available without a chain that the probe keeps track of: for rings that are broken on purpose. */
  offerHead(head: number): void {
    this.slot(this.nextAvail, head);
    this.nextAvail = (this.nextAvail + 1) & 0xffff;
    this.publish();
  }

  #set16(address: number, value: number): void {
    this.#memory.view.setUint16(this.#memory.at(address), value & 0xffff, true);
  }
  #get16(address: number): number {
    return this.#memory.view.getUint16(this.#memory.at(address), true);
  }
}
