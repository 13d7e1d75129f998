/** Nothing leaks over many lives of every kind of object, and a leak is seen. */
import { describe, expect, it } from 'vitest';
import { bundledDevice, bundledDriver } from '../../src/conformance/bundled.js';
import { laws } from '../../src/conformance/laws.js';
import { checkLeaks } from '../../src/conformance/suites/leaks.js';

const never = (): boolean => false;

describe('[RST-24] [RST-25] 10,000 rounds of create, use and destroy', () => {
  it('leave nothing behind, destroyed under load or not', async () => {
    const { broken, rounds } = await checkLeaks({ profile: 'roce' }, 10_000, never);
    expect(broken).toBeUndefined();
    expect(rounds).toBe(10_000);
  });

  it('show a driver that keeps its memory', async () => {
    const { broken } = await checkLeaks(
      {
        profile: 'rdma',
        implementation: {
          driver: context => {
            const { os } = context;
            const keeping = {
              allocDma: os.allocDma.bind(os),
              translate: os.translate.bind(os),
              releasePage: os.releasePage.bind(os),
              defer: os.defer.bind(os),
              freeDma: () => undefined,
            };
            return bundledDriver({ ...context, os: keeping });
          },
        },
      },
      100,
      never,
    );
    expect(broken?.law).toBe(laws.leaksNothing.name);
  });

  it('show a device that forgets to count a destroyed region out', async () => {
    const { broken } = await checkLeaks(
      {
        profile: 'roce',
        implementation: {
          device: context => {
            const inner = context.function;
            const keeping = new Proxy(inner, {
              get(target, name) {
                if (name === 'deregisterMr') return () => undefined;
                const value: unknown = Reflect.get(target, name);
                return typeof value === 'function' ? (value.bind(target) as unknown) : value;
              },
            });
            return bundledDevice({ ...context, function: keeping });
          },
        },
      },
      100,
      never,
    );
    expect(broken?.law).toBe(laws.leaksNothing.name);
  });
});
