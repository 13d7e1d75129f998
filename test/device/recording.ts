/** Something between a device and its HCA function that watches or replaces calls. */
import type { HcaFunction } from '../../src/reference/index.js';

type Call = () => unknown;
type Wrap = (hcaFunction: HcaFunction) => HcaFunction;

/** `around` is called in place of each method; `call` is the method with these arguments. */
export function intercepting(around: (name: string, call: Call, args: readonly unknown[]) => unknown): Wrap {
  return hcaFunction =>
    new Proxy(hcaFunction, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]): unknown =>
          around(String(name), () => Reflect.apply(member, target, args), args);
      },
    });
}

const changing = [
  'createPd',
  'destroyPd',
  'createCq',
  'destroyCq',
  'reqNotifyCq',
  'registerMr',
  'deregisterMr',
  'createAh',
  'destroyAh',
  'createQp',
  'modifyQp',
  'destroyQp',
  'addGid',
  'delGid',
  'reset',
];

/** `log` gets the name of each call that changes objects and did not throw. */
export function recording(log: string[], names: readonly string[] = changing): Wrap {
  return intercepting((name, call) => {
    const result = call();
    if (names.includes(name)) log.push(name);
    return result;
  });
}

/** `log` gets the name of each call that changes objects, also of those that throw. */
export function asking(log: string[]): Wrap {
  return intercepting((name, call) => {
    if (changing.includes(name)) log.push(name);
    return call();
  });
}
