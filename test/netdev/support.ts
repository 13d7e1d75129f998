/** A machine with a network device, and a small driver for it that cuts frames and buffers as a test wants. */
import { NetDevice, NetFeature, netHeader } from '../../src/netdev/index.js';
import type { LearningSwitch, NetDeviceOptions } from '../../src/netdev/index.js';
import { InProcessTransport } from '../../src/transports/in-process.js';
import {
  GuestMemory,
  hasFeature,
  indirectAreaBytes,
  layOutRing,
  newDriverQueue,
  negotiate,
  ringFeatures,
  ringBytes,
  startDriver,
} from '../../src/virtio/index.js';
import type { DriverQueue, FeatureSet, UsedElement } from '../../src/virtio/index.js';

const BASE = 0x10_0000;
const MEMORY_BYTES = 4 << 20;
const TABLE = 8;

export interface MachineOptions extends Partial<NetDeviceOptions> {
  readonly network?: LearningSwitch;
  readonly size?: number;
  /** Features that the driver leaves out of what is offered. */
  readonly without?: FeatureSet;
  readonly indirect?: boolean;
  readonly memoryBytes?: number;
}

/** A received frame, as the driver put it together. */
export interface Received {
  readonly frame: Uint8Array;
  readonly buffers: number;
  readonly header: Uint8Array;
}

interface Buffer {
  readonly address: number;
  readonly length: number;
}

export class Machine {
  readonly memory = new GuestMemory();
  readonly device: NetDevice;
  readonly transport: InProcessTransport;
  readonly features: FeatureSet;
  readonly rx: DriverQueue[] = [];
  readonly tx: DriverQueue[] = [];
  control: DriverQueue | undefined;
  /** Times that the device asked to be run. */
  wakes = 0;
  readonly interrupts: (number | 'config')[] = [];
  readonly #size: number;
  readonly #buffers = new Map<number, Buffer>();
  #token = 0;
  #next = BASE;
  readonly #end: number;
  readonly #indirect: boolean;

  constructor(options: MachineOptions = {}) {
    const bytes = options.memoryBytes ?? MEMORY_BYTES;
    this.memory.addRegion(BASE, new ArrayBuffer(bytes));
    this.#end = BASE + bytes;
    this.#size = options.size ?? 16;
    this.#indirect = options.indirect ?? false;
    this.device = new NetDevice({
      mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
      ringFeatures: { indirect: true, eventIdx: true, packed: true, inOrder: true },
      wake: () => this.wakes++,
      ...options,
      memory: this.memory,
    });
    this.transport = new InProcessTransport(this.device);
    this.transport.onInterrupt(source => this.interrupts.push(source));
    const wanted = this.transport.deviceFeatures & ~(options.without ?? 0n);
    this.features = negotiate(this.transport, { wanted, required: 0n });
  }

  get mergeable(): boolean {
    return hasFeature(this.features, NetFeature.MRG_RXBUF);
  }

  /** Sets up `pairs` queue pairs and the control queue, and starts. */
  start(pairs = 1): this {
    for (let pair = 0; pair < pairs; pair++) {
      this.rx.push(this.queue(2 * pair));
      this.tx.push(this.queue(2 * pair + 1));
    }
    if (hasFeature(this.features, NetFeature.CTRL_VQ))
      this.control = this.queue(this.transport.queueCount - 1);
    startDriver(this.transport);
    return this;
  }

  queue(index: number): DriverQueue {
    const size = this.#size;
    const format = ringFeatures(this.features);
    const addresses = layOutRing(this.alloc(ringBytes(size, format)), size, format);
    const area = this.#indirect
      ? { address: this.alloc(indirectAreaBytes(size, TABLE)), entriesPerTable: TABLE }
      : undefined;
    this.transport.enableQueue(index, size, addresses);
    return newDriverQueue(this.memory, { index, size, ...addresses }, format, undefined, area);
  }

  /** Memory that is never given back, at a multiple of 16 unless `skew` says otherwise. */
  alloc(bytes: number, skew = 0): number {
    const address = this.#next + skew;
    this.#next += Math.ceil((bytes + skew) / 16) * 16;
    if (this.#next > this.#end) throw new RangeError('the test needs more guest memory');
    return address;
  }

  /** Cuts `length` at `cuts` (fractions of it) into lengths that sum up to it. */
  #parts(length: number, cuts: readonly number[]): number[] {
    const places = cuts.map(cut => Math.floor(cut * length)).toSorted((a, b) => a - b);
    return [...places, length].map((place, i) => place - (i === 0 ? 0 : places[i - 1]));
  }

  /** Sends one frame behind a header of zeroes (or `header`), cut into parts. False when the ring is full. */
  send(
    frame: Uint8Array,
    cuts: readonly number[] = [],
    pair = 0,
    header: Uint8Array = new Uint8Array(netHeader.size),
  ): boolean {
    const packet = Uint8Array.of(...header, ...frame);
    return this.sendPacket(packet, cuts, pair);
  }

  sendPacket(packet: Uint8Array, cuts: readonly number[] = [], pair = 0): boolean {
    const queue = this.tx[pair];
    queue.begin();
    let done = 0;
    for (const length of this.#parts(packet.length, cuts)) {
      const address = this.alloc(length, done % 5);
      this.memory.write(address, packet.subarray(done, done + length), 0, length);
      queue.addReadable(address, length);
      done += length;
    }
    if (!queue.commit(this.#token++, this.#indirect)) return false;
    if (queue.publish()) this.transport.notify(queue.index);
    return true;
  }

  /** Gives a receive buffer. False when the ring is full. */
  post(length: number, cuts: readonly number[] = [], pair = 0): boolean {
    const queue = this.rx[pair];
    const address = this.alloc(length, length % 7);
    queue.begin();
    let done = 0;
    for (const part of this.#parts(length, cuts)) {
      queue.addWritable(address + done, part);
      done += part;
    }
    const token = this.#token++;
    if (!queue.commit(token, this.#indirect)) return false;
    this.#buffers.set(token, { address, length });
    if (queue.publish()) this.transport.notify(queue.index);
    return true;
  }

  /** Runs the device until it has nothing to do. Throws when that takes for ever. */
  run(): void {
    for (let rounds = 0; this.device.run(); rounds++)
      if (rounds > 10_000) throw new Error('the device does not come to rest');
  }

  /** Chains that came back on a transmit queue. */
  reap(pair = 0): number {
    const element: UsedElement = { token: 0, written: 0 };
    let count = 0;
    while (this.tx[pair].takeUsed(element)) {
      if (element.written !== 0) throw new Error(`a transmit chain came back with ${element.written} bytes`);
      count++;
    }
    return count;
  }

  /** All frames that are complete. Throws where a driver would lose its way. */
  receive(pair = 0): Received[] {
    const frames: Received[] = [];
    for (;;) {
      const first = this.#takeBuffer(pair);
      if (first === undefined) return frames;
      const header = first.slice(0, netHeader.size);
      const buffers =
        header[netHeader.offsets.num_buffers] | (header[netHeader.offsets.num_buffers + 1] << 8);
      const parts: Uint8Array[] = [first.slice(netHeader.size)];
      while (parts.length < buffers) {
        const more = this.#takeBuffer(pair);
        if (more === undefined) throw new Error(`${parts.length} of ${buffers} buffers of a frame`);
        parts.push(more);
      }
      frames.push({ frame: Uint8Array.of(...parts.flatMap(part => [...part])), buffers, header });
    }
  }

  #takeBuffer(pair: number): Uint8Array | undefined {
    const element: UsedElement = { token: 0, written: 0 };
    const queue = this.rx[pair];
    if (!queue.takeUsed(element)) {
      if (queue.broken !== undefined) throw new Error(queue.broken);
      return undefined;
    }
    const buffer = this.#buffers.get(element.token);
    if (buffer === undefined) throw new Error(`a buffer that was never given: ${element.token}`);
    this.#buffers.delete(element.token);
    const bytes = new Uint8Array(element.written);
    this.memory.read(buffer.address, bytes, 0, element.written);
    return bytes;
  }

  /** One control command. Its answer, or undefined when there was no room for one. */
  command(request: readonly number[], answerBytes = 1): number | undefined {
    const queue = this.control;
    if (queue === undefined) throw new Error('no control queue');
    const address = this.alloc(request.length + answerBytes);
    this.memory.write(address, Uint8Array.from(request), 0, request.length);
    queue.begin();
    queue.addReadable(address, request.length);
    queue.addWritable(address + request.length, answerBytes);
    queue.commit(0);
    if (queue.publish()) this.transport.notify(queue.index);
    this.run();
    const element: UsedElement = { token: 0, written: 0 };
    if (!queue.takeUsed(element)) throw new Error('no answer');
    const answer = new Uint8Array(1);
    this.memory.read(address + request.length, answer, 0, 1);
    return element.written === 0 ? undefined : answer[0];
  }
}

/** A frame of `length` bytes whose bytes depend on `seed`. */
export function frameOf(length: number, seed: number): Uint8Array {
  let state = (seed * 2654435761 + length) >>> 0;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

export const BROADCAST = [255, 255, 255, 255, 255, 255];

/** An Ethernet frame between two stations, numbered in its body. */
export function between(from: number, to: number | 'all', number: number, length = 64): Uint8Array {
  const frame = frameOf(length, number);
  frame.set(to === 'all' ? BROADCAST : [2, 0, 0, 0, 0, to], 0);
  frame.set([2, 0, 0, 0, 0, from, 0x88, 0xb5, number & 0xff, number >>> 8], 6);
  return frame;
}
