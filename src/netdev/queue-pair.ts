/** A receive and a transmit queue that belong together, and the device's work on them. */
import type { DescriptorChain, DeviceQueue } from '../virtio/index.js';
import { ETHERNET_HEADER_BYTES, FRAME_BYTES_MAX, netHeader } from './layout.js';
import { ReceiveSide } from './receive-side.js';
import type { Delivery } from './receive-side.js';
import type { LearningSwitch, SwitchPort } from './switch.js';

/** Frames of one device, since it was made. What was dropped is counted by reason. */
export interface NetCounts {
  /** Taken whole from a transmit queue. */
  sent: number;
  /** Put whole into receive buffers. */
  received: number;
  /** Sent with less than a header, or with more than any frame holds. */
  malformed: number;
  /** Dropped since the driver had no receive buffer. */
  noBuffer: number;
  /** Dropped since it did not fit the receive buffers. */
  tooBig: number;
}

export interface QueuePairInit {
  readonly mergeable: boolean;
  readonly polling: boolean;
  /** Most looks at a queue with nothing in it before the device asks to be notified. */
  readonly looksMax: number;
  readonly counts: NetCounts;
  interrupt(queue: DeviceQueue): void;
  broken(queue: DeviceQueue): void;
}

/** Frames taken from one queue before others have their turn. */
const BATCH = 64;

const PACKET_BYTES_MIN = netHeader.size + ETHERNET_HEADER_BYTES;
const PACKET_BYTES_MAX = netHeader.size + FRAME_BYTES_MAX;

/**
 * One for all: a frame is in it only while it goes from a transmit queue to a receive queue, within one call. The header's
 * bytes are never written but for num_buffers: what the sender says in its own is not handed on.
 */
const scratch = new Uint8Array(PACKET_BYTES_MAX);

export class QueuePair {
  readonly #init: QueuePairInit;
  #receive: ReceiveSide | undefined;
  #transmit: DeviceQueue | undefined;
  #chain: DescriptorChain | undefined;
  /** A packet whose chain was taken, and that needs more receive buffers than there are yet. */
  #waiting: Uint8Array | undefined;
  /**
   * Looks that are left. Each frame earns one: a driver that is busy need not notify, and to look in vain costs no more than
   * the work before it did.
   */
  #looks = 0;

  constructor(init: QueuePairInit) {
    this.#init = init;
  }

  /** Both queues are there. */
  get complete(): boolean {
    return this.#receive !== undefined && this.#transmit !== undefined;
  }

  setQueues(receive: DeviceQueue | undefined, transmit: DeviceQueue | undefined): void {
    if (receive !== undefined && this.#receive === undefined) {
      this.#receive = new ReceiveSide(receive, this.#init.mergeable);
      receive.disableNotifications();
    }
    if (transmit !== undefined && this.#transmit === undefined) {
      this.#transmit = transmit;
      this.#chain = transmit.newChain();
      if (this.#init.polling) transmit.disableNotifications();
    }
  }

  /** The transmit queue, or the receive queue, is gone with all its chains. */
  queueReset(transmit: boolean): void {
    if (!transmit) this.#receive = undefined;
    else {
      this.#transmit = undefined;
      this.#chain = undefined;
      this.#waiting = undefined;
    }
  }

  /** Sends a batch to the network. True when there is more. */
  send(network: LearningSwitch, from: SwitchPort, pair: number): boolean {
    const queue = this.#transmit;
    const chain = this.#chain;
    if (queue === undefined || chain === undefined) return false;
    if (!this.#init.polling) queue.disableNotifications();
    let left = BATCH;
    for (; left > 0 && queue.take(chain) === 'chain'; left--) {
      const length = this.#read(chain);
      if (length > 0) network.forward(from, scratch, length, pair);
      queue.stageUsed(chain.head, 0);
    }
    this.#earn(BATCH - left);
    return this.#endBatch(queue) && (left === 0 || this.#rest(queue));
  }

  /** Sends a batch back to where it came from. True when there is more that can be done now. */
  loop(): boolean {
    const queue = this.#transmit;
    const chain = this.#chain;
    const receive = this.#receive;
    if (queue === undefined || chain === undefined || receive === undefined) return false;
    if (!this.#init.polling) {
      queue.disableNotifications();
      receive.queue.disableNotifications();
    }
    let blocked = false;
    let left = BATCH;
    for (; left > 0; left--) {
      blocked = receive.prepare() !== 'ready';
      if (blocked || (this.#waiting === undefined && queue.take(chain) !== 'chain')) break;
      blocked = !this.#comeBack(receive, chain);
      if (blocked) break;
      queue.stageUsed(chain.head, 0);
    }
    // First what was sent: a driver that sends what it receives has room for it then.
    queue.publishUsed();
    this.flushReceived();
    if (receive.queue.broken !== undefined) this.#init.broken(receive.queue);
    this.#earn(BATCH - left);
    return this.#endBatch(queue) && (left === 0 || this.#rest(blocked ? receive.queue : queue));
  }

  /** False when the frame must wait for more buffers: its chain stays with the device until it is delivered. */
  #comeBack(receive: ReceiveSide, chain: DescriptorChain): boolean {
    const waiting = this.#waiting;
    if (waiting === undefined && this.#straightBack(receive, chain)) return true;
    const length = waiting?.length ?? this.#read(chain);
    const waits = length > 0 && this.#deliver(receive, length, waiting) === 'no-buffer';
    this.#waiting = waits ? (waiting ?? scratch.slice(0, length)) : undefined;
    return !waits;
  }

  /** The way of nearly every frame: from one buffer of the driver's to another. */
  #straightBack(receive: ReceiveSide, chain: DescriptorChain): boolean {
    const { counts } = this.#init;
    const length = chain.readableBytes;
    if (length < PACKET_BYTES_MIN || length > PACKET_BYTES_MAX || !receive.deliverFrom(chain, length))
      return false;
    counts.sent++;
    counts.received++;
    return true;
  }

  receive(packet: Uint8Array, length: number): void {
    if (this.#receive === undefined) this.#init.counts.noBuffer++;
    else if (this.#deliver(this.#receive, length, packet) === 'no-buffer') this.#init.counts.noBuffer++;
  }

  /** Shows the driver what was received. */
  flushReceived(): void {
    const receive = this.#receive;
    if (receive?.flush() === true) this.#init.interrupt(receive.queue);
  }

  #deliver(receive: ReceiveSide, length: number, packet: Uint8Array = scratch): Delivery {
    const { counts } = this.#init;
    const result = receive.deliver(packet, length);
    if (result === 'delivered') counts.received++;
    else if (result === 'too-big') counts.tooBig++;
    else if (result === 'broken') this.#init.broken(receive.queue);
    return result;
  }

  /** Copies a frame out of the driver's reach, behind an empty header. The bytes of both, or 0 for a frame that is none. */
  #read(chain: DescriptorChain): number {
    const { counts } = this.#init;
    const length = chain.readableBytes;
    if (length < PACKET_BYTES_MIN || length > PACKET_BYTES_MAX) {
      counts.malformed++;
      return 0;
    }
    chain.copyReadable(netHeader.size, scratch, netHeader.size, length - netHeader.size);
    counts.sent++;
    return length;
  }

  /** Shows the driver what was returned. False when the queue can be used no more. */
  #endBatch(queue: DeviceQueue): boolean {
    queue.publishUsed();
    if (queue.interruptWanted()) this.#init.interrupt(queue);
    if (queue.broken !== undefined) this.#init.broken(queue);
    return queue.broken === undefined;
  }

  #earn(frames: number): void {
    if (frames > 0) this.#looks = Math.min(this.#looks + frames, this.#init.looksMax);
  }

  /** Nothing is left to take from a queue: looks again later, or sleeps until it is notified. True when it is to be run again. */
  #rest(queue: DeviceQueue): boolean {
    if (this.#init.polling) return false;
    if (this.#looks === 0) return queue.enableNotifications();
    this.#looks--;
    return true;
  }
}
