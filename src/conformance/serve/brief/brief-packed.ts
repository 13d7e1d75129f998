/**
 * A packed ring that is followed in brief. A chain that is out may have lost its slots to others, so descriptors have places of
 * their own while their chain is known, and a chain is numbered by that of its first one.
 */
import {
  EventMode,
  PACKED_START,
  PackedDescriptor,
  PackedEvent,
  PackedFlag,
  advance,
  isAvailable,
  isPosition,
  isUsed,
  slotOf,
} from '../../../virtio/index.js';
import type { MemoryWindow } from '../../../virtio/index.js';
import { FLAG_BYTES, USED_FLAGS } from '../../ring-watch/packed-state.js';
import type { PackedPostedChain } from '../../ring-watch/packed-chain.js';
import type { Cursor } from '../../ring-watch/packed-state.js';
import type { RingHost, RingState } from '../../ring-watch/ring-state.js';
import { WatchedPackedRing } from '../../ring-watch/watched-packed-ring.js';
import { AVAILABLE, Area, BriefRing, FREE, Look, TAKEN, USED, WORDS, bits } from './brief-ring.js';
import type { BriefInit } from './brief-ring.js';
import { KeptMemory } from './kept-memory.js';

const { SIZE, FLAGS, ID, LEN } = PackedDescriptor;
const U16 = 0xffff;
const KNOWN_FLAGS = PackedFlag.NEXT | PackedFlag.WRITE | PackedFlag.AVAIL | PackedFlag.USED;
const IDS = 0x1_0000;

export class BriefPackedRing extends BriefRing {
  readonly #init: BriefInit;
  readonly #event: MemoryWindow;
  readonly #published: Cursor;
  readonly #taken: Cursor;
  readonly #used: Cursor;
  readonly #consumed: Cursor;
  #chainsPublished = 0;
  #chainsReturned = 0;
  /** Chain by buffer id, or -1. */
  readonly #byId = new Int32Array(IDS).fill(-1);
  /**
   * By descriptor: its slot, and the descriptor behind it or -1. Those that are free stand in a circle, and there are twice as
   * many descriptors as slots: a chain is copied before those that the driver has taken back are free.
   */
  readonly #slot: Uint16Array;
  readonly #next: Int32Array;
  readonly #free: Uint16Array;
  #freeHead = 0;
  #freeTail = 0;
  /** By chain: when it was published, its id, its descriptors, the bytes that it came back with, whether its flags were read. */
  readonly #sequence: Float64Array;
  readonly #id: Uint16Array;
  readonly #length: Uint16Array;
  readonly #usedLength: Uint32Array;
  readonly #flagsRead: Uint8Array;
  /** The chains published last, in their order. */
  readonly #order: Uint16Array;
  /** Chains published and not taken. */
  #coming = 0;
  /** What each slot held when it was last published or used, a copy of the ring. */
  readonly #kept: Uint32Array;
  /** Elements that the driver has not taken back: their slots and chains, in a circle. */
  readonly #elementSlot: Uint16Array;
  readonly #elementChains: Uint16Array;
  readonly #elementChain: Uint16Array;
  #elements = 0;
  #element = 0;
  /** A slot whose element was taken up before its flags were stored; -1 when there is none. */
  #told = -1;

  /** Undefined when the areas are not in guest memory. */
  static open(init: BriefInit): BriefPackedRing | undefined {
    const { memory, config } = init;
    const ring = memory.window(config.descriptors, SIZE * config.size);
    const event = memory.window(config.device, PackedEvent.SIZE);
    return ring === undefined || event === undefined ? undefined : new BriefPackedRing(init, ring, event);
  }

  private constructor(init: BriefInit, ring: MemoryWindow, event: MemoryWindow) {
    super(init, ring, 2 * init.config.size);
    const { size, start } = init.config;
    const descriptors = 2 * size;
    this.#init = init;
    this.#event = event;
    const avail = start?.avail ?? PACKED_START;
    const used = start?.used ?? PACKED_START;
    this.#published = { position: avail, count: 0 };
    this.#taken = { position: avail, count: 0 };
    this.#used = { position: used, count: 0 };
    this.#consumed = { position: used, count: 0 };
    this.#slot = new Uint16Array(descriptors);
    this.#next = new Int32Array(descriptors).fill(-1);
    this.#free = Uint16Array.from({ length: descriptors }, (_, i) => i);
    this.#sequence = new Float64Array(descriptors);
    this.#id = new Uint16Array(descriptors);
    this.#length = new Uint16Array(descriptors);
    this.#usedLength = new Uint32Array(descriptors);
    this.#flagsRead = new Uint8Array(descriptors);
    this.#order = new Uint16Array(size);
    this.#kept = new Uint32Array(WORDS * size);
    this.#elementSlot = new Uint16Array(size);
    this.#elementChains = new Uint16Array(size);
    this.#elementChain = new Uint16Array(size);
  }

  get nextAvailable(): number {
    return this.#published.position;
  }

  /** Chains are taken in the order in which they were published. */
  protected takenBefore(back: number): number {
    return back > this.size ? -1 : this.#orderAt(this.#chainsPublished - this.#coming - back);
  }
  #orderAt(place: number): number {
    return place < 0 ? -1 : this.#order[place % this.size];
  }
  protected nextOf(descriptor: number): number {
    return this.#next[descriptor];
  }
  protected isWritable(descriptor: number): boolean {
    return ((this.words[WORDS * descriptor + 3] >>> 16) & PackedFlag.WRITE) !== 0;
  }

  #flags(slot: number): number {
    return this.table.get16(SIZE * slot + FLAGS);
  }
  #pass(cursor: Cursor, descriptors: number): void {
    cursor.position = advance(cursor.position, descriptors, this.size);
    cursor.count = (cursor.count + descriptors) & U16;
  }
  /** Descriptors that the driver has not back. */
  #held(): number {
    return (this.#published.count - this.#consumed.count) & U16;
  }
  #keep(slot: number): void {
    const at = WORDS * slot;
    for (let i = 0; i < WORDS; i++) this.#kept[at + i] = this.table.get32(4 * (at + i));
  }
  #ahead(slot: number): number {
    const ahead = slot - slotOf(this.#used.position);
    return ahead < 0 ? ahead + this.size : ahead;
  }

  // ---------------------------------------------------------------- the driver

  protected takeUp(): boolean {
    const cursor = this.#published;
    while (isAvailable(this.#flags(slotOf(cursor.position)), cursor.position))
      if (!this.#publish()) return false;
    return true;
  }

  #publish(): boolean {
    const { size, looks } = this;
    // A driver that reads where nobody sees it has taken back what it uses again.
    while (this.#held() >= size && this.#elements > 0) this.#consume();
    if (this.#held() >= size) return false;
    const count = this.#follow();
    if (count === 0) return false;
    while (this.#held() + count > size && this.#elements > 0) this.#consume();
    const first = this.#freeAt(0);
    const id = this.words[WORDS * this.#freeAt(count - 1) + 3] & U16;
    if (this.#held() + count > size || this.#byId[id] >= 0) return false;
    this.#freeHead = (this.#freeHead + count) % this.#free.length;
    for (let each = first; each >= 0; each = this.#next[each]) {
      const slot = this.#slot[each];
      this.owner[slot] = first;
      this.bytesRead[slot] = 0;
      for (let i = 0; i < WORDS; i++) this.#kept[WORDS * slot + i] = this.words[WORDS * each + i];
    }
    this.#byId[id] = first;
    this.#id[first] = id;
    this.#length[first] = count;
    this.#flagsRead[first] = 0;
    this.#sequence[first] = this.#chainsPublished;
    this.#order[this.#chainsPublished++ % size] = first;
    this.#coming++;
    this.#pass(this.#published, count);
    this.enter(first);
    looks[Look.availIndex]++;
    looks[Look.chainShown]++;
    return true;
  }

  /** Copies the next chain into descriptors that are free, and leaves them so. Returns how many; 0 when it is not plainly right. */
  #follow(): number {
    this.startChain();
    let { position } = this.#published;
    let before = -1;
    for (let count = 1; count <= this.size; count++) {
      const each = this.#freeAt(count - 1);
      const slot = slotOf(position);
      this.copy(each, slot);
      this.#slot[each] = slot;
      this.#next[each] = -1;
      if (before >= 0) this.#next[before] = each;
      const flags = this.words[WORDS * each + 3] >>> 16;
      if (!isAvailable(flags, position) || (flags & ~KNOWN_FLAGS) !== 0 || !this.addPart(each)) return 0;
      if ((flags & PackedFlag.NEXT) === 0) return count;
      before = each;
      position = advance(position, 1, this.size);
    }
    return 0;
  }

  #freeAt(i: number): number {
    const at = this.#freeHead + i;
    return this.#free[at < this.#free.length ? at : at - this.#free.length];
  }

  #setFree(descriptor: number): void {
    this.#free[this.#freeTail] = descriptor;
    this.#freeTail = this.#freeTail + 1 === this.#free.length ? 0 : this.#freeTail + 1;
  }

  #consume(): void {
    const place = this.#element++ % this.size;
    this.#elements--;
    let descriptors = 0;
    for (let i = 0, left = this.#elementChains[place]; i < left; i++) {
      const chain = this.#returnedAt(this.#chainsReturned - this.#waiting + i);
      descriptors += this.#length[chain];
      this.state[chain] = FREE;
      for (let each = chain; each >= 0; each = this.#next[each]) this.#setFree(each);
      this.looks[Look.chainMachine]++;
    }
    this.#waiting -= this.#elementChains[place];
    this.#pass(this.#consumed, descriptors);
  }

  /** Chains that came back and were not taken back by the driver; the `n`th that came back. */
  #waiting = 0;
  #returnedAt(n: number): number {
    return this.#elementChain[n % this.size];
  }

  // ---------------------------------------------------------------- the device

  read(area: number, from: number, to: number): boolean {
    if (this.closed || from < 0) return false;
    if (area !== Area.DESCRIPTORS) {
      if (to > PackedEvent.SIZE) return false;
    } else if (!this.#slotFetched(from, to)) return false;
    this.looks[Look.readsWithin]++;
    return true;
  }

  #slotFetched(from: number, to: number): boolean {
    const slot = from >> 4;
    const base = SIZE * slot;
    if (slot >= this.size || to > base + SIZE) return false;
    const read = bits(from - base, to - base);
    const own = read & ~FLAG_BYTES;
    const known = this.owner[slot];
    if (own !== read && (known < 0 || this.state[known] !== AVAILABLE) && !this.sync()) return false;
    const isNext = slot === slotOf(this.#taken.position);
    const next = this.#coming === 0 ? -1 : this.#orderAt(this.#chainsPublished - this.#coming);
    const owner = this.owner[slot];
    if (own === 0) {
      const late = !isNext && owner >= 0 && this.state[owner] === TAKEN;
      const before = this.bytesRead[slot];
      if (late && (before & FLAG_BYTES) !== 0 && (before & ~FLAG_BYTES) !== 0) return false;
    } else if (owner < 0 || this.state[owner] === AVAILABLE) {
      if (owner < 0 || owner !== next) return false;
      if (this.#flagsRead[next] === 0 && (!isNext || read === own)) return false;
      this.#takeNext(next);
    } else if ((this.bytesRead[slot] & own) !== 0) return false;
    if (isNext && read !== own && next >= 0) this.#flagsRead[next] = 1;
    this.bytesRead[slot] |= read;
    this.looks[Look.deviceDoubleFetch]++;
    if (own !== 0) this.looks[Look.takeOrder]++;
    return true;
  }

  #takeNext(chain: number): void {
    this.#coming--;
    this.#pass(this.#taken, this.#length[chain]);
    this.take(chain);
  }

  wrote(area: number, from: number, to: number): boolean {
    if (this.closed || area === Area.DRIVER || from < 0) return false;
    if (area === Area.DEVICE ? !this.#eventWritten(to) : !this.#ringWritten(from, to)) return false;
    this.looks[Look.writesWithin]++;
    this.looks[Look.foreignAreas]++;
    return true;
  }

  #eventWritten(to: number): boolean {
    const mode = this.#event.get16(PackedEvent.MODE);
    const position = this.#event.get16(PackedEvent.POSITION);
    const withPosition = mode === EventMode.DESC;
    if (to > PackedEvent.SIZE || mode > EventMode.DESC || (withPosition && !this.features.eventIdx))
      return false;
    if (withPosition && !isPosition(position, this.size)) return false;
    this.looks[Look.deviceFlags]++;
    return true;
  }

  #ringWritten(from: number, to: number): boolean {
    const slot = from >> 4;
    if (slot >= this.size || to > SIZE * (slot + 1)) return false;
    if (slot === this.#told) this.#told = -1;
    else {
      const room = (this.#taken.count - this.#used.count) & U16;
      if (this.#ahead(slot) >= room) return false;
      this.looks[Look.lateWrites]++;
    }
    this.#keep(slot);
    if (this.#takeElements()) return true;
    // What shows is judged in detail, this write with it: it is not counted twice.
    this.looks[Look.lateWrites]--;
    return false;
  }

  storing(area: number, from: number, value: number): boolean {
    if (this.closed) return false;
    const slot = slotOf(this.#used.position);
    if (area !== Area.DESCRIPTORS || from !== SIZE * slot + FLAGS || this.outstanding === 0) return true;
    if (!isUsed(value, this.#used.position)) return true;
    if (!this.#elementAt(slot, value)) return false;
    this.#told = slot;
    return this.#takeElements();
  }

  /** Takes up the used elements that show. */
  #takeElements(): boolean {
    while (this.outstanding > 0) {
      const slot = slotOf(this.#used.position);
      const flags = this.#flags(slot);
      if (!isUsed(flags, this.#used.position)) return true;
      if (!this.#elementAt(slot, flags)) return false;
    }
    return true;
  }

  #elementAt(slot: number, flags: number): boolean {
    const { looks, size } = this;
    const last = this.#byId[this.table.get16(SIZE * slot + ID)];
    if (last < 0 || (flags & ~USED_FLAGS) !== 0) return false;
    const length = (flags & PackedFlag.WRITE) === 0 ? 0 : this.table.get32(SIZE * slot + LEN);
    const count = this.features.inOrder === true ? this.#batchUpTo(last) : 1;
    let descriptors = 0;
    for (let i = 0; i < count; i++) {
      const chain = i === count - 1 ? last : this.#oldest(i);
      if (!this.mayReturn(chain, chain === last ? length : this.writableBytes[chain])) return false;
      if (!this.#isKept(chain)) return false;
      descriptors += this.#length[chain];
    }
    for (let i = 0; i < count; i++) {
      const chain = i === count - 1 ? last : this.#oldest(i);
      this.#return(chain, chain === last ? length : this.writableBytes[chain]);
    }
    const place = (this.#element + this.#elements++) % size;
    this.#elementSlot[place] = slot;
    this.#elementChains[place] = count;
    this.#keep(slot);
    this.#pass(this.#used, descriptors);
    looks[Look.usedIndex]++;
    looks[Look.usedId]++;
    looks[Look.deviceFlags]++;
    return true;
  }

  #return(chain: number, length: number): void {
    this.#usedLength[chain] = length;
    this.#byId[this.#id[chain]] = -1;
    for (let each = chain; each >= 0; each = this.#next[each])
      if (this.owner[this.#slot[each]] === chain) this.owner[this.#slot[each]] = -1;
    this.#elementChain[this.#chainsReturned++ % this.size] = chain;
    this.#waiting++;
    this.back(chain);
  }

  /** With IN_ORDER the chain published `i` after the oldest one that is out, before any of a batch came back. */
  #oldest(i: number): number {
    return this.#orderAt(this.#chainsReturnedAtBatch + i);
  }
  #chainsReturnedAtBatch = 0;

  #batchUpTo(last: number): number {
    this.#chainsReturnedAtBatch = this.#chainsReturned;
    for (let i = 0; i < this.outstanding; i++) if (this.#oldest(i) === last) return i + 1;
    return 1;
  }

  /** Whether the driver left its descriptors alone, but for those under a used element, which are the device's to change. */
  #isKept(chain: number): boolean {
    const standing = (this.#published.count - this.#used.count) & U16;
    for (let each = chain; each >= 0; each = this.#next[each]) {
      const slot = this.#slot[each];
      const ahead = this.#ahead(slot);
      if (ahead === 0 || ahead >= standing || this.owner[slot] !== chain) continue;
      for (let word = WORDS * slot; word < WORDS * slot + WORDS; word++)
        if (this.#kept[word] !== this.table.get32(4 * word)) return false;
    }
    return true;
  }

  // ---------------------------------------------------------------- in detail

  inDetail(host: RingHost): RingState {
    this.closed = true;
    const { config, features } = this;
    const start = { avail: this.#published.position, used: this.#used.position };
    const ring = new WatchedPackedRing(host, { ...config, start }, features, 'other', false);
    Object.assign(ring.published, this.#published);
    Object.assign(ring.taken, this.#taken);
    Object.assign(ring.used, this.#used);
    Object.assign(ring.consumed, this.#consumed);
    ring.publishedChains = this.#chainsPublished;
    ring.returnedChains = this.#chainsReturned;
    ring.copy.set(new Uint8Array(this.#kept.buffer));
    ring.device.recall(this.#told);
    const chains = this.#chainsInDetail(ring);
    for (let i = 0, n = this.#chainsReturned - this.#waiting; i < this.#elements; i++) {
      const place = (this.#element + i) % this.size;
      const own: PackedPostedChain[] = [];
      for (let left = this.#elementChains[place]; left > 0; left--) {
        const chain = chains.get(this.#returnedAt(n++));
        if (chain !== undefined) own.push(chain);
      }
      const descriptors = own.reduce((sum, chain) => sum + chain.descriptors.length, 0);
      ring.elements.push({ slot: this.#elementSlot[place], chains: own, descriptors });
    }
    return ring;
  }

  /** All chains that are known, by number; those that are out in the order in which they were published. */
  #chainsInDetail(ring: WatchedPackedRing): Map<number, PackedPostedChain> {
    const chains = new Map<number, PackedPostedChain>();
    const known = [...this.state.keys()].filter(chain => this.state[chain] !== FREE);
    for (const number of known.toSorted((a, b) => this.#sequence[a] - this.#sequence[b])) {
      const wrap = ((this.words[WORDS * number + 3] >>> 16) & PackedFlag.AVAIL) === 0 ? 0 : PACKED_START;
      const chain = ring.newChain(this.#id[number]);
      chain.fillAt(
        this.#keptOf(number),
        this.config.descriptors,
        this.#slot[number] | wrap,
        this.size,
        false,
      );
      chains.set(number, chain);
      chain.fetch(this.readFrom[number], this.readTo[number]);
      chain.wrote(0, this.prefix[number]);
      chain.flagsRead = this.#flagsRead[number] !== 0;
      if (this.state[number] === USED) {
        chain.state = 'used';
        chain.usedLength = this.#usedLength[number];
      } else this.#outInDetail(ring, chain, this.state[number] === TAKEN);
    }
    return chains;
  }

  /** Memory in which a chain's slots hold what they held when it was published. */
  #keptOf(chain: number): KeptMemory {
    const words = new Uint32Array(WORDS * this.size);
    for (let each = chain; each >= 0; each = this.#next[each])
      words.set(this.words.subarray(WORDS * each, WORDS * (each + 1)), WORDS * this.#slot[each]);
    return new KeptMemory(this.#init.memory, this.config.descriptors, words);
  }

  #outInDetail(ring: WatchedPackedRing, chain: PackedPostedChain, taken: boolean): void {
    chain.state = taken ? 'taken' : 'available';
    ring.byId.set(chain.id, chain);
    if (!taken) ring.coming.push(chain);
    ring.outstanding++;
    for (const at of chain.descriptors) {
      ring.owners[at] = chain;
      ring.descriptorRead[at] = this.bytesRead[at];
    }
    ring.order.push(chain);
    ring.enter(chain);
  }
}
