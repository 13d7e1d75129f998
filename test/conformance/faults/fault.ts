/** How a planted fault is laid over a sound party: by a seam, the smallest change that makes it wrong. */
import { bundledDevice } from '../../../src/conformance/bundled.js';
import type { DeviceContext, Implementation } from '../../../src/conformance/implementation.js';
import type { HcaFunction } from '../../../src/reference/index.js';

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

/** True for the n-th call and each n-th after it. */
export function every(n: number): () => boolean {
  let count = 0;
  return () => ++count % n === 0;
}
