/** Drivers that believe a device which breaks a packed ring, know no batch, or take a ring up where another life left it. */
import { PackedDescriptor, PackedFlag, Used } from '../../../virtio/index.js';
import type { GuestMemory } from '../../../virtio/index.js';
import type { Implementation } from '../../implementation.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { driverRings } from '../seams/driver.js';
import { inDescriptors, isField, modeBeforePosition } from '../seams/rings.js';
import type { Facts } from './ring-support.js';

const { ID, LEN, FLAGS, SIZE } = PackedDescriptor;
const { AVAIL, USED, NEXT, WRITE } = PackedFlag;
const MARK = AVAIL | USED;

function ring(name: string, facts: Facts, doc: string, change: Parameters<typeof inDescriptors>[0]): Mutant {
  return mutant(
    'driver',
    name,
    { chapter: 'broken peers', ...facts },
    doc,
    driverRings(inDescriptors(change), 'packed'),
  );
}

const elements: readonly Mutant[] = [
  ring(
    'packed-length-without-write',
    { chapter: 'lengths', breaks: 'VQ-95' },
    'The length of a used element counts whether WRITE is set or not.',
    window => ({ load16: offset => window.load16(offset) | (isField(offset, FLAGS) ? WRITE : 0) }),
  ),
  ring(
    'packed-used-id-taken-round',
    { breaks: 'VQ-96' },
    'A used id is taken modulo the size of the queue.',
    (window, { size }) => ({
      get16: offset => (isField(offset, ID) ? window.get16(offset) % size : window.get16(offset)),
    }),
  ),
  ring(
    'packed-falls-over-next',
    { breaks: 'HOST-34' },
    'A used element with NEXT set is an exception.',
    window => ({
      load16(offset) {
        const flags = window.load16(offset);
        const isUsed = isField(offset, FLAGS) && ((flags & MARK) === 0 || (flags & MARK) === MARK);
        if (isUsed && (flags & NEXT) !== 0) throw new TypeError('a used chain that goes on');
        return flags;
      },
    }),
  ),
  ring(
    'packed-batch-taken-for-one',
    { chapter: 'ordering', breaks: 'VQ-109', needs: 'history' },
    'With IN_ORDER a used element is taken for the oldest chain alone, whatever it names.',
    (window, { features }) => {
      if (features.inOrder !== true) return {};
      const out: number[] = [];
      return {
        set16(offset, value) {
          if (isField(offset, ID) && !out.includes(value)) out.push(value);
          window.set16(offset, value);
        },
        get16: offset => (isField(offset, ID) ? (out.shift() ?? window.get16(offset)) : window.get16(offset)),
      };
    },
  ),
  mutant(
    'driver',
    'split-batch-taken-for-one',
    { chapter: 'ordering', breaks: 'VQ-109', needs: 'history' },
    'With IN_ORDER the driver of a split ring sees the used index go on by one at a time.',
    driverRings((window, area, { features }) => {
      if (area !== 'used' || features.inOrder !== true) return {};
      let seen = 0;
      return {
        load16(offset) {
          const value = window.load16(offset);
          if (offset !== Used.IDX) return value;
          if (value !== seen) seen = (seen + 1) & 0xffff;
          return seen;
        },
      };
    }),
  ),
];

const making: readonly Mutant[] = [
  ring(
    'packed-one-more-than-is-free',
    { chapter: 'limits', breaks: 'VQ-87', needs: 'history' },
    'In a full ring, a chain that ends with the last slot goes on with one more descriptor, over a chain that is out.',
    (window, { size }) => {
      const last = SIZE * (size - 1);
      /** Writes the descriptor over slot 0 when the chain there is of this lap and was not used. */
      const extended = (flags: number): number => {
        const first = window.get16(FLAGS);
        const overOne = (first & MARK) === (flags & MARK) && (flags & NEXT) === 0;
        if (!overOne) return flags;
        window.set64(0, window.get64(last));
        window.set32(LEN, window.get32(last + LEN));
        window.set16(ID, window.get16(last + ID));
        window.set16(FLAGS, (flags & ~MARK) | ((flags & MARK) ^ MARK));
        return flags | NEXT;
      };
      const write =
        (name: 'set16' | 'store16') =>
        (offset: number, value: number): void =>
          window[name](offset, offset === last + FLAGS ? extended(value) : value);
      return { set16: write('set16'), store16: write('store16') };
    },
  ),
  mutant(
    'driver',
    'packed-mode-before-position',
    { chapter: 'notification races', breaks: 'VQ-106', needs: 'race' },
    'The driver asks with the mode DESC first and says where then.',
    driverRings((window, area) => (area === 'available' ? modeBeforePosition(window) : {}), 'packed'),
  ),
  mutant(
    'driver',
    'packed-start-keeps-the-counter',
    { chapter: 'stale state', breaks: 'VQ-84', needs: 'history' },
    'A driver that is started again goes on with the wrap counters of the life before.',
    staleAfterStart(),
  ),
];

/** By the memory of a machine and the queue, whether the wrap counter of the last chain was 1. */
const lives = new WeakMap<GuestMemory, Map<number, boolean>>();

function staleAfterStart(): Implementation {
  return {
    reports: true,
    driver(context) {
      const before = lives.get(context.memory) ?? new Map<number, boolean>();
      const now = new Map<number, boolean>();
      lives.set(context.memory, now);
      const { driver } = driverRings((window, area, { queue }) => {
        if (area !== 'descriptors') return {};
        const turn = before.get(queue) === false ? MARK : 0;
        const shown =
          (name: 'set16' | 'store16') =>
          (offset: number, value: number): void => {
            if (!isField(offset, FLAGS)) return window[name](offset, value);
            now.set(queue, (value & AVAIL) !== 0);
            window[name](offset, value ^ turn);
          };
        return {
          set16: shown('set16'),
          store16: shown('store16'),
          load16: offset => window.load16(offset) ^ (isField(offset, FLAGS) ? turn : 0),
        };
      }, 'packed');
      if (driver === undefined) throw new Error('a mutant without a driver');
      return driver(context);
    },
  };
}

export const packedBrokenDeviceMutants: readonly Mutant[] = [...elements, ...making];
