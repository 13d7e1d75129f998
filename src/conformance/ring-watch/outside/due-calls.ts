/**
 * Whether the driver of one ring is told as it asks to be, by what a look from time to time shows. When the driver changes
 * what it asks for, a return that the next look finds may be older than that: nothing is held against the device for it. A
 * return that a later look finds was made behind the change, and a device that follows it has seen the change.
 */

export interface CallListener {
  looked(what: 'missing' | 'needless'): void;
  broke(what: 'missing' | 'needless', message: string): void;
}

export class DueCalls {
  readonly #listener: CallListener;
  /** Entries as of the last look, 16-bit and free-running. */
  #seen: number;
  /** Where what is due began. */
  #from: number;
  #due = false;
  /** The driver has changed what it asks for, and nobody has looked since. */
  #unsettled = false;
  /** Calls that may come and were asked for: one for each entry at most. */
  #permitted = 0;

  constructor(seen: number, listener: CallListener) {
    this.#seen = seen;
    this.#from = seen;
    this.#listener = listener;
  }

  /** The driver asks for something else from now on. */
  wished(): void {
    this.#unsettled = true;
  }

  /** A look found so many entries; `wants` says what the driver asks for now. `live`: the device may call. */
  found(count: number, live: boolean, wants: (from: number, to: number) => boolean): void {
    const added = (count - this.#seen) & 0xffff;
    const unsettled = this.#unsettled;
    this.#unsettled = false;
    if (added === 0) return;
    const before = this.#seen;
    this.#seen = count;
    if (!live) return;
    if (unsettled) {
      this.#permitted += added;
      return;
    }
    this.#listener.looked('missing');
    if (!wants(before, count)) return;
    this.#permitted += added;
    if (!this.#due) this.#from = before;
    this.#due = true;
  }

  /** The device has called. */
  called(): void {
    this.#listener.looked('needless');
    if (this.#permitted === 0) this.#listener.broke('needless', 'nothing is new that the driver asked for');
    else this.#permitted--;
    this.#due = false;
  }

  /** Nothing moves any more, and what was on its way has come. */
  atRest(): void {
    this.#permitted = 0;
    if (!this.#due) return;
    this.#due = false;
    this.#listener.broke(
      'missing',
      `the index went from ${this.#from} to ${this.#seen}, the driver wants to be told, and nothing came`,
    );
  }
}
