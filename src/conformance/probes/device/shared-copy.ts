/**
 * Memory that a device outside shares, held against what both sides knew last: so the probe's own bytes stay its own until it
 * shows them, and what differs afterwards is the device's doing.
 */

/** Bytes that are compared at once. */
const BLOCK_BYTES = 4096;

type Told = (at: number, length: number) => void;

export class SharedCopy {
  /** Places of 16-bit words that are pushed behind all others. */
  readonly last = new Set<number>();
  readonly #shared: Uint8Array;
  /** What both sides held when they were last brought in line. */
  readonly #known: Uint8Array;

  /** `shared` holds zeros. */
  constructor(shared: Uint8Array) {
    this.#shared = shared;
    this.#known = new Uint8Array(shared.length);
  }

  /** Copies what has changed in `own` to the device. */
  push(own: Uint8Array): void {
    const late: number[] = [];
    const copy: Told = (at, length) => {
      for (let i = at; i < at + length; i++) {
        this.#known[i] = own[i];
        if (this.last.has(i) || this.last.has(i - 1)) late.push(i);
        else this.#shared[i] = own[i];
      }
    };
    changes(own, this.#known, copy);
    const words = new Set(late.map(i => (this.last.has(i) ? i : i - 1)));
    for (const at of words) storeWord(this.#shared, at, own[at] | (own[at + 1] << 8));
  }

  /** Copies what the device has changed to `own`, and tells of each run of bytes before. */
  pull(own: Uint8Array, told: Told): void {
    changes(this.#shared, this.#known, (at, length) => {
      told(at, length);
      for (let i = at; i < at + length; i++) own[i] = this.#known[i] = this.#shared[i];
    });
  }
}

/** One store, behind all that was written before it. */
function storeWord({ buffer, byteOffset }: Uint8Array, at: number, value: number): void {
  Atomics.store(new Uint16Array(buffer, byteOffset + at, 1), 0, value);
}

/** Tells of each run of bytes in which `now` is not as `known`, by ascending place. */
function changes(now: Uint8Array, known: Uint8Array, told: Told): void {
  for (let block = 0; block < now.length; block += BLOCK_BYTES) {
    const end = Math.min(block + BLOCK_BYTES, now.length);
    if (Buffer.compare(now.subarray(block, end), known.subarray(block, end)) === 0) continue;
    for (let at = block; at < end; at++) {
      if (now[at] === known[at]) continue;
      let next = at + 1;
      while (next < end && now[next] !== known[next]) next++;
      told(at, next - at);
      at = next;
    }
  }
}
