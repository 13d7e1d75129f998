/**
 * A place in a packed ring, as the hands of the kit count it: a slot and the wrap counter that holds there. The arithmetic is
 * its own; the drivers and devices that are judged have theirs.
 */
import { PackedFlag } from '../../virtio/index.js';

const { AVAIL, USED } = PackedFlag;
export const MARKS = AVAIL | USED;

export class Place {
  readonly size: number;
  slot: number;
  /** The wrap counter is 1. */
  wrap: boolean;

  constructor(size: number, slot = 0, wrap = true) {
    this.size = size;
    this.slot = slot;
    this.wrap = wrap;
  }

  /** As it stands in event structures: the slot, and the counter in bit 15. */
  get word(): number {
    return this.slot + (this.wrap ? 0x8000 : 0);
  }
  /** AVAIL and USED of a descriptor that is available here. */
  get available(): number {
    return this.wrap ? AVAIL : USED;
  }
  /** AVAIL and USED of a descriptor that is used here. */
  get used(): number {
    return this.wrap ? MARKS : 0;
  }

  /** Goes on by so many slots. */
  go(count: number): void {
    for (let i = 0; i < count; i++) {
      this.slot++;
      if (this.slot < this.size) continue;
      this.slot = 0;
      this.wrap = !this.wrap;
    }
  }

  ahead(count: number): Place {
    const place = new Place(this.size, this.slot, this.wrap);
    place.go(count);
    return place;
  }

  moveTo({ slot, wrap }: Place): void {
    this.slot = slot;
    this.wrap = wrap;
  }
}

/** Whether a side that stood at `from` and went on by `count` slots has gone by the position `event`. */
export function goneBy(event: number, from: Place, count: number): boolean {
  for (let i = 0; i < count; i++) if (from.ahead(i).word === event) return true;
  return count >= 2 * from.size;
}
