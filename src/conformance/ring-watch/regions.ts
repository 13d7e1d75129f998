/** The bytes of guest memory that registered regions let a device touch, as the driver's own commands list them. */
import { AccessFlag, regUserMrCommand } from '../../abi/index.js';

const PAGE_BYTES = 4096;

export interface WatchedRegion {
  /** Given by the answer; undefined until then. */
  mrn: number | undefined;
  readonly writable: boolean;
  /** Guest-physical pages with the bytes of each that belong to the region; undefined for all of memory. */
  readonly extents: readonly Extent[] | undefined;
}

interface Extent {
  readonly page: number;
  readonly start: number;
  readonly end: number;
  readonly region: WatchedRegion;
}

export class Regions {
  readonly #regions = new Set<WatchedRegion>();
  readonly #byPage = new Map<number, Extent[]>();
  #all = 0;
  #allWritable = 0;

  /** A REG_USER_MR command with its page list, as it stands behind the command header. Undefined when it is too short. */
  registerUser(data: Uint8Array): WatchedRegion | undefined {
    const { size } = regUserMrCommand;
    if (data.length < size) return undefined;
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const { virt_addr: address, length, npages, access_flags: access } = regUserMrCommand.decode(view, 0);
    const listed = Math.min(npages, Math.floor((data.length - size) / 8));
    const writable = (access & AccessFlag.LOCAL_WRITE) !== 0;
    const extents: Extent[] = [];
    const region: WatchedRegion = { mrn: undefined, writable, extents };
    const first = address % PAGE_BYTES;
    for (let i = 0; i < listed; i++) {
      const at = size + 8 * i;
      const page = view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
      const from = i === 0 ? first : 0;
      const to = Math.min(PAGE_BYTES, first + length - i * PAGE_BYTES);
      if (to > from) extents.push({ page, start: page + from, end: page + to, region });
    }
    this.#regions.add(region);
    for (const extent of extents) {
      const list = this.#byPage.get(extent.page);
      if (list === undefined) this.#byPage.set(extent.page, [extent]);
      else list.push(extent);
    }
    return region;
  }

  /** A GET_DMA_MR command: all of guest memory. */
  registerAll(access: number): WatchedRegion {
    const writable = (access & AccessFlag.LOCAL_WRITE) !== 0;
    const region = { mrn: undefined, writable, extents: undefined };
    this.#regions.add(region);
    this.#all++;
    if (writable) this.#allWritable++;
    return region;
  }

  remove(region: WatchedRegion): void {
    if (!this.#regions.delete(region)) return;
    if (region.extents === undefined) {
      this.#all--;
      if (region.writable) this.#allWritable--;
      return;
    }
    for (const extent of region.extents) {
      const others = (this.#byPage.get(extent.page) ?? none).filter(each => each !== extent);
      this.#byPage.set(extent.page, others);
    }
  }

  removeNumber(mrn: number): void {
    for (const region of this.#regions) if (region.mrn === mrn) this.remove(region);
  }

  clear(): void {
    this.#regions.clear();
    this.#byPage.clear();
    this.#all = 0;
    this.#allWritable = 0;
  }

  /** A region lets the device write to all of memory. */
  get all(): boolean {
    return this.#allWritable > 0;
  }

  /** How many regions list a page. */
  users(page: number): number {
    return this.#byPage.get(page)?.length ?? 0;
  }

  /**
   * First address from `at` on, at most `end`, that no region lets the device touch. While a region is being registered its
   * device may look whether the pages are there.
   */
  allowedUpTo(at: number, end: number, write: boolean): number {
    if ((write ? this.#allWritable : this.#all) > 0) return end;
    let reached = at;
    for (;;) {
      const before = reached;
      const page = reached - (reached % PAGE_BYTES);
      for (const extent of this.#byPage.get(page) ?? none) {
        const { region } = extent;
        if (!write && region.mrn === undefined) reached = Math.max(reached, page + PAGE_BYTES);
        else if ((!write || region.writable) && extent.start <= reached)
          reached = Math.max(reached, extent.end);
      }
      if (reached >= end) return end;
      if (reached === before) return reached;
    }
  }
}

const none: readonly Extent[] = [];
