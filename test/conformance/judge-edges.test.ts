/** What one run leaves to the next, and how much is held against a device that works outside. */
import { describe, expect, it } from 'vitest';
import { bundledDevice, bundledDriver } from '../../src/conformance/bundled.js';
import type { DeviceFactory, Implementation } from '../../src/conformance/implementation.js';
import { judge } from '../../src/conformance/judge.js';
import { laws } from '../../src/conformance/laws.js';
import { smallLimits } from '../../src/conformance/limits.js';
import { MonitorBook } from '../../src/conformance/monitors/book.js';
import type { Action, Program } from '../../src/conformance/program.js';
import { observations } from '../../src/conformance/ring-watch/observations.js';
import type { ObservationKey } from '../../src/conformance/ring-watch/observations.js';
import { GUEST_BASE } from '../../src/conformance/simulated-guest.js';
import type { Memories } from '../../src/conformance/simulated-guest.js';
import { turn } from '../../src/conformance/turn.js';
import { GuestMemory } from '../../src/virtio/index.js';
import { program } from './hand-made.js';
import { plantedFaults } from './ring-watch-planted.js';

const pds = (expect?: 'EBUSY'): Program => ({
  ...program,
  actions: Array.from({ length: 3 }, (_, i): Action => ({ op: 'createPd', vm: 0, as: `pd${i}`, expect })),
});

describe('a run that was cut short', () => {
  /** Turns of the microtask queue that the driver takes before it gives up. */
  const TURNS = 5;

  it('leaves nothing to the next one, which the same monitors judge: what its promises still do is over by then', async () => {
    const book = new MonitorBook();
    let letGo = (): void => undefined;
    let gaveUp = 0;
    const held = new Promise<void>(resolve => (letGo = resolve));
    const slow: Implementation = {
      driver: async context => {
        const verbs = await bundledDriver(context);
        void held.then(async () => {
          for (let turns = 0; turns < TURNS; turns++) await turn;
          context.transport.writeStatus(0);
          gaveUp++;
        });
        return verbs;
      },
    };
    const options = { profile: 'roce', book } as const;
    const { broken } = await judge(pds('EBUSY'), { ...options, implementation: slow });
    expect([broken?.law, gaveUp]).toEqual([laws.expected.name, 0]);
    letGo();
    expect((await judge(pds(), options)).broken).toBeUndefined();
    expect(gaveUp).toBe(1);
  });
});

describe('the memory of a run', () => {
  it('is not used again when somebody else has had it in hands, who may go on writing to it', async () => {
    const kept: GuestMemory[] = [];
    const clinging: Implementation = {
      driver: async context => {
        const verbs = await bundledDriver(context);
        for (const memory of kept)
          for (const { address, length } of memory.regions)
            memory.write(address, new Uint8Array(length).fill(9), 0, length);
        kept.push(context.memory);
        return verbs;
      },
    };
    // More runs than there is memory put aside of those before.
    for (let runs = 0; runs < 12; runs++) {
      const { broken } = await judge(pds(), { profile: 'roce', implementation: clinging });
      expect(broken?.message).toBeUndefined();
    }
    expect(kept).toHaveLength(12);
  });
});

describe('a device outside', () => {
  /** A device as if it worked in another process: nobody sees its accesses, only what they change. */
  function outside(device: DeviceFactory, given: Implementation = {}): Implementation {
    let latest = new Uint8Array(0);
    const memories: Memories = {
      take: bytes => (latest = new Uint8Array(bytes)),
      give: () => undefined,
    };
    return {
      ...given,
      memories,
      outside: { poll: () => false, rest: () => false },
      outsideDevice: { limits: smallLimits, machinesMax: 1, showsStatus: true },
      device: context => {
        const memory = new GuestMemory();
        memory.addRegion(GUEST_BASE, latest);
        return device({ ...context, memory });
      },
    };
  }
  const deviceOf = (key: ObservationKey): DeviceFactory => plantedFaults[key]?.device ?? bundledDevice;
  const lawOf = async (implementation: Implementation): Promise<string | undefined> =>
    (await judge(pds(), { profile: 'roce', implementation })).broken?.law;
  const ringLaw = (key: ObservationKey): string => `ring ${observations[key].id} ${observations[key].slug}`;

  it('is judged by what it leaves in memory; what it reads, and when, is not seen', async () => {
    expect(await lawOf(outside(bundledDevice))).toBeUndefined();
    expect(await lawOf(outside(deviceOf('usedLength')))).toBe(ringLaw('usedLength'));
    expect(await lawOf({ device: deviceOf('takeOrder') })).toBe(ringLaw('takeOrder'));
    expect(await lawOf(outside(deviceOf('takeOrder')))).toBeUndefined();
  });

  it('is convicted of what changes in the driver’s memory where each write of the driver is seen, and there alone', async () => {
    expect(await lawOf(outside(deviceOf('foreignAreas')))).toBe(ringLaw('foreignAreas'));
    expect(await lawOf(outside(deviceOf('foreignAreas'), { driver: bundledDriver }))).toBeUndefined();
  });
});
