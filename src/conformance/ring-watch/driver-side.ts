/** What a driver does to a ring, access by access: what it publishes, changes and takes back. */
import type { Place } from './ring-state.js';
import { Avail, Descriptor, Used, availEventOffset, usedEventOffset } from '../../virtio/index.js';
import { PostedChain, isOut } from './posted-chain.js';
import { U16, bitsOf, touchesWord } from './ring-state.js';
import type { SplitState } from './split-state.js';

export class DriverSide {
  readonly #ring: SplitState;

  constructor(ring: SplitState) {
    this.#ring = ring;
  }

  wrote(place: Place, start: number, end: number): void {
    if (this.#ring.lost) return;
    const from = start - place.start;
    const to = end - place.start;
    this.#ring.looked('usedRing');
    switch (place.kind) {
      case 'descriptors':
        return this.#descriptorsWritten(from, to);
      case 'available':
        return this.#availWritten(from, to);
      case 'used':
        return this.#ring.breach('usedRing', `the driver wrote bytes ${from}..${to - 1} of its used ring`);
      case 'table':
        return this.#tableWritten(place);
      case 'readable':
        return this.#readableWritten(place, place.offset + from, place.offset + to);
      case 'writable':
      case 'ring':
        return;
    }
  }

  #descriptorsWritten(from: number, to: number): void {
    for (let at = Math.floor(from / Descriptor.SIZE); at * Descriptor.SIZE < to; at++) {
      this.#ring.looked('ownership');
      const chain = this.#ring.owners[at];
      if (chain === undefined) continue;
      const changed = chain.changedDescriptor(this.#ring.host.memory, this.#ring.config.descriptors);
      if (changed !== undefined)
        this.#ring.breach(
          'ownership',
          `descriptor ${changed} of chain ${chain.head} was changed while the device has it`,
        );
    }
  }

  #availWritten(from: number, to: number): void {
    const slots = Math.min(to, usedEventOffset(this.#ring.size));
    for (let s = Math.max(0, (from - Avail.RING) >> 1); Avail.RING + s * Avail.ENTRY < slots; s++) {
      this.#ring.looked('ownership');
      const chain = this.#ring.bySlot[s];
      if (chain?.state !== 'available' || chain.slot !== s || this.#ring.slot(s) === chain.head) continue;
      this.#ring.breach('ownership', `slot ${s} was changed before the device took chain ${chain.head}`);
    }
    if (touchesWord(from, to, Avail.FLAGS)) {
      this.#ring.looked('driverFlags');
      const flags = this.#ring.avail.get16(Avail.FLAGS);
      if (flags > Avail.NO_INTERRUPT || (this.#ring.features.eventIdx && flags !== 0))
        this.#ring.breach('driverFlags', `the flags of the available ring are ${flags}`);
      if (!this.#ring.features.eventIdx)
        this.#wished((flags & Avail.NO_INTERRUPT) === 0 ? 0 : this.#ring.size);
    }
    if (to > usedEventOffset(this.#ring.size)) {
      const event = this.#ring.avail.get16(usedEventOffset(this.#ring.size));
      if (this.#ring.features.eventIdx) this.#wished((event - this.#ring.consumedIdx) & U16);
      else this.#ring.breach('usedEvent', 'used_event was written without EVENT_IDX');
    }
    if (touchesWord(from, to, Avail.IDX)) this.sync();
  }

  /** The driver wants to be told of the element that is `ahead` of the next one; not at all when that is beyond the ring. */
  #wished(ahead: number): void {
    const { toDriver, outstanding, usedIdx, consumedIdx, size } = this.#ring;
    if (ahead === 0) toDriver.asked(outstanding > 0 || usedIdx !== consumedIdx);
    else if (ahead >= size) toDriver.withdrew();
  }

  #tableWritten({ chain }: Place): void {
    this.#ring.looked('ownership');
    if (chain === undefined) return;
    const changed = chain.changedTable(this.#ring.host.memory);
    if (changed === undefined) return;
    this.#ring.breach(
      'ownership',
      `byte ${changed} of the table of chain ${chain.head} was changed while the device has it`,
    );
  }

  #readableWritten({ chain }: Place, from: number, to: number): void {
    this.#ring.looked('requestBytes');
    if (chain === undefined) return;
    const changed = chain.changedReadable(this.#ring.host.memory, from, to);
    if (changed === undefined) return;
    this.#ring.breach(
      'requestBytes',
      `byte ${changed} of chain ${chain.head} was changed while the device has it`,
    );
  }

  read(place: Place, start: number, end: number): void {
    if (this.#ring.lost || place.kind !== 'used') return;
    const from = start - place.start;
    const to = end - place.start;
    if (touchesWord(from, to, Used.FLAGS) && !this.#ring.features.eventIdx) this.#ring.toDevice.wishRead();
    if (to > availEventOffset(this.#ring.size) && this.#ring.features.eventIdx)
      this.#ring.toDevice.wishRead();
    if (touchesWord(from, to, Used.IDX)) {
      this.#ring.driverLooks = true;
      this.#ring.seenUsed = this.#ring.usedIdx;
      this.#ring.toDriver.indexRead(this.#ring.consumedIdx);
    }
    const elements = Math.min(to, availEventOffset(this.#ring.size));
    for (let s = Math.max(0, (from - Used.RING) >> 3); Used.RING + s * Used.ENTRY < elements; s++) {
      const at = Used.RING + s * Used.ENTRY;
      this.#elementFetched(s, Math.max(0, from - at), Math.min(Used.ENTRY, elements - at));
    }
  }

  /** The driver read bytes [from, to) of the used element in slot `s`. */
  #elementFetched(s: number, from: number, to: number): void {
    const bits = bitsOf(from, to);
    const ahead = (s - this.#ring.consumedIdx) & this.#ring.mask;
    const isNew = ahead < ((this.#ring.usedIdx - this.#ring.consumedIdx) & U16);
    if (isNew && this.#ring.driverLooks && this.#ring.elementRead[s] === 0) {
      this.#ring.looked('usedOrder');
      if (ahead >= ((this.#ring.seenUsed - this.#ring.consumedIdx) & U16)) {
        this.#ring.breach('usedOrder', `used element ${s} was read before the index that publishes it`);
      }
    }
    this.#ring.looked('driverDoubleFetch');
    if ((this.#ring.elementRead[s] & bits) !== 0)
      this.#ring.breach('driverDoubleFetch', `used element ${s} was read twice`);
    this.#ring.elementRead[s] |= bits;
    if (!isNew || from >= Used.LEN) return;
    for (let left = ahead + this.#ring.batches[s]; left > 0; left--) this.#consume();
  }

  #consume(): void {
    const chain = this.#ring.returned[this.#ring.consumedIdx & this.#ring.mask];
    this.#ring.consumedIdx = (this.#ring.consumedIdx + 1) & U16;
    if (chain?.state !== 'used') return;
    chain.state = 'free';
    this.#ring.host.sink.consumed(this.#ring.index, chain.head, chain.usedLength);
    this.#ring.toDriver.taking();
    this.#ring.host.consumed(this.#ring, chain);
  }

  /** A driver that reads where nobody sees it has consumed what it uses again. */
  #consumeUpTo(chain: PostedChain): void {
    while (chain.state === 'used' && this.#ring.consumedIdx !== this.#ring.usedIdx) this.#consume();
  }

  /** A driver that reads where nobody sees it says that it has looked: what came back is consumed. */
  looked(): void {
    this.sync();
    while (!this.#ring.lost && this.#ring.consumedIdx !== this.#ring.usedIdx) this.#consume();
  }

  /** Looks whether the available index was raised; whoever reads the ring after the driver may ask. */
  sync(): void {
    if (this.#ring.lost) return;
    const idx = this.#ring.avail.get16(Avail.IDX);
    if (idx === this.#ring.availIdx) return;
    const added = (idx - this.#ring.availIdx) & U16;
    this.#ring.looked('availIndex');
    for (let i = 0; i < added && i < this.#ring.size; i++) {
      const head = this.#ring.slot((this.#ring.availIdx + i) & this.#ring.mask);
      const chain = this.#ring.chains[head];
      if (chain?.state === 'used') this.#consumeUpTo(chain);
    }
    if (added + this.#ring.outstanding > this.#ring.size) {
      this.#ring.lose(
        'availIndex',
        `the available index went from ${this.#ring.availIdx} to ${idx} with ${this.#ring.outstanding} chains out; size ${this.#ring.size}`,
      );
      return;
    }
    for (let i = 0; i < added; i++) {
      this.#publish((this.#ring.availIdx + i) & this.#ring.mask);
      if (this.#ring.lost) return;
    }
    this.#ring.availIdx = idx;
    this.#ring.toDevice.raised(idx, this.#ring.host.live);
  }

  /** The descriptors of a chain come where those of the chain before it ended. */
  #tableOrder({ head, descriptors }: PostedChain): void {
    const ring = this.#ring;
    if (ring.features.inOrder !== true) return;
    ring.looked('tableOrder');
    if (ring.nextDescriptor < 0) ring.nextDescriptor = head;
    for (const at of descriptors) {
      if (at !== ring.nextDescriptor) {
        ring.breach('tableOrder', `chain ${head} has descriptor ${at}, and ${ring.nextDescriptor} is next`);
        ring.nextDescriptor = at;
      }
      ring.nextDescriptor = (ring.nextDescriptor + 1) & ring.mask;
    }
  }

  #publish(slot: number): void {
    const { tally } = this.#ring.host;
    const head = this.#ring.slot(slot);
    if (!this.#ring.features.eventIdx) tally.looked('usedEvent');
    for (const key of ['reuse', 'chainShape', 'indirect', 'driverFlags', 'emptyDescriptor'] as const)
      tally.looked(key);
    if (head >= this.#ring.size)
      return this.#ring.lose('chainShape', `head ${head} is not below ${this.#ring.size}`);
    const chain = (this.#ring.chains[head] ??= new PostedChain(head));
    if (isOut(chain)) {
      this.#ring.host.sink.available(this.#ring.index, head, chain.readableBytes, chain.writableBytes);
      return this.#ring.lose('reuse', `chain ${head} was made available while the device has it`);
    }
    const fault = chain.fill(
      this.#ring.host.memory,
      this.#ring.config.descriptors,
      this.#ring.size,
      this.#ring.features.indirect,
    );
    for (const at of chain.descriptors) {
      const owner = this.#ring.owners[at];
      if (owner !== undefined)
        return this.#ring.lose(
          'reuse',
          `chain ${head} has descriptor ${at}, which chain ${owner.head} has too`,
        );
    }
    if (fault !== undefined) {
      if (fault.breaks !== 'driverFlags')
        return this.#ring.lose(fault.breaks, `chain ${head}: ${fault.message}`);
      this.#ring.breach(fault.breaks, `chain ${head}: ${fault.message}`);
    }
    this.#tableOrder(chain);
    if (chain.emptyParts > 0)
      this.#ring.breach('emptyDescriptor', `chain ${head} has a descriptor of length 0`);
    chain.state = 'available';
    chain.slot = slot;
    this.#ring.outstanding++;
    this.#ring.bySlot[slot] = chain;
    this.#ring.slotRead[slot] = 0;
    for (const at of chain.descriptors) {
      this.#ring.owners[at] = chain;
      this.#ring.descriptorRead[at] = 0;
    }
    this.#ring.order.push(chain);
    this.#ring.enter(chain);
    this.#ring.host.sink.available(this.#ring.index, head, chain.readableBytes, chain.writableBytes);
    this.#ring.host.published(this.#ring, chain);
  }
}
