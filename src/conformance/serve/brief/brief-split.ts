/** A split ring that is followed in brief. Its chains are numbered by their heads. */
import {
  Avail,
  Descriptor,
  DescriptorFlag,
  Used,
  availEventOffset,
  availRingBytes,
  descriptorTableBytes,
  usedEventOffset,
  usedRingBytes,
} from '../../../virtio/index.js';
import type { MemoryWindow } from '../../../virtio/index.js';
import type { RingHost, RingState } from '../../ring-watch/ring-state.js';
import { WatchedSplitRing } from '../../ring-watch/watched-split-ring.js';
import { AVAILABLE, Area, BriefRing, FREE, Look, TAKEN, USED, WORDS, bits } from './brief-ring.js';
import type { BriefInit } from './brief-ring.js';
import { KeptMemory } from './kept-memory.js';

const U16 = 0xffff;
const KNOWN_FLAGS = DescriptorFlag.NEXT | DescriptorFlag.WRITE;

export class BriefSplitRing extends BriefRing {
  readonly #init: BriefInit;
  readonly #avail: MemoryWindow;
  readonly #used: MemoryWindow;
  readonly #mask: number;
  #availIdx: number;
  #takenIdx: number;
  #seenAvail: number;
  #usedIdx: number;
  #consumedIdx: number;
  #nextDescriptor = 0;
  /** By slot: the chain published there last, whether its device has read it, the chain returned last, and with how many. */
  readonly #published: Int32Array;
  readonly #slotRead: Uint8Array;
  readonly #returned: Int32Array;
  readonly #batch: Uint16Array;
  readonly #usedLength: Uint32Array;
  /** By descriptor: the chain that it belonged to last. */
  readonly #last: Int32Array;

  /** Undefined when the areas are not in guest memory. */
  static open(init: BriefInit): BriefSplitRing | undefined {
    const { memory, config } = init;
    const table = memory.window(config.descriptors, descriptorTableBytes(config.size));
    const avail = memory.window(config.driver, availRingBytes(config.size));
    const used = memory.window(config.device, usedRingBytes(config.size));
    if (table === undefined || avail === undefined || used === undefined) return undefined;
    return new BriefSplitRing(init, table, avail, used);
  }

  private constructor(init: BriefInit, table: MemoryWindow, avail: MemoryWindow, used: MemoryWindow) {
    super(init, table, init.config.size);
    const { size, start } = init.config;
    this.#init = init;
    this.#avail = avail;
    this.#used = used;
    this.#mask = size - 1;
    this.#availIdx = this.#takenIdx = this.#seenAvail = start?.avail ?? 0;
    this.#usedIdx = this.#consumedIdx = start?.used ?? 0;
    this.#published = new Int32Array(size).fill(-1);
    this.#slotRead = new Uint8Array(size);
    this.#returned = new Int32Array(size).fill(-1);
    this.#batch = new Uint16Array(size);
    this.#usedLength = new Uint32Array(size);
    this.#last = new Int32Array(size).fill(-1);
  }

  get nextAvailable(): number {
    return this.#availIdx;
  }

  protected takenBefore(back: number): number {
    return back > this.size ? -1 : this.#published[(this.#takenIdx - back) & this.#mask];
  }
  protected nextOf(descriptor: number): number {
    const word = this.words[WORDS * descriptor + 3];
    return (word & DescriptorFlag.NEXT) === 0 ? -1 : word >>> 16;
  }
  protected isWritable(descriptor: number): boolean {
    return (this.words[WORDS * descriptor + 3] & DescriptorFlag.WRITE) !== 0;
  }

  // ---------------------------------------------------------------- the driver

  protected takeUp(): boolean {
    const idx = this.#avail.get16(Avail.IDX);
    if (idx === this.#availIdx) return true;
    if (((idx - this.#availIdx) & U16) + this.outstanding > this.size) return false;
    while (this.#availIdx !== idx) {
      if (!this.#publish(this.#availIdx & this.#mask)) return false;
      this.#availIdx = (this.#availIdx + 1) & U16;
    }
    this.looks[Look.availIndex]++;
    return true;
  }

  #publish(slot: number): boolean {
    const head = this.#avail.get16(Avail.RING + Avail.ENTRY * slot);
    const { size, state, owner } = this;
    if (head >= size) return false;
    // A driver that reads where nobody sees it has consumed what it uses again.
    while (state[head] === USED && this.#consumedIdx !== this.#usedIdx) this.#consume();
    if (state[head] === AVAILABLE || state[head] === TAKEN) return false;
    this.startChain();
    let count = 0;
    for (let at = head; at >= 0; at = this.nextOf(at)) {
      if (at >= size || owner[at] >= 0 || ++count > size) return false;
      // What is known of a chain that is back stands in its descriptors.
      const last = this.#last[at];
      if (last >= 0 && last !== head && state[last] === USED) return false;
      this.copy(at, at);
      const flags = this.words[WORDS * at + 3] & U16;
      if ((flags & ~KNOWN_FLAGS) !== 0 || !this.addPart(at)) return false;
      if (this.features.inOrder === true && at !== ((this.#nextDescriptor + count - 1) & this.#mask))
        return false;
    }
    for (let at = head; at >= 0; at = this.nextOf(at)) {
      owner[at] = head;
      this.#last[at] = head;
      this.bytesRead[at] = 0;
    }
    if (this.features.inOrder === true) {
      this.looks[Look.tableOrder]++;
      this.#nextDescriptor = (this.#nextDescriptor + count) & this.#mask;
    }
    this.#published[slot] = head;
    this.#slotRead[slot] = 0;
    this.enter(head);
    return true;
  }

  #consume(): void {
    const chain = this.#returned[this.#consumedIdx & this.#mask];
    this.#consumedIdx = (this.#consumedIdx + 1) & U16;
    if (chain < 0 || this.state[chain] !== USED) return;
    this.state[chain] = FREE;
    this.looks[Look.chainMachine]++;
  }

  // ---------------------------------------------------------------- the device

  read(area: number, from: number, to: number): boolean {
    if (this.closed) return false;
    if (area === Area.DRIVER ? !this.#availRead(from, to) : !this.#tableRead(area, from, to)) return false;
    this.looks[Look.readsWithin]++;
    return true;
  }

  #availRead(from: number, to: number): boolean {
    if (to - from !== 2) return false;
    if (from === Avail.IDX) {
      if (!this.sync()) return false;
      this.#seenAvail = this.#availIdx;
      return true;
    }
    if (from >= Avail.RING && from < usedEventOffset(this.size)) return this.#slotFetched(from);
    return from >= 0 && to <= availRingBytes(this.size);
  }

  #slotFetched(from: number): boolean {
    const slot = (from - Avail.RING) >> 1;
    const next = this.#takenIdx;
    if (slot !== (next & this.#mask) || this.#slotRead[slot] !== 0) return false;
    if (next === this.#seenAvail || next === this.#availIdx) return false;
    this.#slotRead[slot] = 1;
    this.#takenIdx = (next + 1) & U16;
    this.take(this.#published[slot]);
    this.looks[Look.takeOrder]++;
    this.looks[Look.deviceDoubleFetch]++;
    return true;
  }

  #tableRead(area: number, from: number, to: number): boolean {
    if (area === Area.DEVICE) return from >= 0 && to <= usedRingBytes(this.size);
    const at = from >> 4;
    const base = Descriptor.SIZE * at;
    if (from < 0 || at >= this.size || to > base + Descriptor.SIZE) return false;
    if (this.owner[at] >= 0) {
      const read = bits(from - base, to - base);
      if ((this.bytesRead[at] & read) !== 0) return false;
      this.bytesRead[at] |= read;
    }
    this.looks[Look.deviceDoubleFetch]++;
    return true;
  }

  wrote(area: number, from: number, to: number): boolean {
    if (this.closed || area !== Area.DEVICE || from < 0) return false;
    const { looks, size } = this;
    if (from >= Used.RING && to <= availEventOffset(size)) {
      const s = (from - Used.RING) >> 3;
      if (to > Used.RING + Used.ENTRY * (s + 1)) return false;
      if (((s - this.#usedIdx) & this.#mask) >= this.outstanding) return false;
      looks[Look.lateWrites]++;
    } else if (from === Used.IDX && to === Used.IDX + 2) {
      if (this.#used.get16(Used.IDX) !== this.#usedIdx) return false;
      looks[Look.usedIndex]++;
    } else if (from === Used.FLAGS && to === Used.FLAGS + 2) {
      const flags = this.#used.get16(Used.FLAGS);
      if (flags > Used.NO_NOTIFY || (this.features.eventIdx && flags !== 0)) return false;
      looks[Look.deviceFlags]++;
    } else if (from !== availEventOffset(size) || to !== from + 2 || !this.features.eventIdx) return false;
    looks[Look.writesWithin]++;
    looks[Look.foreignAreas]++;
    return true;
  }

  storing(area: number, from: number, value: number): boolean {
    if (this.closed) return false;
    if (area !== Area.DEVICE || from !== Used.IDX) return true;
    const added = (value - this.#usedIdx) & U16;
    if (added > this.outstanding) return false;
    while (this.#usedIdx !== value) if (!this.#element((value - this.#usedIdx) & U16)) return false;
    this.looks[Look.usedIndex]++;
    return true;
  }

  /** The next used element is published, and `room` slots with it. */
  #element(room: number): boolean {
    const slot = this.#usedIdx & this.#mask;
    const at = Used.RING + Used.ENTRY * slot;
    const head = this.#used.get32(at + Used.ID);
    const length = this.#used.get32(at + Used.LEN);
    if (head >= this.size || this.state[head] !== TAKEN) return false;
    const count = this.features.inOrder === true ? this.#batchUpTo(head, room) : 1;
    if (count === 0) return false;
    for (let i = 0; i < count; i++) {
      const chain = i === count - 1 ? head : this.#oldest(i);
      if (!this.mayReturn(chain, chain === head ? length : this.writableBytes[chain])) return false;
      if (!this.#isKept(chain)) return false;
    }
    for (let i = 0; i < count; i++) {
      const chain = i === count - 1 ? head : this.#oldest(i);
      this.#usedLength[chain] = chain === head ? length : this.writableBytes[chain];
      for (let each = chain; each >= 0; each = this.nextOf(each)) this.owner[each] = -1;
      this.#returned[(slot + i) & this.#mask] = chain;
      this.back(chain);
    }
    this.#batch[slot] = count;
    this.#usedIdx = (this.#usedIdx + count) & U16;
    this.looks[Look.usedId]++;
    if (!this.features.eventIdx) this.looks[Look.availEvent]++;
    return true;
  }

  /** With IN_ORDER the chain published `i` after the oldest one that is out: chains come back in their slots' order. */
  #oldest(i: number): number {
    return this.#published[(this.#usedIdx + i) & this.#mask];
  }

  /** Chains from the oldest one to this, both counted; 0 when there are more than `room`. */
  #batchUpTo(head: number, room: number): number {
    for (let i = 0; i < room; i++) if (this.#oldest(i) === head) return i + 1;
    return 0;
  }

  #isKept(chain: number): boolean {
    for (let each = chain; each >= 0; each = this.nextOf(each))
      for (let word = WORDS * each; word < WORDS * each + WORDS; word++)
        if (this.words[word] !== this.table.get32(4 * word)) return false;
    return true;
  }

  // ---------------------------------------------------------------- in detail

  inDetail(host: RingHost): RingState {
    this.closed = true;
    const { config, features } = this;
    const start = { avail: this.#availIdx, used: this.#usedIdx };
    const ring = new WatchedSplitRing(host, { ...config, start }, features, 'other', false);
    ring.takenIdx = this.#takenIdx;
    ring.seenAvail = this.#seenAvail;
    ring.consumedIdx = this.#consumedIdx;
    ring.nextDescriptor = this.#nextDescriptor;
    const memory = new KeptMemory(this.#init.memory, config.descriptors, this.words);
    for (let head = 0; head < this.size; head++) {
      if (this.state[head] !== FREE) this.#chainInDetail(ring, memory, head);
    }
    this.#slotsInDetail(ring);
    return ring;
  }

  #chainInDetail(ring: WatchedSplitRing, memory: KeptMemory, head: number): void {
    const chain = ring.recall(head, memory);
    chain.fetch(this.readFrom[head], this.readTo[head]);
    chain.wrote(0, this.prefix[head]);
    if (this.state[head] === USED) {
      chain.state = 'used';
      chain.usedLength = this.#usedLength[head];
      return;
    }
    chain.state = this.state[head] === TAKEN ? 'taken' : 'available';
    ring.outstanding++;
    for (const at of chain.descriptors) {
      ring.owners[at] = chain;
      ring.descriptorRead[at] = this.bytesRead[at];
    }
    ring.enter(chain);
  }

  #slotsInDetail(ring: WatchedSplitRing): void {
    for (let back = this.size; back > 0; back--) {
      const slot = (this.#availIdx - back) & this.#mask;
      const head = this.#published[slot];
      const chain = head < 0 ? undefined : ring.chains[head];
      ring.slotRead[slot] = this.#slotRead[slot];
      ring.bySlot[slot] = chain;
      if (chain === undefined) continue;
      chain.slot = slot;
      if (back <= this.outstanding) ring.order.push(chain);
    }
    for (let idx = this.#consumedIdx; idx !== this.#usedIdx; idx = (idx + 1) & U16) {
      const slot = idx & this.#mask;
      const head = this.#returned[slot];
      const chain = head < 0 ? undefined : ring.chains[head];
      ring.returned[slot] = chain;
      ring.batches[slot] = this.#batch[slot];
      if (chain !== undefined) chain.usedSlot = slot;
    }
  }
}
