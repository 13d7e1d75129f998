/**
 * A split virtqueue from the driver's side (spec/04-virtqueues.md), without indirect tables and without the event index. Messages
 * are cut into as many descriptors as can be spared, never into as few as would do. And a queue of requests on one.
 */
import { encode, lengthsOf, sum } from './wire.js';

const [NEXT, WRITE, NO_INTERRUPT, NO_NOTIFY] = [1, 2, 1, 1];
const LOG_MAX = 4096; // posts; with more the log proves nothing any more

export class Virtqueue {
  /** Chains with the device, the oldest first: head -> { dma, descriptors, writable }. */
  chains = new Map();
  #dev;
  #next = 0;
  #seen = 0;

  /** `free`: the descriptor that has been free longest goes first, at the start the highest. */
  constructor(dev, index) {
    const { memory, os, transport } = dev;
    const size = 2 ** Math.floor(Math.log2(transport.queueSizeMax(index)));
    const dma = os.allocDma(26 * size + 16, 16);
    const available = dma.address + 16 * size;
    const used = Math.ceil((available + 6 + 2 * size) / 4) * 4;
    dma.bytes.fill(0);
    transport.enableQueue(index, size, { descriptors: dma.address, driver: available, device: used });
    Object.assign(this, { index, size, free: Array.from({ length: size }, (_, i) => size - 1 - i) });
    this.#dev = dev;
    this.table = memory.window(dma.address, 16 * size);
    this.available = memory.window(available, 6 + 2 * size);
    this.used = memory.window(used, 6 + 8 * size);
    this.interrupts(false);
  }

  /** Whether the device is to interrupt. The store is a full barrier (B7): look at the ring once more before sleeping. */
  interrupts(wanted) {
    this.available.store16(0, wanted ? 0 : NO_INTERRUPT);
  }

  /** Adds a message, unpublished: pieces to read, then pieces to write. With more than `room` of them the last share a descriptor. */
  add(dma, readable, writable, room) {
    const written = joined(writable, room - Math.min(readable.length, 1));
    const read = joined(readable, room - written.length);
    const lengths = [...read, ...written];
    const descriptors = this.free.splice(0, lengths.length);
    let at = dma.address;
    for (const [i, descriptor] of descriptors.entries()) {
      const more = i + 1 < descriptors.length;
      this.table.set64(16 * descriptor, at);
      this.table.set32(16 * descriptor + 8, lengths[i]);
      this.table.set16(16 * descriptor + 12, (more ? NEXT : 0) | (i < read.length ? 0 : WRITE));
      this.table.set16(16 * descriptor + 14, more ? descriptors[i + 1] : 0);
      at += lengths[i];
    }
    this.available.set16(4 + 2 * (this.#next % this.size), descriptors[0]);
    this.#next = (this.#next + 1) & 0xffff;
    this.chains.set(descriptors[0], { dma, descriptors, writable: sum(written) });
  }

  /** Shows the device all that was added. The store is a full barrier (B2). */
  publish() {
    this.available.store16(2, this.#next);
    if ((this.used.load16(0) & NO_NOTIFY) === 0) this.#dev.transport.notify(this.index);
  }

  /** The next message that came back, { dma, length }; undefined when there is none. Throws when the device is broken. */
  take(inOrder = false) {
    const waiting = (this.used.load16(2) - this.#seen) & 0xffff;
    if (waiting === 0) return undefined;
    const at = 4 + 8 * (this.#seen % this.size);
    const [head, length] = [this.used.get32(at), this.used.get32(at + 4)];
    const chain = this.chains.get(head);
    this.#dev.insist(waiting <= this.chains.size, `used index ${waiting} ahead [VQ-44]`);
    this.#dev.insist(chain !== undefined, `chain ${head} is not out [VQ-42]`);
    this.#dev.insist(length <= chain.writable, `${length} bytes in ${chain.writable} [VQ-43]`);
    this.#dev.insist(!inOrder || head === this.chains.keys().next().value, `${head} overtook [HOST-25]`);
    this.chains.delete(head);
    this.free.push(...chain.descriptors);
    this.#seen = (this.#seen + 1) & 0xffff;
    return { dma: chain.dma, length };
  }
}

const joined = (lengths, room) =>
  lengths.length <= room ? lengths : [...lengths.slice(0, room - 1), sum(lengths.slice(room - 1))];

/** One direction of a queue pair. It has a buffer for each request that may be outstanding. */
export class RequestQueue {
  constructor(queue, buffers) {
    Object.assign(this, { queue, buffers });
    this.clear();
  }

  /** `log`: what has yet to complete, while it proves something. `held`: posts kept back during a command that discards all. */
  clear() {
    Object.assign(this, { free: [...this.buffers], log: [], held: undefined });
  }

  /** Takes back what the device is done with. Returns how many requests there is room for. */
  reclaim() {
    for (let back; (back = this.queue.take(true)) !== undefined;) this.free.push(back.dma);
    return this.free.length;
  }

  /** Posts a request, for which there must be room. */
  post(fields, entry) {
    const bytes = encode(fields);
    const request = { dma: this.free.shift(), lengths: lengthsOf(fields) };
    request.dma.bytes.set(bytes);
    if (this.log?.push(entry) > LOG_MAX) this.log = undefined;
    if (this.held === undefined) this.#show(request);
    else this.held.push(request);
  }

  /** The post that a completion is of, if there is one: none that is signaled is passed over. */
  completed(wrId, status) {
    if (this.log === undefined) return [{}];
    const at = this.log.findIndex(post => post.signaled || (status !== 0 && post.wrId === wrId));
    return this.log[at]?.wrId === wrId ? this.log.splice(0, at + 1).slice(-1) : [];
  }

  /** The command was refused: what was kept back goes to the device. */
  release() {
    while (this.held.length > 0) this.#show(this.held.shift());
    this.held = undefined;
  }

  /** Each field has a descriptor of its own as long as every request that may still come is left one. */
  #show({ dma, lengths }) {
    const toCome = this.free.length + (this.held?.length ?? 0);
    this.queue.add(dma, lengths, [], this.queue.free.length - toCome);
    this.queue.publish();
  }
}
