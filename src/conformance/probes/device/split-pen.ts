/** The driver's half of a split virtqueue by hand: every word of the three areas, heads that were never made, loops. */
import {
  Avail,
  Descriptor,
  DescriptorFlag,
  Used,
  availEventOffset,
  usedEventOffset,
  usedRingBytes,
} from '../../../virtio/index.js';
import { RingPen } from './pen.js';
import type { Chain, Offer, Part, PenInit, RawDescriptor, RingWord, UsedElement } from './pen.js';

export class SplitPen extends RingPen {
  /** Available index as last written into a slot, and as last published; free-running. */
  nextAvail = 0;
  /** Used elements taken so far, 16-bit. */
  usedSeen = 0;
  /** Available index when it was last asked whether the device wants to know. */
  #kickedAt = 0;
  readonly #free: number[] = [];

  constructor(init: PenInit) {
    super(init);
    const { size, addresses, memory } = init;
    for (let i = size - 1; i >= 0; i--) this.#free.push(i);
    memory.permit(addresses.device, usedRingBytes(size));
    memory.pushLast(addresses.driver + Avail.IDX);
  }

  get freeDescriptors(): number {
    return this.#free.length;
  }

  /** The head goes into the next slot; the index is not raised. */
  add(parts: readonly Part[], table?: number, direct = 0): Chain {
    const inRing = table === undefined ? parts.length : direct + 1;
    if (inRing > this.#free.length) throw new Error(`queue ${this.index}: no ${inRing} free descriptors`);
    const descriptors = this.#free.splice(this.#free.length - inRing, inRing).toReversed();
    parts.forEach((part, i) => {
      const flags = part.writable === true ? DescriptorFlag.WRITE : 0;
      const last = i === parts.length - 1;
      const more = last ? 0 : DescriptorFlag.NEXT;
      if (part.writable === true) this.memory.permit(part.address, part.length);
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
    this.#name(chain.head, 1);
    return chain;
  }

  publish(): void {
    this.setAvailIdx(this.nextAvail);
  }

  kickWanted(eventIdx: boolean): boolean {
    const old = this.#kickedAt;
    this.#kickedAt = this.nextAvail;
    if (!eventIdx) return (this.usedFlags & Used.NO_NOTIFY) === 0;
    return ((this.nextAvail - this.availEvent - 1) & 0xffff) < ((this.nextAvail - old) & 0xffff);
  }

  protected take(): UsedElement[] {
    const ready = (this.usedIdx - this.usedSeen) & 0xffff;
    if (ready > this.outstanding.size)
      this.accuse(
        ['VQ-35'],
        `queue ${this.index}: the used index went on by ${ready}, with ${this.outstanding.size} chains outstanding`,
      );
    if (ready === 0) return [];
    const at = this.memory.at(this.addresses.device + Used.RING + Used.ENTRY * (this.usedSeen % this.size));
    const id = this.memory.view.getUint32(at, true);
    const length = this.memory.view.getUint32(at + Used.LEN, true);
    this.usedSeen = (this.usedSeen + 1) & 0xffff;
    const element = this.returned(id, length, ['VQ-35']);
    this.#free.push(...element.chain.descriptors.toReversed());
    return [element];
  }

  /** Descriptors from twice the index on: a list of one or two stands beside the one before it. */
  offer(list: readonly RawDescriptor[], { head, jump = 1 }: Offer = {}): number {
    const first = (2 * this.nextAvail) % this.size;
    list.forEach((descriptor, i) =>
      this.descriptor((first + i) % this.size, { next: (first + i + 1) % this.size, ...descriptor }),
    );
    const name = head ?? first;
    this.#name(name, jump);
    this.publish();
    return name;
  }

  table(place: number, entries: readonly RawDescriptor[]): void {
    entries.forEach((entry, i) => {
      const more = i + 1 < entries.length;
      const flags = (entry.flags ?? 0) | (more ? DescriptorFlag.NEXT : 0);
      this.descriptorAt(place + 16 * i, { next: more ? i + 1 : 0, ...entry, flags });
    });
  }

  offerAgain({ head }: Chain): void {
    this.offerHead(head);
  }

  restart(): void {
    const { descriptors, device } = this.addresses;
    this.memory.bytes.fill(0, this.memory.at(descriptors), this.memory.at(device) + usedRingBytes(this.size));
    this.nextAvail = 0;
  }

  #name(head: number, jump: number): void {
    this.slot(this.nextAvail, head);
    this.nextAvail = (this.nextAvail + jump) & 0xffff;
  }

  // --- single words ---

  descriptorAt(place: number, descriptor: RawDescriptor): void {
    const { view } = this.memory;
    const at = this.memory.at(place);
    this.writeRun(at, descriptor);
    view.setUint16(at + Descriptor.FLAGS, (descriptor.flags ?? 0) ^ (descriptor.turned ?? 0), true);
    view.setUint16(at + Descriptor.NEXT, descriptor.next ?? 0, true);
  }
  /** Writes the slot of a free-running index. */
  slot(idx: number, head: number): void {
    this.set16(this.addresses.driver + Avail.RING + Avail.ENTRY * (idx % this.size), head);
  }
  setAvailIdx(value: number): void {
    this.set16(this.addresses.driver + Avail.IDX, value);
  }
  setAvailFlags(value: number): void {
    this.set16(this.addresses.driver + Avail.FLAGS, value);
  }
  setUsedEvent(value: number): void {
    this.set16(this.addresses.driver + usedEventOffset(this.size), value);
  }
  get usedIdx(): number {
    return this.get16(this.addresses.device + Used.IDX);
  }
  get usedFlags(): number {
    return this.get16(this.addresses.device + Used.FLAGS);
  }
  get availEvent(): number {
    return this.get16(this.addresses.device + availEventOffset(this.size));
  }

  protected wordAddress(word: RingWord, at: number): number {
    const { driver, device, descriptors } = this.addresses;
    const descriptor = descriptors + Descriptor.SIZE * at;
    const places: Readonly<Record<RingWord, number>> = {
      'available-index': driver + Avail.IDX,
      'available-flags': driver + Avail.FLAGS,
      slot: driver + Avail.RING + Avail.ENTRY * at,
      'used-index': device + Used.IDX,
      'used-flags': device + Used.FLAGS,
      'used-event': driver + usedEventOffset(this.size),
      'available-event': device + availEventOffset(this.size),
      'descriptor-length': descriptor + Descriptor.LEN,
      'descriptor-flags': descriptor + Descriptor.FLAGS,
      'descriptor-next': descriptor + Descriptor.NEXT,
    };
    return places[word];
  }

  /** A head made available without a chain that the probe keeps track of: for rings that are broken on purpose. */
  offerHead(head: number): void {
    this.#name(head, 1);
    this.publish();
  }
}
