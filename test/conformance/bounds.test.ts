/** The bounds of the performance chapter hold for the bundled driver and device, and a driver or device that costs more breaks them. */
import { describe, expect, it } from 'vitest';
import { bundledDriver } from '../../src/conformance/bundled.js';
import type { Implementation } from '../../src/conformance/implementation.js';
import { checkBounds, holds } from '../../src/conformance/suites/bounds.js';
import type { BoundsReport } from '../../src/conformance/suites/bounds.js';
import { RdmaDevice } from '../../src/device/index.js';
import { RdmaDriver } from '../../src/driver/index.js';
import type { Verbs } from '../../src/verbs/index.js';
import type { VirtioTransport } from '../../src/virtio/index.js';

const profile = 'rdma';

/** Requirements whose rows do not hold; that of a law that ended the run where there are no rows. */
async function brokenBy(implementation: Implementation): Promise<readonly string[]> {
  const { rows, broken } = await checkBounds({ profile, implementation });
  const ids = rows.filter(row => !holds(row)).map(row => row.requirement);
  return ids.length > 0 ? ids : (broken?.requirements ?? []);
}

/** `target` with some members replaced; the others act on `target`. */
function changed<T extends object>(target: T, change: Partial<T>): T {
  return new Proxy(target, {
    get: (_, name): unknown => {
      const member: unknown = name in change ? Reflect.get(change, name) : Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...args: readonly unknown[]): unknown => Reflect.apply(member, target, args);
    },
  });
}

/** The bundled driver on a transport that differs. */
function onTransport(change: (transport: VirtioTransport) => Partial<VirtioTransport>): Implementation {
  return {
    driver: context => {
      const { transport } = context;
      return bundledDriver({ ...context, transport: changed(transport, change(transport)) });
    },
  };
}

/** The bundled driver with some verbs replaced. */
function withVerbs(
  change: (driver: RdmaDriver, transport: VirtioTransport) => Partial<Verbs>,
): Implementation {
  return {
    driver: async context => {
      const driver = new RdmaDriver(context);
      await driver.start();
      return changed<Verbs>(driver, change(driver, context.transport));
    },
  };
}

const device = (change: (device: RdmaDevice) => void): Implementation => ({
  device: context => {
    const made = new RdmaDevice({ ...context, pollIntervalNs: 100 });
    change(made);
    return made;
  },
});

describe('the bounds', () => {
  it.each(['roce', 'rdma'] as const)(
    '[PERF-01] [PERF-05] [PERF-06] [PERF-07] [PERF-08] [PERF-09] [PERF-10] [PERF-12] [PERF-18] [PERF-19] hold: profile %s',
    async name => {
      const report: BoundsReport = await checkBounds({ profile: name });
      expect(report.rows.filter(row => !holds(row))).toEqual([]);
      expect(report.broken).toBeUndefined();
      const counted = new Set(report.rows.map(row => row.requirement));
      expect([...counted].toSorted()).toEqual(
        [1, 5, 6, 7, 8, 9, 10, 12, 18, 19].map(number => `PERF-${String(number).padStart(2, '0')}`),
      );
      expect(report.throughput).toHaveLength(6);
    },
  );

  it('[OVR-11] are no fault of the kit when a driver fails a verb that must succeed, or lacks it', async () => {
    const forgetful = withVerbs(() => ({ deregMr: () => Promise.resolve() }));
    const { rows, broken } = await checkBounds({ profile, implementation: forgetful });
    expect(rows).toEqual([]);
    expect(broken?.requirements).toContain('OVR-11');
    expect(broken?.message).toContain('destroyPd: EBUSY');
  });

  it('[PERF-01] are broken by a driver that notifies twice', async () => {
    const twice = onTransport(transport => ({
      notify: index => {
        transport.notify(index);
        transport.notify(index);
      },
    }));
    expect(await brokenBy(twice)).toContain('PERF-01');
  });

  it('[PERF-05] are broken by a device that sends each interrupt twice', async () => {
    const eager = device(made => {
      const attach = made.attach.bind(made);
      made.attach = port =>
        attach({
          ...port,
          interruptQueue: index => {
            port.interruptQueue(index);
            port.interruptQueue(index);
          },
        });
    });
    expect(await brokenBy(eager)).toEqual(expect.arrayContaining(['PERF-05', 'PERF-10']));
  });

  it('[PERF-07] are broken by a driver that reads a register when it polls', async () => {
    const asking = withVerbs((driver, transport) => ({
      pollCq: (cq, into, max) => {
        transport.readStatus();
        return driver.pollCq(cq, into, max);
      },
    }));
    expect(await brokenBy(asking)).toContain('PERF-07');
  });

  it('[PERF-08] are broken by a driver that needs two commands for a verb', async () => {
    const chatty = withVerbs(driver => ({
      createPd: async () => {
        await driver.queryPort();
        return driver.createPd();
      },
    }));
    expect(await brokenBy(chatty)).toContain('PERF-08');
  });

  it('[PERF-12] are broken by a driver that translates pages twice', async () => {
    const forgetful: Implementation = {
      driver: context => {
        const { os } = context;
        return bundledDriver({
          ...context,
          os: {
            allocDma: (bytes, alignment) => os.allocDma(bytes, alignment),
            freeDma: buffer => os.freeDma(buffer),
            defer: task => os.defer(task),
            releasePage: address => os.releasePage(address),
            translate: address => {
              os.translate(address);
              os.releasePage(address);
              return os.translate(address);
            },
          },
        });
      },
    };
    expect(await brokenBy(forgetful)).toContain('PERF-12');
  });

  it('[PERF-18] are broken by a driver that notifies a device that polls', async () => {
    const anxious = withVerbs((driver, transport) => ({
      postSend: (qp, request) => {
        driver.postSend(qp, request);
        transport.notify(0);
      },
    }));
    expect(await brokenBy(anxious)).toContain('PERF-18');
  });

  it('[PERF-18] [PERF-19] say nothing of a device that sleeps between notifications', async () => {
    const sleepy: Implementation = { device: context => new RdmaDevice(context) };
    const { rows, throughput, broken } = await checkBounds({ profile, implementation: sleepy });
    expect(broken).toBeUndefined();
    expect(throughput.some(row => row.exitsPerMessage > 0)).toBe(true);
    expect(rows.filter(({ requirement }) => requirement >= 'PERF-18')).toEqual([]);
  });

  it('[PERF-19] are broken by a device that looks at its rings too seldom', async () => {
    const lazy = {
      device: (context: ConstructorParameters<typeof RdmaDevice>[0]) =>
        new RdmaDevice({ ...context, pollIntervalNs: 400_000 }),
    };
    expect(await brokenBy(lazy)).toContain('PERF-19');
  });
});
