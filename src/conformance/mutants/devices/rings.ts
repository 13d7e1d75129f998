/** Devices that are wrong about their rings: indices, elements, descriptors, suppression, and what a broken ring comes to. */
import {
  Avail,
  Descriptor,
  DescriptorFlag,
  Used,
  availEventOffset,
  usedEventOffset,
} from '../../../virtio/index.js';
import type { MemoryWindow } from '../../../virtio/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';
import { deviceBytes, deviceRings, interrupts, perDevice, registers } from '../seams/device.js';
import { every, overlay } from '../seams/overlay.js';
import { isElement, isSlot } from '../seams/rings.js';
import type { Ring } from '../seams/rings.js';
import { bundledDevice } from '../../bundled.js';

type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;
type Change = (window: MemoryWindow, ring: Ring) => Partial<MemoryWindow>;

function area(which: 'descriptors' | 'available' | 'used', defaultChapter: MutantFacts['chapter']) {
  return (name: string, facts: Facts, doc: string, change: Change): Mutant =>
    mutant(
      'ring',
      name,
      { chapter: defaultChapter, ...facts },
      doc,
      deviceRings((window, found, ring) => (found === which ? change(window, ring) : {})),
    );
}
const used = area('used', 'rings');
const available = area('available', 'rings');
const descriptors = area('descriptors', 'rings');

const elements: readonly Mutant[] = [
  used(
    'used-length-one-too-large',
    { chapter: 'lengths', breaks: 'VQ-37 CTRL-02 CQ-12' },
    'The used length of every element is one too large.',
    (window, { size }) => ({
      set32: (offset, value) => window.set32(offset, isElement(offset, Used.LEN, size) ? value + 1 : value),
    }),
  ),
  used(
    'used-length-of-a-request-is-one',
    { chapter: 'lengths', breaks: 'VQ-38 VQ-37' },
    'A send or receive comes back with a used length of 1.',
    (window, { size, kind }) => ({
      set32: (offset, value) =>
        window.set32(
          offset,
          kind !== 'control' && kind !== 'cq' && isElement(offset, Used.LEN, size) ? 1 : value,
        ),
    }),
  ),
  used(
    'used-id-of-the-one-before',
    { breaks: 'VQ-35', needs: 'history' },
    'Every sixth used element has the id of the element before it.',
    (window, { size }) => {
      const due = every(6);
      let last = 0;
      return {
        set32(offset, value) {
          if (!isElement(offset, Used.ID, size)) return window.set32(offset, value);
          window.set32(offset, due() ? last : value);
          last = value;
        },
      };
    },
  ),
  used(
    'used-id-is-a-position',
    { breaks: 'VQ-35' },
    'The id of a used element is its place in the ring.',
    (window, { size }) => ({
      set32: (offset, value) =>
        window.set32(offset, isElement(offset, Used.ID, size) ? (offset - Used.RING) / Used.ENTRY : value),
    }),
  ),
  used(
    'used-index-runs-ahead',
    { breaks: 'VQ-35 VQ-36', needs: 'history' },
    'The eleventh raise of the used index of a queue is by two.',
    window => {
      const due = every(11);
      let extra = 0;
      return {
        store16(offset, value) {
          if (offset === Used.IDX && due()) extra++;
          window.store16(offset, offset === Used.IDX ? (value + extra) & 0xffff : value);
        },
      };
    },
  ),
  used(
    'used-index-stays-below-the-size',
    { chapter: 'wraps', breaks: 'VQ-36 VQ-76', needs: 'history' },
    'The used index of a queue starts again at 0 when it has come to the size of the queue.',
    (window, { size }) => ({
      store16: (offset, value) => window.store16(offset, offset === Used.IDX ? value % size : value),
    }),
  ),
  used(
    'used-slot-behind-the-size',
    { chapter: 'wraps', breaks: 'VQ-36', needs: 'history' },
    'After the first lap a used element is written one place too far.',
    (window, { size }) => {
      let lap = 0;
      const place = (offset: number): number => {
        const at = (offset - Used.RING) / Used.ENTRY;
        return lap < size || !(offset >= Used.RING && offset < availEventOffset(size))
          ? offset
          : Used.RING + Used.ENTRY * ((Math.floor(at) + 1) % size) + ((offset - Used.RING) % Used.ENTRY);
      };
      return {
        set32(offset, value) {
          window.set32(place(offset), value);
          if (isElement(offset, Used.LEN, size)) lap++;
        },
      };
    },
  ),
  used(
    'used-index-before-its-element',
    { chapter: 'notification races', breaks: 'VQ-36', needs: 'race' },
    'The used index is raised before the element is written.',
    (window, { size }) => ({
      set32(offset, value) {
        if (isElement(offset, Used.ID, size)) window.store16(Used.IDX, (window.get16(Used.IDX) + 1) & 0xffff);
        window.set32(offset, value);
      },
    }),
  ),
  used(
    'used-flags-with-event-idx',
    { breaks: 'VQ-70' },
    'NO_NOTIFY is set whether or not EVENT_IDX is negotiated.',
    (window, { size }) => ({
      store16(offset, value) {
        window.store16(offset, value);
        if (offset === availEventOffset(size)) window.store16(Used.FLAGS, Used.NO_NOTIFY);
      },
    }),
  ),
];

const suppression: readonly Mutant[] = [
  used(
    'asleep-with-kicks-off',
    { chapter: 'notification races', breaks: 'VQ-73 DATA-33 CQ-30', needs: 'race' },
    'The device goes to sleep and does not ask for notifications again.',
    (window, { size }) => {
      let disabled = false;
      return {
        store16(offset, value) {
          const flags = offset === Used.FLAGS || offset === availEventOffset(size);
          if (flags && disabled) return;
          if (flags) disabled = true;
          window.store16(offset, value);
        },
      };
    },
  ),
  used(
    'kicks-never-off',
    { chapter: 'time and cost', breaks: 'PERF-03 PERF-04' },
    'Without EVENT_IDX the device asks for a notification of every chain.',
    window => ({
      store16: (offset, value) => window.store16(offset, offset === Used.FLAGS ? 0 : value),
    }),
  ),
  used(
    'completion-kicks-on',
    { chapter: 'time and cost', breaks: 'PERF-04' },
    'Notifications of completion virtqueues are never disabled.',
    (window, { kind }) => ({
      store16(offset, value) {
        window.store16(offset, kind === 'cq' && offset === Used.FLAGS ? 0 : value);
      },
    }),
  ),
  available(
    'suppression-of-the-control-queue-ignored',
    { chapter: 'notification races', breaks: 'VQ-65 VQ-67', needs: 'race' },
    'The device takes NO_INTERRUPT for set on the control queue.',
    (window, { kind }) => ({
      load16: offset =>
        kind !== 'control' || offset === Avail.IDX
          ? window.load16(offset)
          : offset === Avail.FLAGS
            ? Avail.NO_INTERRUPT
            : (window.load16(Avail.IDX) - 2) & 0xffff,
    }),
  ),
  available(
    'used-event-one-too-late',
    { chapter: 'notification races', breaks: 'VQ-67', needs: 'race' },
    'With EVENT_IDX the interrupt comes one element after the one that the driver waits for.',
    (window, { size }) => ({
      load16: offset =>
        offset === usedEventOffset(size) ? (window.load16(offset) + 1) & 0xffff : window.load16(offset),
    }),
  ),
  available(
    'used-event-of-8-bits',
    { chapter: 'wraps', breaks: 'VQ-67', needs: 'history' },
    'Of used_event only the low five bits are compared.',
    (window, { size }) => ({
      load16: offset =>
        offset === usedEventOffset(size) ? window.load16(offset) & 0x1f : window.load16(offset),
    }),
  ),
  available(
    'requests-interrupt',
    { chapter: 'time and cost', breaks: 'VQ-66' },
    'Without EVENT_IDX the suppression of send and receive queues is ignored.',
    (window, { kind }) => ({
      load16: offset =>
        offset === Avail.FLAGS && (kind === 'send' || kind === 'recv') ? 0 : window.load16(offset),
    }),
  ),
  available(
    'index-read-without-a-barrier',
    { chapter: 'notification races', breaks: 'VQ-73', needs: 'race' },
    'The device sees every fifth raise of an available index two looks late, so not before it sleeps.',
    window => {
      const due = every(5);
      let seen = 0;
      let late = 0;
      return {
        load16(offset) {
          const value = window.load16(offset);
          if (offset !== Avail.IDX || value === seen) return value;
          if (late === 0 && due()) late = 3;
          if (late > 0 && --late > 0) return seen;
          seen = value;
          return value;
        },
      };
    },
  ),
  mutant(
    'ring',
    'completion-suppression-obeyed',
    { chapter: 'notification races', breaks: 'CQ-42 CQ-08' },
    'The event of a completion queue is left out when the ring says NO_INTERRUPT.',
    perDevice(({ profile, limits, memory }) => {
      const map = profile.queues(limits.maxQps, limits.maxCqs);
      const rings = new Map<number, MemoryWindow>();
      return {
        device(context) {
          const inner = bundledDevice(context);
          return overlay(inner, {
            enableQueue(index, size, addresses) {
              const window = memory.window(addresses.driver, 4);
              if (window !== undefined) rings.set(index, window);
              inner.enableQueue(index, size, addresses);
            },
            attach: host =>
              inner.attach(
                overlay(host, {
                  interruptQueue(index) {
                    const quiet = (rings.get(index)?.load16(Avail.FLAGS) ?? 0) !== 0;
                    if (index <= map.control || !quiet) host.interruptQueue(index);
                  },
                }),
              ),
          });
        },
      };
    }),
  ),
  mutant(
    'ring',
    'every-fourth-interrupt-lost',
    { chapter: 'notification races', breaks: 'VQ-65 VQ-67', needs: 'history' },
    'Every fourth interrupt of the control queue is not sent.',
    interrupts((host, { profile, limits }) => {
      const { control } = profile.queues(limits.maxQps, limits.maxCqs);
      const due = every(4);
      return {
        interruptQueue(index) {
          if (index !== control || !due()) host.interruptQueue(index);
        },
      };
    }),
  ),
  mutant(
    'ring',
    'interrupt-twice-a-command',
    { chapter: 'time and cost', breaks: 'PERF-10' },
    'Each interrupt of the control queue is sent twice.',
    interrupts((host, { profile, limits }) => {
      const { control } = profile.queues(limits.maxQps, limits.maxCqs);
      return {
        interruptQueue(index) {
          host.interruptQueue(index);
          if (index === control) host.interruptQueue(index);
        },
      };
    }),
  ),
];

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

export const ringMutants: readonly Mutant[] = [
  ...elements,
  ...suppression,
  ...chains,
  ...tolerated,
  ...resets,
  ...memoryBytes,
];
