/** Guest memory with a descriptor area as it was when its chains were published, whatever stands there now. */
import { GuestMemory } from '../../../virtio/index.js';

export class KeptMemory extends GuestMemory {
  readonly #inner: GuestMemory;
  readonly #start: number;
  readonly #kept: Uint8Array;

  /** @param words of the descriptors from the address `start` on. */
  constructor(inner: GuestMemory, start: number, words: Uint32Array) {
    super();
    this.#inner = inner;
    this.#start = start;
    this.#kept = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  }

  override contains(address: number, length: number): boolean {
    return this.#inner.contains(address, length);
  }

  override read(address: number, target: Uint8Array, targetOffset: number, length: number): boolean {
    const at = address - this.#start;
    if (!(at >= 0 && at + length <= this.#kept.length))
      return this.#inner.read(address, target, targetOffset, length);
    target.set(this.#kept.subarray(at, at + length), targetOffset);
    return true;
  }
}
