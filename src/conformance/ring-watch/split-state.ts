/** What is known of a watched split ring: its indices, its chains by their heads, who has read what. */
import {
  Avail,
  Used,
  availEventOffset,
  availRingBytes,
  descriptorTableBytes,
  usedEventOffset,
  usedRingBytes,
} from '../../virtio/index.js';
import type { GuestMemory, MemoryWindow, QueueConfig, RingFeatures } from '../../virtio/index.js';
import { PostedChain } from './posted-chain.js';
import { ChainOrder, RingState } from './ring-state.js';
import type { QueueKind, RingHost } from './ring-state.js';
import { WakeUps, splitWish } from './wake-ups.js';

export abstract class SplitState extends RingState {
  readonly toDevice: WakeUps;
  readonly toDriver: WakeUps;
  readonly mask: number;
  readonly avail: MemoryWindow;
  readonly used: MemoryWindow;

  /** Index as published, position up to which the device has taken, and the last index that it read. */
  availIdx = 0;
  takenIdx = 0;
  seenAvail = 0;
  /** Index as published, position up to which the driver has taken, and the last index that it read. */
  usedIdx = 0;
  consumedIdx = 0;
  seenUsed = 0;

  /** With IN_ORDER, the descriptor that the next chain begins with; -1 of a ring with a past, until one is seen. */
  nextDescriptor: number;
  readonly order: ChainOrder<PostedChain>;
  readonly chains: (PostedChain | undefined)[];
  /** The chain published last in each slot, and the one returned last in each used element. */
  readonly bySlot: (PostedChain | undefined)[];
  readonly returned: (PostedChain | undefined)[];
  /** By descriptor, the chain that the device has and that uses it; undefined when nobody has it. */
  readonly owners: (PostedChain | undefined)[];
  /** Bytes that the device has read of each slot and descriptor, and the driver of each used element, a bit each. */
  readonly slotRead: Uint8Array;
  readonly descriptorRead: Uint16Array;
  readonly elementRead: Uint8Array;
  /** Chains that the used element in a slot stands for. */
  readonly batches: Uint16Array;

  /** Throws RangeError when the areas are not in guest memory. */
  constructor(host: RingHost, config: QueueConfig, features: RingFeatures, kind: QueueKind) {
    super(host, config, features, kind);
    const { size, index, start } = config;
    this.mask = size - 1;
    const avail = host.memory.window(config.driver, availRingBytes(size));
    const used = host.memory.window(config.device, usedRingBytes(size));
    if (avail === undefined || used === undefined)
      throw new RangeError(`queue ${index}: not in guest memory`);
    this.avail = avail;
    this.used = used;
    this.order = new ChainOrder(features);
    this.chains = new Array<PostedChain | undefined>(size).fill(undefined);
    this.bySlot = new Array<PostedChain | undefined>(size).fill(undefined);
    this.returned = new Array<PostedChain | undefined>(size).fill(undefined);
    this.owners = new Array<PostedChain | undefined>(size).fill(undefined);
    this.slotRead = new Uint8Array(size);
    this.descriptorRead = new Uint16Array(size);
    this.elementRead = new Uint8Array(size);
    this.batches = new Uint16Array(size);
    this.nextDescriptor = start === undefined ? 0 : -1;
    this.availIdx = this.takenIdx = this.seenAvail = start?.avail ?? 0;
    this.usedIdx = this.consumedIdx = this.seenUsed = start?.used ?? 0;
    this.toDevice = new WakeUps(
      splitWish(
        features.eventIdx,
        () => (used.get16(Used.FLAGS) & Used.NO_NOTIFY) !== 0,
        () => used.get16(availEventOffset(size)),
      ),
      this.toDeviceListener(idx => idx),
      this.availIdx,
    );
    this.toDriver = new WakeUps(
      splitWish(
        features.eventIdx,
        () => (avail.get16(Avail.FLAGS) & Avail.NO_INTERRUPT) !== 0,
        () => avail.get16(usedEventOffset(size)),
      ),
      this.toDriverListener(idx => idx),
      this.usedIdx,
    );
    this.addArea('descriptors', config.descriptors, descriptorTableBytes(size));
    this.addArea('available', config.driver, availRingBytes(size));
    this.addArea('used', config.device, usedRingBytes(size));
  }

  get nextAvailable(): number {
    return this.availIdx;
  }

  known(): readonly PostedChain[] {
    return this.chains.filter(chain => chain !== undefined);
  }

  /** A chain that was made available before the ring was followed here, as it stands in `memory`. */
  recall(head: number, memory: GuestMemory): PostedChain {
    const chain = new PostedChain(head);
    chain.fill(memory, this.config.descriptors, this.size, this.features.indirect);
    this.chains[head] = chain;
    return chain;
  }

  slot(s: number): number {
    return this.avail.get16(Avail.RING + Avail.ENTRY * s);
  }

  protected lastLook(): void {
    // What a split ring shows, it shows when it happens.
  }

  protected describe(): string[] {
    const { size } = this;
    return [
      `available idx ${this.avail.get16(Avail.IDX)} flags ${this.avail.get16(Avail.FLAGS)} used_event ${this.avail.get16(usedEventOffset(size))}, taken up to ${this.takenIdx}`,
      `used      idx ${this.used.get16(Used.IDX)} flags ${this.used.get16(Used.FLAGS)} avail_event ${this.used.get16(availEventOffset(size))}, consumed up to ${this.consumedIdx}`,
    ];
  }
}
