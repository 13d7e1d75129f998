/** The device cases see what they are there to see: devices with one fault each, laid over the sound one, and who catches them. */
import { describe, expect, it } from 'vitest';
import { bundledDevice } from '../../src/conformance/bundled.js';
import { CaseBroken } from '../../src/conformance/cases/case.js';
import { hostileDriverCases } from '../../src/conformance/hostile/driver/index.js';
import type { DeviceContext, Implementation } from '../../src/conformance/index.js';
import { deviceCases } from '../../src/conformance/probes/device/index.js';
import { AccessFlag } from '../../src/abi/index.js';
import type { VirtioDevice } from '../../src/virtio/index.js';
import { deviceFault, overlay } from './faults/fault.js';

/** The bundled device with registers changed. */
function registers(
  change: (inner: VirtioDevice, context: DeviceContext) => Partial<VirtioDevice>,
): Implementation {
  return {
    device: context => {
      const inner = bundledDevice(context);
      return overlay(inner, change(inner, context));
    },
  };
}

/** The bundled device in memory that changes what it writes. */
function writes(
  change: (context: DeviceContext, address: number, source: Uint8Array) => Uint8Array,
): Implementation {
  return {
    device: context => {
      const { memory } = context;
      const changed = overlay(memory, {
        write: (address, source, offset, length) =>
          memory.write(address, change(context, address, source.slice(offset, offset + length)), 0, length),
      });
      return bundledDevice({ ...context, memory: changed });
    },
  };
}

interface Planted {
  readonly fault: string;
  readonly caughtBy: string;
  readonly requirement: string;
  readonly implementation: Implementation;
}

const planted: readonly Planted[] = [
  {
    fault: 'takes features that it does not offer',
    caughtBy: 'FEAT/negotiate/not-offered',
    requirement: 'FEAT-08',
    implementation: registers(inner => ({
      setDriverFeatures: features => inner.setDriverFeatures(features & inner.deviceFeatures),
    })),
  },
  {
    fault: 'lets status bits go',
    caughtBy: 'FEAT/status/keeps-bits',
    requirement: 'FEAT-16',
    implementation: registers(inner => {
      let shown = 0;
      return {
        writeStatus: status => {
          inner.writeStatus(status);
          shown = status;
        },
        readStatus: () => inner.readStatus() & (shown | 64),
      };
    }),
  },
  {
    fault: 'works before DRIVER_OK when it is notified',
    caughtBy: 'FEAT/live/not-before-driver-ok',
    requirement: 'FEAT-26',
    implementation: registers(inner => ({
      notified: index => {
        if (inner.readStatus() === 11) inner.writeStatus(15);
        inner.notified(index);
      },
    })),
  },
  {
    fault: 'forgets to say that it needs a reset',
    caughtBy: 'VQ/broken-control-ring/loop',
    requirement: 'VQ-50',
    implementation: registers(inner => ({ readStatus: () => inner.readStatus() & ~64 })),
  },
  {
    fault: 'puts max_rdma_cqs where max_rdma_qps belongs',
    caughtBy: 'CONF/fields/places-and-values',
    requirement: 'CONF-01',
    implementation: registers((inner, { profile }) => ({
      readConfig: () => {
        const view = inner.readConfig();
        const at = profile.config.size - (profile.name === 'rdma' ? 12 : 8);
        const first = view.getUint32(at, true);
        view.setUint32(at, view.getUint32(at + 4, true), true);
        view.setUint32(at + 4, first, true);
        return view;
      },
    })),
  },
  {
    fault: 'writes one byte behind its answers',
    caughtBy: 'CTRL/create-pd/cut-in-every-way',
    requirement: 'ISO-08',
    implementation: {
      device: context => {
        const { memory } = context;
        const stray = overlay(memory, {
          write: (address, source, offset, length) => {
            const done = memory.write(address, source, offset, length);
            memory.write(address + length, Uint8Array.of(0), 0, 1);
            return done;
          },
        });
        return bundledDevice({ ...context, memory: stray });
      },
    },
  },
  {
    fault: 'leaves what was in its memory in the padding of a completion',
    caughtBy: 'CQ/contents/error-holds-nothing-else',
    requirement: 'CQ-26',
    implementation: writes((_, __, bytes) => {
      if (bytes.length === 48) bytes[40] = 0x5a;
      return bytes;
    }),
  },
  {
    fault: 'gives every region the right to be written by the peer',
    caughtBy: 'ERR/remote-write/right-of-the-region-missing',
    requirement: 'ERR-14',
    implementation: deviceFault(inner => ({
      registerMr: (pd, init) =>
        inner.registerMr(pd, { ...init, access: init.access | AccessFlag.REMOTE_WRITE | 1 }),
    })),
  },
  {
    fault: 'destroys a completion queue that is in use',
    caughtBy: 'CTRL/destroy-cq/in-use-for-sends',
    requirement: 'RST-02',
    implementation: deviceFault(inner => ({
      destroyCq: cq => {
        try {
          inner.destroyCq(cq);
        } catch {
          // Said to be done.
        }
      },
    })),
  },
  {
    fault: 'takes every completion for a solicited one',
    caughtBy: 'CQ/event/solicited-only',
    requirement: 'CQ-41',
    implementation: deviceFault(inner => ({
      createCq: (cqe, owner) =>
        inner.createCq(
          cqe,
          overlay(owner, {
            completionAdded: (cq, completion) => owner.completionAdded(cq, completion, true),
          }),
        ),
    })),
  },
  {
    fault: 'keeps its objects through a reset',
    caughtBy: 'RST/device/nothing-left',
    requirement: 'ISO-08',
    implementation: deviceFault(() => ({ reset: () => undefined })),
  },
];

describe('a device that', () => {
  it.each(planted)('$fault is caught by $caughtBy', async ({ caughtBy, requirement, implementation }) => {
    const found = deviceCases.find(({ id }) => id === caughtBy);
    if (found?.how.kind !== 'probe') throw new Error(`there is no probe ${caughtBy}`);
    const broken: unknown = await found.how
      .run({ profile: 'rdma', implementation, seed: 1 })
      .then(() => undefined)
      .catch((error: unknown) => error);
    if (!(broken instanceof CaseBroken)) throw new Error(`not caught: ${String(broken)}`);
    expect(broken.requirements).toContain(requirement);
    expect(broken.message).toMatch(/expected|wrote/);
    expect(broken.steps.length).toBeGreaterThan(0);
  });
});

describe('a hostile driver finds', () => {
  const hostile = async (id: string, implementation: Implementation): Promise<unknown> => {
    const found = hostileDriverCases.find(each => each.id === id);
    if (found?.how.kind !== 'hostile') throw new Error(`there is no attack ${id}`);
    return found.how.run({ profile: 'rdma', implementation, seed: 3 }).catch((error: unknown) => error);
  };

  it('a device that throws, and says with which attack', async () => {
    const throws = registers(inner => ({
      notified: index => {
        if (index > 0xffff) throw new RangeError(`no queue ${index}`);
        inner.notified(index);
      },
    }));
    const broken = await hostile('HOST/driver/notifications', throws);
    if (!(broken instanceof CaseBroken)) throw new Error(`not caught: ${String(broken)}`);
    expect(broken.requirements).toContain('HOST-01');
    expect(broken.message).toMatch(/the attack: \{.*"act":"kick"/);
  });

  it('a device that never comes to rest', async () => {
    const restless: Implementation = {
      device: context => {
        const inner = bundledDevice(context);
        const task = { run: () => context.scheduler.post(task) };
        return overlay(inner, {
          enableQueue: (index, size, addresses) => {
            inner.enableQueue(index, size, addresses);
            if (inner.readStatus() === 79) context.scheduler.post(task);
          },
        });
      },
    };
    const broken = await hostile('HOST/driver/registers', restless);
    if (!(broken instanceof CaseBroken)) throw new Error(`not caught: ${String(broken)}`);
    expect(broken.requirements).toContain('HOST-01');
  });

  it('a device that writes where no descriptor lets it', async () => {
    const stray: Implementation = {
      device: context => {
        const { memory } = context;
        const inner = bundledDevice(context);
        return overlay(inner, {
          notified: index => {
            if (index > 40) memory.write(0x1_4000_0000 + 210 * 1024, Uint8Array.of(1), 0, 1);
            inner.notified(index);
          },
        });
      },
    };
    const broken = await hostile('HOST/driver/notifications', stray);
    if (!(broken instanceof CaseBroken)) throw new Error(`not caught: ${String(broken)}`);
    expect(broken.requirements).toContain('ISO-08');
  });

  it('a device whose reset harms its neighbours', async () => {
    const devices: VirtioDevice[] = [];
    const harmful: Implementation = {
      device: context => {
        const inner = bundledDevice(context);
        devices[context.vm] = inner;
        return overlay(inner, {
          resetQueue: index => {
            inner.resetQueue(index);
            if (context.vm === 0) devices[1].writeStatus(0);
          },
        });
      },
    };
    const broken = await hostile('HOST/driver/registers', harmful);
    expect(broken).toBeInstanceOf(CaseBroken);
  });
});
