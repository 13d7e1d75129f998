/** Memory for indirect tables, the same for every ring format: a descriptor has 16 bytes in both. */

/**
 * One table of `entriesPerTable` descriptors for each entry of the queue, from `address` (a multiple of 16) on. A chain with
 * more parts than a table holds goes into the ring directly.
 */
export interface IndirectArea {
  readonly address: number;
  readonly entriesPerTable: number;
}

const DESCRIPTOR_BYTES = 16;

/** Bytes of the indirect tables of a queue of `size` entries. */
export function indirectAreaBytes(size: number, entriesPerTable: number): number {
  return size * entriesPerTable * DESCRIPTOR_BYTES;
}
