/** Packed rings with both halves, raw access to them, and rings of either format behind the queue interface. */
import {
  PackedDeviceQueue,
  PackedDriverQueue,
  indirectAreaBytes,
  layOutRing,
  layOutPackedRing,
  newDeviceQueue,
  newDriverQueue,
  packedRingBytes,
  ringBytes,
} from '../../src/virtio/index.js';
import type {
  DeviceQueue,
  DriverQueue,
  GuestMemory,
  IndirectArea,
  QueueConfig,
  QueuePosition,
  RingFeatures,
  RingObserver,
} from '../../src/virtio/index.js';
import { BASE, PAGE, hexAt, memoryOver } from './support.js';

export interface AnyRingOptions {
  readonly size: number;
  readonly features?: Partial<RingFeatures>;
  readonly shared?: boolean;
  /** Entries of an indirect table. */
  readonly table?: number;
  /** Bytes of guest memory besides the ring and the tables. */
  readonly dataBytes?: number;
  readonly start?: QueuePosition;
  readonly observer?: RingObserver;
  /** Memories as each side sees them; one plain memory for both when absent. */
  readonly views?: (buffer: ArrayBufferLike) => { driver: GuestMemory; device: GuestMemory };
}

export interface AnyRing<Driver = DriverQueue, Device = DeviceQueue> {
  readonly memory: GuestMemory;
  readonly config: QueueConfig;
  readonly driver: Driver;
  readonly device: Device;
  /** First free address, a multiple of 4096, and the end of memory. */
  readonly data: number;
  readonly end: number;
}

export type PackedRing = AnyRing<PackedDriverQueue, PackedDeviceQueue>;

const INDEX = 5;

function setUp(options: AnyRingOptions, bytes: number) {
  const { size, table = 0, dataBytes = 4 * PAGE } = options;
  const tables = BASE + pages(bytes);
  const data = tables + pages(indirectAreaBytes(size, table));
  const end = data + pages(dataBytes);
  const buffer = options.shared === true ? new SharedArrayBuffer(end - BASE) : new ArrayBuffer(end - BASE);
  const memory = memoryOver(buffer);
  const views = options.views?.(buffer) ?? { driver: memory, device: memory };
  const area: IndirectArea | undefined = table > 0 ? { address: tables, entriesPerTable: table } : undefined;
  return { memory, views, area, data, end };
}

function pages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}

/** A ring of the format that the features say. */
export function anyRing(options: AnyRingOptions): AnyRing {
  const { size, start, observer } = options;
  const features = { indirect: true, eventIdx: true, ...options.features };
  const { memory, views, area, data, end } = setUp(options, ringBytes(size, features));
  const config = { index: INDEX, size, start, ...layOutRing(BASE, size, features) };
  const driver = newDriverQueue(views.driver, config, features, observer, area);
  const device = newDeviceQueue(views.device, config, features, observer);
  return { memory, config, driver, device, data, end };
}

export function packedRing(options: AnyRingOptions): PackedRing {
  const { size, start, observer } = options;
  const features = { indirect: true, eventIdx: true, packed: true, ...options.features };
  const { memory, views, area, data, end } = setUp(options, packedRingBytes(size));
  const config = { index: INDEX, size, start, ...layOutPackedRing(BASE, size) };
  const driver = new PackedDriverQueue(views.driver, config, features, observer, area);
  const device = new PackedDeviceQueue(views.device, config, features, observer);
  return { memory, config, driver, device, data, end };
}

/** A descriptor as a hostile or a careful peer may write it. */
export interface RawPackedDescriptor {
  readonly addr?: number;
  readonly len?: number;
  readonly id?: number;
  readonly flags?: number;
}

/** The ring written by hand, without one of the halves. */
export class RawPackedRing {
  readonly #memory: GuestMemory;
  readonly #config: QueueConfig;
  readonly #view = new DataView(new ArrayBuffer(16));

  constructor(ring: Pick<PackedRing, 'memory' | 'config'>) {
    this.#memory = ring.memory;
    this.#config = ring.config;
  }

  descriptor(slot: number, descriptor: RawPackedDescriptor): void {
    this.descriptorAt(this.#config.descriptors + 16 * slot, descriptor);
  }

  /** Writes a descriptor anywhere, such as into an indirect table. */
  descriptorAt(address: number, { addr = 0, len = 0, id = 0, flags = 0 }: RawPackedDescriptor): void {
    this.#view.setUint32(0, addr % 2 ** 32, true);
    this.#view.setUint32(4, Math.floor(addr / 2 ** 32), true);
    this.#view.setUint32(8, len, true);
    this.#view.setUint16(12, id, true);
    this.#view.setUint16(14, flags, true);
    if (!this.#memory.write(address, new Uint8Array(this.#view.buffer), 0, 16))
      throw new RangeError(`test writes outside memory at ${address}`);
  }

  flags(slot: number): number {
    const bytes = new Uint8Array(2);
    this.#memory.read(this.#config.descriptors + 16 * slot + 14, bytes, 0, 2);
    return bytes[0] | (bytes[1] << 8);
  }

  driverEvent(position: number, mode: number): void {
    this.#event(this.#config.driver, position, mode);
  }
  deviceEvent(position: number, mode: number): void {
    this.#event(this.#config.device, position, mode);
  }

  #event(address: number, position: number, mode: number): void {
    this.#view.setUint16(0, position, true);
    this.#view.setUint16(2, mode, true);
    this.#memory.write(address, new Uint8Array(this.#view.buffer), 0, 4);
  }
}

/** The areas of a packed ring as hexadecimal text: the descriptors in use, and both event structures. */
export function packedBytes({ memory, config }: PackedRing): {
  descriptors: string[];
  driver: string;
  device: string;
} {
  return {
    descriptors: Array.from({ length: config.size }, (_, slot) =>
      hexAt(memory, config.descriptors + 16 * slot, 16),
    ),
    driver: hexAt(memory, config.driver, 4),
    device: hexAt(memory, config.device, 4),
  };
}
