/** Something between a device and its HCA function that writes down which calls changed something. */
import type { HcaFunction } from '../../src/reference/index.js';

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

/** `log` gets the name of each changing call that did not throw. */
export function recording(log: string[]): (hcaFunction: HcaFunction) => HcaFunction {
  return hcaFunction =>
    new Proxy(hcaFunction, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]): unknown => {
          const result: unknown = Reflect.apply(member, target, args);
          if (changing.includes(String(name))) log.push(String(name));
          return result;
        };
      },
    });
}
