/** What chapters 3 and 4 ask of a whole driver and a whole device: queue places, configuration lengths, honest used lengths. */
import { describe, expect, it } from 'vitest';
import { Command, profiles, rdmaConfig } from '../../src/abi/index.js';
import { DeviceStatus } from '../../src/virtio/index.js';
import { Guest, World, viewOf } from '../device/guest.js';
import { FakeWorld } from '../driver/fake-device.js';

describe('the places of virtqueues', () => {
  it('[VQ-01] are those of the table, for both profiles', () => {
    for (const [maxQps, maxCqs] of [
      [1, 1],
      [6, 4],
      [16_384, 16_384],
    ]) {
      const roce = profiles.roce.queues(maxQps, maxCqs);
      const rdma = profiles.rdma.queues(maxQps, maxCqs);
      expect([roce.control, rdma.control]).toEqual([2, 0]);
      for (const cqn of [0, maxCqs - 1]) expect([roce.cq(cqn), rdma.cq(cqn)]).toEqual([3 + cqn, 1 + cqn]);
      for (const qpn of [0, maxQps - 1]) {
        expect([roce.sq(qpn), rdma.sq(qpn)]).toEqual([3 + maxCqs + 2 * qpn, 1 + maxCqs + 2 * qpn]);
        expect([roce.rq(qpn), rdma.rq(qpn)]).toEqual([4 + maxCqs + 2 * qpn, 2 + maxCqs + 2 * qpn]);
      }
      expect([roce.count, rdma.count]).toEqual([3 + maxCqs + 2 * maxQps, 1 + maxCqs + 2 * maxQps]);
      expect(roce.count).toBeLessThanOrEqual(65_536);
    }
  });
});

describe('the configuration space', () => {
  /** A driver before a device whose configuration is cut or filled up to `bytes` bytes. */
  function withConfigOf(bytes: number): FakeWorld {
    const world = new FakeWorld({ profile: 'rdma' });
    const whole = world.device.readConfig();
    world.device.readConfig = () => {
      const config = new Uint8Array(bytes).fill(0xff);
      config.set(new Uint8Array(whole.buffer).subarray(0, bytes));
      return new DataView(config.buffer);
    };
    return world;
  }

  it('[CONF-06] ends too early: the driver sets FAILED and stops', async () => {
    for (const bytes of [0, rdmaConfig.offsets.max_rdma_cqs, rdmaConfig.size - 1]) {
      const world = withConfigOf(bytes);
      await expect(world.driver.start()).rejects.toThrow(/configuration space/);
      const status = world.transport.readStatus();
      expect(status & (DeviceStatus.FAILED | DeviceStatus.DRIVER_OK)).toBe(DeviceStatus.FAILED);
    }
  });

  it('[CONF-07] goes on behind what the driver knows: it starts', async () => {
    const world = withConfigOf(rdmaConfig.size + 100);
    await world.settle(world.driver.start());
    expect(world.transport.readStatus() & DeviceStatus.DRIVER_OK).toBe(DeviceStatus.DRIVER_OK);
  });

  it('[CONF-11] keeps its limits through the life of a device', () => {
    const guest = new Guest(new World());
    const before = new Uint8Array(guest.device.readConfig().buffer);
    guest.call(Command.CREATE_PD, new Uint8Array(0), 4);
    expect(new Uint8Array(guest.device.readConfig().buffer)).toEqual(before);
    guest.device.writeStatus(0);
    guest.start();
    expect(new Uint8Array(guest.device.readConfig().buffer)).toEqual(before);
  });
});

describe('used lengths', () => {
  /** The answer of a command whose writable part held `fill` before. */
  function answerOver(fill: number, readable: Uint8Array, room: number): Uint8Array {
    const guest = new Guest(new World());
    const address = guest.place(new Uint8Array(room).fill(fill));
    guest.makeAvailable(guest.queues.control, readable, { address, length: room }, [1]);
    guest.world.settle();
    const [used] = guest.returned(guest.queues.control);
    return guest.peek(address, used.written);
  }

  it('[VQ-37] count only bytes that the device wrote', () => {
    const codes = [Command.QUERY_DEVICE, Command.QUERY_PORT, Command.CREATE_PD, 99];
    const lengths = codes.map(code => {
      const bytes = new Guest(new World()).commandBytes(code);
      const [first, second] = [0x11, 0xee].map(fill => answerOver(fill, bytes, 300));
      // A byte that was counted and not written would still hold what was there before, which differs.
      expect(first).toEqual(second);
      return first.length;
    });
    expect(lengths.every(length => length >= 1 && length < 300)).toBe(true);
    expect(lengths[3]).toBe(1);
    expect(viewOf(answerOver(0, new Guest(new World()).commandBytes(99), 8)).getUint8(0)).toBe(1);
  });
});
