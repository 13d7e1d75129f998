/** Devices that are wrong about packed rings: used elements, wrap counters, event structures, use in order. */
import {
  Avail,
  EventMode,
  FeatureBit,
  featureMask,
  PackedDescriptor,
  PackedEvent,
  PackedFlag,
  Used,
} from '../../../virtio/index.js';
import type { MemoryWindow } from '../../../virtio/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { deviceRings, registers } from '../seams/device.js';
import { every, from } from '../seams/overlay.js';
import { isField, isElement } from '../seams/rings.js';
import type { Ring } from '../seams/rings.js';
import type { Change, Facts } from './ring-support.js';

const { ID, LEN, FLAGS, SIZE } = PackedDescriptor;
const MARK = PackedFlag.AVAIL | PackedFlag.USED;

function packed(which: 'descriptors' | 'available' | 'used') {
  return (name: string, facts: Facts, doc: string, change: Change): Mutant =>
    mutant(
      'ring',
      name,
      { chapter: 'rings', ...facts },
      doc,
      deviceRings((window, found, ring) => (found === which ? change(window, ring) : {}), 'packed'),
    );
}

const ring = packed('descriptors');
const driverEvent = packed('available');
const deviceEvent = packed('used');

/** Changes the flags of each used element. */
function usedFlags(
  window: MemoryWindow,
  change: (flags: number, slot: number) => number,
): Partial<MemoryWindow> {
  return { store16: (offset, value) => window.store16(offset, change(value, (offset - FLAGS) / SIZE)) };
}

const elements: readonly Mutant[] = [
  ring(
    'packed-used-id-is-the-slot',
    { breaks: 'VQ-91 VQ-35' },
    'The buffer id of a used element is its slot.',
    window => ({
      set16: (offset, value) => window.set16(offset, isField(offset, ID) ? (offset - ID) / SIZE : value),
    }),
  ),
  ring(
    'packed-used-id-of-the-one-before',
    { breaks: 'VQ-91 VQ-35', needs: 'history' },
    'Every sixth used element has the buffer id of the element before it.',
    window => {
      const due = every(6);
      let last = 0;
      return {
        set16(offset, value) {
          window.set16(offset, due() ? last : value);
          last = value;
        },
      };
    },
  ),
  ring(
    'packed-used-mark-of-the-first-lap',
    { chapter: 'wraps', breaks: 'VQ-92', needs: 'history' },
    'A used element is marked as in the first lap, however often the ring was gone round.',
    window => usedFlags(window, flags => flags | MARK),
  ),
  ring(
    'packed-used-mark-changes-early',
    { chapter: 'wraps', breaks: 'VQ-92', needs: 'history' },
    'The wrap counter of used elements changes one slot before the end of the ring.',
    (window, { size }) =>
      usedFlags(window, (flags, slot) => (slot === size - 1 && size > 1 ? flags ^ MARK : flags)),
  ),
  ring(
    'packed-used-flags-before-the-element',
    { chapter: 'notification races', breaks: 'VQ-93', needs: 'race' },
    'The flags of a used element are written before its id and its length.',
    window => {
      let id = 0;
      let length = 0;
      return {
        set16(offset, value) {
          if (isField(offset, ID)) id = value;
          else window.set16(offset, value);
        },
        set32(offset, value) {
          if (isField(offset, LEN)) length = value;
          else window.set32(offset, value);
        },
        store16(offset, value) {
          window.store16(offset, value);
          window.set16(offset - FLAGS + ID, id);
          window.set32(offset - FLAGS + LEN, length);
        },
      };
    },
  ),
  ring(
    'packed-used-without-write',
    { breaks: 'VQ-94 VQ-80 CTRL-02' },
    'WRITE is never set in a used element.',
    window => usedFlags(window, flags => flags & ~PackedFlag.WRITE),
  ),
  ring(
    'packed-used-with-next',
    { chapter: 'reserved fields', breaks: 'VQ-94' },
    'NEXT is set in every used element.',
    window => usedFlags(window, flags => flags | PackedFlag.NEXT),
  ),
  ring(
    'packed-used-length-of-the-descriptor',
    { chapter: 'lengths', breaks: 'VQ-80 VQ-37 CTRL-02' },
    'The length of a used element is left as the descriptor had it.',
    window => ({ set32: () => undefined, store16: window.store16.bind(window) }),
  ),
  ring(
    'packed-used-at-the-end-of-the-chain',
    { breaks: 'VQ-92' },
    'A used element is written over the last descriptor of its place, not over the first.',
    (window, { size }) => {
      let shift = 0;
      const moved = (offset: number): number => {
        const slot = (Math.floor(offset / SIZE) + shift) % size;
        return slot * SIZE + (offset % SIZE);
      };
      return {
        set16(offset, value) {
          if (isField(offset, ID)) shift = listLength(window, Math.floor(offset / SIZE), size) - 1;
          window.set16(moved(offset), value);
        },
        set32: (offset, value) => window.set32(moved(offset), value),
        store16: (offset, value) => window.store16(moved(offset), value),
      };
    },
  ),
];

/** Descriptors of the chain that begins in a slot. */
function listLength(window: MemoryWindow, slot: number, size: number): number {
  let length = 1;
  for (let at = slot; length < size; at = (at + 1) % size, length++)
    if ((window.get16(at * SIZE + FLAGS) & PackedFlag.NEXT) === 0) break;
  return length;
}

const taking: readonly Mutant[] = [
  ring(
    'packed-available-without-the-counter',
    { chapter: 'wraps', breaks: 'VQ-114', needs: 'history' },
    'From the second lap on any descriptor whose marks differ is taken for an available one.',
    (window, { size }) => {
      let last = -1;
      let late = false;
      return {
        load16(offset) {
          const flags = window.load16(offset);
          const slot = (offset - FLAGS) / SIZE;
          if (slot < last && size > 1) late = true;
          last = slot;
          const differ = (flags & MARK) === PackedFlag.AVAIL || (flags & MARK) === PackedFlag.USED;
          return late && differ ? (flags & ~MARK) | PackedFlag.USED : flags;
        },
      };
    },
  ),
  ring(
    'packed-id-of-the-first-descriptor',
    { breaks: 'VQ-91 VQ-35' },
    'The buffer id is read from the slot behind the last descriptor of the chain.',
    (window, { size }) => ({
      get16: offset =>
        window.get16(isField(offset, ID) ? (((offset - ID) / SIZE + 1) % size) * SIZE + ID : offset),
    }),
  ),
];

const wishes: readonly Mutant[] = [
  driverEvent(
    'packed-enable-is-disable',
    { chapter: 'notification races', breaks: 'VQ-102' },
    'The mode ENABLE of the driver is taken for DISABLE.',
    window => ({
      load16: offset => {
        const value = window.load16(offset);
        return offset === PackedEvent.MODE && value === EventMode.ENABLE ? EventMode.DISABLE : value;
      },
    }),
  ),
  driverEvent(
    'packed-disable-ignored',
    { chapter: 'time and cost', breaks: 'VQ-103' },
    'The mode DISABLE of the driver is taken for ENABLE.',
    window => ({
      load16: offset => {
        const value = window.load16(offset);
        return offset === PackedEvent.MODE && value === EventMode.DISABLE ? EventMode.ENABLE : value;
      },
    }),
  ),
  driverEvent(
    'packed-event-mode-unknown',
    { chapter: 'notification races', breaks: 'VQ-102' },
    'The mode DESC of the driver is taken for DISABLE.',
    window => ({
      load16: offset => {
        const value = window.load16(offset);
        return offset === PackedEvent.MODE && value === EventMode.DESC ? EventMode.DISABLE : value;
      },
    }),
  ),
  driverEvent(
    'packed-event-wrap-ignored',
    { chapter: 'wraps', breaks: 'VQ-102', needs: 'history' },
    'The wrap counter in the position of the driver is taken for 1.',
    window => ({
      load16: offset => window.load16(offset) | (offset === PackedEvent.POSITION ? 0x8000 : 0),
    }),
  ),
  deviceEvent(
    'packed-asks-with-a-reserved-mode',
    { chapter: 'reserved fields', breaks: 'VQ-105' },
    'The device asks to be told with the mode 3.',
    window => ({
      store16: (offset, value) =>
        window.store16(offset, offset === PackedEvent.MODE && value !== EventMode.DISABLE ? 3 : value),
    }),
  ),
  deviceEvent(
    'packed-position-without-event-idx',
    { chapter: 'reserved fields', breaks: 'VQ-105' },
    'The device asks with the mode DESC whether or not EVENT_IDX is negotiated.',
    window => ({
      store16: (offset, value) =>
        window.store16(
          offset,
          offset === PackedEvent.MODE && value === EventMode.ENABLE ? EventMode.DESC : value,
        ),
    }),
  ),
  deviceEvent(
    'packed-position-outside-the-ring',
    { chapter: 'notification races', breaks: 'VQ-105 VQ-73' },
    'The device asks to be told of the slot behind the last one.',
    (window, { size }) => ({
      store16: (offset, value) =>
        window.store16(offset, offset === PackedEvent.POSITION ? (value & 0x8000) | size : value),
    }),
  ),
];

const order: readonly Mutant[] = [
  mutant(
    'ring',
    'in-order-newest-first',
    { chapter: 'ordering', breaks: 'VQ-108', needs: 'history' },
    'With IN_ORDER a used element of a split ring names the chain that was made available last.',
    deviceRings((window, area, ring_) => {
      const { size, features } = ring_;
      if (features.inOrder !== true) return {};
      if (area === 'available') newest.set(ring_, () => head(window, size));
      if (area !== 'used') return {};
      return {
        set32: (offset, value) =>
          window.set32(offset, isElement(offset, Used.ID, size) ? (newest.get(ring_)?.() ?? value) : value),
      };
    }),
  ),
  mutant(
    'ring',
    'in-order-batch-of-three',
    { chapter: 'ordering', breaks: 'VQ-110 VQ-35', needs: 'history' },
    'With IN_ORDER the used index of a split ring goes on by three now and then, whatever the element says.',
    deviceRings((window, area, { features }) => {
      if (area !== 'used' || features.inOrder !== true) return {};
      const due = every(9);
      let extra = 0;
      return {
        store16(offset, value) {
          if (offset === Used.IDX && due()) extra += 2;
          window.store16(offset, offset === Used.IDX ? (value + extra) & 0xffff : value);
        },
      };
    }),
  ),
];

/** What a device can see of an available ring. */
const newest = new WeakMap<Ring, () => number>();

function head(window: MemoryWindow, size: number): number {
  return window.get16(Avail.RING + Avail.ENTRY * ((window.get16(Avail.IDX) + 0xffff) % size));
}

const late: readonly Mutant[] = [
  mutant(
    'ring',
    'packed-writes-the-wish-of-the-driver',
    { chapter: 'rings', breaks: 'VQ-33' },
    'The device puts its own wish into the event structure of the driver too.',
    deviceRings((window, area, ring_) => {
      if (area === 'available') wishOf.set(ring_, window);
      if (area !== 'used') return {};
      const due = from(3);
      return {
        store16(offset, value) {
          window.store16(offset, value);
          if (due()) wishOf.get(ring_)?.store16(offset, value);
        },
      };
    }, 'packed'),
  ),
];

/** The driver's event structures. */
const registersOfRings: readonly Mutant[] = [
  mutant(
    'device',
    'packed-taken-for-split',
    { chapter: 'start and features', breaks: 'VQ-79' },
    'The device uses split rings although RING_PACKED is negotiated.',
    registers(inner => ({
      setDriverFeatures: features => inner.setDriverFeatures(features & ~featureMask(FeatureBit.RING_PACKED)),
    })),
  ),
  mutant(
    'device',
    'notification-data-believed',
    { chapter: 'notification races', breaks: 'VQ-113', needs: 'history' },
    'A notification that names a slot before that of an earlier one is taken for an old one.',
    registers(inner => {
      const furthest = new Map<number, number>();
      return {
        notified(index, next) {
          const slot = (next ?? 0) & 0x7fff;
          if (next !== undefined && slot < (furthest.get(index) ?? 0)) return;
          furthest.set(index, slot);
          inner.notified(index, next);
        },
      };
    }),
  ),
];

const wishOf = new WeakMap<Ring, MemoryWindow>();

export const packedDeviceMutants: readonly Mutant[] = [
  ...elements,
  ...taking,
  ...wishes,
  ...order,
  ...late,
  ...registersOfRings,
];
