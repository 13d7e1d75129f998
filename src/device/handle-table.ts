/** Objects by number, for kinds whose numbers are opaque to the guest. The lowest free number, from 1 on, is given first. */
export class HandleTable<T> {
  readonly #objects: (T | undefined)[] = [];
  readonly #limit: number;
  #size = 0;

  /** @param limit most objects at one time. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get full(): boolean {
    return this.#size >= this.#limit;
  }

  /** Adds an object to a table that is not full; returns its number. */
  add(object: T): number {
    const free = this.#objects.indexOf(undefined);
    const index = free === -1 ? this.#objects.length : free;
    this.#objects[index] = object;
    this.#size++;
    return index + 1;
  }

  get(number: number): T | undefined {
    return number >= 1 && number <= this.#objects.length ? this.#objects[number - 1] : undefined;
  }

  /** Removes an object that is there. */
  delete(number: number): void {
    this.#objects[number - 1] = undefined;
    this.#size--;
  }
}
