/**
 * What a device in another process has of this one: guest memory, and where it notes what is in flight. Each is told when it is
 * needed and not known yet; a new connection knows nothing.
 */
import { closeFd } from './descriptors.js';
import type { FrontEnd, Inflight } from './front-end.js';
import type { PeerOptions } from './peer-options.js';
import type { MemoryFile } from './shared-memory.js';

/** Guest memory that is shared with the device: the first `bytes` of a file, at a guest-physical address. */
export interface FrontMemory {
  readonly file: MemoryFile;
  readonly bytes: number;
  readonly address: number;
}

export class FrontSharing {
  readonly #options: PeerOptions;
  /** The machine's. */
  memory: FrontMemory | undefined;
  /** What the device knows of it. */
  #shared: FrontMemory | undefined;
  /** What the device keeps of chains in flight. */
  #inflight: Inflight | undefined;
  /** The device knows where it keeps them. */
  #inflightTold = false;

  constructor(options: PeerOptions) {
    this.#options = options;
  }

  /** There is a new connection. */
  connected(): void {
    this.#shared = undefined;
    this.#inflightTold = false;
  }

  /** The device was reset: nothing is in flight. */
  reset(): void {
    if (this.#options.memoryAfterReset === 'again') this.#shared = undefined;
    this.#inflightTold = false;
    this.close();
  }

  shareMemory(front: FrontEnd): void {
    const { memory } = this;
    if (memory === undefined || sameMemory(memory, this.#shared)) return;
    const shared = this.#shared;
    this.#shared = memory;
    const region = regionOf(memory);
    if (this.#options.memory === 'table' || !front.has('CONFIGURE_MEM_SLOTS')) {
      front.setMemory([{ region, fd: memory.file.fd }]);
      return;
    }
    if (shared !== undefined) front.removeMemory(regionOf(shared));
    front.addMemory(region, memory.file.fd);
  }

  /** Once for each connection, before its first ring. */
  shareInflight(front: FrontEnd, queues: number, queueSize: number): void {
    if (this.#inflightTold || !front.has('INFLIGHT_SHMFD')) return;
    this.#inflightTold = true;
    this.#inflight ??= front.newInflight(queues, queueSize);
    front.setInflight(this.#inflight);
  }

  /** Gives the memory back in which the device notes what is in flight. */
  close(): void {
    if (this.#inflight !== undefined) closeFd(this.#inflight.fd);
    this.#inflight = undefined;
  }
}

function regionOf({ file, bytes, address }: FrontMemory) {
  return { guestAddress: address, bytes, userAddress: file.address, offset: 0 };
}

function sameMemory(a: FrontMemory, b: FrontMemory | undefined): boolean {
  return b !== undefined && a.file === b.file && a.bytes === b.bytes && a.address === b.address;
}
