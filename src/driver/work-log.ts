/**
 * What was posted on one half of a queue pair and has not been accounted for by a polled completion: a ring of request
 * numbers. A completion must name one of them, or it is for work that was never posted, or that completed before.
 *
 * Completions of one half come in posting order, so the oldest entry with the right number is never younger than the one
 * that is meant; to drop it and all before it never drops one whose completion is still to come.
 */
export class WorkLog {
  readonly #mask: number;
  /** For each entry its number and its bytes. */
  readonly #entries: Float64Array;
  #head = 0;
  #count = 0;
  /** Entries were pushed out: unsignaled sends without end between two completions. Absence proves nothing then. */
  #incomplete = false;

  /** Holds `entries` or a little more. */
  constructor(entries: number) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(entries, 2)));
    this.#mask = capacity - 1;
    this.#entries = new Float64Array(2 * capacity);
  }

  get incomplete(): boolean {
    return this.#incomplete;
  }
  get count(): number {
    return this.#count;
  }

  /** Notes a post: its number and the bytes its elements name. */
  push(wrId: number, length: number): void {
    if (this.#count > this.#mask) {
      this.#head = (this.#head + 1) & this.#mask;
      this.#count--;
      this.#incomplete = true;
    }
    const at = (this.#head + this.#count) & this.#mask;
    this.#entries[2 * at] = wrId;
    this.#entries[2 * at + 1] = length;
    this.#count++;
  }

  /** Entries from the oldest to the first with this number; -1 when there is none. */
  find(wrId: number): number {
    const entries = this.#entries;
    for (let i = 0; i < this.#count; i++) if (entries[2 * ((this.#head + i) & this.#mask)] === wrId) return i;
    return -1;
  }

  /** Bytes noted with the entry that `find` gave. */
  lengthAt(position: number): number {
    return this.#entries[2 * ((this.#head + position) & this.#mask) + 1];
  }

  /** Accounts for the entry that `find` gave and for all before it. */
  dropThrough(position: number): void {
    this.#head = (this.#head + position + 1) & this.#mask;
    this.#count -= position + 1;
    this.#incomplete = false;
  }

  clear(): void {
    this.#head = 0;
    this.#count = 0;
    this.#incomplete = false;
  }
}
