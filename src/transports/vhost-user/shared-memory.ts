/**
 * The memory of a guest that another process owns, as its front-end describes it: regions of files, each at a guest-physical
 * address and at the front-end's own. They are checked before they are mapped, and then are regions of `GuestMemory`.
 *
 * A file that is shorter than its region is refused. One that its owner shortens later cannot be guarded against: the access
 * behind its end ends the process. `sealed` says whether every file is sealed against that.
 */
import type { GuestMemory } from '../../virtio/index.js';
import { closeFd } from './descriptors.js';
import { MappedFile } from './mapped-view.js';
import { VIEW_BYTES_MAX, cannotShrink, fileState, keepLength, newMemoryFile } from './mappings.js';
import type { MemoryRegion } from './messages.js';
import { SystemError } from './native.js';

/** A region that cannot be had. */
export class RegionFault extends Error {
  readonly code = 'ERR_VHOST_USER_REGION';
}

/** Mappings that are out of guest memory, and that somebody may still look at. */
export interface RetiredMemory {
  /** Nobody looks at them any more. */
  drop(): void;
}

/** Where bytes of the front-end's are: in the guest, and in which file. */
export interface SharedPlace {
  readonly guestAddress: number;
  /** The file and the byte in it. */
  readonly fileByte: string;
}

export interface RegionWithFile {
  readonly region: MemoryRegion;
  /** The caller's to close, in any case. */
  readonly fd: number;
}

interface Mapped {
  readonly region: MemoryRegion;
  readonly identity: string;
  readonly file: MappedFile;
  readonly sealed: boolean;
}

/** Regions of one guest at a time. */
export const REGIONS_MAX = 64;

export class SharedMemory {
  /** All of them get the regions: the guest's memory, and views of it that somebody watches. */
  readonly #memories: readonly GuestMemory[];
  #mapped: Mapped[] = [];

  constructor(memories: readonly GuestMemory[]) {
    this.#memories = memories;
  }

  get regions(): readonly MemoryRegion[] {
    return this.#mapped.map(({ region }) => region);
  }

  /** No file can become shorter than it was when it was mapped. */
  get sealed(): boolean {
    return this.#mapped.every(({ sealed }) => sealed);
  }

  /** Adds a region. Throws `RegionFault`, and nothing has changed then. */
  add(added: RegionWithFile): void {
    if (this.#mapped.length >= REGIONS_MAX) throw new RegionFault(`more than ${REGIONS_MAX} regions`);
    checkApart([...this.regions, added.region]);
    this.#enter(mapRegion(added));
  }

  /** Takes the region out that has the addresses and the size. Throws `RegionFault` when there is none. */
  remove(region: MemoryRegion): RetiredMemory {
    const at = this.#mapped.findIndex(mapped => isSamePlace(mapped.region, region));
    if (at < 0) throw new RegionFault(`there is no region ${placeOf(region)} to remove`);
    return this.#leave(this.#mapped.splice(at, 1));
  }

  /**
   * Puts a table in the place of all regions; those that are in both stay as they are. Throws `RegionFault`, and nothing
   * has changed then.
   */
  replace(table: readonly RegionWithFile[]): RetiredMemory {
    checkApart(table.map(({ region }) => region));
    const kept = new Set<Mapped>();
    const fresh: Mapped[] = [];
    try {
      for (const each of table) {
        const { identity } = fileState(each.fd);
        const same = this.#mapped.find(
          ({ region, identity: old }) =>
            isSamePlace(region, each.region) && region.offset === each.region.offset && old === identity,
        );
        if (same === undefined) fresh.push(mapRegion(each));
        else kept.add(same);
      }
    } catch (error) {
      for (const { file } of fresh) file.release();
      throw error;
    }
    const gone = this.#mapped.filter(mapped => !kept.has(mapped));
    this.#mapped = [...kept];
    const retired = this.#leave(gone);
    for (const mapped of fresh) this.#enter(mapped);
    return retired;
  }

  /** Where the byte at the front-end's address is; undefined when it is in no region. */
  place(userAddress: number): SharedPlace | undefined {
    for (const { region, identity } of this.#mapped) {
      const at = userAddress - region.userAddress;
      if (!(at >= 0 && at < region.bytes)) continue;
      return { guestAddress: region.guestAddress + at, fileByte: `${identity}+${region.offset + at}` };
    }
    return undefined;
  }

  /** Lets go of everything. */
  close(): void {
    this.#leave(this.#mapped.splice(0)).drop();
  }

  #enter(mapped: Mapped): void {
    this.#mapped.push(mapped);
    mapped.file.views.forEach((view, i) => {
      const address = mapped.region.guestAddress + i * VIEW_BYTES_MAX;
      for (const memory of this.#memories) memory.addRegion(address, view);
    });
  }

  #leave(gone: readonly Mapped[]): RetiredMemory {
    for (const { region, file } of gone)
      file.views.forEach((_, i) => {
        for (const memory of this.#memories) memory.removeRegion(region.guestAddress + i * VIEW_BYTES_MAX);
      });
    return {
      drop: () => {
        for (const { file } of gone) file.release();
      },
    };
  }
}

function mapRegion({ region, fd }: RegionWithFile): Mapped {
  const { bytes, offset } = region;
  const file = fileState(fd);
  if (offset + bytes > file.bytes)
    throw new RegionFault(
      `region ${placeOf(region)} needs bytes ${offset} to ${offset + bytes} of its file, which has ${file.bytes}`,
    );
  try {
    const mapped = new MappedFile(fd, offset, bytes, file.pageBytes);
    return { region, identity: file.identity, file: mapped, sealed: cannotShrink(fd) };
  } catch (error) {
    if (error instanceof SystemError) throw new RegionFault(`region ${placeOf(region)}: ${error.message}`);
    throw error;
  }
}

const ALIGNMENT = 8;

/** Each region has a place, and no two the same. */
function checkApart(regions: readonly MemoryRegion[]): void {
  for (const [i, region] of regions.entries()) {
    const { guestAddress, userAddress, bytes, offset } = region;
    const ends = [guestAddress + bytes, userAddress + bytes, offset + bytes];
    if (!(bytes > 0) || !ends.every(Number.isSafeInteger))
      throw new RegionFault(`region ${placeOf(region)} is empty, or ends beyond 2^53`);
    if (guestAddress % ALIGNMENT !== 0 || offset % ALIGNMENT !== 0)
      throw new RegionFault(`region ${placeOf(region)} starts at no multiple of ${ALIGNMENT}`);
    for (const other of regions.slice(0, i)) {
      if (overlap(guestAddress, other.guestAddress, bytes, other.bytes))
        throw new RegionFault(`region ${placeOf(region)} overlaps ${placeOf(other)} in the guest`);
      if (overlap(userAddress, other.userAddress, bytes, other.bytes))
        throw new RegionFault(`region ${placeOf(region)} overlaps ${placeOf(other)} in the front-end`);
    }
  }
}

function overlap(a: number, b: number, aBytes: number, bBytes: number): boolean {
  return a < b + bBytes && b < a + aBytes;
}

function isSamePlace(a: MemoryRegion, b: MemoryRegion): boolean {
  return a.guestAddress === b.guestAddress && a.userAddress === b.userAddress && a.bytes === b.bytes;
}

function placeOf({ guestAddress, userAddress, bytes }: MemoryRegion): string {
  return `0x${guestAddress.toString(16)}+0x${bytes.toString(16)} (0x${userAddress.toString(16)})`;
}

/** Memory that this process makes and others may map: a file without a name, of a length that nobody can change. */
export class MemoryFile {
  readonly fd: number;
  readonly #file: MappedFile;

  /** Throws SystemError. */
  constructor(name: string, bytes: number) {
    this.fd = newMemoryFile(name, bytes);
    keepLength(this.fd);
    this.#file = new MappedFile(this.fd, 0, bytes, fileState(this.fd).pageBytes);
  }

  /** Where it is in this process: the user address of its region. */
  get address(): number {
    return this.#file.address;
  }

  /** Its bytes; the first `VIEW_BYTES_MAX` of them. */
  get bytes(): Uint8Array {
    return this.#file.views[0];
  }

  close(): void {
    this.#file.release();
    closeFd(this.fd);
  }
}
