/** Lists of descriptors as an attack says them, laid on a ring under names of their own or of others. */
import type { RawDescriptor, RingPen } from '../../probes/device/pen.js';
import type { Act, Place, Publication } from './attack.js';

const NEXT = 1;
const WRITE = 2;

/** The descriptors of a chain; each place is asked for once, however often the parts come. */
export function listOf(
  { parts, times = 1, next }: Extract<Act, { act: 'chain' }>,
  addressOf: (place: Place) => number,
): RawDescriptor[] {
  const once = parts.map(({ place, length, writable, ...rest }) => ({
    address: addressOf(place),
    length,
    flags: NEXT | (writable ? WRITE : 0),
    ...rest,
  }));
  const list = Array.from({ length: times }, () => once).flat();
  return list.map((each, i) => {
    if (i < list.length - 1) return each;
    return next === undefined ? { ...each, flags: each.flags & ~NEXT } : { ...each, next };
  });
}

/** What the chains of each ring were named by, so that one can be named as another. */
export class Names {
  /** The youngest last; those that were there before the attack are the oldest. */
  readonly #names = new Map<RingPen, number[]>();

  forget(): void {
    this.#names.clear();
  }

  offer(ring: RingPen, list: readonly RawDescriptor[], { jump, head, again }: Publication): void {
    const names = this.#names.get(ring) ?? [...ring.outstanding.keys()];
    this.#names.set(ring, names);
    const other = again === undefined ? undefined : names.at(-again);
    names.push(ring.offer(list, { jump, head: other ?? head }));
  }
}
