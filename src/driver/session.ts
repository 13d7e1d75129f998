/**
 * What all parts of the driver share between `start` and `stop`: the ports, the DMA memory that is held, and the verdict on
 * the device. A device that breaks a rule is given up for good: FAILED is set, and every verb answers EIO from then on.
 */
import type { QueueMap, Profile } from '../abi/index.js';
import { VerbsError } from '../verbs/index.js';
import { markFailed } from '../virtio/index.js';
import type {
  ControlObserver,
  DriverQueue,
  GuestMemory,
  RingFeatures,
  RingObserver,
  VirtioTransport,
} from '../virtio/index.js';
import type { DmaBuffer, GuestOs } from './guest-os.js';
import { PinnedPages } from './pinned-pages.js';

/** How the driver learns of answers to its commands. */
export type ControlMode =
  /** The control queue interrupts. */
  | 'interrupt'
  /** Its interrupts are off; somebody calls `pollControl`. */
  | 'polling';

/** Ring sizes wanted, each a power of two; a queue gets less when the device offers less. */
export interface QueueSizes {
  readonly control: number;
  readonly cq: number;
  readonly sq: number;
  readonly rq: number;
}

export interface DriverOptions {
  readonly profile: Profile;
  readonly transport: VirtioTransport;
  readonly os: GuestOs;
  /** Guest memory by guest-physical address; the rings live there. */
  readonly memory: GuestMemory;
  /** Ring features to use where the device offers them. */
  readonly ringFeatures: RingFeatures;
  readonly ringObserver?: RingObserver | undefined;
  readonly controlObserver?: ControlObserver | undefined;
  readonly queueSizes?: Partial<QueueSizes>;
  /** Default: interrupt. */
  readonly controlMode?: ControlMode;
}

export class Session {
  readonly options: DriverOptions;
  readonly queueMap: QueueMap;
  /** Numbers 0 .. maxQps-1 and 0 .. maxCqs-1, from the configuration space. */
  readonly maxQps: number;
  readonly maxCqs: number;
  readonly features: RingFeatures;
  /** Largest path MTU code that the port carries. */
  readonly activeMtu: number;
  readonly #buffers = new Set<DmaBuffer>();
  readonly #pinned = new Set<PinnedPages>();
  #failure: string | undefined;
  /** Called once, when the device is given up. */
  onFailure: (reason: string) => void = () => {};

  constructor(
    options: DriverOptions,
    found: Pick<Session, 'queueMap' | 'maxQps' | 'maxCqs' | 'features' | 'activeMtu'>,
  ) {
    this.options = options;
    this.queueMap = found.queueMap;
    this.maxQps = found.maxQps;
    this.maxCqs = found.maxCqs;
    this.features = found.features;
    this.activeMtu = found.activeMtu;
  }

  /** Why the device was given up; undefined while it is sound. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /**
   * Gives the device up because of what it did, and returns the error for the verb at hand. Buffers that the device holds
   * stay allocated until the reset: it may still write to them.
   */
  fault(verb: string, reason: string): VerbsError {
    if (this.#failure === undefined) {
      this.#failure = reason;
      markFailed(this.options.transport);
      this.onFailure(reason);
    }
    return this.failed(verb);
  }

  /** The device was reset: what is still deferred finds nothing to do. */
  stopped(): void {
    this.#failure ??= 'the device was reset';
  }

  /** The error of every verb after a failure. */
  failed(verb: string): VerbsError {
    return new VerbsError('EIO', verb, `the device was given up: ${this.#failure ?? 'unknown'}`);
  }

  /** Tells the device that something was published in a queue. */
  notify(queue: DriverQueue): void {
    const next = this.features.notificationData === true ? queue.nextAvailable : undefined;
    this.options.transport.notify(queue.index, next);
  }

  /** Zeroed memory, freed at the latest by `freeAll`. */
  alloc(bytes: number, alignment: number): DmaBuffer {
    const buffer = this.options.os.allocDma(bytes, alignment);
    buffer.bytes.fill(0);
    this.#buffers.add(buffer);
    return buffer;
  }

  free(buffer: DmaBuffer): void {
    if (this.#buffers.delete(buffer)) this.options.os.freeDma(buffer);
  }

  /** Pages of the program for one region, released at the latest by `freeAll`. */
  newPinnedPages(): PinnedPages {
    const pages = new PinnedPages(this.options.os);
    this.#pinned.add(pages);
    return pages;
  }

  unpin(pages: PinnedPages): void {
    if (this.#pinned.delete(pages)) pages.release();
  }

  /** Gives back all that the device could reach, which must have been reset. */
  freeAll(): void {
    for (const buffer of this.#buffers) this.options.os.freeDma(buffer);
    this.#buffers.clear();
    for (const pages of this.#pinned) pages.release();
    this.#pinned.clear();
  }
}
