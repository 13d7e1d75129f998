/** Rings, raw access to them, and a device model that keeps a diary, for the tests of this room. */
import {
  FeatureBit,
  GuestMemory,
  SplitDeviceQueue,
  SplitDriverQueue,
  VirtioDeviceModel,
  availRingBytes,
  descriptorTableBytes,
  featureSet,
  indirectAreaBytes,
  layOutSplitRing,
  splitRingBytes,
  usedRingBytes,
} from '../../src/virtio/index.js';
import type {
  DeviceModelInit,
  DeviceQueue,
  FeatureSet,
  IndirectArea,
  QueueAddresses,
  QueueConfig,
  RingFeatures,
  RingObserver,
} from '../../src/virtio/index.js';

export const PAGE = 4096;

export interface RingOptions {
  readonly size: number;
  readonly features?: Partial<RingFeatures>;
  readonly shared?: boolean;
  readonly index?: number;
  /** Entries of an indirect table. */
  readonly table?: number;
  /** Bytes of guest memory besides the ring and the tables. */
  readonly dataBytes?: number;
  readonly observer?: RingObserver;
  /** Memories as each side sees them; one plain memory for both when absent. */
  readonly views?: (buffer: ArrayBufferLike) => { driver: GuestMemory; device: GuestMemory };
}

/** A ring in guest memory with both halves, and free memory for data behind it. */
export interface TestRing {
  readonly memory: GuestMemory;
  readonly config: QueueConfig;
  readonly driver: SplitDriverQueue;
  readonly device: SplitDeviceQueue;
  /** First free address, a multiple of 4096, and the end of memory. */
  readonly data: number;
  readonly end: number;
}

/** Where test memory begins; address 0 is outside. */
export const BASE = 0x4_0000;

export function testRing(options: RingOptions): TestRing {
  const { size, index = 5, table = 0, dataBytes = 4 * PAGE, observer } = options;
  const features = { indirect: true, eventIdx: true, ...options.features };
  const tables = BASE + pages(splitRingBytes(size));
  const data = tables + pages(indirectAreaBytes(size, table));
  const end = data + pages(dataBytes);
  const buffer = options.shared === true ? new SharedArrayBuffer(end - BASE) : new ArrayBuffer(end - BASE);
  const memory = memoryOver(buffer);
  const views = options.views?.(buffer) ?? { driver: memory, device: memory };
  const config = { index, size, ...layOutSplitRing(BASE, size) };
  const area: IndirectArea | undefined = table > 0 ? { address: tables, entriesPerTable: table } : undefined;
  return {
    memory,
    config,
    driver: new SplitDriverQueue(views.driver, config, features, observer, area),
    device: new SplitDeviceQueue(views.device, config, features, observer),
    data,
    end,
  };
}

export function memoryOver(buffer: ArrayBufferLike, address = BASE): GuestMemory {
  const memory = new GuestMemory();
  memory.addRegion(address, buffer);
  return memory;
}

function pages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}

/** A descriptor as a hostile or a careful driver may write it. */
export interface RawDescriptor {
  readonly addr: number;
  readonly len: number;
  readonly flags?: number;
  readonly next?: number;
}

/** The ring written by hand, without a driver half. */
export class RawRing {
  readonly #view: DataView;
  readonly #config: QueueConfig;
  #slot = 0;

  constructor(ring: Pick<TestRing, 'memory' | 'config' | 'end'>) {
    this.#view = new DataView(new ArrayBuffer(16));
    this.#config = ring.config;
    this.#memory = ring.memory;
  }

  readonly #memory: GuestMemory;

  descriptor(index: number, descriptor: RawDescriptor): void {
    this.descriptorAt(this.#config.descriptors + 16 * index, descriptor);
  }

  /** Writes a descriptor anywhere, such as into an indirect table. */
  descriptorAt(address: number, { addr, len, flags = 0, next = 0 }: RawDescriptor): void {
    this.#view.setUint32(0, addr % 2 ** 32, true);
    this.#view.setUint32(4, Math.floor(addr / 2 ** 32), true);
    this.#view.setUint32(8, len, true);
    this.#view.setUint16(12, flags, true);
    this.#view.setUint16(14, next, true);
    this.#write(address, 16);
  }

  /** Puts a head into the next slot and raises the available index. */
  offer(head: number): void {
    this.word(this.#config.driver + 4 + 2 * (this.#slot % this.#config.size), head);
    this.#slot = (this.#slot + 1) & 0xffff;
    this.availIdx(this.#slot);
  }

  availFlags(value: number): void {
    this.word(this.#config.driver, value);
  }
  availIdx(value: number): void {
    this.word(this.#config.driver + 2, value);
  }
  usedEvent(value: number): void {
    this.word(this.#config.driver + 4 + 2 * this.#config.size, value);
  }
  usedFlags(value: number): void {
    this.word(this.#config.device, value);
  }
  usedIdx(value: number): void {
    this.word(this.#config.device + 2, value);
  }
  availEvent(value: number): void {
    this.word(this.#config.device + 4 + 8 * this.#config.size, value);
  }
  used(slot: number, id: number, len: number): void {
    this.#view.setUint32(0, id, true);
    this.#view.setUint32(4, len, true);
    this.#write(this.#config.device + 4 + 8 * slot, 8);
  }

  word(address: number, value: number): void {
    this.#view.setUint16(0, value, true);
    this.#write(address, 2);
  }
  readWord(address: number): number {
    this.#memory.read(address, new Uint8Array(this.#view.buffer), 0, 2);
    return this.#view.getUint16(0, true);
  }

  #write(address: number, length: number): void {
    if (!this.#memory.write(address, new Uint8Array(this.#view.buffer), 0, length)) {
      throw new RangeError(`test writes outside memory at ${address}`);
    }
  }
}

/** The three areas of a ring as hexadecimal text. */
export function ringBytes({ memory, config }: TestRing): {
  descriptors: string;
  avail: string;
  used: string;
} {
  const { size } = config;
  return {
    descriptors: hexAt(memory, config.descriptors, descriptorTableBytes(size)),
    avail: hexAt(memory, config.driver, availRingBytes(size)),
    used: hexAt(memory, config.device, usedRingBytes(size)),
  };
}

export function hexAt(memory: GuestMemory, address: number, length: number): string {
  const bytes = new Uint8Array(length);
  if (!memory.read(address, bytes, 0, length))
    throw new RangeError(`test reads outside memory at ${address}`);
  return Buffer.from(bytes).toString('hex');
}

export const TestFeature = { RDMA: 55, CTRL: 17 } as const;

/** A device that does nothing but take what comes, return it with length 0, and write down which hook ran. */
export class DiaryDevice extends VirtioDeviceModel {
  readonly diary: string[] = [];
  /** Whether notified queues are emptied. */
  works = true;

  constructor(memory: GuestMemory, init: Partial<DeviceModelInit> = {}) {
    super({
      deviceId: 42,
      features: featureSet(
        TestFeature.RDMA,
        TestFeature.CTRL,
        FeatureBit.INDIRECT_DESC,
        FeatureBit.EVENT_IDX,
        FeatureBit.RING_RESET,
      ),
      requirements: [{ bit: TestFeature.RDMA, requires: [TestFeature.CTRL] }],
      queueCount: 4,
      queueSizeMax: index => (index === 3 ? 0 : 16),
      config: Uint8Array.of(1, 2, 3, 4),
      memory,
      ...init,
    });
  }

  protected override onDriverOk(): void {
    this.diary.push('driver-ok');
  }
  protected override onNotify(index: number): void {
    this.diary.push(`notify ${index}`);
    const queue = this.queue(index);
    if (queue === undefined || !this.works) return;
    const chain = queue.newChain();
    while (queue.take(chain) === 'chain') queue.putUsed(chain.head, 0);
    if (queue.broken !== undefined) this.queueBroke(queue);
    if (queue.interruptWanted()) this.interruptQueue(index);
  }
  protected override onQueueReset(index: number): void {
    this.diary.push(`queue-reset ${index}`);
  }
  protected override onReset(): void {
    this.diary.push('reset');
  }

  queueNow(index: number): DeviceQueue | undefined {
    return this.queue(index);
  }
  get features(): FeatureSet {
    return this.negotiatedFeatures;
  }
  sendInterrupt(index: number): void {
    this.interruptQueue(index);
  }
  giveUp(why: string): void {
    this.needsReset(why);
  }
  reportBroken(queue: DeviceQueue): void {
    this.queueBroke(queue);
  }
  configure(offset: number, bytes: Uint8Array): void {
    this.changeConfig(offset, bytes);
  }
}

/** Memory for `count` rings of `size` entries, each in its own pages, with their places. */
export function ringPlaces(count: number, size: number): { memory: GuestMemory; places: QueueAddresses[] } {
  const bytes = pages(splitRingBytes(size));
  const memory = memoryOver(new ArrayBuffer((count + 1) * bytes));
  return {
    memory,
    places: Array.from({ length: count }, (_, i) => layOutSplitRing(BASE + i * bytes, size)),
  };
}
