/**
 * Gather and scatter lists of all slots of a work queue, in typed arrays. A list element is checked when bytes are moved
 * through it; an element of length 0 is skipped and its key never looked at.
 */
import { AccessFlag } from '../abi/index.js';
import type { Sge } from '../verbs/index.js';
import type { MemoryKeys } from './memory-keys.js';
import type { ProtectionDomain } from './protection-domain.js';

export class SgeTable {
  readonly #perSlot: number;
  readonly #addresses: Float64Array;
  readonly #lengths: Uint32Array;
  readonly #lkeys: Uint32Array;
  readonly #counts: Uint16Array;
  readonly #keys: MemoryKeys;
  readonly #pd: ProtectionDomain;

  constructor(slots: number, perSlot: number, keys: MemoryKeys, pd: ProtectionDomain) {
    this.#perSlot = perSlot;
    // In one buffer: four would cost more to make than most queue pairs of a short program are used for.
    const elements = slots * perSlot;
    const buffer = new ArrayBuffer(16 * elements + 2 * slots);
    this.#addresses = new Float64Array(buffer, 0, elements);
    this.#lengths = new Uint32Array(buffer, 8 * elements, elements);
    this.#lkeys = new Uint32Array(buffer, 12 * elements, elements);
    this.#counts = new Uint16Array(buffer, 16 * elements, slots);
    this.#keys = keys;
    this.#pd = pd;
  }

  /** Keeps a copy of `sges`, which must fit a slot. Returns the sum of their lengths. */
  set(slot: number, sges: readonly Sge[]): number {
    const base = slot * this.#perSlot;
    let total = 0;
    for (let i = 0; i < sges.length; i++) {
      const sge = sges[i];
      this.#addresses[base + i] = sge.addr;
      this.#lengths[base + i] = sge.length;
      this.#lkeys[base + i] = sge.lkey;
      total += sge.length;
    }
    this.#counts[slot] = sges.length;
    return total;
  }

  /** Whether every element of a gather list may be read. */
  readable(slot: number): boolean {
    const base = slot * this.#perSlot;
    for (let at = base; at < base + this.#counts[slot]; at++) {
      const length = this.#lengths[at];
      if (length === 0) continue;
      if (this.#keys.local(this.#lkeys[at], this.#pd, this.#addresses[at], length, 0) === undefined)
        return false;
    }
    return true;
  }

  /** Copies bytes [offset, offset+length) of the message from memory. False, with `target` undefined, on a fault. */
  gather(slot: number, offset: number, target: Uint8Array, length: number): boolean {
    const base = slot * this.#perSlot;
    let skip = offset;
    let done = 0;
    for (let at = base; done < length && at < base + this.#counts[slot]; at++) {
      const size = this.#lengths[at];
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const address = this.#addresses[at];
      // The whole element must be good, not only the part that this packet takes.
      const region = this.#keys.local(this.#lkeys[at], this.#pd, address, size, 0);
      if (region === undefined) return false;
      const part = Math.min(size - skip, length - done);
      if (!region.read(address + skip, target, done, part)) return false;
      done += part;
      skip = 0;
    }
    return done === length;
  }

  /** Copies `length` bytes of `source` to bytes [offset, offset+length) of the message's memory. */
  scatter(slot: number, offset: number, source: Uint8Array, length: number): boolean {
    const base = slot * this.#perSlot;
    let skip = offset;
    let done = 0;
    for (let at = base; done < length && at < base + this.#counts[slot]; at++) {
      const size = this.#lengths[at];
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const address = this.#addresses[at];
      const region = this.#keys.local(this.#lkeys[at], this.#pd, address, size, AccessFlag.LOCAL_WRITE);
      if (region === undefined) return false;
      const part = Math.min(size - skip, length - done);
      if (!region.write(address + skip, source, done, part)) return false;
      done += part;
      skip = 0;
    }
    return done === length;
  }
}
