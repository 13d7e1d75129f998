/**
 * The device's half of a virtqueue as the bench holds it, whatever the format: it takes chains with every descriptor kept for
 * inspection, reports what breaks the rules of the ring, and writes used elements that are right, or anything else.
 */
import { Descriptor } from '../../../virtio/index.js';
import type { GuestMemory, MemoryWindow, QueueAddresses, RingFeatures } from '../../../virtio/index.js';
import type { Chain, Report, WalkInit } from './chain-walk.js';

export type { Chain, Report } from './chain-walk.js';

export interface PenInit {
  readonly memory: GuestMemory;
  readonly index: number;
  readonly size: number;
  readonly addresses: QueueAddresses;
  readonly features: RingFeatures;
  readonly report: Report;
}

export abstract class RingPen {
  readonly index: number;
  readonly size: number;
  readonly addresses: QueueAddresses;
  readonly outstanding = new Map<number, Chain>();
  protected readonly memory: GuestMemory;
  protected readonly features: RingFeatures;
  protected readonly report: Report;

  constructor({ memory, index, size, addresses, features, report }: PenInit) {
    this.index = index;
    this.size = size;
    this.addresses = addresses;
    this.memory = memory;
    this.features = features;
    this.report = report;
  }

  /** The next chain; undefined when there is none, or none that can be followed. */
  abstract take(): Chain | undefined;

  /** Puts any element at all where the next used one stands, and shows it. */
  abstract element(id: number, written: number): void;

  /**
   * Puts an element so many places behind where the next one belongs. In a packed ring it has the marks of a used one there,
   * with bits of its flags turned over, and the device does not go on; in a split one the index shows it, and all before it.
   */
  abstract misplace(id: number, written: number, ahead: number, turned: number): void;

  /** Shows that the device has come further, or less far, than it has; whatever stands in the ring. */
  abstract raise(by: number): void;

  /** Returns chains, the oldest that are out, as one element that names the last; as IN_ORDER lets a device do. */
  abstract batch(chains: readonly Chain[], written: number): void;

  /** Whether the driver asked for a notification of what was returned since the last time this was asked. */
  abstract interruptWanted(): boolean;

  /** The words by which a device says what it wants to be told, as they are: flags or mode, index or position. */
  abstract wish(flags: number, event: number): void;

  /** With the event index: asks to be told of the next chain. */
  abstract askForNext(): void;

  /** How far the driver has come, for comparison. */
  abstract get shown(): string;

  /** Bytes of an area: of a packed ring the event structures stand for the rings of a split one. */
  abstract areaBytes(area: 'descriptors' | 'available' | 'used'): number;

  takeAll(): Chain[] {
    const chains: Chain[] = [];
    for (let chain = this.take(); chain !== undefined; chain = this.take()) chains.push(chain);
    return chains;
  }

  /** Returns a chain as it should be: once, with the bytes that were written. */
  giveBack(chain: Chain, written: number): void {
    this.batch([chain], written);
  }

  /** Writes to the writable part of a chain from `offset` on; what does not fit is left out. */
  write(chain: Chain, offset: number, bytes: Uint8Array): void {
    let start = 0;
    for (const part of chain.parts) {
      if (!part.writable) continue;
      const from = Math.max(offset, start);
      const to = Math.min(offset + bytes.length, start + part.length);
      if (from < to) this.memory.write(part.address + from - start, bytes, from - offset, to - from);
      start += part.length;
    }
  }

  /** The descriptors, the table and the readable bytes of a chain as they are now, for comparison. */
  snapshot(chain: Chain): Uint8Array {
    const { descriptors, table, parts } = chain;
    const pieces: { address: number; length: number }[] = descriptors.map(at => ({
      address: this.addresses.descriptors + Descriptor.SIZE * at,
      length: Descriptor.SIZE,
    }));
    if (table !== undefined) pieces.push({ address: table.address, length: table.bytes });
    for (const { address, length, writable } of parts) if (!writable) pieces.push({ address, length });
    const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const { address, length } of pieces) {
      this.memory.read(address, bytes, at, length);
      at += length;
    }
    return bytes;
  }

  protected walkInit(ring: MemoryWindow): WalkInit {
    const { memory, index, size, features, report } = this;
    return { memory, ring, queue: index, size, features, report };
  }

  /** Throws RangeError when it is not in guest memory. */
  protected area(address: number, length: number): MemoryWindow {
    const window = this.memory.window(address, length);
    if (window === undefined) throw new RangeError(`${length} bytes at ${address} are not in guest memory`);
    return window;
  }
}
