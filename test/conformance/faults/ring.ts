/** Faults of a device's rings, laid over the windows through which it sees them. */
import { bundledDevice } from '../../../src/conformance/bundled.js';
import type { Implementation } from '../../../src/conformance/index.js';
import { Avail, Used, usedRingBytes } from '../../../src/virtio/index.js';
import type { MemoryWindow } from '../../../src/virtio/index.js';
import { every, overlay } from './fault.js';
import type { Fault } from './fault.js';

interface Ring {
  readonly queue: number;
  readonly size: number;
  readonly isControl: boolean;
  readonly isCompletion: boolean;
}

/** The bundled device with the windows on its used or available rings changed. */
function ringFault(
  change: (window: MemoryWindow, area: 'available' | 'used', ring: Ring) => Partial<MemoryWindow>,
): Implementation {
  return {
    reports: true,
    device: context => {
      const { memory, profile, limits } = context;
      const map = profile.queues(limits.maxQps, limits.maxCqs);
      const areas = new Map<number, { area: 'available' | 'used'; ring: Ring }>();
      const device = bundledDevice({
        ...context,
        memory: overlay(memory, {
          window(address, length) {
            const found = areas.get(address);
            const window = memory.window(address, length);
            return found === undefined || window === undefined
              ? window
              : overlay(window, change(window, found.area, found.ring));
          },
        }),
      });
      return overlay(device, {
        enableQueue(queue, size, addresses) {
          const isControl = queue === map.control;
          const isCompletion = queue > map.control && queue <= map.control + limits.maxCqs;
          const ring = { queue, size, isControl, isCompletion };
          areas.set(addresses.driver, { area: 'available', ring });
          areas.set(addresses.device, { area: 'used', ring });
          device.enableQueue(queue, size, addresses);
        },
      });
    },
  };
}

function isElement(offset: number, field: number, size: number): boolean {
  return (
    offset >= Used.RING && offset < usedRingBytes(size) - 2 && (offset - Used.RING) % Used.ENTRY === field
  );
}

export const ringFaults: readonly Fault[] = [
  {
    name: 'used.len too large',
    where: 'ring',
    description: 'The used length of every element is one too large.',
    implementation: ringFault((window, area, { size }) =>
      area === 'available'
        ? {}
        : {
            set32: (offset, value) =>
              window.set32(offset, isElement(offset, Used.LEN, size) ? value + 1 : value),
          },
    ),
  },
  {
    name: 'used.len of sends is the readable length',
    where: 'ring',
    description: 'A send or receive comes back with used length 1 instead of 0.',
    implementation: ringFault((window, area, { size, isControl, isCompletion }) =>
      area === 'available' || isControl || isCompletion
        ? {}
        : { set32: (offset, value) => window.set32(offset, isElement(offset, Used.LEN, size) ? 1 : value) },
    ),
  },
  {
    name: 'used id is a position',
    where: 'ring',
    description: 'Every sixth used element has the id of the element before it.',
    implementation: ringFault((window, area, { size }) => {
      const due = every(6);
      let last = 0;
      if (area === 'available') return {};
      return {
        set32(offset, value) {
          if (!isElement(offset, Used.ID, size)) return window.set32(offset, value);
          window.set32(offset, due() ? last : value);
          last = value;
        },
      };
    }),
    needs: 'history',
    shrunkMax: 16,
  },
  {
    name: 'used index runs ahead',
    where: 'ring',
    description: 'The eleventh raise of the used index of a queue is by two.',
    implementation: ringFault((window, area) => {
      const due = every(11);
      let extra = 0;
      if (area === 'available') return {};
      return {
        store16(offset, value) {
          if (offset === Used.IDX && due()) extra++;
          window.store16(offset, offset === Used.IDX ? (value + extra) & 0xffff : value);
        },
      };
    }),
    needs: 'history',
    shrunkMax: 24,
  },
  {
    name: 'asleep with kicks off',
    where: 'ring',
    description: 'The device goes to sleep and does not ask for notifications again.',
    implementation: ringFault((window, area, { size }) => {
      if (area === 'available') return {};
      let disabled = false;
      return {
        store16(offset, value) {
          const flags = offset === Used.FLAGS || offset === usedRingBytes(size) - 2;
          if (flags && disabled) return;
          if (flags) disabled = true;
          window.store16(offset, value);
        },
      };
    }),
  },
  {
    name: 'suppression of the control queue ignored',
    where: 'ring',
    description: 'The device takes NO_INTERRUPT for set on the control queue.',
    implementation: ringFault((window, area, { isControl }) =>
      area === 'used' || !isControl
        ? {}
        : {
            load16: offset =>
              offset === Avail.IDX
                ? window.load16(offset)
                : offset === Avail.FLAGS
                  ? Avail.NO_INTERRUPT
                  : (window.load16(Avail.IDX) - 2) & 0xffff,
          },
    ),
  },
  {
    name: 'available index read without a barrier',
    where: 'ring',
    description:
      'The device sees every fifth raise of an available index two looks late, so not before it sleeps.',
    implementation: ringFault((window, area) => {
      if (area === 'used') return {};
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
    }),
    needs: 'race',
  },
];
