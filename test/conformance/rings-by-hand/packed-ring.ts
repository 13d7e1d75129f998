/** A packed ring by hand: what a driver and a device do to it, one access a call, or in the usual order. */
import {
  PACKED_START,
  PackedDescriptor,
  PackedEvent,
  PackedFlag,
  advance,
  availableMark,
  layOutPackedRing,
  packedRingBytes,
  slotOf,
  usedMark,
} from '../../../src/virtio/index.js';
import type { GuestMemory, MemoryWindow, QueueAddresses } from '../../../src/virtio/index.js';
import { Bench, PLAIN, fill, look } from './bench.js';
import type { RingOptions } from './bench.js';
import type { Part } from './split-ring.js';

export { r, w } from './split-ring.js';
export const { NEXT, WRITE, INDIRECT, AVAIL, USED } = PackedFlag;
const { SIZE, ADDR, LEN, ID, FLAGS } = PackedDescriptor;

/** Bytes between the buffers of two descriptors. */
const BUFFER_BYTES = 256;
/** Bytes of a descriptor before its flags. */
const BODY = FLAGS;

export class PackedRing {
  readonly bench: Bench;
  readonly size: number;
  readonly index: number;
  readonly at: QueueAddresses;
  readonly driver: PackedSide;
  readonly device: PackedSide;
  /** The guest's memory, unwatched: what a driver does through the bytes of a DMA buffer. */
  readonly unseen: PackedSide;
  readonly #buffers: number;
  /** Positions at which each side goes on. */
  avail: number = PACKED_START;
  taken: number = PACKED_START;
  used: number = PACKED_START;
  consumed: number = PACKED_START;
  readonly #lengths = new Map<number, number>();
  readonly #coming: number[] = [];
  readonly #back: number[] = [];

  constructor(options: RingOptions) {
    this.bench = new Bench({ ...options, features: { packed: true, ...options.features } });
    const { machine, guest } = this.bench;
    const { size = 4, index = PLAIN, start } = options;
    this.size = size;
    this.index = index;
    this.at = layOutPackedRing(this.bench.memory(packedRingBytes(size)).address, size);
    this.#buffers = this.bench.memory(16 * BUFFER_BYTES).address;
    this.avail = this.taken = start?.avail ?? PACKED_START;
    this.used = this.consumed = start?.used ?? PACKED_START;
    machine.enabling(index, size, this.at, start);
    this.driver = new PackedSide(machine.driverMemory, this.at, size);
    this.device = new PackedSide(machine.deviceMemory, this.at, size);
    this.unseen = new PackedSide(guest.memory, this.at, size);
  }

  /** Where the bytes of slot `at` lie. */
  buffer(at: number): number {
    return this.#buffers + BUFFER_BYTES * at;
  }

  // ---------------------------------------------------------------- the driver

  /** Makes a chain available where the driver goes on, its first descriptor last. */
  post(id: number, ...parts: readonly Part[]): void {
    for (let i = parts.length - 1; i >= 0; i--) {
      const { length, flags } = parts[i];
      const position = advance(this.avail, i, this.size);
      const more = i + 1 < parts.length ? NEXT : 0;
      const slot = slotOf(position);
      this.driver.descriptor(slot, this.buffer(slot), length, id, flags | more | availableMark(position));
    }
    this.went(id, parts.length);
  }

  /** A chain of `descriptors` stands where the driver went on. */
  went(id: number, descriptors: number): void {
    this.#lengths.set(id, descriptors);
    this.#coming.push(descriptors);
    this.avail = advance(this.avail, descriptors, this.size);
  }

  /** Looks at the flags and takes one element. */
  takeBack(): void {
    const slot = slotOf(this.consumed);
    this.driver.readFlags(slot);
    this.driver.readLength(slot);
    this.driver.readId(slot);
    this.consumed = advance(this.consumed, this.#back.shift() ?? 1, this.size);
  }

  // ---------------------------------------------------------------- the device

  /** Takes the next `count` chains: the flags first, then what is before them, descriptor by descriptor. */
  take(count = 1): void {
    for (let i = 0; i < count; i++) {
      this.device.readFlags(slotOf(this.taken));
      for (let left = this.#coming.shift() ?? 1; left > 0; left--) {
        this.device.readBody(slotOf(this.taken));
        this.taken = advance(this.taken, 1, this.size);
      }
    }
  }

  /** Reads the bytes of slot `at`. */
  read(at: number, length: number): void {
    look(this.device.memory, this.buffer(at), length);
  }

  /** Writes the bytes of slot `at`. */
  write(at: number, length: number): void {
    fill(this.device.memory, this.buffer(at), length);
  }

  /** Returns a chain where the device goes on, and those of `others` with it. */
  give(id: number, length = 0, ...others: readonly number[]): void {
    const slot = slotOf(this.used);
    this.device.element(slot, id, length);
    this.device.flags(slot, usedMark(this.used) | (length > 0 ? WRITE : 0));
    let descriptors = 0;
    for (const each of [id, ...others]) descriptors += this.#lengths.get(each) ?? 1;
    this.#back.push(descriptors);
    this.used = advance(this.used, descriptors, this.size);
  }

  /** Chains of one readable byte that go all the way. */
  roundTrips(count: number): void {
    for (let i = 0; i < count; i++) {
      this.post(0, { length: 1, flags: 0 });
      this.take();
      this.give(0);
      this.takeBack();
    }
  }
}

/** Accesses of one side to the words of a packed ring. */
export class PackedSide {
  readonly memory: GuestMemory;
  readonly ring: MemoryWindow;
  readonly driverEvent: MemoryWindow;
  readonly deviceEvent: MemoryWindow;

  constructor(memory: GuestMemory, at: QueueAddresses, size: number) {
    this.memory = memory;
    this.ring = memory.window(at.descriptors, SIZE * size) ?? memory.newWindow();
    this.driverEvent = memory.window(at.driver, PackedEvent.SIZE) ?? memory.newWindow();
    this.deviceEvent = memory.window(at.device, PackedEvent.SIZE) ?? memory.newWindow();
  }

  descriptor(slot: number, address: number, length: number, id: number, flags: number): void {
    const bytes = new DataView(new ArrayBuffer(SIZE));
    bytes.setBigUint64(ADDR, BigInt(address), true);
    bytes.setUint32(LEN, length, true);
    bytes.setUint16(ID, id, true);
    bytes.setUint16(FLAGS, flags, true);
    this.memory.write(this.ring.address + SIZE * slot, new Uint8Array(bytes.buffer), 0, SIZE);
  }

  flags(slot: number, flags: number): void {
    this.ring.store16(SIZE * slot + FLAGS, flags);
  }
  readFlags(slot: number): void {
    this.ring.load16(SIZE * slot + FLAGS);
  }
  /** What stands before the flags. */
  readBody(slot: number): void {
    look(this.memory, this.ring.address + SIZE * slot, BODY);
  }
  /** Bytes `from` on of a slot. */
  readBytes(slot: number, from: number, length: number): void {
    look(this.memory, this.ring.address + SIZE * slot + from, length);
  }

  element(slot: number, id: number, length: number): void {
    this.ring.set16(SIZE * slot + ID, id);
    this.ring.set32(SIZE * slot + LEN, length);
  }
  readId(slot: number): void {
    this.ring.get16(SIZE * slot + ID);
  }
  readLength(slot: number): void {
    this.ring.get32(SIZE * slot + LEN);
  }

  /** The wish of the driver, at the driver's hand; that of the device at the device's. */
  driverWish(mode: number, position?: number): void {
    wish(this.driverEvent, mode, position);
  }
  deviceWish(mode: number, position?: number): void {
    wish(this.deviceEvent, mode, position);
  }
  readDriverWish(): void {
    this.driverEvent.load16(PackedEvent.MODE);
  }
  readDeviceWish(): void {
    this.deviceEvent.load16(PackedEvent.MODE);
  }
}

/** The position before the mode that goes by it. */
function wish(event: MemoryWindow, mode: number, position: number | undefined): void {
  if (position !== undefined) event.store16(PackedEvent.POSITION, position);
  event.store16(PackedEvent.MODE, mode);
}
