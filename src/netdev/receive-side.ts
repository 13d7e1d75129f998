/**
 * The receiving half of a queue pair: puts frames into the driver's buffers, one buffer a frame or as many as it takes. What
 * is returned to the driver is shown to it with `flush`, so that a batch of frames costs one store of the used index and a
 * frame in several buffers is seen whole or not at all.
 */
import type { DescriptorChain, DeviceQueue } from '../virtio/index.js';
import { netHeader } from './layout.js';

export type Delivery =
  | 'delivered'
  /** The driver has made no buffer available that is left. Nothing is lost: the same frame may be tried again. */
  | 'no-buffer'
  /** Not even all buffers of the queue hold it, or one does not and a frame may fill only one. */
  | 'too-big'
  /** The driver broke a rule of the ring: `queue.broken` says which. */
  | 'broken';

export class ReceiveSide {
  readonly queue: DeviceQueue;
  readonly #mergeable: boolean;
  /** Chains taken and not yet filled come first; the rest wait to be used again. */
  readonly #chains: DescriptorChain[] = [];
  #taken = 0;
  #room = 0;
  #returned = false;

  constructor(queue: DeviceQueue, mergeable: boolean) {
    this.queue = queue;
    this.#mergeable = mergeable;
  }

  /** Takes a buffer for the next frame unless there is one. 'no-buffer' and 'broken' as for `deliver`. */
  prepare(): 'ready' | 'no-buffer' | 'broken' {
    // A driver that goes on giving buffers of no use is left alone after one round.
    for (let looks = 0; this.#taken === 0 && looks <= this.queue.size; looks++) {
      const result = this.#takeOne();
      if (result !== 'chain') return result === 'empty' ? 'no-buffer' : 'broken';
    }
    return this.#taken > 0 ? 'ready' : 'no-buffer';
  }

  /**
   * Delivers a frame. `packet` holds it behind room for its header, `length` bytes together; the header's bytes must be zero
   * but for num_buffers, which is written here.
   */
  deliver(packet: Uint8Array, length: number): Delivery {
    const first = this.prepare();
    if (first !== 'ready') return first;
    while (this.#room < length) {
      if (!this.#mergeable || this.#taken === this.queue.size) return 'too-big';
      const result = this.#takeOne();
      if (result !== 'chain') return result === 'empty' ? 'no-buffer' : 'broken';
    }
    this.#fill(packet, length);
    return 'delivered';
  }

  /**
   * Delivers the frame of a transmit chain without a copy of it in between, if one buffer that is there holds it. `length`:
   * of its bytes and its header's together. False, and nothing done, when it is not as simple as that.
   */
  deliverFrom(source: DescriptorChain, length: number): boolean {
    const chain = this.#chains[0];
    if (this.#taken !== 1 || chain.writableBytes < length) return false;
    chain.writeWritable(0, headerOfOne, 0, headerOfOne.length);
    source.copyTo(netHeader.size, chain, netHeader.size, length - netHeader.size);
    this.#room = 0;
    this.#taken = 0;
    this.#return(chain, length);
    return true;
  }

  #takeOne(): 'chain' | 'empty' | 'broken' {
    const chain = (this.#chains[this.#taken] ??= this.queue.newChain());
    const result = this.queue.take(chain);
    if (result !== 'chain') return result;
    if (this.#taken === 0 && chain.writableBytes < netHeader.size) {
      // A driver must give room for the header at least; what is too small for it goes back empty.
      this.#return(chain, 0);
      return 'chain';
    }
    this.#taken++;
    this.#room += chain.writableBytes;
    return 'chain';
  }

  #fill(packet: Uint8Array, length: number): void {
    let buffers = 1;
    for (let room = this.#chains[0].writableBytes; room < length; buffers++) {
      room += this.#chains[buffers].writableBytes;
    }
    packet[NUM_BUFFERS] = buffers & 0xff;
    packet[NUM_BUFFERS + 1] = buffers >>> 8;
    let done = 0;
    for (let i = 0; i < buffers; i++) {
      const chain = this.#chains[i];
      const part = chain.writeWritable(0, packet, done, length - done);
      done += part;
      this.#room -= chain.writableBytes;
      this.#return(chain, part);
    }
    this.#taken -= buffers;
    // Only after a frame that was given up are there more chains than this one filled.
    if (this.#taken > 0) this.#chains.push(...this.#chains.splice(0, buffers));
  }

  #return(chain: DescriptorChain, written: number): void {
    this.queue.stageUsed(chain.head, written);
    this.#returned = true;
  }

  /** Shows the driver what was returned. True when it wants to be interrupted for it. */
  flush(): boolean {
    if (!this.#returned) return false;
    this.#returned = false;
    this.queue.publishUsed();
    return this.queue.interruptWanted();
  }
}

const NUM_BUFFERS = netHeader.offsets.num_buffers;
/** Header of a frame in one buffer. */
const headerOfOne = new Uint8Array(netHeader.size);
headerOfOne[NUM_BUFFERS] = 1;
