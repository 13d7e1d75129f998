/**
 * A driver's end of any vhost-user device, for drivers of other device types than RDMA: registers, guest memory that the
 * device shares, and queues in it. Whoever uses it plays the driver: negotiates, sets queues up, and waits.
 */
import { connectInProcess } from '../in-process.js';
import type { InProcessTransport } from '../in-process.js';
import { GuestMemory, layOutRing, newDriverQueue, ringBytes, ringFeatures } from '../../virtio/index.js';
import type { DriverQueue, FeatureSet } from '../../virtio/index.js';
import { EventSet } from './event-set.js';
import { FrontDevice } from './front-device.js';
import { FrontEnd } from './front-end.js';
import { defaultPeerOptions } from './peer-options.js';
import type { PeerOptions } from './peer-options.js';
import { MemoryFile } from './shared-memory.js';

export interface VhostUserClientInit {
  /** Virtio device type; the peer does not say. */
  readonly deviceId: number;
  /** Queues of the device; as many as the back-end says that it can have when absent. */
  readonly queueCount?: number;
  /** Bytes of configuration space; 0, so none is read, when absent. */
  readonly configBytes?: number;
  /** Guest memory, a multiple of 4096; 4 MiB when absent. */
  readonly memoryBytes?: number;
  readonly options?: Partial<PeerOptions>;
  /** `reconnect` is going to be used: what is in flight is kept where the back-end can do that. */
  readonly resumable?: boolean;
}

/** A piece of guest memory. */
export interface SharedBuffer {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

const GUEST_BASE = 0x1_0000_0000;
const MEMORY_BYTES = 4 * 1024 * 1024;
const QUEUE_SIZE = 256;

/** Throws SystemError when nobody listens there, ConnectionEnded or MessageFault for a peer that does not keep the protocol. */
export function connectVhostUser(path: string, init: VhostUserClientInit): VhostUserClient {
  return new VhostUserClient(path, init);
}

export class VhostUserClient {
  /** The registers; interrupts come from within `wait` and `poll`. */
  readonly transport: InProcessTransport;
  /** The guest's memory, all of which the device may reach. */
  readonly memory = new GuestMemory();
  readonly #events = new EventSet();
  readonly #file: MemoryFile;
  readonly #device: FrontDevice;
  #allocated = 0;

  constructor(path: string, init: VhostUserClientInit) {
    const options = {
      ...defaultPeerOptions,
      ...init.options,
      ...(init.resumable === undefined ? {} : { resumable: init.resumable }),
    };
    this.#file = new MemoryFile('vrdma client', init.memoryBytes ?? MEMORY_BYTES);
    try {
      const first = FrontEnd.connect(path, options);
      let waiting: FrontEnd | undefined = first;
      const connect = (): FrontEnd => {
        const front = waiting ?? FrontEnd.connect(path, options);
        waiting = undefined;
        return front;
      };
      this.#device = new FrontDevice({
        deviceId: init.deviceId,
        queueCount: init.queueCount ?? first.queueCount ?? 1,
        controlQueue: -1,
        completionQueues: new Set(),
        queueSize: options.queueSize === 0 ? QUEUE_SIZE : options.queueSize,
        configBytes: init.configBytes ?? 0,
        options,
        events: this.#events,
        connect,
        beforeTelling: () => undefined,
        beforeCall: () => undefined,
        kick: queue => queue.signalKick(),
      });
    } catch (error) {
      this.#events.close();
      this.#file.close();
      throw error;
    }
    const { bytes } = this.#file;
    this.memory.addRegion(GUEST_BASE, bytes);
    this.#device.useMemory({ file: this.#file, bytes: bytes.length, address: GUEST_BASE });
    this.transport = connectInProcess(this.#device);
  }

  /** The connection, for what the registers do not have. */
  get front(): FrontEnd {
    return this.#device.front;
  }

  /** Zeroed memory that is never given back. Throws RangeError when there is none left. */
  alloc(length: number, alignment = 8): SharedBuffer {
    const at = Math.ceil(this.#allocated / alignment) * alignment;
    const all = this.#file.bytes;
    if (at + length > all.length)
      throw new RangeError(`no ${length} bytes left of ${all.length} of guest memory`);
    this.#allocated = at + length;
    const bytes = all.subarray(at, at + length);
    return {
      address: GUEST_BASE + at,
      bytes,
      view: new DataView(bytes.buffer, bytes.byteOffset, length),
    };
  }

  /** Accepts features, of those that are offered; to be called between DRIVER and FEATURES_OK. */
  accept(features: FeatureSet): void {
    this.transport.setDriverFeatures(features);
  }

  /** Lays a queue of the agreed format out in guest memory and enables it; to be called between FEATURES_OK and DRIVER_OK. */
  queue(index: number, wanted = QUEUE_SIZE): DriverQueue {
    const size = Math.min(wanted, this.transport.queueSizeMax(index));
    const features = { ...ringFeatures(this.#device.features), indirect: false };
    const ring = this.alloc(ringBytes(size, features), 16);
    const addresses = layOutRing(ring.address, size, features);
    const queue = newDriverQueue(this.memory, { index, size, ...addresses }, features);
    this.transport.enableQueue(index, size, addresses);
    return queue;
  }

  /** Takes up what the device has done. True: something has come. Throws what ended the connection. */
  poll(): boolean {
    const came = this.#device.look();
    return this.#events.wait(0) > 0 || came;
  }

  /** The same, and waits for it, at most `timeoutMs`. Blocks the thread. */
  wait(timeoutMs: number): boolean {
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      if (this.poll()) return true;
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) return false;
      if (this.#events.wait(Math.min(1, Math.ceil(leftMs))) > 0) return true;
    }
  }

  /**
   * The back-end went away and listens at its path again: the queues go on where they were, and nothing that was made available
   * is lost. Interrupts of all queues come from within. Throws SystemError as long as nobody listens, PeerChanged when it is
   * another device.
   */
  reconnect(): void {
    this.#device.resume();
  }

  /** Ends the connection and lets go of memory and descriptors. */
  close(): void {
    this.#device.close();
    this.#events.close();
    this.#file.close();
  }
}
