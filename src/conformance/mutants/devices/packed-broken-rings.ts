/** Devices that take from a packed ring what they must not, or go on with what a reset of it has ended. */
import { RdmaDevice } from '../../../device/index.js';
import { PackedDescriptor, PackedEvent, PackedFlag } from '../../../virtio/index.js';
import type { MemoryWindow, VirtioDevice } from '../../../virtio/index.js';
import type { Implementation } from '../../implementation.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { deviceRings } from '../seams/device.js';
import { overlay } from '../seams/overlay.js';
import { inDescriptors, isField, modeBeforePosition } from '../seams/rings.js';
import type { RingChange } from '../seams/rings.js';
import { changedWindow } from '../seams/window.js';
import type { Facts } from './ring-support.js';

const { ID, LEN, FLAGS, SIZE } = PackedDescriptor;
const { AVAIL, USED, NEXT, WRITE, INDIRECT } = PackedFlag;
const MARK = AVAIL | USED;

function ring(name: string, facts: Facts, doc: string, change: Parameters<typeof inDescriptors>[0]): Mutant {
  return mutant(
    'ring',
    name,
    { chapter: 'broken peers', ...facts },
    doc,
    deviceRings(inDescriptors(change), 'packed'),
  );
}

const taking: readonly Mutant[] = [
  ring(
    'packed-goes-on-into-anything',
    { breaks: 'VQ-97' },
    'Of the descriptors of a chain only the first is looked at for its marks.',
    (window, { size }) => {
      let marks = 0;
      let first = 0;
      return {
        load16(offset) {
          const flags = window.load16(offset);
          marks = flags & MARK;
          first = offset;
          return flags;
        },
        get16(offset) {
          const value = window.get16(offset);
          if (!isField(offset, FLAGS) || offset === first) return value;
          if (offset === FLAGS && size > 1) marks ^= MARK;
          return (value & ~MARK) | marks;
        },
      };
    },
  ),
  ring(
    'packed-id-in-flight-taken',
    { breaks: 'VQ-98' },
    'A buffer id that is in flight is taken once more, for another chain.',
    window => {
      const out = new Set<number>();
      return {
        get128(offset, into) {
          window.get128(offset, into);
          const last = ((into[3] >>> 16) & NEXT) === 0;
          if (!last) return;
          if (out.has(into[3] & 0xffff)) into[3] ^= 0x2000;
          out.add(into[3] & 0xffff);
        },
        set16(offset, value) {
          if (isField(offset, ID)) out.delete(value);
          window.set16(offset, value);
        },
      };
    },
  ),
  ring(
    'packed-small-ids-forgotten',
    { chapter: 'stale state', breaks: 'VQ-91 HOST-01', needs: 'history' },
    'When an id comes that is not below the size of the ring, those in flight that are below are forgotten, and their return is an exception.',
    (window, { size }) => {
      const out = new Set<number>();
      const lost = new Set<number>();
      return {
        get16(offset) {
          const value = window.get16(offset);
          if (!isField(offset, ID)) return value;
          if (value >= size) for (const id of out) lost.add(id);
          else {
            out.add(value);
            lost.delete(value);
          }
          return value;
        },
        set16(offset, value) {
          if (isField(offset, ID)) {
            if (lost.has(value)) throw new RangeError(`id ${value} is not in flight`);
            out.delete(value);
          }
          window.set16(offset, value);
        },
      };
    },
  ),
  ring(
    'packed-indirect-in-a-list',
    { breaks: 'VQ-99' },
    'INDIRECT has no meaning in a chain of several descriptors.',
    window => {
      const plain = (flags: number): number => ((flags & NEXT) === 0 ? flags : flags & ~INDIRECT);
      return {
        load16: offset => plain(window.load16(offset)),
        get16: offset => (isField(offset, FLAGS) ? window.get16(offset) & ~INDIRECT : window.get16(offset)),
      };
    },
  ),
  ring(
    'packed-long-table-cut',
    { chapter: 'lengths', breaks: 'VQ-99' },
    'Of an indirect table with more entries than the ring has the first ones are taken.',
    (window, { size }) => {
      let named = false;
      return {
        load16(offset) {
          const flags = window.load16(offset);
          named = (flags & INDIRECT) !== 0;
          return flags;
        },
        get32: offset =>
          named && isField(offset, LEN) ? Math.min(window.get32(offset), size * SIZE) : window.get32(offset),
      };
    },
  ),
  mutant(
    'device',
    'packed-table-flags-obeyed',
    { chapter: 'reserved fields', breaks: 'VQ-90' },
    'In the table of a packed ring an entry with INDIRECT is taken for a writable one.',
    tables(window => ({
      get16(offset) {
        const value = window.get16(offset);
        return isField(offset, FLAGS) && (value & INDIRECT) !== 0 ? value | WRITE : value;
      },
    })),
  ),
];

/** The bundled device that reads indirect tables wrongly. */
function tables(change: (window: MemoryWindow) => Partial<MemoryWindow>): Implementation {
  return {
    reports: true,
    device: context => {
      const { memory } = context;
      return new RdmaDevice({
        ...context,
        memory: overlay(memory, {
          newWindow() {
            const window = memory.newWindow();
            return changedWindow(window, 'packed', () => change(window));
          },
        }),
      });
    },
  };
}

const wishes: readonly Mutant[] = [
  mutant(
    'ring',
    'packed-mode-before-position',
    { chapter: 'notification races', breaks: 'VQ-107', needs: 'race' },
    'The device asks with the mode DESC first and says where then.',
    deviceRings((window, area) => (area === 'used' ? modeBeforePosition(window) : {}), 'packed'),
  ),
  mutant(
    'ring',
    'packed-falls-over-a-position',
    { chapter: 'broken peers', breaks: 'HOST-01' },
    'The device throws when its driver wants to be told of a slot that the ring does not have.',
    deviceRings((window, area, { size }) => {
      if (area !== 'available') return {};
      return {
        load16(offset) {
          const value = window.load16(offset);
          if (offset === PackedEvent.POSITION && (value & 0x7fff) >= size)
            throw new RangeError(`there is no slot ${value & 0x7fff}`);
          return value;
        },
      };
    }, 'packed'),
  ),
];

/** What a device keeps of a queue beyond its reset. */
interface Past {
  /** The wrap counter of its used elements. */
  wrap: boolean;
  readonly out: Set<number>;
}

/** The bundled device on packed rings whose resets leave something behind. */
function staleAfterReset(
  change: (window: MemoryWindow, past: Past) => Partial<MemoryWindow>,
): Implementation {
  return {
    reports: true,
    device(context): VirtioDevice {
      const now = new Map<number, Past>();
      const before = new Map<number, Past>();
      const laid: RingChange = (window, area, { queue }) => {
        if (area !== 'descriptors') return {};
        const past = before.get(queue);
        const own: Past = { wrap: true, out: new Set() };
        now.set(queue, own);
        const noted = overlay(window, noting(window, own));
        return past === undefined ? noting(window, own) : { ...noting(window, own), ...change(noted, past) };
      };
      const inner = deviceRings(laid, 'packed').device?.(context) ?? new RdmaDevice(context);
      return overlay<VirtioDevice>(inner, {
        resetQueue(index) {
          const past = now.get(index);
          if (past !== undefined) before.set(index, past);
          inner.resetQueue(index);
        },
        writeStatus(status) {
          if (status === 0) before.clear();
          inner.writeStatus(status);
        },
      });
    },
  };
}

/** Takes down what a device does on a ring. */
function noting(window: MemoryWindow, own: Past): Partial<MemoryWindow> {
  return {
    get16(offset) {
      const value = window.get16(offset);
      if (isField(offset, ID)) own.out.add(value);
      return value;
    },
    set16(offset, value) {
      if (isField(offset, ID)) own.out.delete(value);
      window.set16(offset, value);
    },
    store16(offset, value) {
      if (isField(offset, FLAGS)) own.wrap = (value & USED) !== 0;
      window.store16(offset, value);
    },
  };
}

const resets: readonly Mutant[] = [
  mutant(
    'device',
    'packed-reset-keeps-the-counter',
    { chapter: 'stale state', breaks: 'VQ-76', needs: 'history' },
    'A packed queue that is enabled again after its reset goes on with the wrap counter of before.',
    staleAfterReset((window, { wrap }) =>
      wrap
        ? {}
        : {
            load16: offset => window.load16(offset) ^ MARK,
            store16: (offset, value) => window.store16(offset, value ^ MARK),
          },
    ),
  ),
  mutant(
    'device',
    'packed-reset-keeps-its-ids',
    { chapter: 'stale state', breaks: 'VQ-76', needs: 'history' },
    'A buffer id that was in flight when its packed queue was reset is waited for, and no chain is taken under it.',
    staleAfterReset((window, { out }) => ({
      load16: offset => (out.has(window.get16(offset - FLAGS + ID)) ? 0 : window.load16(offset)),
    })),
  ),
];

export const packedBrokenRingMutants: readonly Mutant[] = [...taking, ...wishes, ...resets];
