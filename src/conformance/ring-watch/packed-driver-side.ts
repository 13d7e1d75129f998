/** What a driver does to a packed ring, access by access: what it publishes, changes and takes back. */
import type { Place } from './ring-state.js';
import {
  EventMode,
  PackedDescriptor,
  PackedEvent,
  isAvailable,
  isPosition,
  slotOf,
} from '../../virtio/index.js';
import { FLAG_BYTES, saysAnew } from './packed-state.js';
import type { PackedState } from './packed-state.js';
import { bitsOf } from './ring-state.js';

const { SIZE, FLAGS } = PackedDescriptor;

export class PackedDriverSide {
  readonly #ring: PackedState;
  #mode: number = EventMode.ENABLE;

  constructor(ring: PackedState) {
    this.#ring = ring;
  }

  wrote(place: Place, start: number, end: number): void {
    const ring = this.#ring;
    if (ring.lost) return;
    const from = start - place.start;
    const to = end - place.start;
    ring.looked('usedRing');
    switch (place.kind) {
      case 'ring':
        return this.#ringWritten(from, to);
      case 'available':
        return this.#eventWritten(from, to);
      case 'used':
        return ring.breach(
          'usedRing',
          `the driver wrote bytes ${from}..${to - 1} of the device's event structure`,
        );
      case 'table':
        return this.#tableWritten(place);
      case 'readable':
        return this.#readableWritten(place, place.offset + from, place.offset + to);
      case 'writable':
      case 'descriptors':
        return;
    }
  }

  #ringWritten(from: number, to: number): void {
    const ring = this.#ring;
    ring.driverWrote = true;
    this.sync();
    for (let slot = Math.floor(from / SIZE); slot * SIZE < to && !ring.lost; slot++) {
      ring.looked('ownership');
      // From where the driver has taken back up to where it has published, nothing is its own.
      const since = ring.driverLooks ? ring.consumed : ring.used;
      if (ring.ahead(since, slot) >= ring.between(since, ring.published)) continue;
      if (ring.isKept(slot)) continue;
      ring.breach('ownership', `descriptor ${slot} was changed while the device has it`);
      ring.keep(slot);
    }
  }

  #eventWritten(from: number, to: number): void {
    const ring = this.#ring;
    ring.looked('driverFlags');
    const mode = ring.driverEvent.get16(PackedEvent.MODE);
    const position = ring.driverEvent.get16(PackedEvent.POSITION);
    if (mode > EventMode.DESC || (mode === EventMode.DESC && !ring.features.eventIdx))
      ring.breach('driverFlags', `the mode of the driver's event structure is ${mode}`);
    if (mode === EventMode.DESC && !isPosition(position, ring.size))
      ring.breach(
        'driverFlags',
        `the driver asks to be told of descriptor ${slotOf(position)} of ${ring.size}`,
      );
    const anew = saysAnew(mode, this.#mode, from, to);
    this.#mode = mode;
    if (!anew) return;
    if (mode === EventMode.DISABLE) ring.toDriver.withdrew();
    else if (mode !== EventMode.DESC || position === ring.consumed.position)
      ring.toDriver.asked(ring.outstanding > 0 || ring.elements.length > 0);
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
    const ring = this.#ring;
    if (ring.lost) return;
    if (place.kind === 'used') ring.toDevice.wishRead();
    if (place.kind !== 'ring') return;
    const from = start - place.start;
    const to = end - place.start;
    for (let slot = Math.floor(from / SIZE); slot * SIZE < to; slot++)
      this.#slotRead(slot, Math.max(0, from - slot * SIZE), Math.min(SIZE, to - slot * SIZE));
  }

  /** The driver read bytes [from, to) of a slot. Its flags are what shows a used element; they may be read again until then. */
  #slotRead(slot: number, from: number, to: number): void {
    const ring = this.#ring;
    const bits = bitsOf(from, to);
    const isNext = slot === slotOf(ring.consumed.position);
    const element = ring.elements[0];
    if ((bits & FLAG_BYTES) !== 0 && isNext) {
      ring.driverLooks = true;
      ring.toDriver.indexRead(ring.consumed.count);
      ring.elementRead[slot] |= FLAG_BYTES;
    }
    if ((bits & bitsOf(PackedDescriptor.LEN, FLAGS)) === 0) return;
    if (element === undefined || !isNext) return this.#readAgain(slot, bits);
    ring.looked('driverDoubleFetch');
    if (ring.driverLooks) {
      ring.looked('usedOrder');
      if ((ring.elementRead[slot] & FLAG_BYTES) === 0)
        ring.breach('usedOrder', `used element ${slot} was read before the flags that show it`);
    }
    ring.elementRead[slot] |= bits & ~FLAG_BYTES;
    if ((bits & bitsOf(PackedDescriptor.ID, FLAGS)) !== 0) this.#consume();
  }

  /** What is behind the driver, or not there yet. */
  #readAgain(slot: number, bits: number): void {
    const ring = this.#ring;
    ring.looked('driverDoubleFetch');
    // Read together with its flags: a look whether there is something.
    if ((bits & FLAG_BYTES) !== 0) return;
    const own = bits & ~FLAG_BYTES;
    if (ring.ahead(ring.consumed, slot) < ring.between(ring.consumed, ring.published)) {
      ring.looked('usedOrder');
      ring.breach('usedOrder', `descriptor ${slot} was read as a used element before it shows as one`);
    } else if ((ring.elementRead[slot] & own) !== 0)
      ring.breach('driverDoubleFetch', `used element ${slot} was read twice`);
    ring.elementRead[slot] |= own;
  }

  #consume(): void {
    const ring = this.#ring;
    const element = ring.elements.shift();
    if (element === undefined) return;
    ring.pass(ring.consumed, element.descriptors);
    for (const chain of element.chains) {
      chain.state = 'free';
      ring.host.sink.consumed(ring.index, chain.head, chain.usedLength);
      ring.toDriver.taking();
      ring.host.consumed(ring, chain);
    }
  }

  /** A driver that reads where nobody sees it says that it has looked: what came back is consumed. */
  looked(): void {
    this.sync();
    while (!this.#ring.lost && this.#ring.elements.length > 0) this.#consume();
  }

  /** Looks whether something was published; whoever reads the ring after the driver may ask. */
  sync(): void {
    const ring = this.#ring;
    let any = false;
    while (!ring.lost && isAvailable(ring.flags(slotOf(ring.published.position)), ring.published.position)) {
      this.#publish();
      any = true;
    }
    if (any) ring.toDevice.raised(ring.published.count, ring.host.live);
  }

  #publish(): void {
    const ring = this.#ring;
    const { tally } = ring.host;
    const slot = slotOf(ring.published.position);
    for (const key of [
      'availIndex',
      'reuse',
      'chainShape',
      'indirect',
      'driverFlags',
      'emptyDescriptor',
      'chainShown',
    ] as const)
      tally.looked(key);
    // A driver that reads where nobody sees it has taken back what it uses again.
    while (ring.between(ring.consumed, ring.published) >= ring.size && ring.elements.length > 0)
      this.#consume();
    if (ring.between(ring.consumed, ring.published) >= ring.size)
      return ring.lose('availIndex', `descriptor ${slot} shows as available, and all ${ring.size} are out`);
    const chain = ring.newChain(ring.idAt(ring.published.position));
    const { memory } = ring.host;
    const fault = chain.fillAt(
      memory,
      ring.config.descriptors,
      ring.published.position,
      ring.size,
      ring.features.indirect,
      ring.shown,
    );
    if (fault !== undefined) {
      if (fault.breaks !== 'driverFlags')
        return ring.lose(fault.breaks, `chain at descriptor ${slot}: ${fault.message}`);
      ring.breach(fault.breaks, `chain at descriptor ${slot}: ${fault.message}`);
    }
    const needed = chain.descriptors.length;
    while (ring.between(ring.consumed, ring.published) + needed > ring.size && ring.elements.length > 0)
      this.#consume();
    if (ring.between(ring.consumed, ring.published) + needed > ring.size)
      return ring.lose(
        'reuse',
        `chain at descriptor ${slot} has descriptors that the device has not returned`,
      );
    if (ring.byId.has(chain.id))
      return ring.lose('reuse', `id ${chain.id} was made available while the device has it`);
    if (chain.emptyParts > 0)
      ring.breach('emptyDescriptor', `chain at descriptor ${slot} has a descriptor of length 0`);
    chain.state = 'available';
    ring.byId.set(chain.id, chain);
    ring.coming.push(chain);
    ring.outstanding++;
    for (const at of chain.descriptors) {
      ring.owners[at] = chain;
      ring.descriptorRead[at] = 0;
      ring.elementRead[at] = 0;
      ring.keep(at);
    }
    ring.pass(ring.published, needed);
    ring.publishedChains++;
    ring.order.push(chain);
    ring.enter(chain);
    ring.host.sink.available(ring.index, chain.head, chain.readableBytes, chain.writableBytes);
    ring.host.published(ring, chain);
  }
}
