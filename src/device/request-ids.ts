/**
 * The wr_id of a request is eight opaque bytes that come back in its completion. An HCA hands a number back, exact up to
 * 2^53 - 1. Ids that are small enough go through as they are; the others, kernel pointers among them, wait here under a
 * number of their own until their completion has been written or it is certain that there is none.
 */
import { readLe64, writeLe64 } from '../abi/index.js';

/** Numbers from here to 2^53 - 1 stand for ids that are kept here. */
const WIDE_FROM = 2 ** 53 - 2 ** 32;

const NONE = -1;

interface WideId {
  low: number;
  high: number;
  /** The completion queue that holds the request's completion. */
  holder: object | undefined;
  used: boolean;
}

export class RequestIds {
  readonly #wide: WideId[] = [];
  readonly #free: number[] = [];
  /** The request that left its queue last, while it may still get a completion. */
  #lastRetired = NONE;

  /** Ids that are kept at the moment. */
  get kept(): number {
    return this.#wide.length - this.#free.length;
  }

  /** Reads a wr_id as a number for the HCA. */
  read(view: DataView, offset: number): number {
    const id = readLe64(view, offset);
    return id < WIDE_FROM ? id : this.#keep(view.getUint32(offset, true), view.getUint32(offset + 4, true));
  }

  /** Writes the wr_id of a number that came back in a completion; it is not kept any longer. */
  write(view: DataView, offset: number, id: number): void {
    if (!this.isWide(id)) {
      writeLe64(view, offset, id);
      return;
    }
    const { low, high } = this.#wide[id - WIDE_FROM];
    view.setUint32(offset, low, true);
    view.setUint32(offset + 4, high, true);
    this.#release(id - WIDE_FROM);
  }

  isWide(id: number): boolean {
    return id >= WIDE_FROM;
  }

  /** A request has left its queue; its completion, if there is one, comes before the next request leaves any queue. */
  retired(id: number): void {
    if (this.#lastRetired !== NONE) this.#release(this.#lastRetired);
    this.#lastRetired = this.isWide(id) ? id - WIDE_FROM : NONE;
  }

  /** The completion of a request is in `holder` now. */
  completed(id: number, holder: object): void {
    if (!this.isWide(id)) return;
    const slot = id - WIDE_FROM;
    this.#wide[slot].holder = holder;
    if (this.#lastRetired === slot) this.#lastRetired = NONE;
  }

  /** The completions in `holder` are gone. */
  forget(holder: object): void {
    this.#wide.forEach((wide, slot) => {
      if (wide.used && wide.holder === holder) this.#release(slot);
    });
  }

  #keep(low: number, high: number): number {
    const slot = this.#free.pop() ?? this.#wide.length;
    if (slot === this.#wide.length) this.#wide.push({ low, high, holder: undefined, used: true });
    else {
      const wide = this.#wide[slot];
      wide.low = low;
      wide.high = high;
      wide.used = true;
    }
    return WIDE_FROM + slot;
  }

  #release(slot: number): void {
    const wide = this.#wide[slot];
    wide.holder = undefined;
    wide.used = false;
    this.#free.push(slot);
  }
}
