/** What is known of a watched packed ring: how far each side has come, its chains by their ids, who has read what. */
import {
  EventMode,
  PACKED_START,
  PackedDescriptor,
  PackedEvent,
  PackedFlag,
  advance,
  isAvailable,
  isUsed,
  positionPassed,
  slotOf,
} from '../../virtio/index.js';
import type { MemoryWindow, QueueConfig, RingFeatures } from '../../virtio/index.js';
import { PackedPostedChain } from './packed-chain.js';
import type { ShownFlags } from './packed-chain.js';
import { ChainOrder, RingState, U16 } from './ring-state.js';
import type { QueueKind, RingHost } from './ring-state.js';
import { WakeUps } from './wake-ups.js';
import type { Wish } from './wake-ups.js';

/** A used element and the chains that it stands for. */
export interface UsedElement {
  readonly slot: number;
  readonly chains: readonly PackedPostedChain[];
  readonly descriptors: number;
}

/** How far somebody has come: the position, and the descriptors passed since the start, 16-bit and free-running. */
export interface Cursor {
  position: number;
  count: number;
}

export abstract class PackedState extends RingState {
  readonly toDevice: WakeUps;
  readonly toDriver: WakeUps;
  readonly ring: MemoryWindow;
  readonly driverEvent: MemoryWindow;
  readonly deviceEvent: MemoryWindow;

  /** Published by the driver, taken by the device, used by the device, taken back by the driver. */
  readonly published: Cursor;
  readonly taken: Cursor;
  readonly used: Cursor;
  readonly consumed: Cursor;
  /** Chains published and chains returned so far, for those who count chains. */
  publishedChains = 0;
  returnedChains = 0;

  /** Made when they are first needed: most queues are set up and never used. */
  readonly #all: (PackedPostedChain | undefined)[];
  /** Those that the device has, by id. */
  readonly byId = new Map<number, PackedPostedChain>();
  readonly order: ChainOrder<PackedPostedChain>;
  /** Published and not taken, in order. */
  readonly coming: PackedPostedChain[] = [];
  /** Used elements that the driver has not taken back, in order. */
  readonly elements: UsedElement[] = [];
  /** By slot, the chain whose descriptor stands there; undefined when nobody has it. */
  readonly owners: (PackedPostedChain | undefined)[];
  /** What each slot held when it was last published or used. */
  readonly copy: Uint8Array;
  /** Bytes that the device has read of each descriptor, and the driver of each used element, a bit each. */
  readonly descriptorRead: Uint16Array;
  readonly elementRead: Uint16Array;
  /**
   * Flags that the driver is about to store, the last of what it publishes. A device in another process may put a used element
   * in their place before anybody can look again.
   */
  shown: ShownFlags | undefined;
  /** Somebody has written to the ring since it was last at rest. */
  driverWrote = false;
  deviceWrote = false;

  /** Throws RangeError when the areas are not in guest memory. */
  constructor(host: RingHost, config: QueueConfig, features: RingFeatures, kind: QueueKind) {
    super(host, config, features, kind);
    const { size, index, start } = config;
    const ring = host.memory.window(config.descriptors, PackedDescriptor.SIZE * size);
    const driverEvent = host.memory.window(config.driver, PackedEvent.SIZE);
    const deviceEvent = host.memory.window(config.device, PackedEvent.SIZE);
    if (ring === undefined || driverEvent === undefined || deviceEvent === undefined)
      throw new RangeError(`queue ${index}: not in guest memory`);
    this.ring = ring;
    this.driverEvent = driverEvent;
    this.deviceEvent = deviceEvent;
    const avail = start?.avail ?? PACKED_START;
    const used = start?.used ?? PACKED_START;
    this.published = { position: avail, count: 0 };
    this.taken = { position: avail, count: 0 };
    this.used = { position: used, count: 0 };
    this.consumed = { position: used, count: 0 };
    this.#all = new Array<PackedPostedChain | undefined>(size).fill(undefined);
    this.order = new ChainOrder(features);
    this.owners = new Array<PackedPostedChain | undefined>(size).fill(undefined);
    this.copy = new Uint8Array(PackedDescriptor.SIZE * size);
    this.descriptorRead = new Uint16Array(size);
    this.elementRead = new Uint16Array(size);
    this.toDevice = new WakeUps(
      this.#wish(this.deviceEvent, this.published, this.taken),
      this.toDeviceListener(() => this.publishedChains),
    );
    this.toDriver = new WakeUps(
      this.#wish(this.driverEvent, this.used, this.consumed),
      this.toDriverListener(() => this.returnedChains),
    );
    this.addArea('ring', config.descriptors, PackedDescriptor.SIZE * size);
    this.addArea('available', config.driver, PackedEvent.SIZE);
    this.addArea('used', config.device, PackedEvent.SIZE);
  }

  /** What stands in an event structure: `writer` is who raises, `reader` who asked. */
  #wish(event: MemoryWindow, writer: Cursor, reader: Cursor): Wish {
    const mode = (): number => event.get16(PackedEvent.MODE) & EventMode.MASK;
    const position = (): number => event.get16(PackedEvent.POSITION);
    return {
      wants: (from, to) => {
        if (mode() !== EventMode.DESC) return mode() !== EventMode.DISABLE;
        return positionPassed(position(), writer.position, (to - from) & U16, this.size);
      },
      wantsNext: () => {
        if (mode() !== EventMode.DESC) return mode() !== EventMode.DISABLE;
        return position() === reader.position;
      },
    };
  }

  get nextAvailable(): number {
    return this.published.position;
  }

  known(): readonly PackedPostedChain[] {
    return this.#all.filter(chain => chain !== undefined);
  }

  /** A chain for a buffer id, of the same number if that can be; there is one as long as a descriptor is free. */
  newChain(id: number): PackedPostedChain {
    const isFree = (chain: PackedPostedChain | undefined): boolean => (chain?.state ?? 'free') === 'free';
    const number = id < this.size && isFree(this.#all[id]) ? id : Math.max(0, this.#all.findIndex(isFree));
    return (this.#all[number] ??= new PackedPostedChain(number));
  }

  /** The buffer id of the chain that begins at a position: it stands in the last descriptor. */
  idAt(position: number): number {
    let at = position;
    for (let left = this.size; left > 1 && (this.flags(slotOf(at)) & PackedFlag.NEXT) !== 0; left--)
      at = advance(at, 1, this.size);
    return this.ring.get16(PackedDescriptor.SIZE * slotOf(at) + PackedDescriptor.ID);
  }

  pass(cursor: Cursor, descriptors: number): void {
    cursor.position = advance(cursor.position, descriptors, this.size);
    cursor.count = (cursor.count + descriptors) & U16;
  }

  /** Descriptors between two cursors. */
  between(from: Cursor, to: Cursor): number {
    return (to.count - from.count) & U16;
  }

  /** Slots from a cursor to a slot, going forward. */
  ahead(cursor: Cursor, slot: number): number {
    return (slot - slotOf(cursor.position) + this.size) % this.size;
  }

  flags(slot: number): number {
    if (this.shown?.slot === slot) return this.shown.flags;
    return this.ring.get16(PackedDescriptor.SIZE * slot + PackedDescriptor.FLAGS);
  }

  /** Keeps what a slot holds now. */
  keep(slot: number): void {
    const at = PackedDescriptor.SIZE * slot;
    this.host.memory.read(this.config.descriptors + at, this.copy, at, PackedDescriptor.SIZE);
    if (this.shown?.slot !== slot) return;
    this.copy[at + PackedDescriptor.FLAGS] = this.shown.flags & 0xff;
    this.copy[at + PackedDescriptor.FLAGS + 1] = this.shown.flags >>> 8;
  }

  /** Whether a slot holds what was kept of it. */
  isKept(slot: number): boolean {
    const { copy, ring } = this;
    const start = PackedDescriptor.SIZE * slot;
    for (let at = start; at < start + PackedDescriptor.SIZE; at += 2)
      if (ring.get16(at) !== (copy[at] | (copy[at + 1] << 8))) return false;
    return true;
  }

  protected lastLook(): void {
    if (this.driverWrote) {
      this.looked('availPlace');
      const free = this.size - this.between(this.used, this.published);
      const stray = this.#stray(
        this.published,
        1,
        free - this.between(this.consumed, this.used),
        isAvailable,
      );
      if (stray !== undefined)
        this.breach(
          'availPlace',
          `descriptor ${stray} shows as available, and descriptor ${slotOf(this.published.position)} is next`,
        );
    }
    if (this.deviceWrote) {
      this.looked('usedPlace');
      const stray = this.#stray(this.used, 1, this.between(this.used, this.published), isUsed);
      if (stray !== undefined)
        this.breach(
          'usedPlace',
          `descriptor ${stray} shows as used, and descriptor ${slotOf(this.used.position)} is next`,
        );
    }
    this.driverWrote = false;
    this.deviceWrote = false;
  }

  /** The first of the slots `from` .. `to` - 1 ahead of a cursor whose flags have a mark. */
  #stray(
    { position }: Cursor,
    from: number,
    to: number,
    marked: (flags: number, position: number) => boolean,
  ): number | undefined {
    for (let i = from; i < to; i++) {
      const at = advance(position, i, this.size);
      if (marked(this.flags(slotOf(at)), at)) return slotOf(at);
    }
    return undefined;
  }

  protected describe(): string[] {
    const event = (window: MemoryWindow): string =>
      `mode ${window.get16(PackedEvent.MODE)} at ${place(window.get16(PackedEvent.POSITION))}`;
    const slot = slotOf(this.used.position);
    return [
      `published up to ${place(this.published.position)}, taken up to ${place(this.taken.position)}; the driver asks: ${event(this.driverEvent)}`,
      `used      up to ${place(this.used.position)}, consumed up to ${place(this.consumed.position)}; the device asks: ${event(this.deviceEvent)}`,
      `descriptor ${slot}: flags 0x${this.flags(slot).toString(16)}, id ${this.ring.get16(PackedDescriptor.SIZE * slot + PackedDescriptor.ID)}`,
    ];
  }
}

/** `5/1`: the slot and the wrap counter. */
function place(position: number): string {
  return `${slotOf(position)}/${position >>> 15}`;
}

/** Bits of a descriptor's flags, among those of its bytes. */
export const FLAG_BYTES = 0b11 << PackedDescriptor.FLAGS;

/** Flags of a used element that have a meaning. */
export const USED_FLAGS = PackedFlag.AVAIL | PackedFlag.USED | PackedFlag.WRITE;

/**
 * Whether bytes [from, to) of an event structure say anew what its owner wants, now that they are written and its mode, which was
 * `before`, is `mode`: a position does only where the mode goes by it.
 */
export function saysAnew(mode: number, before: number, from: number, to: number): boolean {
  return mode === EventMode.DESC ? from < PackedEvent.MODE || mode !== before : to > PackedEvent.MODE;
}
