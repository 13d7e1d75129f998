/** What a planted fault is, and how one is laid over a sound party: by a seam, the smallest change that makes it wrong. */
import { bundledDevice, bundledDriver } from '../../../src/conformance/bundled.js';
import type { DeviceContext, DriverContext, Implementation } from '../../../src/conformance/index.js';
import type { MachineDefinition } from '../../../src/statemachines/index.js';
import type { HcaFunction } from '../../../src/reference/index.js';
import type { Verbs } from '../../../src/verbs/index.js';
import type { VirtioTransport } from '../../../src/virtio/index.js';

export interface Fault {
  /** A few words; unique. */
  readonly name: string;
  readonly where: 'driver' | 'transport' | 'device' | 'ring' | 'adapter' | 'network' | 'machine';
  /** What goes wrong, in a sentence. */
  readonly description: string;
  readonly implementation?: Implementation;
  /** Machines with a rule changed: the implementation is sound, and its judge is not. */
  readonly machines?: readonly MachineDefinition[];
  /** Laws of which one must be what catches it; any law when absent. */
  readonly expectedLaws?: readonly string[];
  /** Shows only when two things meet, or only after many of them. */
  readonly needs?: 'race' | 'history';
  /** Programs within which it must be caught; 100 when absent. */
  readonly programs?: number;
  /** Actions that the shrunk program may have; 12 when absent. */
  readonly shrunkMax?: number;
  readonly suites?: readonly ('settled' | 'racing')[];
}

/** `inner` with some members replaced; the others are its own. */
export function overlay<T extends object>(inner: T, changes: Partial<T>): T {
  return new Proxy(inner, {
    get(target, key): unknown {
      if (Object.hasOwn(changes, key)) return Reflect.get(changes, key);
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The bundled driver with verbs changed. `change` is called once for each machine. */
export function verbsFault(change: (verbs: Verbs, context: DriverContext) => Partial<Verbs>): Implementation {
  return {
    reports: true,
    driver: async context => {
      const verbs = await bundledDriver(context);
      return overlay(verbs, change(verbs, context));
    },
  };
}

/** The bundled driver on a transport that is changed. */
export function transportFault(change: (inner: VirtioTransport) => Partial<VirtioTransport>): Implementation {
  return {
    reports: true,
    driver: context =>
      bundledDriver({ ...context, transport: overlay(context.transport, change(context.transport)) }),
  };
}

/** The bundled device on an adapter that it uses wrongly: what is changed here is the device's use of it. */
export function deviceFault(
  change: (inner: HcaFunction, context: DeviceContext) => Partial<HcaFunction>,
): Implementation {
  return {
    reports: true,
    device: context =>
      bundledDevice({ ...context, function: overlay(context.function, change(context.function, context)) }),
  };
}

/** Another adapter than the reference one. */
export function adapterFault(change: (inner: HcaFunction) => Partial<HcaFunction>): Implementation {
  return { adapter: inner => overlay(inner, change(inner)) };
}

/** True for the n-th call and each n-th after it. */
export function every(n: number): () => boolean {
  let count = 0;
  return () => ++count % n === 0;
}

/** True for the n-th call and those after it. */
export function from(n: number): () => boolean {
  let count = 0;
  return () => ++count >= n;
}
