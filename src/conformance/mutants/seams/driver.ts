/** The seams of a driver: its verbs, its operating system, its transport, its rings, the messages in them. */
import { RdmaDriver } from '../../../driver/index.js';
import type { GuestOs } from '../../../driver/index.js';
import type { CompletionQueue, Verbs, WorkCompletion } from '../../../verbs/index.js';
import { Avail, Descriptor, DescriptorFlag, Used, ringFeatures } from '../../../virtio/index.js';
import type { FeatureSet, GuestMemory, MemoryWindow, VirtioTransport } from '../../../virtio/index.js';
import type { DriverContext, Implementation } from '../../implementation.js';
import { lateOverlay, overlay } from './overlay.js';
import { RingAreas, isElement, ringKind } from './rings.js';
import type { Ring, RingChange, RingFormat } from './rings.js';

async function started(context: DriverContext): Promise<RdmaDriver> {
  const driver = new RdmaDriver(context);
  await driver.start();
  return driver;
}

/** The bundled driver in a context that is changed. */
export function driverIn(change: (context: DriverContext) => DriverContext): Implementation {
  return { reports: true, driver: context => started(change(context)) };
}

/** The bundled driver with verbs changed. `change` is called once for each machine. */
export function verbs(change: (inner: Verbs, context: DriverContext) => Partial<Verbs>): Implementation {
  return {
    reports: true,
    driver: async context => {
      const inner = await started(context);
      return overlay<Verbs>(inner, change(inner, context));
    },
  };
}

/** Changes the completions that a poll brings; what it returns is the number that is left. */
export function polls(
  change: (completions: WorkCompletion[], count: number, max: number, cq: CompletionQueue) => number,
): Implementation {
  return verbs(inner => ({
    pollCq: (cq, completions, max) => change(completions, inner.pollCq(cq, completions, max), max, cq),
  }));
}

/** The bundled driver on a transport that is changed. */
export function transport(
  change: (inner: VirtioTransport, context: DriverContext) => Partial<VirtioTransport>,
): Implementation {
  return driverIn(context => ({
    ...context,
    transport: overlay(context.transport, change(context.transport, context)),
  }));
}

/** The bundled driver on another operating system. */
export function operatingSystem(
  change: (inner: GuestOs, context: DriverContext) => Partial<GuestOs>,
): Implementation {
  return driverIn(context => ({ ...context, os: overlay(context.os, change(context.os, context)) }));
}

/** The driver sees and writes its rings wrongly. */
export function driverRings(change: RingChange, format: RingFormat = 'split'): Implementation {
  return driverIn(context => {
    const { memory, profile, transport: line } = context;
    const areas = new RingAreas(format);
    let features: FeatureSet = 0n;
    return {
      ...context,
      memory: overlay(memory, {
        window(address, length) {
          const window = memory.window(address, length);
          return window === undefined ? undefined : lateOverlay(window, () => areas.changes(window, change));
        },
      }),
      transport: overlay(line, {
        setDriverFeatures(accepted) {
          features = accepted;
          line.setDriverFeatures(accepted);
        },
        enableQueue(queue, size, addresses) {
          const config = profile.config.decode(line.readConfig(), 0);
          const map = profile.queues(config.max_rdma_qps, config.max_rdma_cqs);
          const kind = ringKind(map, config.max_rdma_cqs, queue);
          areas.add({ queue, size, kind, addresses, features: ringFeatures(features) });
          line.enableQueue(queue, size, addresses);
        },
      }),
    };
  });
}

/** A part of a chain: one descriptor, with its bytes in guest memory. */
export interface Part {
  readonly writable: boolean;
  readonly address: number;
  readonly length: number;
  /** A copy of its bytes. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Writes the copy back. */
  save(): void;
}

export interface Messages {
  /** The driver is about to publish a chain. */
  published(parts: readonly Part[], ring: Ring): void;
  /** The driver is about to look at a chain that came back. */
  returned(parts: readonly Part[], ring: Ring, written: number): void;
}

/** The bundled driver that writes its messages, or understands the answers, wrongly. Once made for each machine. */
export function messages(make: (context: DriverContext) => Partial<Messages>): Implementation {
  return {
    reports: true,
    driver: context => {
      const change = make(context);
      const { memory } = context;
      const chains = new Map<string, Part[]>();
      const { driver } = driverRings((window, area, ring) => {
        if (area === 'descriptors') return {};
        if (area === 'used') return seeing(window, ring, chains, memory, change);
        return publishing(window, ring, chains, memory, change);
      });
      return driver === undefined ? started(context) : driver(context);
    },
  };
}

function publishing(
  window: MemoryWindow,
  ring: Ring,
  chains: Map<string, Part[]>,
  memory: GuestMemory,
  change: Partial<Messages>,
): Partial<MemoryWindow> {
  let last = 0;
  return {
    store16(offset, value) {
      if (offset === Avail.IDX) {
        for (; last !== value; last = (last + 1) & 0xffff) {
          const head = window.get16(Avail.RING + Avail.ENTRY * (last % ring.size));
          const parts = partsOf(memory, ring.addresses.descriptors, head);
          chains.set(`${ring.queue} ${head}`, parts);
          change.published?.(parts, ring);
        }
      }
      window.store16(offset, value);
    },
  };
}

function seeing(
  window: MemoryWindow,
  ring: Ring,
  chains: ReadonlyMap<string, Part[]>,
  memory: GuestMemory,
  change: Partial<Messages>,
): Partial<MemoryWindow> {
  let last = 0;
  return {
    load16(offset) {
      const value = window.load16(offset);
      if (offset !== Used.IDX) return value;
      for (let steps = 0; last !== value && steps < ring.size; last = (last + 1) & 0xffff, steps++) {
        const at = Used.RING + Used.ENTRY * (last % ring.size);
        const parts = chains.get(`${ring.queue} ${window.get32(at + Used.ID)}`);
        if (parts === undefined) continue;
        const fresh = parts.map(({ address, length, writable }) => partAt(memory, address, length, writable));
        change.returned?.(fresh, ring, window.get32(at + Used.LEN));
      }
      return value;
    },
  };
}

function partAt(memory: GuestMemory, address: number, length: number, writable: boolean): Part {
  const bytes = new Uint8Array(length);
  memory.read(address, bytes, 0, length);
  return {
    writable,
    address,
    length,
    bytes,
    view: new DataView(bytes.buffer),
    save: () => void memory.write(address, bytes, 0, length),
  };
}

/** The parts of a chain that a sound driver has written. */
function partsOf(memory: GuestMemory, table: number, head: number): Part[] {
  const parts: Part[] = [];
  for (let at = head; ;) {
    const window = memory.window(table + Descriptor.SIZE * at, Descriptor.SIZE);
    if (window === undefined) return parts;
    const flags = window.get16(Descriptor.FLAGS);
    const address = window.get64(Descriptor.ADDR);
    if ((flags & DescriptorFlag.INDIRECT) !== 0) return partsOf(memory, address, 0);
    parts.push(partAt(memory, address, window.get32(Descriptor.LEN), (flags & DescriptorFlag.WRITE) !== 0));
    if ((flags & DescriptorFlag.NEXT) === 0) return parts;
    at = window.get16(Descriptor.NEXT);
  }
}

/** A used element, with the room that its chain has for an answer. */
export interface Returned {
  readonly id: number;
  readonly length: number;
  readonly room: number;
}

/** The driver takes each used element for another: `seen` gives what it understands. */
export function usedElements(
  seen: (element: Returned, ring: Ring) => { id?: number; length?: number },
): Implementation {
  return {
    reports: true,
    driver: context => {
      const element = (window: MemoryWindow, at: number, ring: Ring): Returned => {
        const id = window.get32(at + Used.ID);
        const parts = id < ring.size ? partsOf(context.memory, ring.addresses.descriptors, id) : [];
        const room = parts.reduce((sum, { writable, length }) => sum + (writable ? length : 0), 0);
        return { id, length: window.get32(at + Used.LEN), room };
      };
      const { driver } = driverRings((window, area, ring) =>
        area !== 'used'
          ? {}
          : {
              get32(offset) {
                const value = window.get32(offset);
                if (isElement(offset, Used.ID, ring.size))
                  return seen(element(window, offset - Used.ID, ring), ring).id ?? value;
                if (isElement(offset, Used.LEN, ring.size))
                  return seen(element(window, offset - Used.LEN, ring), ring).length ?? value;
                return value;
              },
            },
      );
      return driver === undefined ? started(context) : driver(context);
    },
  };
}
