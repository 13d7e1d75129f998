/** The bytes and addresses that programs stand for: small functions, so that a program stays small. */
import type { Gid } from '../verbs/index.js';

/** Byte `i` of the pattern `fill`. */
export function patternByte(fill: number, i: number): number {
  return (fill + i * 7 + (i >>> 8)) & 0xff;
}

export function patternBytes(fill: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = patternByte(fill, i);
  return bytes;
}

/** GID number `gid` of machine `vm`: a link-local address of its own. */
export function gidOf(vm: number, gid: number): Gid {
  return `fe80000000000000${vm.toString(16).padStart(8, '0')}${(gid + 1).toString(16).padStart(8, '0')}`;
}

/** Arenas up to this size are made once for each machine and kept. */
const KEPT_BYTES = 65_536;
const kept: Uint8Array[] = [];

/** The machine that a GID of {@link gidOf} belongs to. */
export function machineOfGid(gid: Gid): number {
  return Number.parseInt(gid.slice(16, 24), 16);
}

/** What a machine's arena holds before a program runs: bytes that differ between machines and places. Not to be written. */
export function initialArena(vm: number, bytes: number): Uint8Array {
  if (bytes > KEPT_BYTES) return makeArena(vm, bytes);
  return (kept[vm] ??= makeArena(vm, KEPT_BYTES)).subarray(0, bytes);
}

function makeArena(vm: number, bytes: number): Uint8Array {
  const arena = new Uint8Array(bytes);
  let x = (vm + 1) * 0x9e3779b9;
  for (let i = 0; i < bytes; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    arena[i] = x & 0xff;
  }
  return arena;
}
