/** A split ring by hand: what a driver and a device do to it, one access a call, or in the usual order. */
import {
  Avail,
  Descriptor,
  DescriptorFlag,
  Used,
  availEventOffset,
  layOutSplitRing,
  splitRingBytes,
  usedEventOffset,
} from '../../../src/virtio/index.js';
import type { GuestMemory, MemoryWindow, QueueAddresses } from '../../../src/virtio/index.js';
import { Bench, PLAIN, fill, look } from './bench.js';
import type { RingOptions } from './bench.js';

export const { NEXT, WRITE, INDIRECT } = DescriptorFlag;

/** A part of a chain: bytes that the device may read, or write. */
export interface Part {
  readonly length: number;
  readonly flags: number;
}
export const r = (length: number): Part => ({ length, flags: 0 });
export const w = (length: number): Part => ({ length, flags: WRITE });

/** Bytes between the buffers of two descriptors. */
const BUFFER_BYTES = 256;

export class SplitRing {
  readonly bench: Bench;
  readonly size: number;
  readonly index: number;
  readonly at: QueueAddresses;
  readonly driver: Side;
  readonly device: Side;
  /** The guest's memory, unwatched: what a driver does through the bytes of a DMA buffer. */
  readonly unseen: Side;
  readonly #buffers: number;
  #avail = 0;
  #taken = 0;
  #used = 0;
  #consumed = 0;

  /** A ring of a machine of its own, or one more of a machine. */
  constructor(options: RingOptions, bench = new Bench(options)) {
    this.bench = bench;
    const { machine, guest } = this.bench;
    const { size = 4, index = PLAIN, start } = options;
    this.size = size;
    this.index = index;
    this.at = layOutSplitRing(this.bench.memory(splitRingBytes(size)).address, size);
    this.#buffers = this.bench.memory(16 * BUFFER_BYTES).address;
    this.driver = new Side(machine.driverMemory, this.at, size);
    this.device = new Side(machine.deviceMemory, this.at, size);
    this.unseen = new Side(guest.memory, this.at, size);
    this.#avail = this.#taken = start?.avail ?? 0;
    this.#used = this.#consumed = start?.used ?? 0;
    this.unseen.availIdx(this.#avail);
    this.unseen.usedIdx(this.#used);
    machine.enabling(index, size, this.at, start);
  }

  /** Where the bytes of descriptor `at` lie. */
  buffer(at: number): number {
    return this.#buffers + BUFFER_BYTES * at;
  }

  // ---------------------------------------------------------------- the driver

  /** Writes the descriptors of a chain, one behind another from `head` on and round. */
  describe(head: number, ...parts: readonly Part[]): void {
    for (const [i, { length, flags }] of parts.entries()) {
      const at = (head + i) % this.size;
      const more = i + 1 < parts.length ? NEXT : 0;
      this.driver.descriptor(at, this.buffer(at), length, flags | more, (at + 1) % this.size);
    }
  }

  /** Describes a chain, puts it into the next slot and raises the index. */
  post(head: number, ...parts: readonly Part[]): void {
    this.describe(head, ...parts);
    this.offer(head);
  }

  /** Puts heads into the next slots, and raises the index over them. */
  offer(...heads: readonly number[]): void {
    for (const head of heads) this.driver.slot(this.#avail++ % this.size, head);
    this.driver.availIdx(this.#avail);
  }

  /** Looks at the index and takes one element. */
  takeBack(): void {
    this.driver.readUsedIdx();
    this.driver.readElement(this.#consumed++ % this.size);
  }

  // ---------------------------------------------------------------- the device

  /** Looks at the index and takes the next `count` chains. */
  take(count = 1): void {
    this.device.readAvailIdx();
    for (let i = 0; i < count; i++) this.device.readSlot(this.#taken++ % this.size);
  }

  /** Writes the bytes that descriptor `at` gives. */
  write(at: number, length: number): void {
    fill(this.device.memory, this.buffer(at), length);
  }

  /** Reads the bytes that descriptor `at` gives. */
  read(at: number, length: number): void {
    look(this.device.memory, this.buffer(at), length);
  }

  /** Puts an element into the next place and raises the index, over the places of `others` too. */
  give(head: number, length = 0, ...others: readonly number[]): void {
    this.device.element(this.#used % this.size, head, length);
    this.#used += 1 + others.length;
    this.device.usedIdx(this.#used);
  }

  /** Chains of one readable byte that go all the way, each at descriptor 0. */
  roundTrips(count: number): void {
    for (let i = 0; i < count; i++) {
      this.post(0, r(1));
      this.take();
      this.give(0);
      this.takeBack();
    }
  }
}

/** Accesses of one side to the words of a ring. */
export class Side {
  readonly memory: GuestMemory;
  readonly descriptors: MemoryWindow;
  readonly avail: MemoryWindow;
  readonly used: MemoryWindow;
  readonly #size: number;

  constructor(memory: GuestMemory, at: QueueAddresses, size: number) {
    this.memory = memory;
    this.#size = size;
    this.descriptors = memory.window(at.descriptors, Descriptor.SIZE * size) ?? memory.newWindow();
    this.avail = memory.window(at.driver, usedEventOffset(size) + 2) ?? memory.newWindow();
    this.used = memory.window(at.device, availEventOffset(size) + 2) ?? memory.newWindow();
  }

  descriptor(at: number, address: number, length: number, flags: number, next = 0): void {
    const bytes = new DataView(new ArrayBuffer(Descriptor.SIZE));
    bytes.setBigUint64(Descriptor.ADDR, BigInt(address), true);
    bytes.setUint32(Descriptor.LEN, length, true);
    bytes.setUint16(Descriptor.FLAGS, flags, true);
    bytes.setUint16(Descriptor.NEXT, next, true);
    const place = this.descriptors.address + Descriptor.SIZE * at;
    this.memory.write(place, new Uint8Array(bytes.buffer), 0, Descriptor.SIZE);
  }

  readDescriptor(at: number, from = 0, length: number = Descriptor.SIZE): void {
    look(this.memory, this.descriptors.address + Descriptor.SIZE * at + from, length);
  }

  slot(at: number, head: number): void {
    this.avail.set16(Avail.RING + Avail.ENTRY * at, head);
  }
  readSlot(at: number): void {
    this.avail.get16(Avail.RING + Avail.ENTRY * at);
  }
  availIdx(idx: number): void {
    this.avail.store16(Avail.IDX, idx);
  }
  readAvailIdx(): void {
    this.avail.load16(Avail.IDX);
  }
  availFlags(flags: number): void {
    this.avail.store16(Avail.FLAGS, flags);
  }
  readAvailFlags(): void {
    this.avail.load16(Avail.FLAGS);
  }
  usedEvent(idx: number): void {
    this.avail.store16(usedEventOffset(this.#size), idx);
  }
  readUsedEvent(): void {
    this.avail.load16(usedEventOffset(this.#size));
  }

  element(at: number, id: number, length: number): void {
    const bytes = new Uint32Array([id, length]);
    const place = this.used.address + Used.RING + Used.ENTRY * at;
    this.memory.write(place, new Uint8Array(bytes.buffer), 0, Used.ENTRY);
  }
  readElement(at: number): void {
    this.readId(at);
    this.readLength(at);
  }
  readId(at: number): void {
    this.used.get32(Used.RING + Used.ENTRY * at + Used.ID);
  }
  readLength(at: number): void {
    this.used.get32(Used.RING + Used.ENTRY * at + Used.LEN);
  }
  usedIdx(idx: number): void {
    this.used.store16(Used.IDX, idx);
  }
  readUsedIdx(): void {
    this.used.load16(Used.IDX);
  }
  usedFlags(flags: number): void {
    this.used.store16(Used.FLAGS, flags);
  }
  readUsedFlags(): void {
    this.used.load16(Used.FLAGS);
  }
  availEvent(idx: number): void {
    this.used.store16(availEventOffset(this.#size), idx);
  }
  readAvailEvent(): void {
    this.used.load16(availEventOffset(this.#size));
  }
}

/** A chain of `entries` readable parts in an indirect table, which lies where descriptor 8 + `head` has its bytes. */
export function indirect(ring: SplitRing, head: number, entries: number): number {
  const table = ring.buffer(8 + head);
  for (let i = 0; i < entries; i++) entry(ring, 8 + head, i, 8, i + 1 < entries ? NEXT : 0);
  ring.driver.descriptor(head, table, 16 * entries, INDIRECT);
  ring.offer(head);
  return table;
}

/** An entry of the table in the bytes of descriptor `buffer`: `length` bytes in those of `head`. */
export function entry(ring: SplitRing, buffer: number, i: number, length: number, flags: number): void {
  const table = new DataView(new ArrayBuffer(16));
  table.setBigUint64(0, BigInt(ring.buffer(4 + i)), true);
  table.setUint32(8, length, true);
  table.setUint16(12, flags, true);
  table.setUint16(14, i + 1, true);
  ring.driver.memory.write(ring.buffer(buffer) + 16 * i, new Uint8Array(table.buffer), 0, 16);
}
