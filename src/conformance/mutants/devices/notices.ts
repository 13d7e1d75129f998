/** Devices that are wrong about notifications, indirect tables and heads. */
import { Command } from '../../../abi/index.js';
import { Avail, Descriptor, DescriptorFlag, Used, usedEventOffset } from '../../../virtio/index.js';
import type { MemoryWindow } from '../../../virtio/index.js';
import { bundledDevice } from '../../bundled.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { deviceRings, perDevice, registers } from '../seams/device.js';
import { overlay } from '../seams/overlay.js';
import { isSlot } from '../seams/rings.js';
import type { RingKind } from '../seams/rings.js';
import { changedWindow } from '../seams/window.js';
import { device } from './life-support.js';

/** Rings of some kinds look empty until their queue was notified. */
function unseenUntilNotified(...kinds: readonly RingKind[]): Mutant['implementation'] {
  return perDevice(() => {
    const notified = new Set<number>();
    const { device: blind } = deviceRings((window, area, { queue, kind }) => {
      if (area !== 'available' || !kinds.includes(kind)) return {};
      return { load16: offset => (offset === Avail.IDX && !notified.has(queue) ? 0 : window.load16(offset)) };
    });
    return {
      device(context) {
        const inner = (blind ?? bundledDevice)(context);
        return overlay(inner, {
          notified(index) {
            notified.add(index);
            inner.notified(index);
          },
        });
      },
    };
  });
}

const notices: readonly Mutant[] = [
  device(
    'commands-before-the-first-kick-unseen',
    { chapter: 'start and features', breaks: 'FEAT-27' },
    'What was made available on the control queue before DRIVER_OK waits for a notification.',
    unseenUntilNotified('control'),
  ),
  device(
    'buffers-before-the-first-kick-unseen',
    { breaks: 'CTRL-24 CQ-29' },
    'What was made available on a completion virtqueue before its first notification is not seen.',
    unseenUntilNotified('cq'),
  ),
  device(
    'spurious-kick-stops-the-device',
    { chapter: 'broken peers', breaks: 'VQ-59 HOST-07' },
    'A second notification for one available index stops the device.',
    registers((inner, { memory }) => {
      const rings = new Map<number, MemoryWindow>();
      const last = new Map<number, number>();
      return {
        enableQueue(index, size, addresses) {
          const window = memory.window(addresses.driver, 4);
          if (window !== undefined) rings.set(index, window);
          last.delete(index);
          inner.enableQueue(index, size, addresses);
        },
        notified(index) {
          const now = rings.get(index)?.load16(Avail.IDX);
          if (now !== undefined && last.get(index) === now)
            inner.enableQueue(-1, 1, { descriptors: 0, driver: 0, device: 0 });
          last.set(index, now ?? 0);
          inner.notified(index);
        },
      };
    }),
  ),
  device(
    'kick-of-no-queue-stops-the-device',
    { chapter: 'broken peers', breaks: 'HOST-06' },
    'A notification of a queue that does not exist stops the device.',
    registers(inner => ({
      notified(index) {
        if (inner.queueSizeMax(index) === 0)
          inner.enableQueue(-1, 1, { descriptors: 0, driver: 0, device: 0 });
        inner.notified(index);
      },
    })),
  ),
  device(
    'chains-of-nobody-returned',
    { chapter: 'rings', breaks: 'VQ-04 VQ-35' },
    'A chain on the send queue of a queue pair that does not exist is returned at its notification.',
    perDevice(({ memory, profile, limits, function: hca }) => {
      const map = profile.queues(limits.maxQps, limits.maxCqs);
      const living = new Set<number>();
      const rings = new Map<number, { available: MemoryWindow; used: MemoryWindow; size: number }>();
      return {
        device(context) {
          const inner = bundledDevice({
            ...context,
            function: overlay(hca, {
              createQp(pd, init, owner, qpNum) {
                const qp = hca.createQp(pd, init, owner, qpNum);
                living.add(map.sq(qp.qpNum));
                return qp;
              },
            }),
          });
          return overlay(inner, {
            enableQueue(index, size, addresses) {
              const available = memory.window(addresses.driver, 4 + 2 * size);
              const used = memory.window(addresses.device, 4 + 8 * size);
              if (available !== undefined && used !== undefined) rings.set(index, { available, used, size });
              inner.enableQueue(index, size, addresses);
            },
            notified(index) {
              const ring = rings.get(index);
              const isSend = index >= map.sq(0) && (index - map.sq(0)) % 2 === 0;
              if (ring !== undefined && isSend && !living.has(index)) {
                const at = ring.used.load16(Used.IDX);
                if (at !== ring.available.load16(Avail.IDX)) {
                  const head = ring.available.get16(Avail.RING + Avail.ENTRY * (at % ring.size));
                  ring.used.set32(Used.RING + Used.ENTRY * (at % ring.size), head);
                  ring.used.store16(Used.IDX, (at + 1) & 0xffff);
                }
              }
              inner.notified(index);
            },
          });
        },
      };
    }),
  ),
];

/** Completion queues have no buffers until the first REQ_NOTIFY_CQ of their machine. */
function unarmedGetNothing(): Mutant['implementation'] {
  return perDevice(() => {
    let armed = false;
    const { device: blind } = deviceRings((window, area, { kind }) => {
      if (area !== 'available' || kind !== 'cq') return {};
      return { load16: offset => (offset === Avail.IDX && !armed ? 0 : window.load16(offset)) };
    });
    return {
      device: context =>
        (blind ?? bundledDevice)({
          ...context,
          controlObserver: {
            command(id, code) {
              if (code === Command.REQ_NOTIFY_CQ) armed = true;
              context.controlObserver?.command(id, code);
            },
            answer: (id, code, ack) => context.controlObserver?.answer(id, code, ack),
          },
        }),
    };
  });
}

const tables: readonly Mutant[] = [
  device(
    'nothing-before-the-first-arming',
    { chapter: 'notification races', breaks: 'CQ-44' },
    'Completion queues give nothing to the driver before the first REQ_NOTIFY_CQ.',
    unarmedGetNothing(),
  ),
  mutant(
    'ring',
    'table-must-be-aligned',
    { chapter: 'rings', breaks: 'VQ-27' },
    'An indirect table that is not at a multiple of 16 breaks the ring.',
    tableSeam((address, _length) => address % 16 === 0),
  ),
  mutant(
    'ring',
    'table-of-n-entries-too-long',
    { chapter: 'rings', breaks: 'VQ-26 VQ-16' },
    'An indirect table of as many entries as the largest queue has breaks the ring.',
    tableSeam((_address, length, most) => length < 16 * most),
  ),
  mutant(
    'ring',
    'table-read-in-order',
    { chapter: 'rings', breaks: 'VQ-25' },
    'The entries of an indirect table are taken one after the other, whatever their next says.',
    perDevice(({ memory }) => ({
      device: context =>
        bundledDevice({
          ...context,
          memory: overlay(memory, {
            newWindow() {
              const window = memory.newWindow();
              return changedWindow(window, 'split', () => ({
                get16(offset) {
                  const isNext = offset % Descriptor.SIZE === Descriptor.NEXT;
                  return isNext ? Math.floor(offset / Descriptor.SIZE) + 1 : window.get16(offset);
                },
              }));
            },
          }),
        }),
    })),
  ),
  mutant(
    'ring',
    'table-behind-a-descriptor-refused',
    { chapter: 'rings', breaks: 'VQ-24' },
    'An indirect table that does not stand alone breaks the ring.',
    deviceRings((window, area) => {
      if (area !== 'descriptors') return {};
      let more = false;
      return {
        get16(offset) {
          const value = window.get16(offset);
          if (offset % Descriptor.SIZE !== Descriptor.FLAGS) return value;
          const table = (value & DescriptorFlag.INDIRECT) !== 0;
          const shown = table && more ? value | DescriptorFlag.NEXT : value;
          more = !table && (value & DescriptorFlag.NEXT) !== 0;
          return shown;
        },
      };
    }),
  ),
  mutant(
    'ring',
    'head-in-flight-taken-again',
    { chapter: 'broken peers', breaks: 'VQ-48' },
    'A head whose chain is in flight is taken for the last descriptor of the table.',
    perDevice(() => {
      const flying = new Map<number, Set<number>>();
      const of = (queue: number): Set<number> => {
        const found = flying.get(queue) ?? new Set<number>();
        flying.set(queue, found);
        return found;
      };
      return deviceRings((window, area, { queue, size }) => {
        const heads = of(queue);
        if (area === 'available') {
          return {
            get16(offset) {
              const head = window.get16(offset);
              if (!isSlot(offset, size)) return head;
              const shown = heads.has(head) ? size - 1 : head;
              heads.add(shown);
              return shown;
            },
          };
        }
        if (area !== 'used') return {};
        return {
          set32(offset, value) {
            if ((offset - Used.RING) % Used.ENTRY === Used.ID) heads.delete(value);
            window.set32(offset, value);
          },
        };
      });
    }),
  ),
  mutant(
    'ring',
    'used-event-ignored',
    { chapter: 'time and cost', breaks: 'VQ-68' },
    'With EVENT_IDX the control queue interrupts for every element.',
    perDevice(() => {
      const used = new Map<number, number>();
      return deviceRings((window, area, { queue, size, kind }) => {
        if (kind !== 'control') return {};
        if (area === 'used') {
          return {
            store16(offset, value) {
              if (offset === Used.IDX) used.set(queue, value);
              window.store16(offset, value);
            },
          };
        }
        if (area !== 'available') return {};
        return {
          load16: offset =>
            offset === usedEventOffset(size) ? ((used.get(queue) ?? 0) - 1) & 0xffff : window.load16(offset),
        };
      });
    }),
  ),
];

/** Some indirect tables are refused. */
function tableSeam(
  isGood: (address: number, length: number, most: number) => boolean,
): Mutant['implementation'] {
  return perDevice(({ memory, limits }) => ({
    device: context =>
      bundledDevice({
        ...context,
        memory: overlay(memory, {
          aim: (window, address, length) =>
            isGood(address, length, limits.queueSizeMax) && memory.aim(window, address, length),
        }),
      }),
  }));
}

export const noticeMutants: readonly Mutant[] = [...notices, ...tables];
