/**
 * Windows on which single fields are read or written wrongly. A device's half reads a descriptor, and writes a used element, in
 * one access; behind a changed window it does so field by field, so that a fault is told of one field and need not know how
 * the half gets at it.
 */
import { PackedDescriptor, Used } from '../../../virtio/index.js';
import type { MemoryWindow } from '../../../virtio/index.js';
import { lateOverlay, overlay } from './overlay.js';
import type { RingFormat } from './rings.js';

const WORD = 0x1_0000_0000;

/** A window in other hands; the changes are asked for when it is first used, and undefined while they are not known. */
export function changedWindow(
  window: MemoryWindow,
  format: RingFormat,
  changesOf: () => Partial<MemoryWindow> | undefined,
): MemoryWindow {
  return lateOverlay(window, () => {
    const changes = changesOf();
    return changes && { ...byFields(overlay(window, changes), format), ...changes };
  });
}

function byFields(fields: MemoryWindow, format: RingFormat): Pick<MemoryWindow, 'get128' | 'set32x2'> {
  return {
    get128(offset, into) {
      const address = fields.get64(offset);
      into[0] = address % WORD;
      // An address beyond 2^53 was rounded, and may have been rounded up.
      into[1] = Math.min(Math.floor(address / WORD), WORD - 1);
      into[2] = fields.get32(offset + 8);
      into[3] = fields.get16(offset + 12) | (fields.get16(offset + 14) << 16);
    },
    set32x2(offset, first, second) {
      if (format === 'split') {
        fields.set32(offset + Used.ID, first);
        fields.set32(offset + Used.LEN, second);
        return;
      }
      const element = offset - PackedDescriptor.LEN;
      fields.set16(element + PackedDescriptor.ID, second & 0xffff);
      fields.set32(element + PackedDescriptor.LEN, first);
      fields.set16(element + PackedDescriptor.FLAGS, second >>> 16);
    },
  };
}
