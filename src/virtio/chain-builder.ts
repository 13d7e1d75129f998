/** The chain that a driver half is building: its parts, kept until `commit` writes them; the same for every ring format. */

export abstract class ChainBuilder {
  readonly index: number;
  readonly size: number;
  /** Address and length of each part in turn. Made with the first chain: most queues of a device are set up and never used. */
  #places: Float64Array | undefined;
  protected parts = 0;
  protected readableParts = 0;
  protected readableBytes = 0;
  protected writableBytes = 0;

  protected constructor(index: number, size: number) {
    this.index = index;
    this.size = size;
  }

  begin(): void {
    this.parts = 0;
    this.readableParts = 0;
    this.readableBytes = 0;
    this.writableBytes = 0;
  }

  /** A part of no bytes is left out. Throws Error after a writable part: readable ones come first. */
  addReadable(address: number, length: number): void {
    if (this.parts !== this.readableParts) throw new Error('chain: a readable part after a writable one');
    if (length === 0) return;
    this.#add(address, length);
    this.readableParts++;
    this.readableBytes += length;
  }

  addWritable(address: number, length: number): void {
    if (length === 0) return;
    this.#add(address, length);
    this.writableBytes += length;
  }

  protected partAddress(part: number): number {
    return this.#places === undefined ? 0 : this.#places[2 * part];
  }
  protected partLength(part: number): number {
    return this.#places === undefined ? 0 : this.#places[2 * part + 1];
  }
  protected isWritable(part: number): boolean {
    return part >= this.readableParts;
  }

  #add(address: number, length: number): void {
    const part = this.parts++;
    // A chain with more parts than the queue has entries finds no room in `commit`; only the count matters then.
    if (part >= this.size) return;
    this.#places ??= new Float64Array(2 * this.size);
    this.#places[2 * part] = address;
    this.#places[2 * part + 1] = length;
  }
}
