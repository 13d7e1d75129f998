/** The driver's half of a packed virtqueue by hand: marks of any lap, ids given twice, lists that run past their end. */
import { EventMode, PackedDescriptor, PackedEvent, PackedFlag } from '../../../virtio/index.js';
import { MARKS, Place, goneBy } from '../packed-place.js';
import { RingPen, roomOf } from './pen.js';
import type { Chain, Offer, Part, PenInit, RawDescriptor, RingWord, UsedElement } from './pen.js';

const { SIZE, LEN, ID, FLAGS } = PackedDescriptor;
const { NEXT, WRITE, INDIRECT } = PackedFlag;

/** Ids of lists that were laid by hand: none that `add` gives, and many before one comes again. */
const HAND_IDS = { FIRST: 0x4000, COUNT: 0x4000 } as const;

/** A packed ring is made with the features of use, too. */
export interface PackedInit extends PenInit {
  readonly inOrder: boolean;
}

export class PackedPen extends RingPen {
  /** Where the next chain goes, and where the next used element will show. */
  readonly next: Place;
  readonly used: Place;
  readonly #inOrder: boolean;
  /** The first chain that is not shown: where it stands, and the flags that will show it. */
  #hidden: { readonly slot: number; readonly flags: number } | undefined;
  #kickedAt: Place;
  #moved = 0;
  #free: number;
  readonly #ids: number[] = [];
  #handMade = 0;

  constructor(init: PackedInit) {
    super(init);
    const { size, addresses, memory, inOrder } = init;
    this.next = new Place(size);
    this.used = new Place(size);
    this.#kickedAt = new Place(size);
    this.#inOrder = inOrder;
    this.#free = size;
    // No id is that of a slot nearby: whoever takes one for the other is found out.
    for (let i = 0; i < size; i++) this.#ids.push(7 * size - i);
    memory.permit(addresses.descriptors, SIZE * size);
    memory.permit(addresses.device, PackedEvent.SIZE);
  }

  get freeDescriptors(): number {
    return this.#free;
  }

  /** Throws Error for a table that is not the whole chain: there is no such chain in a packed ring. */
  add(parts: readonly Part[], table?: number, direct = 0): Chain {
    if (table !== undefined && direct > 0) throw new Error('a chain of a packed ring is a table or has none');
    const id = this.#ids.pop();
    const count = table === undefined ? parts.length : 1;
    if (id === undefined || count > this.#free)
      throw new Error(`queue ${this.index}: no ${count} free descriptors`);
    for (const { address, length, writable } of parts)
      if (writable === true) this.memory.permit(address, length);
    const list = parts.map(part => ({ ...part, flags: part.writable === true ? WRITE : 0 }));
    if (table !== undefined) this.table(table, list);
    const inRing =
      table === undefined ? list : [{ address: table, length: SIZE * parts.length, flags: INDIRECT }];
    const descriptors = inRing.map((_, i) => this.next.ahead(i).slot);
    const chain = { head: id, parts, descriptors };
    this.#lay(
      inRing.map((descriptor, i) => ({
        ...descriptor,
        flags: descriptor.flags | (i + 1 < inRing.length ? NEXT : 0),
      })),
      id,
    );
    this.#free -= count;
    this.outstanding.set(id, chain);
    return chain;
  }

  publish(): void {
    const hidden = this.#hidden;
    if (hidden === undefined) return;
    this.#hidden = undefined;
    // A device outside sees the chains before the flags that show them.
    this.memory.push();
    this.setFlags(hidden.slot, hidden.flags);
  }

  kickWanted(eventIdx: boolean): boolean {
    const from = this.#kickedAt;
    const moved = this.#moved;
    this.#kickedAt = this.next.ahead(0);
    this.#moved = 0;
    const mode = this.get16(this.addresses.device + PackedEvent.MODE) & EventMode.MASK;
    if (mode !== EventMode.DESC || !eventIdx) return mode !== EventMode.DISABLE;
    return goneBy(this.get16(this.addresses.device + PackedEvent.POSITION), from, moved);
  }

  protected take(): UsedElement[] {
    const { slot, used } = this.used;
    if ((this.flagsOf(slot) & MARKS) !== used) return [];
    const at = this.memory.at(this.addresses.descriptors + SIZE * slot);
    const id = this.memory.view.getUint16(at + ID, true);
    const length = this.memory.view.getUint32(at + LEN, true);
    const batch: UsedElement[] = [];
    for (const chain of this.#inOrder ? [...this.outstanding.values()] : []) {
      if (chain.head === id || !this.outstanding.has(id)) break;
      batch.push(this.#back(chain.head, roomOf(chain)));
    }
    batch.push(this.#back(id, length));
    return batch;
  }

  #back(id: number, length: number): UsedElement {
    const element = this.returned(id, length, ['VQ-91', 'VQ-35']);
    const count = element.chain.descriptors.length;
    this.used.go(count);
    this.#free += count;
    this.#ids.push(id);
    return element;
  }

  offer(list: readonly RawDescriptor[], { head, jump = 1 }: Offer = {}): number {
    const id = head ?? HAND_IDS.FIRST + (this.#handMade++ % HAND_IDS.COUNT);
    this.#lay(list, id);
    // Lists that are not there: the next chain stands where no device looks for it.
    if (jump > 1) this.next.go((jump - 1) % (2 * this.size));
    this.publish();
    return id;
  }

  table(place: number, entries: readonly RawDescriptor[]): void {
    entries.forEach((entry, i) => this.descriptorAt(place + SIZE * i, entry));
  }

  offerAgain({ head, parts }: Chain): void {
    this.offer([{ ...parts[0], flags: parts[0].writable === true ? WRITE : 0 }], { head });
  }

  restart(): void {
    const { descriptors, device } = this.addresses;
    this.memory.bytes.fill(0, this.memory.at(descriptors), this.memory.at(device) + PackedEvent.SIZE);
    for (const place of [this.next, this.used, this.#kickedAt]) place.moveTo(new Place(this.size));
    this.#hidden = undefined;
    this.#moved = 0;
  }

  /** A list from the next place on, marked as available; the first flags that are not shown yet are kept back. */
  #lay(list: readonly RawDescriptor[], id: number): void {
    list.forEach((descriptor, i) => {
      const { slot, available } = this.next.ahead(i);
      const flags = (((descriptor.flags ?? 0) & ~MARKS) | available) ^ (descriptor.turned ?? 0);
      const hide = i === 0 && this.#hidden === undefined;
      if (hide) this.#hidden = { slot, flags };
      this.descriptor(slot, {
        ...descriptor,
        next: descriptor.next ?? id,
        flags: hide ? this.flagsOf(slot) : flags,
        turned: 0,
      });
    });
    this.next.go(list.length);
    this.#moved += list.length;
  }

  // --- single words ---

  descriptorAt(place: number, descriptor: RawDescriptor): void {
    const { view } = this.memory;
    const at = this.memory.at(place);
    this.writeRun(at, descriptor);
    view.setUint16(at + ID, descriptor.next ?? 0, true);
    view.setUint16(at + FLAGS, (descriptor.flags ?? 0) ^ (descriptor.turned ?? 0), true);
  }
  flagsOf(slot: number): number {
    return this.get16(this.addresses.descriptors + SIZE * slot + FLAGS);
  }
  setFlags(slot: number, flags: number): void {
    this.set16(this.addresses.descriptors + SIZE * slot + FLAGS, flags);
  }
  /** What the driver wants to be told of. */
  wish(mode: number, position = 0): void {
    this.set16(this.addresses.driver + PackedEvent.POSITION, position);
    this.set16(this.addresses.driver + PackedEvent.MODE, mode);
  }

  protected wordAddress(word: RingWord, at: number): number {
    const { driver, device, descriptors } = this.addresses;
    const descriptor = descriptors + SIZE * at;
    const places: Readonly<Record<RingWord, number>> = {
      // What shows the next chain, and what the device is about to overwrite.
      'available-index': descriptors + SIZE * this.next.slot + FLAGS,
      'used-index': descriptors + SIZE * this.used.slot + FLAGS,
      slot: descriptors + SIZE * this.next.slot + ID,
      'available-flags': driver + PackedEvent.MODE,
      'used-flags': device + PackedEvent.MODE,
      'used-event': driver + PackedEvent.POSITION,
      'available-event': device + PackedEvent.POSITION,
      'descriptor-length': descriptor + LEN,
      'descriptor-flags': descriptor + FLAGS,
      'descriptor-next': descriptor + ID,
    };
    return places[word];
  }
}
