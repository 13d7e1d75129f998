/** Drivers that are wrong about what they publish, and about the memory that they show to a device. */
import { Avail, Descriptor, DescriptorFlag } from '../../../virtio/index.js';
import type { DmaBuffer } from '../../../driver/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { driverIn, driverRings, messages, operatingSystem } from '../seams/driver.js';
import { every, overlay } from '../seams/overlay.js';
import { isSlot } from '../seams/rings.js';
import { ring } from './ring-support.js';

const isField = (offset: number, field: number): boolean => offset % Descriptor.SIZE === field;

const publishing: readonly Mutant[] = [
  ring(
    'index-before-its-slot',
    'available',
    { chapter: 'notification races', breaks: 'VQ-28', needs: 'race' },
    'The available index is raised before the slot is written.',
    (window, { size }) => ({
      set16(offset, value) {
        if (isSlot(offset, size)) window.store16(Avail.IDX, (window.get16(Avail.IDX) + 1) & 0xffff);
        window.set16(offset, value);
      },
    }),
  ),
  ring(
    'index-one-too-far',
    'available',
    { breaks: 'VQ-28 VQ-15', needs: 'history' },
    'The seventh raise of an available index is by one too many.',
    window => {
      const due = every(7);
      let extra = 0;
      return {
        store16(offset, value) {
          if (offset === Avail.IDX && due()) extra++;
          window.store16(offset, offset === Avail.IDX ? (value + extra) & 0xffff : value);
        },
      };
    },
  ),
  ring(
    'index-stays-below-the-size',
    'available',
    { chapter: 'wraps', breaks: 'VQ-28 RST-06', needs: 'history' },
    'The available index starts again at 0 when it has come to the size of the queue.',
    (window, { size }) => ({
      store16: (offset, value) => window.store16(offset, offset === Avail.IDX ? value % size : value),
    }),
  ),
  ring(
    'slot-of-the-one-before',
    'available',
    { breaks: 'VQ-30 VQ-29', needs: 'history' },
    'Every ninth slot of an available ring has the head of the slot before it.',
    (window, { size }) => {
      const due = every(9);
      let last = 0;
      return {
        set16(offset, value) {
          if (!isSlot(offset, size)) return window.set16(offset, value);
          window.set16(offset, due() ? last : value);
          last = value;
        },
      };
    },
  ),
  ring(
    'descriptor-changed-after-publication',
    'available',
    { breaks: 'VQ-29', needs: 'race' },
    'The slot of the chain before is cleared when a chain is published.',
    (window, { size }) => ({
      store16(offset, value) {
        window.store16(offset, value);
        if (offset === Avail.IDX)
          window.set16(Avail.RING + Avail.ENTRY * ((value + size - 2) % size), 0xffff);
      },
    }),
  ),
  ring(
    'indirect-without-the-feature',
    'descriptors',
    { breaks: 'VQ-20 VQ-22' },
    'A descriptor with NEXT has INDIRECT too.',
    window => ({
      set16(offset, value) {
        const next = isField(offset, Descriptor.FLAGS) && (value & DescriptorFlag.NEXT) !== 0;
        window.set16(offset, next ? value | DescriptorFlag.INDIRECT : value);
      },
    }),
  ),
  ring(
    'readable-answers',
    'descriptors',
    { breaks: 'VQ-14 CTRL-17' },
    'The room for an ack is not writable.',
    window => ({
      set16(offset, value) {
        const ack =
          isField(offset, Descriptor.FLAGS) && window.get32(offset - Descriptor.FLAGS + Descriptor.LEN) === 1;
        window.set16(offset, ack ? value & ~DescriptorFlag.WRITE : value);
      },
    }),
  ),
  ring(
    'writable-before-readable',
    'descriptors',
    { breaks: 'VQ-14' },
    'The header of a command is writable.',
    (window, { kind }) => ({
      set16(offset, value) {
        const header =
          isField(offset, Descriptor.FLAGS) && window.get32(offset - Descriptor.FLAGS + Descriptor.LEN) === 2;
        window.set16(offset, kind === 'control' && header ? value | DescriptorFlag.WRITE : value);
      },
    }),
  ),
  ring(
    'chain-without-an-end',
    'descriptors',
    { breaks: 'VQ-15', needs: 'history' },
    'The fortieth descriptor of a queue leads on to the first.',
    window => {
      let count = 0;
      return {
        set16(offset, value) {
          const flags = isField(offset, Descriptor.FLAGS);
          window.set16(offset, flags && ++count === 40 ? value | DescriptorFlag.NEXT : value);
        },
      };
    },
  ),
  ring(
    'chain-of-four-gigabytes',
    'descriptors',
    { chapter: 'lengths', breaks: 'VQ-17' },
    'A completion buffer is said to be 2^32 - 1 bytes long, and leads on to the next.',
    (window, { kind }) => ({
      set32: (offset, value) =>
        window.set32(offset, kind === 'cq' && isField(offset, Descriptor.LEN) ? 0xffff_ffff : value),
      set16: (offset, value) =>
        window.set16(
          offset,
          kind === 'cq' && isField(offset, Descriptor.FLAGS) ? value | DescriptorFlag.NEXT : value,
        ),
    }),
  ),
  ring(
    'empty-descriptor-used',
    'descriptors',
    { chapter: 'lengths', breaks: 'VQ-19 CTRL-17' },
    'The room for a result has no byte.',
    (window, { kind }) => ({
      set32(offset, value) {
        const result = kind === 'control' && isField(offset, Descriptor.LEN) && value === 4;
        window.set32(offset, result ? 0 : value);
      },
    }),
  ),
  ring(
    'completion-buffer-of-47-bytes',
    'descriptors',
    { chapter: 'lengths', breaks: 'CQ-10' },
    'Completion buffers have 47 writable bytes.',
    (window, { kind }) => ({
      set32: (offset, value) =>
        window.set32(offset, kind === 'cq' && isField(offset, Descriptor.LEN) && value === 48 ? 47 : value),
    }),
  ),
  mutant(
    'driver',
    'nested-indirect-table',
    { chapter: 'rings', breaks: 'VQ-21 VQ-22' },
    'The first descriptor of an indirect table has INDIRECT.',
    nestedIndirect(),
  ),
  mutant(
    'driver',
    'five-descriptors-a-command',
    { chapter: 'time and cost', breaks: 'PERF-11 VQ-19' },
    'A result is cut into two descriptors.',
    longChains(),
  ),
];

function nestedIndirect(): Mutant['implementation'] {
  return driverIn(context => ({
    ...context,
    memory: overlay(context.memory, {
      window(address, length) {
        const window = context.memory.window(address, length);
        if (window === undefined || !context.ringFeatures.indirect) return window;
        return overlay(window, {
          set16(offset, value) {
            const first =
              length > 0 && offset % 64 === Descriptor.FLAGS && (value & DescriptorFlag.INDIRECT) === 0;
            const table = first && (value & DescriptorFlag.NEXT) !== 0 && window.get32(offset - 4) === 2;
            window.set16(offset, table ? value | DescriptorFlag.INDIRECT : value);
          },
        });
      },
    }),
  }));
}

/** The last descriptor of a command, half as long, leads on to a free one with the other half. */
function longChains(): Mutant['implementation'] {
  return driverRings((window, area, { kind, size }) => {
    if (area !== 'descriptors' || kind !== 'control') return {};
    let free = size - 1;
    return {
      set16(offset, value) {
        const last = isField(offset, Descriptor.FLAGS) && value === DescriptorFlag.WRITE;
        const at = offset - Descriptor.FLAGS;
        const length = last ? window.get32(at + Descriptor.LEN) : 0;
        if (length < 8 || free < size / 2) return window.set16(offset, value);
        const spare = Descriptor.SIZE * free;
        const half = length / 2;
        window.set64(spare + Descriptor.ADDR, window.get64(at + Descriptor.ADDR) + Math.floor(half));
        window.set32(spare + Descriptor.LEN, Math.ceil(half));
        window.set16(spare + Descriptor.FLAGS, DescriptorFlag.WRITE);
        window.set32(at + Descriptor.LEN, Math.floor(half));
        window.set16(offset, DescriptorFlag.WRITE | DescriptorFlag.NEXT);
        window.set16(at + Descriptor.NEXT, free);
        free--;
      },
    };
  });
}

const memory: readonly Mutant[] = [
  mutant(
    'driver',
    'request-changed-after-the-post',
    { chapter: 'stale state', breaks: 'DATA-35', needs: 'race' },
    'The request before is cleared when the next one is posted.',
    messages(({ memory: guest }) => {
      const last = new Map<number, { address: number; length: number }>();
      return {
        published(parts, { kind, queue }) {
          if (kind !== 'send') return;
          const [first] = parts;
          const before = last.get(queue);
          if (before !== undefined) guest.write(before.address, new Uint8Array(16), 0, 16);
          last.set(queue, first);
        },
      };
    }),
  ),
  mutant(
    'driver',
    'memory-freed-before-the-reset',
    { chapter: 'stale state', breaks: 'RST-37 HOST-30' },
    'All DMA memory is given back before the device is reset, or when it is given up.',
    driverIn(context => {
      const taken = new Set<DmaBuffer>();
      return {
        ...context,
        os: overlay(context.os, {
          allocDma(bytes, alignment) {
            const buffer = context.os.allocDma(bytes, alignment);
            taken.add(buffer);
            return buffer;
          },
          freeDma(buffer) {
            if (taken.delete(buffer)) context.os.freeDma(buffer);
          },
        }),
        transport: overlay(context.transport, {
          writeStatus(status) {
            if (status === 0 || (status & 0x80) !== 0) for (const buffer of taken) context.os.freeDma(buffer);
            if (status === 0 || (status & 0x80) !== 0) taken.clear();
            context.transport.writeStatus(status);
          },
        }),
      };
    }),
  ),
  mutant(
    'driver',
    'page-translated-twice',
    { chapter: 'time and cost', breaks: 'PERF-12' },
    'Each page of a region is translated twice.',
    operatingSystem(os => ({
      translate(address) {
        const place = os.translate(address);
        os.releasePage(address);
        return os.translate(address) || place;
      },
    })),
  ),
  mutant(
    'driver',
    'pages-not-kept',
    { chapter: 'stale state', breaks: 'MEM-03' },
    'Each page is released as soon as it was translated.',
    operatingSystem(os => ({
      translate(address) {
        const place = os.translate(address);
        os.releasePage(address);
        return place;
      },
      releasePage: () => undefined,
    })),
  ),
  mutant(
    'driver',
    'pages-taken-for-neighbours',
    { chapter: 'keys and bounds', breaks: 'MEM-01' },
    'Only the first page of a run is translated; the next is thought to lie behind it.',
    operatingSystem(os => {
      let last = { address: -1, place: 0 };
      return {
        translate(address) {
          const place = os.translate(address);
          const straight = last.address + 4096 === address ? last.place + 4096 : place;
          last = { address, place: straight };
          return straight;
        },
      };
    }),
  ),
  mutant(
    'driver',
    'handler-in-the-interrupt',
    { chapter: 'notification races', breaks: 'CQ-50', needs: 'race' },
    'Work that is put off runs at once, within whatever raised the interrupt.',
    operatingSystem(() => ({ defer: task => task.run() })),
  ),
  mutant(
    'driver',
    'put-off-for-ever',
    { chapter: 'notification races', breaks: 'CQ-46 ERR-07', needs: 'history' },
    'Every tenth piece of work that is put off is forgotten.',
    operatingSystem(os => {
      const due = every(10);
      return {
        defer(task) {
          if (!due()) os.defer(task);
        },
      };
    }),
  ),
];

export const publishingMutants: readonly Mutant[] = [...publishing, ...memory];
