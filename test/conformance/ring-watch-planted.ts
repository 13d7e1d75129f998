/** One small fault for each observation of the rings: what a driver or a device does wrong, laid over the bundled one. */
import { bundledDevice, bundledDriver } from '../../src/conformance/bundled.js';
import type { DeviceContext, DriverContext, Implementation } from '../../src/conformance/index.js';
import type { ObservationKey } from '../../src/conformance/ring-watch/observations.js';
import { Command } from '../../src/abi/index.js';
import {
  Avail,
  Descriptor,
  DescriptorFlag,
  Used,
  availEventOffset,
  availRingBytes,
  descriptorTableBytes,
  usedEventOffset,
  usedRingBytes,
} from '../../src/virtio/index.js';
import type { DeviceHost, GuestMemory, MemoryWindow } from '../../src/virtio/index.js';
import { mutants } from '../../src/conformance/mutants/index.js';
import { changedWindow } from '../../src/conformance/mutants/seams/window.js';
import { every, overlay } from './faults/fault.js';

/** Every queue of a machine with the usual limits. */
const SIZE = 64;
const USED_EVENT = usedEventOffset(SIZE);
const AVAIL_EVENT = availEventOffset(SIZE);
const U16 = 0xffff;

type Area = 'descriptors' | 'available' | 'used';
const areas = new Map<number, Area>([
  [descriptorTableBytes(SIZE), 'descriptors'],
  [availRingBytes(SIZE), 'available'],
  [usedRingBytes(SIZE), 'used'],
]);

/** The windows of one queue as its owner holds them, unchanged, and where the last descriptor written points. */
interface Ring {
  /** 0 is the control queue, 1 to 8 are completion queues, then send queues; receive queues come last. */
  readonly number: number;
  descriptors?: MemoryWindow;
  available?: MemoryWindow;
  used?: MemoryWindow;
  address: number;
}
type Change = (window: MemoryWindow, area: Area, ring: Ring) => Partial<MemoryWindow>;

const isControl = (ring: Ring): boolean => ring.number === 0;
const isCompletion = (ring: Ring): boolean => ring.number >= 1 && ring.number <= 8;
const isSend = (ring: Ring): boolean => ring.number >= 9 && ring.number < 25;

/** A driver sets up its queues in the order control, completion, send, receive; each area is told by its length. */
function driverWindows(memory: GuestMemory, change: Change): GuestMemory {
  const rings: Ring[] = [];
  return overlay(memory, {
    window(address, length) {
      const window = memory.window(address, length);
      const area = areas.get(length);
      if (window === undefined || area === undefined) return window;
      if (area === 'descriptors') rings.push({ number: rings.length, address: 0 });
      const ring = rings.at(-1);
      if (ring === undefined) return window;
      ring[area] = window;
      return overlay(window, change(window, area, ring));
    },
  });
}

function driver(change: (context: DriverContext) => Partial<DriverContext>): Implementation {
  return { driver: context => bundledDriver({ ...context, ...change(context) }) };
}
function driverRing(change: (context: DriverContext) => Change): Implementation {
  return driver(context => ({ memory: driverWindows(context.memory, change(context)) }));
}
/** Does something behind each raise of an available index. */
function behindPublish(act: (ring: Ring, context: DriverContext) => void): Implementation {
  return driverRing(context => (window, area, ring) => ({
    set64(offset, value) {
      if (area === 'descriptors') ring.address = value;
      window.set64(offset, value);
    },
    store16(offset, value) {
      window.store16(offset, value);
      if (area === 'available' && offset === Avail.IDX) act(ring, context);
    },
  }));
}
function driverTransport(
  change: (context: DriverContext) => Partial<DriverContext['transport']>,
): Implementation {
  return driver(context => ({ transport: overlay(context.transport, change(context)) }));
}

interface DeviceRing extends Ring {
  readonly index: number;
  host?: DeviceHost;
}

/** The bundled device with its windows, its memory and its host in other hands. */
function device(
  change: (
    window: MemoryWindow,
    area: Area,
    ring: DeviceRing,
    context: DeviceContext,
  ) => Partial<MemoryWindow>,
  changeMemory: (memory: GuestMemory) => Partial<GuestMemory> = () => ({}),
  changeHost: (host: DeviceHost, control: number) => Partial<DeviceHost> = () => ({}),
): Implementation {
  return {
    device: context => {
      const { memory, profile, limits } = context;
      const { control } = profile.queues(limits.maxQps, limits.maxCqs);
      const found = new Map<number, { area: Area; ring: DeviceRing }>();
      let host: DeviceHost | undefined;
      const inner = bundledDevice({
        ...context,
        memory: overlay(memory, {
          ...changeMemory(memory),
          window(address, length) {
            const window = memory.window(address, length);
            const at = found.get(address);
            if (window === undefined || at === undefined) return window;
            at.ring[at.area] = window;
            return changedWindow(window, 'split', () => change(window, at.area, at.ring, context));
          },
        }),
      });
      return overlay(inner, {
        attach(to) {
          host = overlay(to, changeHost(to, control));
          inner.attach(host);
        },
        enableQueue(index, size, places) {
          const ring = { index, number: index - control, address: places.descriptors, host };
          found.set(places.descriptors, { area: 'descriptors', ring });
          found.set(places.driver, { area: 'available', ring });
          found.set(places.device, { area: 'used', ring });
          inner.enableQueue(index, size, places);
        },
      });
    },
  };
}
const nothing = (): Partial<MemoryWindow> => ({});

/** Before each raise of a used index. */
function atReturn(
  act: (ring: DeviceRing, context: DeviceContext) => void,
  moment: 'before' | 'behind',
): Implementation {
  return device((window, area, ring, context) => ({
    store16(offset, value) {
      const raises = area === 'used' && offset === Used.IDX;
      if (raises && moment === 'before') act(ring, context);
      window.store16(offset, value);
      if (raises && moment === 'behind') act(ring, context);
    },
  }));
}

function isElement(offset: number, field: number): boolean {
  return offset >= Used.RING && offset < AVAIL_EVENT && (offset - Used.RING) % Used.ENTRY === field;
}
const one = new Uint8Array([1]);
/** A byte of DMA memory that nobody uses. */
function unusedByte(memory: GuestMemory): number {
  const [{ address, length }] = memory.regions;
  return address + length - 16_384 - 64;
}

/** Looks at the wish of the other side before the index is raised, and goes by that look afterwards. */
function looksTooEarly(writes: Area, flags: number, event: number): Change {
  return (window, area, ring) => {
    const early = ring as Ring & { flags?: number; event?: number };
    if (area === writes) {
      return {
        store16(offset, value) {
          if (offset === Avail.IDX) {
            const wishes = writes === 'available' ? ring.used : ring.available;
            early.flags = wishes?.load16(flags);
            early.event = wishes?.load16(event);
          }
          window.store16(offset, value);
        },
      };
    }
    if (area === 'descriptors') return {};
    return {
      load16(offset) {
        if (offset === flags) return early.flags ?? window.load16(offset);
        if (offset === event) return early.event ?? window.load16(offset);
        return window.load16(offset);
      },
    };
  };
}

/** Does not look at the index again after it has asked to be told. */
function looksOnce(asks: Area, flags: number, event: number): Change {
  return (window, area, ring) => {
    const state = ring as Ring & { asked?: boolean; last?: number };
    if (area === asks) {
      return {
        store16(offset, value) {
          window.store16(offset, value);
          state.asked = offset === flags || offset === event;
        },
      };
    }
    if (area === 'descriptors') return {};
    return {
      load16(offset) {
        if (offset !== Avail.IDX) return window.load16(offset);
        if (state.asked === true && state.last !== undefined) {
          state.asked = false;
          return state.last;
        }
        state.last = window.load16(offset);
        return state.last;
      },
    };
  };
}

/** The packed rings have their faults among the mutants. */
function mutantOf(id: string): Implementation | undefined {
  return mutants.find(each => each.id === id)?.implementation;
}

export const plantedFaults: Readonly<Partial<Record<ObservationKey, Implementation>>> = {
  inOrder: mutantOf('ring/in-order-newest-first'),
  chainShown: mutantOf('driver/packed-later-flags-behind-the-first'),
  availPlace: mutantOf('driver/packed-counter-changes-early'),
  usedPlace: mutantOf('ring/packed-used-at-the-end-of-the-chain'),
  notificationData: mutantOf('transport/notification-data-left-out'),
  tableOrder: mutantOf('driver/in-order-table-out-of-order'),
  setUp: driverTransport(({ transport, memory }) => ({
    enableQueue(index, size, addresses) {
      memory.write(addresses.device + Used.RING, one, 0, 1);
      transport.enableQueue(index, size, addresses);
    },
  })),
  availIndex: driverRing(() => {
    const due = every(9);
    return (window, area) => ({
      store16: (offset, value) =>
        window.store16(
          offset,
          area === 'available' && offset === Avail.IDX && due() ? (value - 2) & U16 : value,
        ),
    });
  }),
  reuse: driverRing(() => {
    let last = 0;
    return (window, area, ring) => ({
      set16(offset, value) {
        const slot = area === 'available' && isCompletion(ring);
        window.set16(offset, slot && value === 3 ? last : value);
        if (slot) last = value;
      },
    });
  }),
  ownership: behindPublish(({ available, descriptors }) => {
    const slot = ((available?.load16(Avail.IDX) ?? 1) - 1) & (SIZE - 1);
    const head = available?.get16(Avail.RING + Avail.ENTRY * slot) ?? 0;
    descriptors?.set32(Descriptor.SIZE * head + Descriptor.LEN, 1);
  }),
  requestBytes: behindPublish((ring, { memory }) => {
    if (isSend(ring)) memory.write(ring.address, new Uint8Array([0xa5]), 0, 1);
  }),
  usedRing: behindPublish(({ used }) => used?.set16(Used.FLAGS, used.get16(Used.FLAGS))),
  chainShape: driverRing(() => (window, area) => ({
    set16: (offset, value) =>
      window.set16(
        offset,
        area === 'descriptors' && offset % Descriptor.SIZE === Descriptor.NEXT && value > 0 ? 999 : value,
      ),
  })),
  indirect: driverRing(() => (window, area) => ({
    set16: (offset, value) =>
      window.set16(
        offset,
        area === 'descriptors' && offset % Descriptor.SIZE === Descriptor.FLAGS
          ? value | DescriptorFlag.INDIRECT
          : value,
      ),
  })),
  driverFlags: driverRing(() => (window, area) => ({
    set16: (offset, value) =>
      window.set16(
        offset,
        area === 'descriptors' && offset % Descriptor.SIZE === Descriptor.FLAGS ? value | 0x100 : value,
      ),
  })),
  usedEvent: behindPublish(({ available }) => available?.store16(USED_EVENT, 0)),
  kickMissing: driverTransport(({ transport }) => {
    const due = every(3);
    return { notify: index => void (due() || transport.notify(index)) };
  }),
  kickNeedless: driverTransport(({ transport }) => ({
    notify(index) {
      transport.notify(index);
      transport.notify(index);
    },
  })),
  driverBarrier: driverRing(() => looksTooEarly('available', Used.FLAGS, AVAIL_EVENT)),
  driverRecheck: driverRing(() => looksOnce('available', Avail.FLAGS, USED_EVENT)),
  usedOrder: driverRing(() => (window, area) => {
    let taken = 0;
    if (area !== 'used') return {};
    return {
      load16(offset) {
        if (offset === Used.IDX) window.get32(Used.RING + Used.ENTRY * (taken & (SIZE - 1)) + Used.LEN);
        return window.load16(offset);
      },
      get32(offset) {
        if (isElement(offset, Used.ID)) taken++;
        return window.get32(offset);
      },
    };
  }),
  driverDoubleFetch: driverRing(() => (window, area) => ({
    get32: offset => (area === 'used' ? window.get32(offset) : 0) && window.get32(offset),
  })),
  driverReserved: driverRing(({ memory }) => (window, area, ring) => ({
    set64(offset, value) {
      window.set64(offset, value);
      if (area === 'descriptors' && isSend(ring)) memory.write(value + 10, one, 0, 1);
    },
  })),
  room: driverRing(() => (window, area, ring) => ({
    set32: (offset, value) =>
      window.set32(offset, area === 'descriptors' && isCompletion(ring) ? value - 8 : value),
  })),
  emptyDescriptor: driverRing(() => (window, area, ring) => ({
    set32: (offset, value) => window.set32(offset, area === 'descriptors' && isCompletion(ring) ? 0 : value),
  })),
  capacity: driverRing(({ memory }) => (window, area, ring) => ({
    set64(offset, value) {
      window.set64(offset, value);
      const code = new Uint8Array(1);
      if (area !== 'descriptors' || !isControl(ring)) return;
      memory.read(value + 1, code, 0, 1);
      if (code[0] === Command.CREATE_CQ) memory.write(value + 8, one, 0, 1);
    },
  })),
  release: driver(({ os, transport }) => {
    let last: number | undefined;
    return {
      os: overlay(os, {
        translate(virtualAddress) {
          last = virtualAddress;
          return os.translate(virtualAddress);
        },
      }),
      transport: overlay(transport, {
        notify(index) {
          if (last !== undefined) os.releasePage(last);
          last = undefined;
          transport.notify(index);
        },
      }),
    };
  }),
  usedIndex: device((window, area) => {
    const due = every(5);
    return {
      store16: (offset, value) =>
        window.store16(offset, area === 'used' && offset === Used.IDX && due() ? (value - 2) & U16 : value),
    };
  }),
  usedId: device((window, area) => ({
    set32: (offset, value) =>
      window.set32(offset, area === 'used' && isElement(offset, Used.ID) ? value + 1 : value),
  })),
  foreignAreas: atReturn(({ descriptors }) => descriptors?.set16(Descriptor.NEXT, 0), 'before'),
  writesWithin: atReturn((_ring, { memory }) => memory.write(unusedByte(memory), one, 0, 1), 'before'),
  readsWithin: atReturn(
    (_ring, { memory }) => memory.read(unusedByte(memory), new Uint8Array(1), 0, 1),
    'before',
  ),
  usedLength: device((window, area) => ({
    set32: (offset, value) =>
      window.set32(offset, area === 'used' && isElement(offset, Used.LEN) ? value + 1 : value),
  })),
  answerLength: device((window, area, ring) => ({
    set32: (offset, value) =>
      window.set32(offset, area === 'used' && isControl(ring) && isElement(offset, Used.LEN) ? 1 : value),
  })),
  lateWrites: ackTooLate(),
  takeOrder: device((window, area) => {
    let taken = 0;
    if (area !== 'available') return {};
    return {
      load16(offset) {
        if (offset === Avail.IDX) window.get16(Avail.RING + Avail.ENTRY * (taken & (SIZE - 1)));
        return window.load16(offset);
      },
      get16(offset) {
        taken++;
        return window.get16(offset);
      },
    };
  }),
  deviceDoubleFetch: device(window => ({
    get16(offset) {
      window.get16(offset);
      return window.get16(offset);
    },
  })),
  interruptMissing: device(nothing, undefined, (host, control) => {
    const due = every(3);
    return { interruptQueue: index => void ((index === control && due()) || host.interruptQueue(index)) };
  }),
  interruptNeedless: device(nothing, undefined, (host, control) => ({
    interruptQueue(index) {
      host.interruptQueue(index);
      if (index === control) host.interruptQueue(index);
    },
  })),
  deviceBarrier: device(looksTooEarly('used', Avail.FLAGS, USED_EVENT)),
  deviceRecheck: device(looksOnce('used', Used.FLAGS, AVAIL_EVENT)),
  deviceFlags: device((window, area) => ({
    store16: (offset, value) =>
      window.store16(offset, area === 'used' && offset === Used.FLAGS ? value | 2 : value),
  })),
  availEvent: atReturn(({ used }) => used?.store16(AVAIL_EVENT, 0), 'before'),
  armed: atReturn(ring => {
    if (isCompletion(ring)) ring.host?.interruptQueue(ring.index);
  }, 'behind'),
  deviceReserved: device(nothing, memory => ({
    write(address, source, sourceOffset, length) {
      const bytes = source.slice(sourceOffset, sourceOffset + length);
      if (length === 48) bytes[10] = 1;
      return memory.write(address, bytes, 0, length);
    },
  })),
  bufferUnread: device(nothing, memory => ({
    write(address, source, sourceOffset, length) {
      if (length === 48) memory.read(address, new Uint8Array(1), 0, 1);
      return memory.write(address, source, sourceOffset, length);
    },
  })),
  afterReset: {
    device: context => {
      const inner = bundledDevice(context);
      const { memory, scheduler } = context;
      return overlay(inner, {
        writeStatus(status) {
          inner.writeStatus(status);
          if (status === 0) scheduler.post({ run: () => void memory.write(unusedByte(memory), one, 0, 1) });
        },
      });
    },
  },
  chainMachine: driverRing(() => {
    let last = 0;
    return (window, area, ring) => ({
      set16(offset, value) {
        const slot = area === 'available' && isCompletion(ring);
        window.set16(offset, slot && value === 3 ? last : value);
        if (slot) last = value;
      },
    });
  }),
  toDeviceMachine: driverTransport(({ transport }) => {
    const due = every(3);
    return { notify: index => void (due() || transport.notify(index)) };
  }),
  toDriverMachine: device(nothing, undefined, (host, control) => {
    const due = every(3);
    return { interruptQueue: index => void ((index === control && due()) || host.interruptQueue(index)) };
  }),
  commandMachine: ackTooLate(),
};

/** The ack of a refused or plain command is written behind the raise of the used index. */
function ackTooLate(): Implementation {
  const late: (() => void)[] = [];
  return device(
    (window, area) => ({
      store16(offset, value) {
        window.store16(offset, value);
        if (area === 'used' && offset === Used.IDX) for (const write of late.splice(0)) write();
      },
    }),
    memory => ({
      write(address, source, sourceOffset, length) {
        if (length !== 1) return memory.write(address, source, sourceOffset, length);
        const bytes = source.slice(sourceOffset, sourceOffset + length);
        late.push(() => void memory.write(address, bytes, 0, length));
        return true;
      },
    }),
  );
}
