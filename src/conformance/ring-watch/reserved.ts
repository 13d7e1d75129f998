/** Finds reserved bytes of a struct that are not zero. */
import type { Field } from '../../abi/index.js';

/** The part of a struct table that says where its reserved bytes are. */
export interface Layout {
  readonly size: number;
  readonly fields: readonly Field[];
}

/** Reserved bytes of each layout, by offset. */
const offsets = new WeakMap<Layout, readonly number[]>();

/** The first reserved byte of the struct at `offset` that is not zero, from the struct's start; at most `length` bytes are there. */
export function reservedByte(
  layout: Layout,
  bytes: Uint8Array,
  offset: number,
  length: number,
): number | undefined {
  let found = offsets.get(layout);
  if (found === undefined) offsets.set(layout, (found = reservedOffsets(layout.fields, 0)));
  for (const at of found) if (at < length && bytes[offset + at] !== 0) return at;
  return undefined;
}

function reservedOffsets(fields: readonly Field[], base: number): number[] {
  return fields.flatMap(({ name, type, flexible, offset, size }) => {
    if (flexible) return [];
    if (typeof type !== 'string') return reservedOffsets(type.fields, base + offset);
    return isReserved(name) ? Array.from({ length: size }, (_, i) => base + offset + i) : [];
  });
}

/** By its name: an overlay is a field without a type of its own, and not reserved. */
function isReserved(name: string): boolean {
  return name.startsWith('reserved') || name.startsWith('padding');
}
