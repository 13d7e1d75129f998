/** What a device does to a packed ring, access by access: what it takes, reads, writes and returns. */
import type { Place } from './ring-state.js';
import {
  EventMode,
  PackedDescriptor,
  PackedEvent,
  PackedFlag,
  isPosition,
  isUsed,
  slotOf,
} from '../../virtio/index.js';
import type { PackedPostedChain } from './packed-chain.js';
import type { PackedDriverSide } from './packed-driver-side.js';
import { FLAG_BYTES, USED_FLAGS, saysAnew } from './packed-state.js';
import type { PackedState } from './packed-state.js';
import { bitsOf } from './ring-state.js';

const { SIZE } = PackedDescriptor;

export class PackedDeviceSide {
  readonly #ring: PackedState;
  readonly #driver: PackedDriverSide;
  #mode: number = EventMode.ENABLE;
  /** A slot whose element was taken up before its flags were stored; -1 when there is none. */
  #told = -1;

  constructor(ring: PackedState, driver: PackedDriverSide) {
    this.#ring = ring;
    this.#driver = driver;
  }

  /** The ring was followed before: the slot whose element was taken up and whose flags are being stored, or -1. */
  recall(told: number): void {
    this.#told = told;
  }

  read(place: Place, start: number, end: number): void {
    const ring = this.#ring;
    if (ring.lost) return;
    const from = start - place.start;
    const to = end - place.start;
    const { chain } = place;
    switch (place.kind) {
      case 'ring':
        for (let slot = Math.floor(from / SIZE); slot * SIZE < to; slot++)
          this.#slotRead(
            slot,
            Math.max(0, from - slot * SIZE),
            Math.min(SIZE, to - slot * SIZE),
            to - from <= SIZE,
          );
        return;
      case 'available':
        return ring.toDriver.wishRead();
      case 'table':
        if (chain?.readTable(from, to) === true) this.#again(`the table of chain ${chain.head}`);
        return ring.looked('deviceDoubleFetch');
      case 'readable':
        if (chain?.fetch(place.offset + from, place.offset + to) === true)
          this.#again(
            `readable bytes ${place.offset + from}..${place.offset + to - 1} of chain ${chain.head}`,
          );
        return ring.looked('deviceDoubleFetch');
      case 'writable':
      case 'used':
      case 'descriptors':
        return;
    }
  }

  #again(what: string): void {
    this.#ring.breach('deviceDoubleFetch', `the device read ${what} twice`);
  }

  /**
   * The device read bytes [from, to) of a slot. Flags are what shows a chain: they may be read again as long as nothing else
   * of the descriptor was. `single`: it read no other slot with it.
   */
  #slotRead(slot: number, from: number, to: number, single: boolean): void {
    const ring = this.#ring;
    const bits = bitsOf(from, to);
    // A driver that writes where nobody sees it has published what the device can see.
    if ((bits & FLAG_BYTES) !== 0 && ring.owners[slot]?.state !== 'available') this.#driver.sync();
    if (ring.lost) return;
    const isNext = slot === slotOf(ring.taken.position);
    const next = ring.coming[0];
    if ((bits & FLAG_BYTES) !== 0 && isNext) {
      ring.toDevice.indexRead(ring.taken.count);
      if (next !== undefined) next.flagsRead = true;
    }
    ring.looked('deviceDoubleFetch');
    const owner = ring.owners[slot];
    if ((bits & ~FLAG_BYTES) === 0) {
      // Polling at the cursor goes round to what was taken before.
      const read = ring.descriptorRead[slot];
      if (owner?.state === 'taken' && !isNext && (read & FLAG_BYTES) !== 0 && (read & ~FLAG_BYTES) !== 0)
        this.#again(`the flags of descriptor ${slot} of chain ${owner.head}`);
      ring.descriptorRead[slot] |= bits;
      return;
    }
    ring.looked('takeOrder');
    if (owner === undefined || owner.state === 'available') {
      if (next === undefined || owner !== next || !next.flagsRead) {
        if (single && (bits & FLAG_BYTES) === 0)
          ring.breach('takeOrder', `descriptor ${slot} was read before the flags that show its chain`);
        return;
      }
      this.#take(next);
    }
    if ((ring.descriptorRead[slot] & bits & ~FLAG_BYTES) !== 0) this.#again(`descriptor ${slot}`);
    ring.descriptorRead[slot] |= bits;
  }

  #take(chain: PackedPostedChain): void {
    const ring = this.#ring;
    ring.coming.shift();
    ring.pass(ring.taken, chain.descriptors.length);
    chain.state = 'taken';
    ring.toDevice.taking();
    ring.host.sink.taken(ring.index, chain.head);
    ring.host.taken(ring, chain);
  }

  publishing({ kind }: Place, at: number, value: number): void {
    const ring = this.#ring;
    if (ring.lost || kind !== 'ring') return;
    const slot = slotOf(ring.used.position);
    if (at - PackedDescriptor.FLAGS !== slot * SIZE || ring.outstanding === 0) return;
    if (!isUsed(value, ring.used.position)) return;
    this.#told = slot;
    this.#element(slot, value);
    this.#takeElements(true);
  }

  wrote(place: Place, start: number, end: number): void {
    if (this.#ring.lost) return;
    const from = start - place.start;
    const to = end - place.start;
    if (place.kind === 'writable') place.chain?.wrote(place.offset + from, place.offset + to);
    else if (place.kind === 'used') this.#eventWritten(from, to);
    else if (place.kind === 'ring') this.#ringWritten(from, to);
  }

  #eventWritten(from: number, to: number): void {
    const ring = this.#ring;
    ring.looked('deviceFlags');
    const mode = ring.deviceEvent.get16(PackedEvent.MODE);
    const position = ring.deviceEvent.get16(PackedEvent.POSITION);
    if (mode > EventMode.DESC || (mode === EventMode.DESC && !ring.features.eventIdx))
      ring.breach('deviceFlags', `the mode of the device's event structure is ${mode}`);
    if (mode === EventMode.DESC && !isPosition(position, ring.size))
      ring.breach(
        'deviceFlags',
        `the device asks to be told of descriptor ${slotOf(position)} of ${ring.size}`,
      );
    const anew = saysAnew(mode, this.#mode, from, to);
    this.#mode = mode;
    if (!anew) return;
    if (mode === EventMode.DISABLE) ring.toDevice.withdrew();
    else if (mode !== EventMode.DESC || position === ring.taken.position) ring.toDevice.asked(true);
  }

  #ringWritten(from: number, to: number): void {
    const ring = this.#ring;
    ring.deviceWrote = true;
    for (let slot = Math.floor(from / SIZE); slot * SIZE < to; slot++) {
      if (slot === this.#told) {
        this.#told = -1;
        ring.keep(slot);
        continue;
      }
      ring.looked('lateWrites');
      if (ring.ahead(ring.used, slot) < ring.between(ring.used, ring.taken)) {
        ring.keep(slot);
        continue;
      }
      ring.breach(
        'lateWrites',
        `the device wrote descriptor ${slot}, which is used already or was not taken`,
      );
      ring.keep(slot);
    }
    this.#takeElements(false);
  }

  /** Takes up the used elements that show. `moved`: there was one already. */
  #takeElements(moved: boolean): void {
    const ring = this.#ring;
    let any = moved;
    while (!ring.lost && ring.outstanding > 0) {
      const slot = slotOf(ring.used.position);
      const flags = ring.flags(slot);
      if (!isUsed(flags, ring.used.position)) break;
      this.#element(slot, flags);
      any = true;
    }
    if (any && !ring.lost)
      ring.toDriver.raised(ring.used.count, ring.host.live && ring.kind !== 'completion');
  }

  #element(slot: number, flags: number): void {
    const ring = this.#ring;
    const id = ring.ring.get16(SIZE * slot + PackedDescriptor.ID);
    const length = (flags & PackedFlag.WRITE) === 0 ? 0 : ring.ring.get32(SIZE * slot + PackedDescriptor.LEN);
    for (const key of ['usedIndex', 'usedId', 'deviceFlags'] as const) ring.looked(key);
    if ((flags & ~USED_FLAGS) !== 0) ring.breach('deviceFlags', `used element ${slot} has flags ${flags}`);
    const last = ring.byId.get(id);
    if (last === undefined) return ring.lose('usedId', `used id ${id} is not outstanding`);
    const chains: PackedPostedChain[] = [];
    for (const chain of ring.order.upTo(last)) {
      const skipped = chain !== last;
      const written = skipped ? chain.writableBytes : length;
      if (!ring.mayReturn(chain, written, skipped)) return;
      this.#return(chain, written, slot);
      chains.push(chain);
    }
    const descriptors = chains.reduce((sum, chain) => sum + chain.descriptors.length, 0);
    ring.elements.push({ slot, chains, descriptors });
    ring.elementRead[slot] = 0;
    ring.keep(slot);
    ring.pass(ring.used, descriptors);
  }

  #return(chain: PackedPostedChain, length: number, slot: number): void {
    const ring = this.#ring;
    ring.lastLookAt(chain);
    this.#descriptorsKept(chain);
    chain.usedLength = length;
    chain.usedSlot = slot;
    chain.state = 'used';
    ring.outstanding--;
    ring.returnedChains++;
    ring.byId.delete(chain.id);
    for (const at of chain.descriptors) if (ring.owners[at] === chain) ring.owners[at] = undefined;
    ring.leave(chain);
    ring.host.sink.used(ring.index, chain.head, length);
    ring.host.used(ring, chain);
  }

  /** Descriptors that the driver changed where nobody saw it; those under a used element are the device's to change. */
  #descriptorsKept(chain: PackedPostedChain): void {
    const ring = this.#ring;
    const changed = chain.descriptors.find(
      at => ring.owners[at] === chain && this.#stands(at) && !ring.isKept(at),
    );
    if (changed !== undefined)
      ring.breach(
        'ownership',
        `descriptor ${changed} of chain ${chain.head} changed while the device had it`,
      );
  }

  /** The driver's descriptor is in the slot, and no used element. */
  #stands(slot: number): boolean {
    const ring = this.#ring;
    const ahead = ring.ahead(ring.used, slot);
    return ahead > 0 && ahead < ring.between(ring.used, ring.published);
  }
}
