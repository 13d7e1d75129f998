/** The device's half of a split virtqueue by hand. */
import {
  Avail,
  Used,
  availEventOffset,
  availRingBytes,
  descriptorTableBytes,
  needsEvent,
  usedEventOffset,
  usedRingBytes,
} from '../../../virtio/index.js';
import type { MemoryWindow } from '../../../virtio/index.js';
import { SplitWalk } from './chain-walk.js';
import { RingPen } from './pen.js';
import type { Chain, PenInit } from './pen.js';

export class SplitPen extends RingPen {
  readonly #table: MemoryWindow;
  readonly #avail: MemoryWindow;
  readonly #used: MemoryWindow;
  /** Chains taken so far; their low 16 bits are the ring's index. */
  taken = 0;
  #usedIdx = 0;
  #signalled = 0;

  /** Throws RangeError when an area is not in guest memory. */
  constructor(init: PenInit) {
    super(init);
    const { size, addresses } = init;
    this.#table = this.area(addresses.descriptors, descriptorTableBytes(size));
    this.#avail = this.area(addresses.driver, availRingBytes(size));
    this.#used = this.area(addresses.device, usedRingBytes(size));
  }

  /** The driver's index, and chains that it made available and nobody has taken. */
  get availIdx(): number {
    return this.#avail.load16(Avail.IDX);
  }
  get available(): number {
    return (this.availIdx - this.taken) & 0xffff;
  }
  get usedIdx(): number {
    return this.#usedIdx;
  }
  get availFlags(): number {
    return this.#avail.load16(Avail.FLAGS);
  }
  get usedEvent(): number {
    return this.#avail.load16(usedEventOffset(this.size));
  }
  get shown(): string {
    return String(this.availIdx);
  }

  areaBytes(area: 'descriptors' | 'available' | 'used'): number {
    const { size } = this;
    return {
      descriptors: descriptorTableBytes(size),
      available: availRingBytes(size),
      used: usedRingBytes(size),
    }[area];
  }

  take(): Chain | undefined {
    const { available } = this;
    if (available === 0) return undefined;
    if (available + this.outstanding.size > this.size) {
      this.report(
        ['VQ-30'],
        `queue ${this.index}: ${available} chains are available and ${this.outstanding.size} with the device, but the queue has ${this.size} entries`,
      );
      return undefined;
    }
    const head = this.#avail.get16(Avail.RING + Avail.ENTRY * (this.taken % this.size));
    const chain = new SplitWalk(this.walkInit(this.#table)).follow(head);
    if (chain === undefined) return undefined;
    this.taken++;
    this.#checkOwnership(chain);
    this.outstanding.set(head, chain);
    return chain;
  }

  element(id: number, written: number): void {
    this.#put(id, written);
    this.raise(1);
  }

  batch(chains: readonly Chain[], written: number): void {
    for (const { head } of chains) this.outstanding.delete(head);
    this.#put(chains[chains.length - 1].head, written);
    this.raise(chains.length);
  }

  misplace(id: number, written: number, ahead: number): void {
    this.#put(id, written, ahead);
    this.raise(ahead + 1);
  }

  #put(id: number, written: number, ahead = 0): void {
    const at = Used.RING + Used.ENTRY * ((this.#usedIdx + ahead) % this.size);
    this.#used.set32(at + Used.ID, id);
    this.#used.set32(at + Used.LEN, written);
  }

  /** Raises the used index, whatever stands in the ring. */
  raise(by: number): void {
    this.#usedIdx = (this.#usedIdx + by) & 0xffff;
    this.#used.store16(Used.IDX, this.#usedIdx);
  }

  interruptWanted(): boolean {
    const from = this.#signalled;
    this.#signalled = this.#usedIdx;
    if (from === this.#usedIdx) return false;
    if (this.features.eventIdx) return needsEvent(this.usedEvent, this.#usedIdx, from);
    return (this.availFlags & Avail.NO_INTERRUPT) === 0;
  }

  wish(flags: number, event: number): void {
    this.setFlags(flags);
    this.setAvailEvent(event);
  }
  askForNext(): void {
    this.setAvailEvent(this.taken);
  }

  /** Writes the flags of the used ring: 1 asks for no kicks. */
  setFlags(flags: number): void {
    this.#used.store16(Used.FLAGS, flags);
  }
  /** Names the entry of the available ring at which the device wants a kick; 16 bits. */
  setAvailEvent(entry: number): void {
    this.#used.store16(availEventOffset(this.size), entry & 0xffff);
  }

  #checkOwnership(chain: Chain): void {
    for (const other of this.outstanding.values()) {
      const shared = chain.descriptors.find(at => other.descriptors.includes(at));
      if (shared === undefined) continue;
      this.report(
        ['VQ-30'],
        `queue ${this.index}: chain ${chain.head} uses descriptor ${shared}, which is in chain ${other.head} that is outstanding`,
      );
    }
  }
}
