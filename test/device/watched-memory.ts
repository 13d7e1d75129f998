/** Guest memory that tells a test of each block that the device copies out of it or into it; ring words are not told. */
import { GuestMemory } from '../../src/virtio/index.js';
import { MEMORY_BYTES, MEMORY_START } from './guest.js';

export interface MemoryWatch {
  /** Bytes were copied out; called behind the copy. */
  read?(address: number, length: number): void;
  /** Bytes are about to be copied in. */
  written?(address: number, length: number): void;
}

export class WatchedMemory extends GuestMemory {
  watch: MemoryWatch = {};

  constructor(address = MEMORY_START, bytes = MEMORY_BYTES) {
    super();
    this.addRegion(address, new Uint8Array(bytes));
  }

  override read(address: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    const done = super.read(address, target, targetOffset, length);
    if (done) this.watch.read?.(address, length);
    return done;
  }

  override write(address: number, source: Uint8Array, sourceOffset: number, length: number): boolean {
    this.watch.written?.(address, length);
    return super.write(address, source, sourceOffset, length);
  }

  /** Writes as the guest does, unwatched. */
  scribble(address: number, bytes: Uint8Array): void {
    super.write(address, bytes, 0, bytes.length);
  }
}

/** Bytes of [address, address+length) that lie in [start, start+size). */
export function overlap(address: number, length: number, start: number, size: number): number {
  return Math.max(0, Math.min(address + length, start + size) - Math.max(address, start));
}
