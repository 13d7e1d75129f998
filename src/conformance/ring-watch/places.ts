/** Finds what stands where in guest memory: stretches that come and go, by the addresses that they touch. */

/** Bytes [start, end). */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

const BUCKET_BYTES = 256;

export class Places<P extends Stretch> {
  readonly #buckets = new Map<number, P[]>();
  readonly #found: P[] = [];

  add(place: P): void {
    const last = bucketOf(place.end - 1);
    for (let bucket = bucketOf(place.start); bucket <= last; bucket++) {
      const list = this.#buckets.get(bucket);
      if (list === undefined) this.#buckets.set(bucket, [place]);
      else list.push(place);
    }
  }

  /** @param place the very one that was added */
  remove(place: Stretch): void {
    const last = bucketOf(place.end - 1);
    for (let bucket = bucketOf(place.start); bucket <= last; bucket++) {
      const list = this.#buckets.get(bucket) ?? [];
      for (let at = 0; at < list.length; at++) {
        if (list[at] !== place) continue;
        const end = list.pop();
        if (end !== undefined && at < list.length) list[at] = end;
        break;
      }
    }
  }

  clear(): void {
    this.#buckets.clear();
  }

  /** The places that [start, end) touches. The list is lent until the next call. */
  touching(start: number, end: number): readonly P[] {
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
