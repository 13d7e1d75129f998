/** Gather and scatter lists, as both kinds of request carry them. */
import { sge, writeLe64 } from '../abi/index.js';
import type { Sge } from '../verbs/index.js';
import { isNatural, isU32, refuse } from './checks.js';

/** Throws EINVAL for too many elements and for one that does not fit its fields. Returns the bytes of all elements. */
export function checkElements(verb: string, sges: readonly Sge[], max: number): number {
  if (sges.length > max) throw refuse(verb, `${sges.length} elements, at most ${max}`);
  let bytes = 0;
  for (let i = 0; i < sges.length; i++) {
    const { addr, length, lkey } = sges[i];
    if (!isNatural(addr) || !isU32(length) || !isU32(lkey)) {
      throw refuse(verb, `element ${i} (${addr}, ${length}, ${lkey}) does not fit its fields`);
    }
    bytes += length;
  }
  return bytes;
}

export function writeElements(view: DataView, at: number, sges: readonly Sge[]): void {
  for (let i = 0; i < sges.length; i++) {
    const element = at + i * sge.size;
    const { addr, length, lkey } = sges[i];
    writeLe64(view, element + sge.offsets.addr, addr);
    view.setUint32(element + sge.offsets.length, length, true);
    view.setUint32(element + sge.offsets.lkey, lkey, true);
  }
}
