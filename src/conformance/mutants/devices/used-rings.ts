/** Devices that are wrong about used elements, and about notifications. */
import { Avail, Used, availEventOffset, usedEventOffset } from '../../../virtio/index.js';
import type { MemoryWindow } from '../../../virtio/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { interrupts, perDevice } from '../seams/device.js';
import { every, overlay } from '../seams/overlay.js';
import { isElement } from '../seams/rings.js';
import { bundledDevice } from '../../bundled.js';
import { area, available } from './ring-support.js';

const used = area('used', 'rings');

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

export const usedRingMutants: readonly Mutant[] = [...elements, ...suppression];
