/** A field that changes behind its first read: sound parties go by one of the two values, and who does not is found out. */
import { describe, expect, it } from 'vitest';
import { profiles } from '../../src/abi/index.js';
import { bundledDevice, bundledDriver } from '../../src/conformance/bundled.js';
import { CaseBroken } from '../../src/conformance/cases/case.js';
import type { Implementation } from '../../src/conformance/index.js';
import { smallLimits } from '../../src/conformance/limits.js';
import { observationCases } from '../../src/conformance/ring-watch/index.js';
import { Tally } from '../../src/conformance/ring-watch/tally.js';
import { WatchedMachine } from '../../src/conformance/ring-watch/watched-machine.js';
import { SimulatedGuest } from '../../src/conformance/simulated-guest.js';
import { Scheduler, firstChoice } from '../../src/fabric/index.js';
import {
  Descriptor,
  PackedDescriptor,
  SplitDeviceQueue,
  SplitDriverQueue,
  descriptorTableBytes,
  layOutSplitRing,
  splitRingBytes,
  usedRingBytes,
} from '../../src/virtio/index.js';
import type { MemoryWindow } from '../../src/virtio/index.js';
import { changedWindow } from '../../src/conformance/mutants/seams/window.js';
import { overlay } from './faults/fault.js';

const cases = observationCases.flatMap(each =>
  each.how.kind === 'probe' ? [{ ...each, run: each.how.run }] : [],
);
const ask = (id: string, implementation: Implementation) =>
  cases.find(each => each.id === id)?.run({ profile: 'roce', seed: 1, implementation });

/** The bundled device with its windows on descriptors changed, those in the ring and those in indirect tables. */
function descriptorDevice(change: (window: MemoryWindow) => Partial<MemoryWindow>): Implementation {
  // Descriptors are only read here, and both formats have the same fields at the same places.
  const changed = (window: MemoryWindow): MemoryWindow =>
    changedWindow(window, 'packed', () => change(window));
  return {
    device: context => {
      const { memory } = context;
      return bundledDevice({
        ...context,
        memory: overlay(memory, {
          newWindow: () => changed(memory.newWindow()),
          window(address, length) {
            const window = memory.window(address, length);
            return length === descriptorTableBytes(64) && window !== undefined ? changed(window) : window;
          },
        }),
      });
    },
  };
}

/** The bundled driver with its windows of so many bytes changed: those on used rings, or on packed ones. */
function usedDriver(
  change: (window: MemoryWindow) => Partial<MemoryWindow>,
  bytes: number = usedRingBytes(64),
): Implementation {
  return {
    driver: context => {
      const { memory } = context;
      return bundledDriver({
        ...context,
        memory: overlay(memory, {
          window(address, length) {
            const window = memory.window(address, length);
            return length === bytes && window !== undefined ? overlay(window, change(window)) : window;
          },
        }),
      });
    },
  };
}

describe('a field that changes behind its first read', () => {
  it.each(cases.map(({ id }) => [id]))(
    '[VQ-32] [HOST-32] %s: the bundled pair goes by one value',
    async id => {
      expect((await ask(id, {}))?.runs).toBeGreaterThan(0);
    },
  );

  it('shows a device that falls over when the second read differs', async () => {
    const falling = descriptorDevice(window => ({
      get32(offset) {
        const first = window.get32(offset);
        if (offset % Descriptor.SIZE === Descriptor.LEN && first !== window.get32(offset))
          throw new Error('differs');
        return first;
      },
    }));
    await expect(ask('VQ/double-fetch/descriptor-length', falling)).rejects.toThrow(CaseBroken);
    await expect(ask('VQ/packed-double-fetch/descriptor-length', falling)).rejects.toThrow(CaseBroken);
  });

  it('shows a device that goes by the buffer id of a second read', async () => {
    const trusting = descriptorDevice(window => ({
      get16(offset) {
        const first = window.get16(offset);
        return offset % PackedDescriptor.SIZE === PackedDescriptor.ID && first < 64
          ? window.get16(offset)
          : first;
      },
    }));
    await expect(ask('VQ/packed-double-fetch/buffer-id', trusting)).resolves.toBeDefined();
    const mixing = descriptorDevice(window => ({
      get16(offset) {
        const first = window.get16(offset);
        if (offset % PackedDescriptor.SIZE !== PackedDescriptor.ID) return first;
        return window.get16(offset) === first ? first : (first + 1) & 63;
      },
    }));
    await expect(ask('VQ/packed-double-fetch/buffer-id', mixing)).rejects.toThrow(CaseBroken);
  });

  it('shows a driver that checks the id that it read first and goes by the one that it reads then', async () => {
    const trusting = usedDriver(window => ({
      get32(offset) {
        const first = window.get32(offset);
        const second = window.get32(offset);
        if (first < 64 && second >= 64) throw new RangeError(`no chain ${second}`);
        return second;
      },
    }));
    await expect(ask('VQ/double-fetch/used-id', trusting)).rejects.toThrow(CaseBroken);
  });

  it('shows a driver of packed rings that does', async () => {
    const trusting = usedDriver(
      window => ({
        get16(offset) {
          const first = window.get16(offset);
          const second = window.get16(offset);
          if (offset % PackedDescriptor.SIZE !== PackedDescriptor.ID) return first;
          if (first < 64 && second >= 64) throw new RangeError(`no chain ${second}`);
          return second;
        },
      }),
      PackedDescriptor.SIZE * 64,
    );
    await expect(ask('VQ/packed-double-fetch/used-id', trusting)).rejects.toThrow(CaseBroken);
  });
});

describe('RING-40 object-exists', () => {
  it('[VQ-04] shows a device that takes from the queue of a completion queue that does not exist', () => {
    const tally = new Tally();
    const guest = new SimulatedGuest({
      scheduler: new Scheduler(firstChoice),
      memoryBytes: 16_384,
      arenaBytes: 4096,
      scatterSeed: 1,
    });
    const { maxQps, maxCqs } = smallLimits.device;
    const queues = profiles.roce.queues(maxQps, maxCqs);
    const quiet = () => undefined;
    const told = {
      available: quiet,
      published: quiet,
      taken: quiet,
      used: quiet,
      interrupt: quiet,
      consumed: quiet,
    };
    const sink = { ...told, asleep: quiet, notified: quiet, woke: quiet };
    const commands = { command: quiet, answer: quiet };
    const control = { driver: commands, device: commands };
    const machine = new WatchedMachine({ vm: 0, queues, maxQps, maxCqs, tally, sink, control }, guest);
    const ring = machine.os.allocDma(splitRingBytes(4), 16);
    const config = { index: queues.cq(0), size: 4, ...layOutSplitRing(ring.address, 4) };
    const features = { indirect: false, eventIdx: false };
    const driver = new SplitDriverQueue(machine.driverMemory, config, features);
    machine.enabling(config.index, config.size, config);
    const device = new SplitDeviceQueue(machine.deviceMemory, config, features);
    driver.begin();
    driver.addWritable(machine.os.allocDma(48, 8).address, 48);
    driver.commit(0);
    driver.publish();
    expect(device.take(device.newChain())).toBe('chain');
    expect([...tally.breaches.keys()]).toEqual(['noObject']);
  });
});
