/** What the driver refuses before it sends anything: numbers that do not fit their fields, malformed GIDs. */
import { VerbsError } from '../verbs/index.js';
import type { Gid } from '../verbs/index.js';

const GID_TEXT = /^[0-9a-f]{32}$/;

export function refuse(verb: string, detail: string): VerbsError {
  return new VerbsError('EINVAL', verb, detail);
}

function inRange(verb: string, name: string, value: number, max: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw refuse(verb, `${name} is ${value}, which is not an integer in 0..${max}`);
}

export function u8(verb: string, name: string, value: number): number {
  return inRange(verb, name, value, 0xff);
}
export function u16(verb: string, name: string, value: number): number {
  return inRange(verb, name, value, 0xffff);
}
export function u32(verb: string, name: string, value: number): number {
  return inRange(verb, name, value, 0xffff_ffff);
}
/** An address, a length or a work request number. */
export function natural(verb: string, name: string, value: number): number {
  return inRange(verb, name, value, Number.MAX_SAFE_INTEGER);
}

/** The same tests for the data path, which builds its message only when it refuses. */
export function isU32(value: number): boolean {
  return value >>> 0 === value;
}
export function isNatural(value: number): boolean {
  return value >= 0 && Number.isSafeInteger(value);
}

/** Sixteen bytes of a GID in network order. */
export function gidBytes(verb: string, gid: Gid): Uint8Array {
  if (!GID_TEXT.test(gid)) throw refuse(verb, `GID '${gid}' is not 32 lower-case hexadecimal digits`);
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(gid.slice(2 * i, 2 * i + 2), 16));
}

export function gidText(bytes: Uint8Array): Gid {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}
