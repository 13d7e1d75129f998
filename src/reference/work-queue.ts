/**
 * Send and receive queues: rings of slots that are made once and reused. `head` is the oldest request, `tail` the place of
 * the next; both count up for ever.
 */
import { WcStatus, WrOpcode } from '../abi/index.js';
import type { AhAttributes } from '../verbs/index.js';
import type { MemoryKeys } from './memory-keys.js';
import type { ProtectionDomain } from './protection-domain.js';
import { SgeTable } from './sge-table.js';

/** A send request and how far its execution has come. */
export class SendSlot {
  readonly index: number;
  cookie = 0;
  wrId = 0;
  opcode: WrOpcode = WrOpcode.SEND;
  flags = 0;
  length = 0;
  immediate = 0;
  remoteAddress = 0;
  rkey = 0;
  /** Datagrams only. */
  address: AhAttributes | undefined = undefined;
  remoteQpn = 0;
  remoteQkey = 0;
  /** Other than SUCCESS: the request cannot be executed; it completes so at its turn. */
  localStatus: WcStatus = WcStatus.SUCCESS;
  /** Set when the request starts. */
  firstPsn = 0;
  lastPsn = 0;

  constructor(index: number) {
    this.index = index;
  }
}

export class RecvSlot {
  readonly index: number;
  cookie = 0;
  wrId = 0;
  /** Sum of the scatter lengths. */
  capacity = 0;
  localStatus: WcStatus = WcStatus.SUCCESS;

  constructor(index: number) {
    this.index = index;
  }
}

class WorkQueue<Slot> {
  readonly capacity: number;
  readonly sges: SgeTable;
  head = 0;
  tail = 0;
  protected readonly ringSize: number;
  readonly #mask: number;
  readonly #slots: Slot[] = [];
  readonly #make: (index: number) => Slot;

  constructor(
    capacity: number,
    sgesPerSlot: number,
    keys: MemoryKeys,
    pd: ProtectionDomain,
    make: (index: number) => Slot,
  ) {
    this.capacity = capacity;
    let size = 1;
    while (size < capacity) size *= 2;
    this.ringSize = size;
    this.#mask = size - 1;
    this.#make = make;
    this.sges = new SgeTable(size, sgesPerSlot, keys, pd);
  }

  get count(): number {
    return this.tail - this.head;
  }
  get empty(): boolean {
    return this.tail === this.head;
  }
  get full(): boolean {
    return this.tail - this.head >= this.capacity;
  }

  /** The slot of request `position`, head <= position <= tail. */
  at(position: number): Slot {
    const index = position & this.#mask;
    // Positions come one after the other, so slots are made in order on the first way round the ring.
    if (index === this.#slots.length) this.#slots.push(this.#make(index));
    return this.#slots[index];
  }
}

export class SendQueue extends WorkQueue<SendSlot> {
  readonly #inlineMax: number;
  readonly #inline: Uint8Array;

  constructor(
    capacity: number,
    sgesPerSlot: number,
    inlineMax: number,
    keys: MemoryKeys,
    pd: ProtectionDomain,
  ) {
    super(capacity, sgesPerSlot, keys, pd, index => new SendSlot(index));
    this.#inlineMax = inlineMax;
    this.#inline = new Uint8Array(this.ringSize * inlineMax);
  }

  setInline(slot: SendSlot, data: Uint8Array): void {
    this.#inline.set(data, slot.index * this.#inlineMax);
  }

  copyInline(slot: SendSlot, offset: number, target: Uint8Array, length: number): void {
    const start = slot.index * this.#inlineMax + offset;
    for (let i = 0; i < length; i++) target[i] = this.#inline[start + i];
  }
}

export class RecvQueue extends WorkQueue<RecvSlot> {
  constructor(capacity: number, sgesPerSlot: number, keys: MemoryKeys, pd: ProtectionDomain) {
    super(capacity, sgesPerSlot, keys, pd, index => new RecvSlot(index));
  }
}
