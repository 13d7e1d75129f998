/** Devices that take chains wrongly, and that do not mind a rule which the driver breaks. */
import { Avail, Descriptor, DescriptorFlag } from '../../../virtio/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { deviceBytes, deviceRings, interrupts, perDevice, registers } from '../seams/device.js';
import { isSlot } from '../seams/rings.js';
import { area, available } from './ring-support.js';

const descriptors = area('descriptors', 'rings');

/** Offset of a field in each descriptor. */
const isField = (offset: number, field: number): boolean => offset % Descriptor.SIZE === field;

const chains: readonly Mutant[] = [
  available(
    'chains-taken-backwards',
    { chapter: 'ordering', breaks: 'VQ-31 ORD-16', needs: 'race' },
    'Of two chains that are available together the second is taken first.',
    (window, { size }) => {
      let taken = 0;
      let swapped = -1;
      return {
        get16(offset) {
          if (!isSlot(offset, size)) return window.get16(offset);
          const ahead = (window.load16(Avail.IDX) - taken) & 0xffff;
          const slot = (at: number): number => window.get16(Avail.RING + Avail.ENTRY * (at % size));
          const place = taken++;
          if (swapped >= 0) {
            swapped = -1;
            return slot(place - 1);
          }
          if (ahead < 2) return slot(place);
          swapped = place;
          return slot(place + 1);
        },
      };
    },
  ),
  available(
    'slot-read-twice',
    { breaks: 'VQ-32', needs: 'race' },
    'Each slot of the available ring is read twice, and the second reading counts.',
    (window, { size }) => ({
      get16(offset) {
        const value = window.get16(offset);
        return isSlot(offset, size) ? window.get16(offset) : value;
      },
    }),
  ),
  descriptors(
    'descriptor-read-twice',
    { breaks: 'VQ-32', needs: 'race' },
    'The length of each descriptor is read twice, and the second reading counts.',
    window => ({
      get32(offset) {
        const value = window.get32(offset);
        return isField(offset, Descriptor.LEN) ? window.get32(offset) : value;
      },
    }),
  ),
  available(
    'slot-of-8-bits',
    { chapter: 'wraps', breaks: 'VQ-31 VQ-12' },
    'Of a head only the low five bits are used.',
    (window, { size }) => ({
      get16: offset => (isSlot(offset, size) ? window.get16(offset) & 0x1f : window.get16(offset)),
    }),
  ),
  descriptors(
    'length-of-16-bits',
    { chapter: 'wraps', breaks: 'VQ-13' },
    'Of the length of a descriptor only the low 16 bits are used, where any is set.',
    window => ({
      get32(offset) {
        const value = window.get32(offset);
        return isField(offset, Descriptor.LEN) && value % 2 ** 16 > 0 ? value % 2 ** 16 : value;
      },
    }),
  ),
  descriptors(
    'chain-of-one-or-two',
    { breaks: 'VQ-13 VQ-16 CTRL-13' },
    'A chain ends with its fourth descriptor.',
    window => {
      let count = 0;
      let last = -1;
      return {
        get16(offset) {
          const value = window.get16(offset);
          if (!isField(offset, Descriptor.FLAGS)) return value;
          count = (value & DescriptorFlag.NEXT) === 0 ? 0 : count + 1;
          last = offset;
          return count >= 4 && last === offset ? value & ~DescriptorFlag.NEXT : value;
        },
      };
    },
  ),
  descriptors(
    'empty-descriptor-breaks-the-ring',
    { breaks: 'VQ-18' },
    'A descriptor of length 0 is taken for one outside guest memory.',
    window => ({
      get64(offset) {
        const address = window.get64(offset);
        return isField(offset, Descriptor.ADDR) && window.get32(offset + Descriptor.LEN) === 0 ? -1 : address;
      },
      get32(offset) {
        const value = window.get32(offset);
        return isField(offset, Descriptor.LEN) && value === 0 ? 1 : value;
      },
    }),
  ),
  descriptors(
    'write-of-a-table-obeyed',
    { breaks: 'VQ-23' },
    'A descriptor of an indirect table with WRITE is taken for a part of its own.',
    window => ({
      get16(offset) {
        const value = window.get16(offset);
        const both = DescriptorFlag.INDIRECT | DescriptorFlag.WRITE;
        return isField(offset, Descriptor.FLAGS) && (value & both) === both
          ? value & ~DescriptorFlag.INDIRECT
          : value;
      },
    }),
  ),
];

/** A rule of the rings that the driver breaks and the device does not mind: it reads something legal in its place. */
const tolerated: readonly Mutant[] = [
  available(
    'head-taken-modulo',
    { chapter: 'broken peers', breaks: 'VQ-47' },
    'A head that is too high is taken modulo the size.',
    (window, { size }) => ({
      get16: offset => (isSlot(offset, size) ? window.get16(offset) % size : window.get16(offset)),
    }),
  ),
  descriptors(
    'next-too-high-is-none',
    { chapter: 'broken peers', breaks: 'VQ-49' },
    'A chain whose next is too high ends there.',
    (window, { size }) => ({
      get16(offset) {
        const value = window.get16(offset);
        if (!isField(offset, Descriptor.FLAGS)) return value;
        return window.get16(offset - Descriptor.FLAGS + Descriptor.NEXT) < size
          ? value
          : value & ~DescriptorFlag.NEXT;
      },
    }),
  ),
  descriptors(
    'loop-cut',
    { chapter: 'broken peers', breaks: 'VQ-50' },
    'A chain that comes back to a descriptor ends there.',
    (window, { size }) => {
      let seen = 0;
      return {
        get16(offset) {
          const value = window.get16(offset);
          if (!isField(offset, Descriptor.FLAGS)) return value;
          seen = (value & DescriptorFlag.NEXT) === 0 ? 0 : seen + 1;
          if (seen < size) return value;
          seen = 0;
          return value & ~DescriptorFlag.NEXT;
        },
      };
    },
  ),
  descriptors(
    'readable-behind-writable',
    { chapter: 'broken peers', breaks: 'VQ-52' },
    'A readable descriptor behind a writable one is taken for a writable one.',
    window => {
      let writable = false;
      return {
        get16(offset) {
          const value = window.get16(offset);
          if (!isField(offset, Descriptor.FLAGS) || (value & DescriptorFlag.INDIRECT) !== 0) return value;
          const shown = writable ? value | DescriptorFlag.WRITE : value;
          writable = (value & DescriptorFlag.NEXT) !== 0 && (shown & DescriptorFlag.WRITE) !== 0;
          return shown;
        },
      };
    },
  ),
  mutant(
    'ring',
    'outside-memory-is-nothing',
    { chapter: 'broken peers', breaks: 'VQ-53' },
    'A descriptor outside guest memory is taken for one of no bytes.',
    outsideIsNothing(),
  ),
  descriptors(
    'huge-chain-cut',
    { chapter: 'broken peers', breaks: 'VQ-51' },
    'A length of 2^20 or more is taken for 16.',
    window => ({
      get32(offset) {
        const value = window.get32(offset);
        return isField(offset, Descriptor.LEN) && value >= 2 ** 20 ? 16 : value;
      },
    }),
  ),
  descriptors(
    'indirect-and-next',
    { chapter: 'broken peers', breaks: 'VQ-54' },
    'NEXT beside INDIRECT is ignored.',
    window => ({
      get16(offset) {
        const value = window.get16(offset);
        const both = DescriptorFlag.INDIRECT | DescriptorFlag.NEXT;
        return isField(offset, Descriptor.FLAGS) && (value & both) === both
          ? value & ~DescriptorFlag.NEXT
          : value;
      },
    }),
  ),
  descriptors(
    'indirect-table-of-any-length',
    { chapter: 'broken peers', breaks: 'VQ-55' },
    'The length of an indirect table is rounded down to whole descriptors.',
    window => ({
      get32(offset) {
        const value = window.get32(offset);
        const flags = window.get16(offset - Descriptor.LEN + Descriptor.FLAGS);
        return isField(offset, Descriptor.LEN) &&
          (flags & DescriptorFlag.INDIRECT) !== 0 &&
          value > Descriptor.SIZE
          ? value - (value % Descriptor.SIZE)
          : value;
      },
    }),
  ),
  available(
    'available-index-clamped',
    { chapter: 'broken peers', breaks: 'VQ-56' },
    'Of more available chains than the queue has entries the first are taken.',
    (window, { size }) => {
      let last = 0;
      return {
        load16(offset) {
          const value = window.load16(offset);
          if (offset !== Avail.IDX) return value;
          const shown = ((value - last) & 0xffff) > size ? last : value;
          last = shown;
          return shown;
        },
      };
    },
  ),
  mutant(
    'ring',
    'broken-ring-without-needs-reset',
    { chapter: 'broken peers', breaks: 'VQ-46 FEAT-32 HOST-01' },
    'DEVICE_NEEDS_RESET is not shown.',
    registers(inner => ({ readStatus: () => inner.readStatus() & ~0x40 })),
  ),
  mutant(
    'ring',
    'needs-reset-without-an-interrupt',
    { chapter: 'broken peers', breaks: 'FEAT-32' },
    'The configuration interrupt that goes with DEVICE_NEEDS_RESET is not sent.',
    interrupts(() => ({ interruptConfig: () => undefined })),
  ),
  mutant(
    'ring',
    'small-completion-buffer-used',
    { chapter: 'broken peers', breaks: 'CQ-13' },
    'A completion is cut to the buffer that there is.',
    deviceRings((window, found, { kind }) =>
      found !== 'descriptors' || kind !== 'cq'
        ? {}
        : {
            get32(offset) {
              const value = window.get32(offset);
              return isField(offset, Descriptor.LEN) && value > 0 && value < 48 ? 48 : value;
            },
          },
    ),
  ),
];

function outsideIsNothing(): Mutant['implementation'] {
  return perDevice(({ memory }) =>
    deviceRings((window, found) =>
      found !== 'descriptors'
        ? {}
        : {
            get32(offset) {
              const value = window.get32(offset);
              const flags = window.get16(offset - Descriptor.LEN + Descriptor.FLAGS);
              if (!isField(offset, Descriptor.LEN) || (flags & DescriptorFlag.INDIRECT) !== 0) return value;
              return memory.contains(window.get64(offset - Descriptor.LEN), value) ? value : 0;
            },
          },
    ),
  );
}

const resets: readonly Mutant[] = [
  mutant(
    'ring',
    'reset-of-one-resets-the-others',
    { chapter: 'stale state', breaks: 'VQ-77' },
    'The reset of one queue resets all of them.',
    registers(inner => ({
      resetQueue(index) {
        inner.resetQueue(index);
        for (let other = 0; other < inner.queueCount; other++) inner.resetQueue(other);
      },
    })),
  ),
  mutant(
    'ring',
    'queue-reset-ignored',
    { chapter: 'stale state', breaks: 'VQ-75 VQ-76 CTRL-25' },
    'The reset of a queue does nothing.',
    registers(() => ({ resetQueue: () => undefined })),
  ),
  mutant(
    'ring',
    'queue-reset-without-the-feature',
    { chapter: 'stale state', breaks: 'VQ-78' },
    'After the reset of a queue it is shown as disabled, whether or not RING_RESET is negotiated.',
    registers(inner => {
      const reset = new Set<number>();
      return {
        resetQueue(index) {
          reset.add(index);
          inner.resetQueue(index);
        },
        enableQueue(index, size, addresses) {
          reset.delete(index);
          inner.enableQueue(index, size, addresses);
        },
        queueEnabled: index => !reset.has(index) && inner.queueEnabled(index),
      };
    }),
  ),
];

const memoryBytes: readonly Mutant[] = [
  mutant(
    'ring',
    'byte-outside-memory',
    { chapter: 'isolation', breaks: 'ISO-08 VQ-58 ISO-06' },
    'With each completion the byte behind its buffer is set to 1.',
    deviceBytes(() => ({
      accessed(kind, address, length, memory) {
        if (kind === 'write' && length === 48) memory.write(address + length, Uint8Array.of(1), 0, 1);
      },
    })),
  ),
  mutant(
    'ring',
    'slot-cleared-when-read',
    { chapter: 'rings', breaks: 'VQ-33' },
    'The slot of the available ring is set to zero when it has been read.',
    deviceRings((window, found, { size }) =>
      found !== 'available'
        ? {}
        : {
            get16(offset) {
              const value = window.get16(offset);
              if (isSlot(offset, size)) window.set16(offset, 0);
              return value;
            },
          },
    ),
  ),
  mutant(
    'ring',
    'descriptor-cleared-when-read',
    { chapter: 'rings', breaks: 'VQ-33' },
    'The flags of a descriptor are set to zero when they have been read.',
    deviceRings((window, found) =>
      found !== 'descriptors'
        ? {}
        : {
            get16(offset) {
              const value = window.get16(offset);
              if (isField(offset, Descriptor.FLAGS)) window.set16(offset, 0);
              return value;
            },
          },
    ),
  ),
];

export const chainMutants: readonly Mutant[] = [...chains, ...tolerated, ...resets, ...memoryBytes];
