/** What each byte of guest memory is at the moment: part of a ring, of an indirect table, or of a chain that is out. */
import type { PostedChain } from './posted-chain.js';
import type { RingState } from './ring-state.js';

/**
 * Of a packed ring, `ring` is what both sides write, and the event structures stand where the rings of a split one do: the
 * driver's is `available`, the device's is `used`.
 */
export type PlaceKind = 'descriptors' | 'ring' | 'available' | 'used' | 'table' | 'readable' | 'writable';

/** Bytes [start, end) with a meaning. */
export interface Place {
  readonly kind: PlaceKind;
  readonly start: number;
  readonly end: number;
  readonly ring: RingState;
  /** Of a table and of a part of a chain. */
  readonly chain: PostedChain | undefined;
  /** Byte of the chain's readable or writable string that `start` is. */
  readonly offset: number;
}

const BUCKET_BYTES = 256;

export class Places {
  readonly #buckets = new Map<number, Place[]>();
  readonly #found: Place[] = [];

  add(place: Place): void {
    const last = bucketOf(place.end - 1);
    for (let bucket = bucketOf(place.start); bucket <= last; bucket++) {
      const list = this.#buckets.get(bucket);
      if (list === undefined) this.#buckets.set(bucket, [place]);
      else list.push(place);
    }
  }

  remove(place: Place): void {
    const last = bucketOf(place.end - 1);
    for (let bucket = bucketOf(place.start); bucket <= last; bucket++) {
      const list = this.#buckets.get(bucket);
      const at = list?.indexOf(place) ?? -1;
      if (list === undefined || at < 0) continue;
      const end = list.pop();
      if (end !== undefined && end !== place) list[at] = end;
    }
  }

  clear(): void {
    this.#buckets.clear();
  }

  /** The places that [start, end) touches. The list is lent until the next call. */
  touching(start: number, end: number): readonly Place[] {
    const found = this.#found;
    found.length = 0;
    const last = bucketOf(end - 1);
    for (let bucket = bucketOf(start); bucket <= last; bucket++) {
      const list = this.#buckets.get(bucket);
      if (list === undefined) continue;
      for (const place of list)
        if (place.start < end && start < place.end && !found.includes(place)) found.push(place);
    }
    return found;
  }
}

/** Addresses are above 2^32: no bit operators. */
function bucketOf(address: number): number {
  return Math.floor(address / BUCKET_BYTES);
}
