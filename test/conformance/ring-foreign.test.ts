/** A foreign driver or device needs not report its rings: they are seen. */
import { describe, expect, it } from 'vitest';
import { bundledDevice, bundledDriver } from '../../src/conformance/bundled.js';
import { writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import type { DeviceFactory, DriverFactory, Implementation } from '../../src/conformance/index.js';
import { judge } from '../../src/conformance/judge.js';
import { MonitorBook } from '../../src/conformance/monitors/book.js';
import { runObservations } from '../../src/conformance/ring-watch/index.js';
import { plantedFaults } from './ring-watch-planted.js';

/** The factory of an example; a module without one would be no implementation. */
async function factory(path: string): Promise<Implementation> {
  const module: unknown = await import(new URL(`../../examples/${path}`, import.meta.url).href);
  const { createDriver: driver, createDevice: device } = module as {
    readonly createDriver?: DriverFactory;
    readonly createDevice?: DeviceFactory;
  };
  return { driver, device };
}

/** What the judge finds in some programs. */
async function findings(implementation: Implementation, count: number, book = new MonitorBook()) {
  const found: string[] = [];
  for (let i = 0; i < count; i++) {
    const mode = i % 2 === 0 ? 'settled' : 'racing';
    const program = writeProgram(500 + i, { mode, actionsMax: 60 });
    const { broken } = await judge(program, { profile: 'roce', implementation, book });
    if (broken !== undefined) found.push(`${broken.law}: ${broken.message}`);
  }
  return found;
}

describe('rings of a foreign implementation', () => {
  it.each([
    ['driver', { driver: bundledDriver }],
    ['device', { device: bundledDevice }],
  ] as const)('drive the machines of the rings when a %s says nothing', async (_which, implementation) => {
    const book = new MonitorBook();
    expect(await findings(implementation, 12, book)).toEqual([]);
    const { counts } = book.table();
    for (const step of [
      'CHAIN: AVAILABLE TAKE',
      'COMMAND: TAKEN ANSWER_OK',
      'NOTIFY_DEVICE: ASLEEP WRITE_NOTIFY',
    ])
      expect(
        Object.entries(counts).filter(([name, count]) => name.startsWith(step) && count > 0),
      ).not.toEqual([]);
  });

  it('are judged by what is seen: a fault in a ring is the finding, not what came of it', async () => {
    const { usedId = {}, ownership = {} } = plantedFaults;
    expect((await findings(usedId, 2))[0]).toContain('used-id');
    expect((await findings(ownership, 2))[0]).toContain('descriptor-ownership');
  });

  it.each([
    ['tiny-driver/tiny-driver.js'],
    ['minimal-driver/minimal-driver.js'],
    ['minimal-device/minimal-device.js'],
  ])('give no false alarm with %s', async path => {
    const implementation = await factory(path);
    expect(implementation.driver ?? implementation.device).toBeDefined();
    const context = { profile: 'roce', seed: 1, implementation } as const;
    const { outcomes, cutShort } = await runObservations(context, { programs: 16, seed: 9 });
    const failed = outcomes.filter(
      ({ observation, first }) => observation.verdict === 'fail' && first !== undefined,
    );
    expect(failed.map(({ observation, first }) => `${observation.slug}: ${first?.message}`)).toEqual([]);
    expect(cutShort).toBe(0);
    expect(await findings(implementation, 4)).toEqual([]);
  });
});
