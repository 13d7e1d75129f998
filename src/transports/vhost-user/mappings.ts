/** Memory that processes share: files without a name, mapped and seen through views. */
import { fstatSync, ftruncateSync } from 'node:fs';
import { calls, checked } from './native.js';

/** A part of memory, by address. */
export interface Extent {
  readonly address: number;
  readonly length: number;
}

export interface FileState {
  readonly bytes: number;
  /** Names the file: two descriptors of one file have the same. */
  readonly identity: string;
  /** What a mapping of it is a multiple of, a power of two: more than 4096 where pages are huge. */
  readonly pageBytes: number;
}

/** Bytes of one view: longer ones end the process. A multiple of every page size. */
export const VIEW_BYTES_MAX = 0xffff_0000;
const PAGE_BYTES = 4096;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;

/** A file of `bytes` zero bytes that lives in memory and has no name. It may be sealed. */
export function newMemoryFile(name: string, bytes: number): number {
  const fd = checked('memfd_create', calls().memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), name);
  ftruncateSync(fd, bytes);
  return fd;
}

export function fileState(fd: number): FileState {
  const { size, dev, ino, blksize } = fstatSync(fd, { bigint: true });
  const block = Number(blksize);
  const pageBytes = block > PAGE_BYTES && (block & (block - 1)) === 0 ? block : PAGE_BYTES;
  return { bytes: Number(size), identity: `${dev}:${ino}`, pageBytes };
}

/** Makes a memory file of which nobody can change the length, and that nobody can seal against being mapped by others. */
export function keepLength(fd: number): void {
  const seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  checked('fcntl', calls().fcntl(fd, F_ADD_SEALS, seals), `descriptor ${fd}`);
}

/** Whether nobody can make the file shorter any more. False for files that cannot be sealed. */
export function cannotShrink(fd: number): boolean {
  const seals = calls().fcntl(fd, F_GET_SEALS, 0);
  return seals !== -1 && (seals & F_SEAL_SHRINK) !== 0;
}

/**
 * Maps a part of a file, readable and writable, at `at` or where there is room. The file must hold all of it: an access
 * behind its end would end the process.
 */
export function mapFile(fd: number, offset: number, length: number, at?: number): number {
  const flags = at === undefined ? MAP_SHARED : MAP_SHARED | MAP_FIXED;
  const address = calls().mmap(at ?? 0, length, PROT_READ_WRITE, flags, fd, offset);
  return checked('mmap', address, `${length} bytes from ${offset} on`);
}

/** Puts zero pages of nobody's in the place of a mapping, for views that are still about. */
export function mapNothing({ address, length }: Extent): void {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  checked('mmap', calls().mmap(address, length, PROT_READ_WRITE, flags, -1, 0), `${length} zero bytes`);
}

/** Takes a mapping away. No view of it may be left. */
export function unmap({ address, length }: Extent): void {
  checked('munmap', calls().munmap(address, length), `${length} bytes`);
}

/** Mapped memory as a buffer; at most `VIEW_BYTES_MAX` bytes. It does not keep the mapping, and cannot be sent to a worker. */
export function viewMemory({ address, length }: Extent): ArrayBuffer {
  if (!(address > 0 && length > 0 && length <= VIEW_BYTES_MAX))
    throw new RangeError(
      `a view of ${length} bytes at ${address}: 1 to ${VIEW_BYTES_MAX} bytes of a mapping`,
    );
  return calls().koffi.view(BigInt(address), length);
}
