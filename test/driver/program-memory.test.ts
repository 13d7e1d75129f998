/** The program's memory that regions give to the device: what the driver tells of it, and how long it holds it. */
import { describe, expect, it } from 'vitest';
import { Ack, AccessFlag, Command, readLe64, regUserMrCommand } from '../../src/abi/index.js';
import { ARENA_BASE, PAGE_BYTES } from '../../src/conformance/simulated-guest.js';
import { startedWorld } from './fake-device.js';
import type { FakeWorld, TakenCommand } from './fake-device.js';
import { errnoOf } from './setup.js';

const access = AccessFlag.LOCAL_WRITE;
const ranges = [
  [0, 1],
  [0, PAGE_BYTES],
  [PAGE_BYTES - 1, 2],
  [100, 3 * PAGE_BYTES],
  [5 * PAGE_BYTES + 7, 4 * PAGE_BYTES - 7],
] as const;

const held = (world: FakeWorld): number => world.guest.pinned.reduce((sum, count) => sum + count, 0);

/** Pages that a range of the arena touches, as their virtual addresses. */
function pagesOf(offset: number, length: number): number[] {
  const pages: number[] = [];
  const start = ARENA_BASE + offset;
  for (let page = start - (start % PAGE_BYTES); page < start + length; page += PAGE_BYTES) pages.push(page);
  return pages;
}

describe('a registration', () => {
  /** The command that the driver sends for a range. */
  async function commandFor(world: FakeWorld, addr: number, length: number): Promise<DataView> {
    const pd = await world.settle(world.driver.createPd());
    world.device.hold = true;
    const mr = world.driver.regMr(pd, { addr, length, access });
    const [command] = world.device.pending;
    world.device.answerAll();
    world.device.hold = false;
    await world.settle(mr);
    return command.data;
  }

  it.each(ranges)(
    '[MEM-01] lists every page in order, for %i bytes into the arena and %i long',
    async (offset, length) => {
      const world = await startedWorld();
      const data = await commandFor(world, ARENA_BASE + offset, length);
      const { npages } = regUserMrCommand.decode(data, 0);
      const listed = Array.from({ length: npages }, (_, i) => readLe64(data, regUserMrCommand.size + 8 * i));
      expect(data.byteLength).toBe(regUserMrCommand.size + 8 * npages);
      expect(listed).toEqual(pagesOf(offset, length).map(page => world.guest.translate(page)));
    },
  );

  it.each(ranges)(
    '[MEM-02] names the exact range, for %i bytes into the arena and %i long',
    async (offset, length) => {
      const world = await startedWorld();
      const data = await commandFor(world, ARENA_BASE + offset, length);
      expect(regUserMrCommand.decode(data, 0)).toMatchObject({ virt_addr: ARENA_BASE + offset, length });
    },
  );
});

describe('the pages of a region', () => {
  const addr = ARENA_BASE + 100;
  const length = 3 * PAGE_BYTES;
  const PAGES = 4;

  function commandIn(world: FakeWorld, code: number): TakenCommand {
    const found = world.device.pending.find(command => command.code === code);
    if (found === undefined) throw new Error(`no command ${code} is pending`);
    return found;
  }

  it('[MEM-03] [RST-18] are held from the command that registers it until the OK of DEREG_MR', async () => {
    const world = await startedWorld();
    const { device, driver } = world;
    const pd = await world.settle(driver.createPd());
    device.hold = true;
    const registering = driver.regMr(pd, { addr, length, access });
    expect(held(world)).toBe(PAGES);
    device.answerAll();
    const mr = await world.settle(registering);
    expect(held(world)).toBe(PAGES);
    // A refusal leaves the region, and its pages, where they are.
    const refused = errnoOf(driver.deregMr(mr));
    device.answer(commandIn(world, Command.DEREG_MR), Ack.ERR);
    expect(await world.settle(refused)).toBe('EINVAL');
    expect(held(world)).toBe(PAGES);
    const ending = driver.deregMr(mr);
    await world.turn();
    expect(held(world)).toBe(PAGES);
    device.answerAll();
    await world.settle(ending);
    expect(held(world)).toBe(0);
  });

  it('[MEM-03] [RST-18] are held once for each region that has them', async () => {
    const world = await startedWorld();
    const { driver } = world;
    const pd = await world.settle(driver.createPd());
    const first = await world.settle(driver.regMr(pd, { addr, length, access }));
    const second = await world.settle(driver.regMr(pd, { addr, length: 1, access }));
    await world.settle(driver.deregMr(first));
    expect(world.guest.pinned[0]).toBe(1);
    await world.settle(driver.deregMr(second));
    expect(held(world)).toBe(0);
  });

  it('[RST-18] go back at once when nothing is registered, and with a reset', async () => {
    const world = await startedWorld();
    const { device, driver, guest } = world;
    const pd = await world.settle(driver.createPd());
    device.refused.add(Command.REG_USER_MR);
    expect(await errnoOf(world.settle(driver.regMr(pd, { addr, length, access })))).toBe('EINVAL');
    const beyond = guest.arenaBytes - 10;
    expect(await errnoOf(driver.regMr(pd, { addr: ARENA_BASE + beyond, length: 20, access }))).toBe('EFAULT');
    expect(held(world)).toBe(0);
    device.refused.clear();
    await world.settle(driver.regMr(pd, { addr, length, access }));
    device.hold = true;
    const pending = errnoOf(driver.regMr(pd, { addr, length, access }));
    device.fail('made up');
    expect(await pending).toBe('EIO');
    // The device may still write: nothing goes back before it is reset.
    expect(held(world)).toBe(2 * PAGES);
    await driver.stop();
    expect(held(world)).toBe(0);
  });
});
