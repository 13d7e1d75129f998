/** What a device does to a ring, access by access: what it takes, reads, writes and returns. */
import type { Place } from './ring-state.js';
import { Avail, Descriptor, Used, availEventOffset, usedEventOffset } from '../../virtio/index.js';
import type { DriverSide } from './driver-side.js';
import { isOut } from './posted-chain.js';
import type { PostedChain } from './posted-chain.js';
import { U16, bitsOf, touchesWord } from './ring-state.js';
import type { SplitState } from './split-state.js';

export class DeviceSide {
  readonly #ring: SplitState;
  readonly #driver: DriverSide;

  constructor(ring: SplitState, driver: DriverSide) {
    this.#ring = ring;
    this.#driver = driver;
  }

  read(place: Place, start: number, end: number): void {
    if (this.#ring.lost) return;
    const from = start - place.start;
    const to = end - place.start;
    const { chain } = place;
    switch (place.kind) {
      case 'available':
        return this.#availRead(from, to);
      case 'descriptors':
        return this.#descriptorsRead(from, to);
      case 'table':
        if (chain?.readTable(from, to) === true) this.#again(`the table of chain ${chain.head}`);
        return this.#ring.looked('deviceDoubleFetch');
      case 'readable':
        if (chain?.fetch(place.offset + from, place.offset + to) === true)
          this.#again(
            `readable bytes ${place.offset + from}..${place.offset + to - 1} of chain ${chain.head}`,
          );
        return this.#ring.looked('deviceDoubleFetch');
      case 'writable':
      case 'used':
      case 'ring':
        return;
    }
  }

  #again(what: string): void {
    this.#ring.breach('deviceDoubleFetch', `the device read ${what} twice`);
  }

  #availRead(from: number, to: number): void {
    if (touchesWord(from, to, Avail.FLAGS) && !this.#ring.features.eventIdx) this.#ring.toDriver.wishRead();
    if (to > usedEventOffset(this.#ring.size) && this.#ring.features.eventIdx) this.#ring.toDriver.wishRead();
    if (touchesWord(from, to, Avail.IDX)) {
      // A driver that writes where nobody sees it has published what the device can see.
      this.#driver.sync();
      if (this.#ring.lost) return;
      this.#ring.seenAvail = this.#ring.availIdx;
      this.#ring.toDevice.indexRead(this.#ring.takenIdx);
    }
    const slots = Math.min(to, usedEventOffset(this.#ring.size));
    const single = to - from <= Avail.ENTRY;
    for (let s = Math.max(0, (from - Avail.RING) >> 1); Avail.RING + s * Avail.ENTRY < slots; s++)
      this.#slotFetched(s, single);
  }

  /** The device read the slot `s`; `single`: it and no other. */
  #slotFetched(s: number, single: boolean): void {
    this.#ring.looked('takeOrder');
    this.#ring.looked('deviceDoubleFetch');
    if (this.#ring.slotRead[s] !== 0) {
      this.#again(`slot ${s}`);
      return;
    }
    const ahead = (s - this.#ring.takenIdx) & this.#ring.mask;
    if (ahead >= ((this.#ring.seenAvail - this.#ring.takenIdx) & U16)) {
      if (single) this.#ring.breach('takeOrder', `slot ${s} was read before the index that publishes it`);
      return;
    }
    if (ahead !== 0) {
      if (single)
        this.#ring.breach(
          'takeOrder',
          `slot ${s} was read before slot ${this.#ring.takenIdx & this.#ring.mask}`,
        );
      return;
    }
    this.#ring.slotRead[s] = 1;
    this.#ring.takenIdx = (this.#ring.takenIdx + 1) & U16;
    const chain = this.#ring.bySlot[s];
    if (chain === undefined) return;
    chain.state = 'taken';
    this.#ring.toDevice.taking();
    this.#ring.host.sink.taken(this.#ring.index, chain.head);
    this.#ring.host.taken(this.#ring, chain);
  }

  #descriptorsRead(from: number, to: number): void {
    this.#ring.looked('deviceDoubleFetch');
    for (let at = Math.floor(from / Descriptor.SIZE); at * Descriptor.SIZE < to; at++) {
      const chain = this.#ring.owners[at];
      if (chain === undefined) continue;
      const base = at * Descriptor.SIZE;
      const bits = bitsOf(Math.max(0, from - base), Math.min(Descriptor.SIZE, to - base));
      if ((this.#ring.descriptorRead[at] & bits) !== 0)
        this.#again(`descriptor ${at} of chain ${chain.head}`);
      this.#ring.descriptorRead[at] |= bits;
    }
  }

  publishing({ kind }: Place, at: number, value: number): void {
    if (!this.#ring.lost && kind === 'used' && at === Used.IDX) this.#raiseUsed(value);
  }

  wrote(place: Place, start: number, end: number): void {
    if (this.#ring.lost) return;
    const from = start - place.start;
    const to = end - place.start;
    if (place.kind === 'writable') place.chain?.wrote(place.offset + from, place.offset + to);
    else if (place.kind === 'used') this.#usedWritten(from, to);
  }

  #usedWritten(from: number, to: number): void {
    const elements = Math.min(to, availEventOffset(this.#ring.size));
    for (let s = Math.max(0, (from - Used.RING) >> 3); Used.RING + s * Used.ENTRY < elements; s++) {
      this.#ring.looked('lateWrites');
      if (((s - this.#ring.usedIdx) & this.#ring.mask) < this.#ring.outstanding) continue;
      this.#ring.breach(
        'lateWrites',
        `the device wrote used element ${s}, which is published or has no chain to return`,
      );
    }
    if (touchesWord(from, to, Used.FLAGS)) {
      this.#ring.looked('deviceFlags');
      const flags = this.#ring.used.get16(Used.FLAGS);
      if (flags > Used.NO_NOTIFY || (this.#ring.features.eventIdx && flags !== 0))
        this.#ring.breach('deviceFlags', `the flags of the used ring are ${flags}`);
      if (!this.#ring.features.eventIdx) this.#wished((flags & Used.NO_NOTIFY) === 0 ? 0 : this.#ring.size);
    }
    if (to > availEventOffset(this.#ring.size)) {
      const event = this.#ring.used.get16(availEventOffset(this.#ring.size));
      if (this.#ring.features.eventIdx) this.#wished((event - this.#ring.takenIdx) & U16);
      else this.#ring.breach('availEvent', 'avail_event was written without EVENT_IDX');
    }
    if (touchesWord(from, to, Used.IDX)) this.#raiseUsed(this.#ring.used.get16(Used.IDX));
  }

  /** The device wants to be told of the chain that is `ahead` of the next one; not at all when that is beyond the ring. */
  #wished(ahead: number): void {
    const { toDevice, size } = this.#ring;
    if (ahead === 0) toDevice.asked(true);
    else if (ahead >= size) toDevice.withdrew();
  }

  #raiseUsed(idx: number): void {
    const added = (idx - this.#ring.usedIdx) & U16;
    this.#ring.looked('usedIndex');
    if (added === 0) return;
    if (added > this.#ring.outstanding) {
      this.#ring.lose(
        'usedIndex',
        `the used index went from ${this.#ring.usedIdx} to ${idx} with ${this.#ring.outstanding} chains out`,
      );
      return;
    }
    for (let i = 0; i < added;) {
      i += this.#element((this.#ring.usedIdx + i) & this.#ring.mask, added - i);
      if (this.#ring.lost) return;
    }
    this.#ring.usedIdx = idx;
    this.#ring.toDriver.raised(idx, this.#ring.host.live && this.#ring.kind !== 'completion');
  }

  /** The element in slot `s` is published, and `room` slots with it. Returns how many of them it stands for. */
  #element(s: number, room: number): number {
    const at = Used.RING + Used.ENTRY * s;
    const head = this.#ring.used.get32(at + Used.ID);
    const length = this.#ring.used.get32(at + Used.LEN);
    this.#ring.looked('usedId');
    if (!this.#ring.features.eventIdx) this.#ring.looked('availEvent');
    const chain = this.#ring.chains[head];
    if (chain === undefined || !isOut(chain)) {
      this.#ring.lose('usedId', `used id ${head} is not outstanding`);
      return room;
    }
    const batch = this.#ring.order.upTo(chain);
    if (batch.length > room) {
      this.#ring.looked('inOrder');
      this.#ring.lose('inOrder', `chain ${head} came back, and chain ${batch[0].head} is older`);
      return room;
    }
    this.#ring.elementRead[s] = 0;
    this.#ring.batches[s] = batch.length;
    for (const [i, each] of batch.entries()) {
      const skipped = each !== chain;
      if (!this.#ring.mayReturn(each, skipped ? each.writableBytes : length, skipped)) return room;
      this.#return(each, skipped ? each.writableBytes : length, (s + i) & this.#ring.mask);
    }
    return batch.length;
  }

  #return(chain: PostedChain, length: number, s: number): void {
    const { head } = chain;
    this.#lastLook(chain);
    chain.usedLength = length;
    chain.usedSlot = s;
    chain.state = 'used';
    this.#ring.outstanding--;
    this.#ring.returned[s] = chain;
    for (const at of chain.descriptors) this.#ring.owners[at] = undefined;
    this.#ring.leave(chain);
    this.#ring.host.sink.used(this.#ring.index, head, length);
    this.#ring.host.used(this.#ring, chain);
  }

  /** What the driver changed where nobody saw it shows now at the latest. */
  #lastLook(chain: PostedChain): void {
    const descriptor = chain.changedDescriptor(this.#ring.host.memory, this.#ring.config.descriptors);
    if (descriptor !== undefined)
      this.#ring.breach(
        'ownership',
        `descriptor ${descriptor} of chain ${chain.head} changed while the device had it`,
      );
    this.#ring.lastLookAt(chain);
  }
}
