/** Drivers that are wrong about packed rings: descriptors, wrap counters, event structures, use in order, notifications. */
import {
  Descriptor,
  EventMode,
  FeatureBit,
  PackedDescriptor,
  PackedEvent,
  PackedFlag,
  Used,
  hasFeature,
} from '../../../virtio/index.js';
import type { GuestMemory, MemoryWindow, QueueAddresses, VirtioTransport } from '../../../virtio/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { driverRings, transport } from '../seams/driver.js';
import { every } from '../seams/overlay.js';
import { isField, isElement, isSlot } from '../seams/rings.js';
import type { Ring, RingArea } from '../seams/rings.js';
import type { Facts } from './ring-support.js';

const { ID, LEN, FLAGS, SIZE } = PackedDescriptor;
const MARK = PackedFlag.AVAIL | PackedFlag.USED;

function packed(area: RingArea) {
  return (
    name: string,
    facts: Facts,
    doc: string,
    change: (window: MemoryWindow, ring: Ring) => Partial<MemoryWindow>,
  ): Mutant =>
    mutant(
      'driver',
      name,
      { chapter: 'rings', ...facts },
      doc,
      driverRings((window, found, ring) => (found === area ? change(window, ring) : {}), 'packed'),
    );
}

const ring = packed('descriptors');
const driverEvent = packed('available');
const deviceEvent = packed('used');

const chains: readonly Mutant[] = [
  ring(
    'packed-first-flags-first',
    { chapter: 'notification races', breaks: 'VQ-86', needs: 'race' },
    'The length of the last descriptor is written behind the flags that show the chain.',
    window => {
      let held: (() => void) | undefined;
      return {
        set32(offset, value) {
          if (!isField(offset, LEN)) return window.set32(offset, value);
          if (held === undefined) held = () => window.set32(offset, value);
          else window.set32(offset, value);
        },
        store16(offset, value) {
          window.store16(offset, value);
          held?.();
          held = undefined;
        },
      };
    },
  ),
  ring(
    'packed-later-flags-behind-the-first',
    { chapter: 'notification races', breaks: 'VQ-86 VQ-85', needs: 'race' },
    'The flags of all descriptors but the first are written behind those of the first.',
    window => {
      const held: (() => void)[] = [];
      return {
        set16(offset, value) {
          if (isField(offset, FLAGS)) held.push(() => window.set16(offset, value));
          else window.set16(offset, value);
        },
        store16(offset, value) {
          window.store16(offset, value);
          for (const write of held.splice(0)) write();
        },
      };
    },
  ),
  ring(
    'packed-counter-never-changes',
    { chapter: 'wraps', breaks: 'VQ-84 VQ-85', needs: 'history' },
    'Descriptors are marked as available in the first lap, however often the ring was gone round.',
    window => {
      const first = (offset: number, value: number): number =>
        isField(offset, FLAGS) ? (value & ~MARK) | PackedFlag.AVAIL : value;
      return {
        set16: (offset, value) => window.set16(offset, first(offset, value)),
        store16: (offset, value) => window.store16(offset, first(offset, value)),
      };
    },
  ),
  ring(
    'packed-counter-of-the-first-descriptor',
    { chapter: 'wraps', breaks: 'VQ-85', needs: 'history' },
    'A chain that goes on in slot 0 marks the descriptor there as if the ring had not ended.',
    window => ({
      set16: (offset, value) => window.set16(offset, offset === FLAGS ? value ^ MARK : value),
    }),
  ),
  ring(
    'packed-counter-changes-early',
    { chapter: 'wraps', breaks: 'VQ-84', needs: 'history' },
    'The last slot of the ring is marked as if it were in the next lap.',
    (window, { size }) => {
      const early = (offset: number, value: number): number =>
        offset === (size - 1) * SIZE + FLAGS ? value ^ MARK : value;
      return {
        set16: (offset, value) => window.set16(offset, early(offset, value)),
        store16: (offset, value) => window.store16(offset, early(offset, value)),
      };
    },
  ),
  ring(
    'packed-id-given-twice',
    { breaks: 'VQ-88', needs: 'history' },
    'Every seventh descriptor has the buffer id of the one before it.',
    window => {
      const due = every(7);
      let last = 0;
      return {
        set16(offset, value) {
          if (!isField(offset, ID)) return window.set16(offset, value);
          window.set16(offset, due() ? last : value);
          last = value;
        },
      };
    },
  ),
  ring(
    'packed-table-within-a-list',
    { breaks: 'VQ-89' },
    'A descriptor that names an indirect table has NEXT set.',
    window => {
      const next = (offset: number, value: number): number =>
        isField(offset, FLAGS) && (value & PackedFlag.INDIRECT) !== 0 ? value | PackedFlag.NEXT : value;
      return {
        set16: (offset, value) => window.set16(offset, next(offset, value)),
        store16: (offset, value) => window.store16(offset, next(offset, value)),
      };
    },
  ),
  ring(
    'packed-changes-a-chain-that-is-out',
    { breaks: 'VQ-29' },
    'The length of the first descriptor is written once more when the chain is with the device.',
    window => {
      const lengths = new Map<number, number>();
      return {
        set32(offset, value) {
          lengths.set(offset, value);
          window.set32(offset, value);
        },
        store16(offset, value) {
          window.store16(offset, value);
          const at = offset - FLAGS + LEN;
          window.set32(at, (lengths.get(at) ?? 0) + 1);
        },
      };
    },
  ),
];

const elements: readonly Mutant[] = [
  ring(
    'packed-used-without-the-counter',
    { chapter: 'wraps', breaks: 'VQ-115' },
    'Any descriptor whose two marks are the same is taken for a used one of the first lap.',
    window => ({
      load16(offset) {
        const flags = window.load16(offset);
        return (flags & MARK) === 0 ? flags | MARK : flags;
      },
    }),
  ),
  ring(
    'packed-looks-one-slot-ahead',
    { chapter: 'wraps', breaks: 'VQ-115' },
    'Where no used element stands, one in the slot behind it is taken.',
    (window, { size }) => {
      let ahead = 0;
      return {
        load16(offset) {
          const flags = window.load16(offset);
          const usedHere = (flags & PackedFlag.AVAIL) === 0 ? 0 : MARK;
          const isAvailable = (flags & MARK) !== 0 && (flags & MARK) !== MARK;
          const behind =
            isField(offset, FLAGS) && offset < (size - 1) * SIZE ? window.load16(offset + SIZE) : 0;
          ahead = isAvailable && (behind & MARK) === usedHere ? SIZE : 0;
          return ahead === 0 ? flags : behind;
        },
        get16: offset => window.get16(offset + ahead),
        get32: offset => window.get32(offset + ahead),
      };
    },
  ),
  ring(
    'packed-used-id-is-the-slot',
    { breaks: 'VQ-39' },
    'The chain that is back is found by the slot of the used element, not by its id.',
    window => ({
      get16(offset) {
        const value = window.get16(offset);
        return isField(offset, ID) ? (offset - ID) / SIZE : value;
      },
    }),
  ),
];

const wishes: readonly Mutant[] = [
  driverEvent(
    'packed-position-without-event-idx',
    { chapter: 'reserved fields', breaks: 'VQ-104' },
    'The driver asks with the mode DESC whether or not EVENT_IDX is negotiated.',
    window => ({
      store16: (offset, value) =>
        window.store16(
          offset,
          offset === PackedEvent.MODE && value === EventMode.ENABLE ? EventMode.DESC : value,
        ),
    }),
  ),
  driverEvent(
    'packed-mode-with-reserved-bits',
    { chapter: 'reserved fields', breaks: 'VQ-104 OVR-06' },
    'Bit 4 is set in every mode.',
    window => ({
      store16: (offset, value) => window.store16(offset, offset === PackedEvent.MODE ? value | 16 : value),
    }),
  ),
  driverEvent(
    'packed-asks-of-the-next-lap',
    { chapter: 'notification races', breaks: 'VQ-74' },
    'The driver asks to be told one lap later than it is there.',
    window => ({
      store16: (offset, value) =>
        window.store16(offset, offset === PackedEvent.POSITION ? value ^ 0x8000 : value),
    }),
  ),
  deviceEvent(
    'packed-disable-ignored',
    { chapter: 'time and cost', breaks: 'VQ-101' },
    'The mode DISABLE of the device is taken for ENABLE.',
    window => ({
      load16: offset => {
        const value = window.load16(offset);
        return offset === PackedEvent.MODE && value === EventMode.DISABLE ? EventMode.ENABLE : value;
      },
    }),
  ),
  deviceEvent(
    'packed-event-mode-unknown',
    { chapter: 'notification races', breaks: 'VQ-100' },
    'The mode DESC of the device is taken for DISABLE.',
    window => ({
      load16: offset => {
        const value = window.load16(offset);
        return offset === PackedEvent.MODE && value === EventMode.DESC ? EventMode.DISABLE : value;
      },
    }),
  ),
  deviceEvent(
    'packed-event-wrap-ignored',
    { chapter: 'wraps', breaks: 'VQ-100', needs: 'history' },
    'The wrap counter in the position of the device is taken for 1.',
    window => ({
      load16: offset => window.load16(offset) | (offset === PackedEvent.POSITION ? 0x8000 : 0),
    }),
  ),
];

/** The descriptor beside it: 0 for 1, 1 for 0. A permutation, so that nothing but the order is wrong. */
function beside(at: number, size: number): number {
  return size > 1 ? at ^ 1 : at;
}

const order: readonly Mutant[] = [
  mutant(
    'driver',
    'in-order-table-out-of-order',
    { chapter: 'ordering', breaks: 'VQ-111' },
    'With IN_ORDER the descriptors of a split ring are used in pairs, the second before the first.',
    driverRings((window, area, { size, features }) => {
      if (features.inOrder !== true) return {};
      if (area === 'descriptors') return tableBeside(window, size);
      if (area === 'available') {
        return {
          set16: (offset, value) => window.set16(offset, isSlot(offset, size) ? beside(value, size) : value),
        };
      }
      return {
        get32(offset) {
          const value = window.get32(offset);
          return isElement(offset, Used.ID, size) ? beside(value, size) : value;
        },
      };
    }),
  ),
];

function tableBeside(window: MemoryWindow, size: number): Partial<MemoryWindow> {
  const moved = (offset: number): number =>
    beside(Math.floor(offset / Descriptor.SIZE), size) * Descriptor.SIZE + (offset % Descriptor.SIZE);
  const isNext = (offset: number): boolean => offset % Descriptor.SIZE === Descriptor.NEXT;
  let flags = 0;
  return {
    set64: (offset, value) => window.set64(moved(offset), value),
    set32: (offset, value) => window.set32(moved(offset), value),
    set16(offset, value) {
      if (!isNext(offset)) flags = value;
      // `next` counts only where the flags, written just before it, say so.
      const named = isNext(offset) && (flags & PackedFlag.NEXT) !== 0;
      window.set16(moved(offset), named ? beside(value, size) : value);
    },
  };
}

const setUps: readonly Mutant[] = [
  setUp(
    'packed-size-too-large',
    'VQ-81',
    'A packed queue is enabled with one entry more than it may have.',
    (inner, index, size, places) => inner.enableQueue(index, size + inner.queueSizeMax(index), places),
  ),
  setUp(
    'packed-event-structure-not-aligned',
    'VQ-82',
    'The event structure of the driver lies two bytes behind a multiple of 4.',
    (inner, index, size, places) => inner.enableQueue(index, size, { ...places, driver: places.driver + 2 }),
  ),
  setUp(
    'packed-ring-not-cleared',
    'VQ-83',
    'A byte of the last descriptor is not zero when the queue is enabled.',
    (inner, index, size, places, memory) => {
      memory.write(places.descriptors + SIZE * (size - 1), Uint8Array.of(1), 0, 1);
      inner.enableQueue(index, size, places);
    },
  ),
];

/** Packed queues are enabled wrongly, split ones as they should be. */
function setUp(
  name: string,
  breaks: string,
  doc: string,
  enable: (
    inner: VirtioTransport,
    index: number,
    size: number,
    places: QueueAddresses,
    memory: GuestMemory,
  ) => void,
): Mutant {
  return mutant(
    'driver',
    name,
    { chapter: 'start and features', breaks },
    doc,
    transport((inner, { memory }) => {
      let packedRings = false;
      return {
        setDriverFeatures(features) {
          packedRings = hasFeature(features, FeatureBit.RING_PACKED);
          inner.setDriverFeatures(features);
        },
        enableQueue(index, size, places) {
          if (packedRings) enable(inner, index, size, places, memory);
          else inner.enableQueue(index, size, places);
        },
      };
    }),
  );
}

const notifications: readonly Mutant[] = [
  mutant(
    'transport',
    'notification-data-left-out',
    { chapter: 'notification races', breaks: 'VQ-112' },
    'Notifications never say where the next chain will stand.',
    transport(inner => ({ notify: index => inner.notify(index) })),
  ),
  mutant(
    'transport',
    'notification-data-one-behind',
    { chapter: 'notification races', breaks: 'VQ-112' },
    'A notification says where the last chain stands, not the next one.',
    transport(inner => ({
      notify: (index, next) => inner.notify(index, next === undefined ? undefined : (next + 0xffff) & 0xffff),
    })),
  ),
  mutant(
    'transport',
    'notification-data-without-the-counter',
    { chapter: 'wraps', breaks: 'VQ-112' },
    'Bit 15 of what a notification says is 0.',
    transport(inner => ({
      notify: (index, next) => inner.notify(index, next === undefined ? undefined : next & 0x7fff),
    })),
  ),
];

export const packedDriverMutants: readonly Mutant[] = [
  ...chains,
  ...elements,
  ...wishes,
  ...order,
  ...setUps,
  ...notifications,
];
