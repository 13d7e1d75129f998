/**
 * The queue interface, the same for every ring format: what a driver half and a device half of a virtqueue do, above
 * descriptors and indices. A message is two byte strings, one that the device reads and one that it writes; how they are
 * cut into descriptors is invisible here.
 */

/**
 * Where the three areas of a queue lie in guest memory. For a split ring: descriptor table, available ring, used ring. For a
 * packed ring: descriptor ring, driver's event structure, device's event structure.
 */
export interface QueueAddresses {
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
}

/**
 * Where a queue stands: up to where chains have been made available or taken, and up to where they have been used or taken
 * back. Two 16-bit words: of a split ring free-running indices, of a packed one slots with the wrap counter in bit 15.
 */
export interface QueuePosition {
  readonly avail: number;
  readonly used: number;
}

export interface QueueConfig extends QueueAddresses {
  readonly index: number;
  /** Entries in 1..32768; of a split ring a power of two. */
  readonly size: number;
  /** Where a half goes on that did not see the ring's beginning; nothing is in flight there. Default: a new ring. */
  readonly start?: QueuePosition | undefined;
}

/** Negotiated features that change how a ring works. */
export interface RingFeatures {
  readonly indirect: boolean;
  readonly eventIdx: boolean;
  /** The packed ring in place of the split one. */
  readonly packed?: boolean | undefined;
  /** The device returns chains in the order in which they were made available. */
  readonly inOrder?: boolean | undefined;
  /** A notification says how far the driver has come. */
  readonly notificationData?: boolean | undefined;
}

/** A used element as the driver half takes it. Filled in place. */
export interface UsedElement {
  /** What the driver gave with the chain. */
  token: number;
  /** Bytes that the device says it wrote. */
  written: number;
}

/** Driver half. All methods act at once; none allocates. */
export interface DriverQueue {
  readonly index: number;
  readonly size: number;
  /** Chains that are with the device. */
  readonly outstanding: number;
  /** Descriptors that a new chain may use. */
  readonly freeDescriptors: number;
  /** Why the queue can no longer be used, if the device broke its rules: a bad id, a lie about a length, an index jump. */
  readonly broken: string | undefined;

  /** Starts a chain. Readable parts come first. */
  begin(): void;
  addReadable(address: number, length: number): void;
  addWritable(address: number, length: number): void;
  /**
   * Ends the chain and puts it in the ring, unpublished. `token` (any number) comes back with the used element. Returns
   * false, and forgets the chain, when there is no room. `indirect` puts all parts in one indirect table if negotiated.
   */
  commit(token: number, indirect?: boolean): boolean;
  /** Shows all committed chains to the device. Returns true when the device must be notified. */
  publish(): boolean;
  /** Where the next chain to be published will stand, as a 16-bit word; what a notification carries with NOTIFICATION_DATA. */
  readonly nextAvailable: number;

  /** Takes the next used element. False when there is none or the queue is broken. */
  takeUsed(element: UsedElement): boolean;
  /** True when a used element is waiting. */
  hasUsed(): boolean;
  /** Asks for no interrupts. Advisory. */
  disableInterrupts(): void;
  /** Asks for an interrupt at the next used element. Returns true when one is waiting already: look again before sleeping. */
  enableInterrupts(): boolean;
}

/** A chain as the device half takes it. Filled in place; its parts were read once and checked against guest memory. */
export interface DescriptorChain {
  /** What it is returned by: of a split ring its first descriptor, of a packed one its buffer id. */
  readonly head: number;
  readonly readableBytes: number;
  readonly writableBytes: number;
  /** Copies readable bytes [offset, offset+length) to `target`. Returns the bytes copied, fewer at the end of the chain. */
  copyReadable(offset: number, target: Uint8Array, targetOffset: number, length: number): number;
  /** Writes to the writable part from `offset` on. Returns the bytes written, fewer at the end of the chain. */
  writeWritable(offset: number, source: Uint8Array, sourceOffset: number, length: number): number;
  /**
   * Copies readable bytes [offset, offset+length) to the writable part of another chain in the same memory, from
   * `targetOffset` on. Returns the bytes copied, fewer at the end of either.
   */
  copyTo(offset: number, target: DescriptorChain, targetOffset: number, length: number): number;
}

export type TakeResult =
  | 'empty'
  /** The chain is filled in. */
  | 'chain'
  /** The driver broke a ring rule; nothing more can be taken until the queue is reset. `broken` says which. */
  | 'broken';

/** Device half. Everything it reads from guest memory may be hostile; it reads each field once. */
export interface DeviceQueue {
  readonly index: number;
  readonly size: number;
  readonly broken: string | undefined;
  /** IN_ORDER is in force: chains come back in order, and several may come back as one. */
  readonly inOrder: boolean;
  /** Where it stands. With nothing in flight, a half that starts here goes on in its place. */
  readonly position: QueuePosition;
  /** Chains taken and not yet returned. */
  readonly inFlight: number;
  /** Chains available and not yet taken; looks at what the driver has published. At most `size`, 0 when broken. */
  available(): number;
  /** Takes the next chain into `chain`, which must come from `newChain`. */
  take(chain: DescriptorChain): TakeResult;
  newChain(): DescriptorChain;
  /** Returns a chain. `written` is the count of bytes written from the first writable byte on. */
  putUsed(head: number, written: number): void;
  /** As `putUsed`, but the driver sees it only with the next `publishUsed` or `putUsed`: for many chains, or those of one frame. */
  stageUsed(head: number, written: number): void;
  /** Shows the driver, as one, all that was staged. */
  publishUsed(): void;
  /**
   * With IN_ORDER: returns all chains taken up to this one as one element. Those before it count as wholly read and wholly
   * written.
   */
  putUsedUpTo(head: number, written: number): void;
  /** Whether the driver asked to be interrupted for the elements returned since this was last asked. Publishes what is staged. */
  interruptWanted(): boolean;
  /** Asks for no notifications while the device is working. Advisory. */
  disableNotifications(): void;
  /** Asks for a notification at the next available chain. Returns true when one is waiting already: look again before sleeping. */
  enableNotifications(): boolean;
  /** Ends the queue: nothing is taken, returned or notified from here on. */
  stop(why: string): void;
}
