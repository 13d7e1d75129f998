/** Drivers, and what carries their notifications, that are wrong about kicks and interrupts. */
import { Avail, Used, usedEventOffset } from '../../../virtio/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { transport } from '../seams/driver.js';
import { every } from '../seams/overlay.js';
import { ring } from './ring-support.js';
import type { Facts } from './ring-support.js';

function line(name: string, facts: Facts, doc: string, change: Parameters<typeof transport>[0]): Mutant {
  return mutant('transport', name, { chapter: 'notification races', ...facts }, doc, transport(change));
}

const carrying: readonly Mutant[] = [
  line(
    'every-third-kick-lost',
    { breaks: 'VQ-61 VQ-63', needs: 'history' },
    'Every third available-buffer notification is lost.',
    inner => {
      const due = every(3);
      return {
        notify(index, next) {
          if (!due()) inner.notify(index, next);
        },
      };
    },
  ),
  line(
    'kick-to-the-next-queue',
    { breaks: 'VQ-61 VQ-63', needs: 'history' },
    'Every fourth available-buffer notification names the queue behind the right one.',
    inner => {
      const due = every(4);
      return { notify: (index, next) => inner.notify(due() ? index + 1 : index, next) };
    },
  ),
  line(
    'every-fifth-interrupt-lost',
    { breaks: 'CQ-46 VQ-65', needs: 'history' },
    'Every fifth interrupt is lost.',
    inner => {
      const due = every(5);
      return {
        onInterrupt: handler =>
          inner.onInterrupt(source => {
            if (!due()) handler(source);
          }),
      };
    },
  ),
  line(
    'completion-interrupts-masked',
    { breaks: 'CQ-46' },
    'Interrupts of completion virtqueues do not reach the driver.',
    inner => ({
      onInterrupt: handler =>
        inner.onInterrupt(source => {
          if (source === 'config' || source <= 2) handler(source);
        }),
    }),
  ),
  line(
    'interrupt-of-the-neighbour',
    { breaks: 'CQ-46 CQ-47' },
    'Interrupts of completion virtqueues are taken for those of the next one.',
    inner => ({
      onInterrupt: handler =>
        inner.onInterrupt(source => handler(source !== 'config' && source > 2 ? source + 1 : source)),
    }),
  ),
  line(
    'configuration-interrupts-masked',
    { chapter: 'broken peers', breaks: 'ERR-25 ERR-26' },
    'Configuration interrupts do not reach the driver.',
    inner => ({
      onInterrupt: handler =>
        inner.onInterrupt(source => {
          if (source !== 'config') handler(source);
        }),
    }),
  ),
  line(
    'needs-reset-not-seen',
    { chapter: 'broken peers', breaks: 'ERR-25 ERR-26' },
    'The driver does not see DEVICE_NEEDS_RESET.',
    inner => ({
      readStatus: () => inner.readStatus() & ~0x40,
    }),
  ),
  line(
    'kick-twice',
    { chapter: 'time and cost', breaks: 'PERF-01 PERF-02' },
    'Each available-buffer notification is sent twice.',
    inner => ({
      notify(index, next) {
        inner.notify(index, next);
        inner.notify(index, next);
      },
    }),
  ),
  line(
    'control-queue-kicked-too',
    { chapter: 'time and cost', breaks: 'PERF-18' },
    'Each kick is followed by one of the control queue.',
    (inner, { profile }) => ({
      notify(index, next) {
        inner.notify(index, next);
        const { control } = profile.queues(1, 1);
        if (index !== control) inner.notify(control);
      },
    }),
  ),
];

const suppression: readonly Mutant[] = [
  ring(
    'no-notify-taken-for-set',
    'used',
    { chapter: 'notification races', breaks: 'VQ-61', needs: 'race' },
    'Without EVENT_IDX every second look finds NO_NOTIFY set.',
    window => {
      const due = every(2);
      return { load16: offset => (offset === Used.FLAGS && due() ? Used.NO_NOTIFY : window.load16(offset)) };
    },
  ),
  ring(
    'no-notify-ignored',
    'used',
    { chapter: 'time and cost', breaks: 'VQ-62 PERF-07 PERF-18' },
    'NO_NOTIFY is ignored.',
    window => ({
      load16: offset => (offset === Used.FLAGS ? 0 : window.load16(offset)),
    }),
  ),
  ring(
    'avail-event-one-too-late',
    'used',
    { chapter: 'notification races', breaks: 'VQ-63', needs: 'race' },
    'With EVENT_IDX a kick is sent one chain after the one that the device waits for.',
    (window, { size }) => ({
      load16: offset =>
        offset === Used.RING + Used.ENTRY * size
          ? (window.load16(offset) + 1) & 0xffff
          : window.load16(offset),
    }),
  ),
  ring(
    'avail-event-of-5-bits',
    'used',
    { chapter: 'wraps', breaks: 'VQ-63', needs: 'history' },
    'Of avail_event only the low five bits are compared.',
    (window, { size }) => ({
      load16: offset =>
        offset === Used.RING + Used.ENTRY * size ? window.load16(offset) & 0x1f : window.load16(offset),
    }),
  ),
  ring(
    'avail-event-ignored',
    'used',
    { chapter: 'time and cost', breaks: 'VQ-64 PERF-02 PERF-07' },
    'With EVENT_IDX each publication is followed by a kick.',
    (window, { size }) => {
      let published = 0;
      return {
        load16(offset) {
          if (offset !== Used.RING + Used.ENTRY * size) return window.load16(offset);
          return published++ & 0xffff;
        },
      };
    },
  ),
  ring(
    'avail-flags-with-event-idx',
    'available',
    { chapter: 'rings', breaks: 'VQ-69' },
    'NO_INTERRUPT is set whether or not EVENT_IDX is negotiated.',
    (window, { size, kind }) => ({
      store16(offset, value) {
        window.store16(offset, value);
        if (kind === 'cq' && offset === usedEventOffset(size))
          window.store16(Avail.FLAGS, Avail.NO_INTERRUPT);
      },
    }),
  ),
  ring(
    'control-interrupts-stay-off',
    'available',
    { chapter: 'notification races', breaks: 'VQ-74 ERR-07', needs: 'race' },
    'Without EVENT_IDX interrupts of the control queue are never asked for again.',
    (window, { kind }) => {
      let off = false;
      return {
        store16(offset, value) {
          if (kind === 'control' && offset === Avail.FLAGS) {
            if (off) return;
            off = value !== 0;
          }
          window.store16(offset, value);
        },
      };
    },
  ),
  ring(
    'completion-interrupts-left-on',
    'available',
    { chapter: 'time and cost', breaks: 'CQ-45' },
    'Interrupts of completion virtqueues are not disabled in the ring.',
    (window, { kind }) => ({
      store16(offset, value) {
        if (kind !== 'cq' || offset === Avail.IDX) window.store16(offset, value);
      },
    }),
  ),
  ring(
    'request-interrupts-left-on',
    'available',
    { chapter: 'time and cost', breaks: 'PERF-06' },
    'Interrupts of send and receive queues are not disabled in the ring.',
    (window, { kind }) => ({
      store16(offset, value) {
        if ((kind !== 'send' && kind !== 'recv') || offset === Avail.IDX) window.store16(offset, value);
      },
    }),
  ),
  ring(
    'used-index-seen-late',
    'used',
    { chapter: 'notification races', breaks: 'VQ-74 CQ-51', needs: 'race' },
    'The driver sees every fifth raise of a used index two looks late.',
    window => {
      const due = every(5);
      let seen = 0;
      let late = 0;
      return {
        load16(offset) {
          const value = window.load16(offset);
          if (offset !== Used.IDX || value === seen) return value;
          if (late === 0 && due()) late = 3;
          if (late > 0 && --late > 0) return seen;
          seen = value;
          return value;
        },
      };
    },
  ),
];

export const notificationMutants: readonly Mutant[] = [...carrying, ...suppression];
