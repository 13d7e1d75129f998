/**
 * Views of mapped memory that outlive the mapping without harm. A view cannot be taken back: when the memory behind it
 * goes, zero pages of nobody's take its place until the last view has been collected, and the address range with it.
 */
import { VIEW_BYTES_MAX, mapFile, mapNothing, unmap, viewMemory } from './mappings.js';
import type { Extent } from './mappings.js';

/** A range that is gone; `views` of it are not collected yet. */
interface Remains {
  readonly extent: Extent;
  views: number;
}

const collected = new FinalizationRegistry<Remains>(remains => {
  remains.views--;
  if (remains.views === 0) unmap(remains.extent);
});

/** A part of a file in memory. */
export class MappedFile {
  /** What is mapped; it begins at a page, `skip` bytes before what was asked for. */
  readonly #extent: Extent;
  readonly #skip: number;
  #views: readonly Uint8Array[];
  #mapped = true;

  /**
   * Maps `length` bytes of a file from `offset` on; the file must hold them. `alignment`: of a page of the file, a power
   * of two. Throws SystemError.
   */
  constructor(fd: number, offset: number, length: number, alignment: number) {
    this.#skip = offset % alignment;
    const whole = Math.ceil((this.#skip + length) / alignment) * alignment;
    const address = mapFile(fd, offset - this.#skip, whole);
    this.#extent = { address, length: whole };
    const views: Uint8Array[] = [];
    for (let at = 0; at < length; at += VIEW_BYTES_MAX) {
      const part = { address: this.address + at, length: Math.min(VIEW_BYTES_MAX, length - at) };
      views.push(new Uint8Array(viewMemory(part)));
    }
    this.#views = views;
  }

  /** Where its first byte is in this process. */
  get address(): number {
    return this.#extent.address + this.#skip;
  }

  /** Its bytes in order, in views of at most `VIEW_BYTES_MAX`. */
  get views(): readonly Uint8Array[] {
    return this.#views;
  }

  /** Lets go of the file. What is still read through a view is zero from now on, and what is written is lost. */
  release(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    mapNothing(this.#extent);
    const remains: Remains = { extent: this.#extent, views: this.#views.length };
    for (const { buffer } of this.#views) collected.register(buffer, remains);
    this.#views = [];
  }
}
