/** The program's pages that one region gives the device: they are the region's from their translation until they are released. */
import type { GuestOs } from './guest-os.js';

export class PinnedPages {
  readonly #os: GuestOs;
  readonly #pages: number[] = [];

  constructor(os: GuestOs) {
    this.#os = os;
  }

  /** Guest-physical address of a page, by its first virtual address. Throws what the operating system throws. */
  translate(page: number): number {
    const place = this.#os.translate(page);
    this.#pages.push(page);
    return place;
  }

  /** The device cannot reach the pages any more. */
  release(): void {
    for (const page of this.#pages.splice(0)) this.#os.releasePage(page);
  }
}
