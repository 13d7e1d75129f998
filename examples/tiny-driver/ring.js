/**
 * The driver's half of a virtqueue, chapter 4 of the specification: a split ring with direct chains of one or two
 * descriptors. Suppression goes by the flags, so VIRTIO_F_EVENT_IDX must not be accepted.
 */

const NEXT = 1;
const WRITE = 2;
const NO_NOTIFY = 1;
const NO_INTERRUPT = 1;

/** The device broke a rule: it must be given up [HOST-28]. */
export class Broken extends Error {}

export function honest(condition, what) {
  if (!condition) throw new Broken(what);
}

/** One virtqueue. A chain carries a token, anything but undefined, that comes back with it. */
export class Ring {
  #transport;
  #window;
  #index;
  #avail;
  #used;
  #inOrder;
  /** By head: token, descriptors and writable bytes of the chain; undefined where none starts. */
  #chains;
  /** Heads of the chains in the ring, oldest first; the last ones may be unpublished. */
  #heads = [];
  #free;
  #filled = 0;
  #published = 0;
  #taken = 0;

  constructor({ transport, memory, os }, index, { interrupts = false, inOrder = false } = {}) {
    this.size = transport.queueSizeMax(index);
    honest(this.size > 0, `queue ${index} does not exist`);
    this.#transport = transport;
    this.#index = index;
    this.#inOrder = inOrder;
    this.#avail = 16 * this.size;
    this.#used = Math.ceil((this.#avail + 6 + 2 * this.size) / 4) * 4;
    const bytes = this.#used + 6 + 8 * this.size;
    const { address: descriptors } = os.allocDma(bytes, 16);
    this.#window = memory.window(descriptors, bytes);
    this.#window.zero(0, bytes);
    if (!interrupts) this.#window.store16(this.#avail, NO_INTERRUPT);
    this.#chains = Array.from({ length: this.size });
    this.#free = [...this.#chains.keys()];
    const places = { descriptors, driver: descriptors + this.#avail, device: descriptors + this.#used };
    transport.enableQueue(index, this.size, places);
  }

  /** Chains in the ring, those that are not published yet included. */
  get outstanding() {
    return this.#heads.length;
  }

  /** Puts a chain of a readable part, a writable part or both into the ring, unpublished. There must be room for it. */
  add(token, readable, writable) {
    const parts = [readable, writable].filter(part => part !== undefined);
    const entries = parts.map(() => this.#free.pop());
    const [head, second] = entries;
    for (const [i, { address, length }] of parts.entries()) {
      const at = 16 * entries[i];
      const more = i + 1 < parts.length;
      this.#window.set64(at, address);
      this.#window.set32(at + 8, length);
      this.#window.set16(at + 12, (parts[i] === writable ? WRITE : 0) | (more ? NEXT : 0));
      this.#window.set16(at + 14, more ? second : 0);
    }
    this.#chains[head] = { token, entries, room: writable?.length ?? 0 };
    this.#heads.push(head);
    this.#window.set16(this.#avail + 4 + 2 * (this.#filled % this.size), head);
    this.#filled = (this.#filled + 1) & 0xffff;
  }

  /** Shows the chains to the device and kicks it if it wants that [VQ-28, VQ-61, VQ-71]. */
  publish() {
    if (this.#published === this.#filled) return;
    this.#published = this.#filled;
    this.#window.store16(this.#avail + 2, this.#published);
    if ((this.#window.load16(this.#used) & NO_NOTIFY) === 0) this.#transport.notify(this.#index);
  }

  /** Takes back the chains that the device has not been shown; their tokens. */
  retract() {
    const heads = this.#heads.splice(this.#shown());
    this.#filled = this.#published;
    return heads.map(head => this.#release(head).token);
  }

  /** The next chain that the device has returned: its token, and how many bytes were written [VQ-42 to VQ-44]. */
  take() {
    const waiting = (this.#window.load16(this.#used + 2) - this.#taken) & 0xffff;
    if (waiting === 0) return undefined;
    honest(waiting <= this.#shown(), 'more chains came back than were given');
    const at = this.#used + 4 + 8 * (this.#taken % this.size);
    const head = this.#window.get32(at);
    const written = this.#window.get32(at + 4);
    const place = this.#heads.indexOf(head);
    honest(place !== -1 && place < this.#shown(), 'a chain came back that was not out');
    honest(place === 0 || !this.#inOrder, 'requests came back in another order [HOST-25]');
    honest(written <= this.#chains[head].room, 'more bytes were written than there was room for');
    this.#taken = (this.#taken + 1) & 0xffff;
    this.#heads.splice(place, 1);
    return { token: this.#release(head).token, written };
  }

  #shown() {
    return this.#heads.length - ((this.#filled - this.#published) & 0xffff);
  }

  #release(head) {
    const chain = this.#chains[head];
    this.#chains[head] = undefined;
    this.#free.push(...chain.entries);
    return chain;
  }
}

/** A send or receive virtqueue with the memory of its requests, for one queue pair after the other. */
export class RequestRing extends Ring {
  #os;
  #slotBytes = 0;
  #capacity = 0;
  #spare = [];

  constructor(context, index) {
    super(context, index, { inOrder: true });
    this.#os = context.os;
  }

  /** A new queue pair has at most `capacity` requests of at most `slotBytes` bytes outstanding. */
  begin(slotBytes, capacity) {
    this.#slotBytes = slotBytes;
    this.#capacity = capacity;
  }

  /** Takes back what is done with, and says whether one more request may be posted [DATA-31, DATA-32]. */
  hasRoom() {
    this.#reap();
    return this.outstanding < Math.min(this.#capacity, this.size);
  }

  /** Puts a request of `length` bytes, written by `write`, into the ring, unpublished. */
  post(length, write) {
    const slot = this.#spare.pop() ?? this.#os.allocDma(this.#slotBytes, 8);
    slot.bytes.fill(0);
    write(slot);
    this.add(slot, { address: slot.address, length });
  }

  /** After the OK of a destroy or of a move to RESET: everything must be back [HOST-26]. */
  clear() {
    this.#spare.push(...this.retract());
    this.#reap();
    honest(this.outstanding === 0, 'requests are still out after the end of their queue pair');
    for (const slot of this.#spare.splice(0)) this.#os.freeDma(slot);
  }

  #reap() {
    for (let back = this.take(); back !== undefined; back = this.take()) this.#spare.push(back.token);
  }
}
