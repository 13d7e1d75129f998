import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CheckReport } from '../../src/conformance/report.js';
import { fixture, Seed, temporaryDirectory, vrdma, type Terminal } from './support.js';

/** Runs `vrdma check --json` and reads the report. */
async function check(options: readonly string[], terminal?: Terminal) {
  const directory = temporaryDirectory();
  const argv = ['check', '--json', '--quiet', '--out', directory, ...options];
  const { code, out, err } = await vrdma(argv, terminal);
  return { code, err, report: JSON.parse(out) as CheckReport, directory };
}

/** Long enough for a worker to start on a busy machine. */
const hangSoon = ['--hang-timeout', '2s'];
const driver = (name: string) => ['--driver', fixture(name)];

describe('check', () => {
  it('ends with 0 when no law was broken, and the report says what was done', async () => {
    const { code, report } = await check(['--seed', '7', '--runs', '2', '--suite', 'racing']);
    expect(code).toBe(0);
    expect(report).toMatchObject({ verdict: 'pass', seed: 7, programs: 2, suites: [{ suite: 'racing' }] });
  });

  it('prints the seed it drew, and the command that runs the same again', async () => {
    const { out } = await vrdma(['check', '--quiet', '--runs', '2']);
    expect(out).toMatchInlineSnapshot(`
      "vrdma check  the bundled driver on the bundled device
      profile roce, seed 4242, budget 2 programs a suite

      suite      programs  actions  actions/s  findings    time
      probes            2       20         40         0  500 ms
      scenarios         2       20         40         0  500 ms
      rings             2       20         40         0  500 ms
      hostile           2       20         40         0  500 ms
      bounds            2       20         40         0  500 ms
      leaks             2       20         40         0  500 ms
      settled           2       20         40         0  500 ms
      racing            2       20         40         0  500 ms

      reached
      transitions  1 of 2
          never: b -> a

      CONFORMANT  no law broken in 2 programs, 20 actions, 1.0 s
      the same again: vrdma check --seed 4242 --runs 2 --profile roce
      "
    `);
  });

  it('shows progress on standard error: a redrawn line on a terminal', async () => {
    const { err } = await vrdma(['check', '--runs', '2', '--no-color'], { tty: true });
    expect(err).toContain('\r\u001b[K');
    expect(err).toContain('settled    50% [##########..........]  1 program  10 actions');
  });

  it('ends with 1 when a law was broken, prints it and saves the program', async () => {
    const directory = temporaryDirectory();
    const argv = ['check', '--quiet', '--seed', String(Seed.finding), '--out', directory];
    const { code, out } = await vrdma([...argv, ...driver('good-driver.mjs')]);
    expect(code).toBe(1);
    const file = join(directory, `answers-every-command-${Seed.finding}.json`);
    expect(out).toContain(`vrdma replay ${file} --profile roce ${driver('good-driver.mjs').join(' ')}`);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      version: 1,
      name: 'answers every command',
    });
    await vrdma([...argv, ...driver('good-driver.mjs')]);
    expect(readdirSync(directory)).toHaveLength(1);
    writeFileSync(file, 'something else');
    await vrdma(argv);
    expect(readdirSync(directory)).toHaveLength(2);
  });

  it('ends with 3 when the kit itself fails, and says that it is the kit', async () => {
    const { code, report } = await check(['--seed', String(Seed.throws)]);
    expect(code).toBe(3);
    expect(report.verdict).toBe('inconclusive');
    expect(report.reason).toContain(
      'a fault of the kit, not of the implementation: Error: the kit fell over',
    );
  });

  it('stops at an interrupt with a summary of what was done', async () => {
    const { code, out, err } = await vrdma(['check', '--seed', String(Seed.endless)], {
      tty: true,
      interruptAfter: /settled/,
    });
    expect(err).toContain('stopping after the program at hand');
    expect(out).toContain('STOPPED');
    expect(code).toBe(3);
  });

  it('stops at once at the second interrupt, although the implementation hangs', async () => {
    const argv = ['check', '--hang-timeout', '1m', '--runs', '9', ...driver('blocks.mjs')];
    const { code, out } = await vrdma(argv, { tty: true, interruptAfter: / 11%/, interrupts: 2 });
    expect(out).toContain('interrupted');
    expect(code).toBe(3);
  });
});

describe('an implementation that cannot be loaded ends with 3 and says why', () => {
  it.each([
    ['throws-on-load.mjs', 'threw while it was loaded: TypeError: no hardware here'],
    ['exports-nothing.mjs', 'exports nothing; expected a function createDriver(context)'],
    ['wrong-export.mjs', 'exports createDriver as number; expected a function createDriver(context)'],
    ['never-loads.mjs', 'could not be loaded: it waits for a promise that nothing can settle any more'],
    ['blocks-on-load.mjs', 'could not be loaded: it blocks: no sign of life for 2.'],
  ])('%s', async (name, message) => {
    const { code, report } = await check([...hangSoon, ...driver(name)]);
    expect(report.reason).toContain(message);
    expect(report.verdict).toBe('inconclusive');
    expect(code).toBe(3);
  });
});

describe('an implementation that fails while it is judged ends with 1 and the program that was under way', () => {
  it.each([
    ['blocks.mjs', 1, 'it blocks: no sign of life for 2.'],
    ['never-resolves.mjs', 0, 'it waits for a promise that nothing can settle any more'],
    ['throws-later.mjs', 0, 'it threw where nobody could catch it: Error: interrupt handler fell over'],
    ['exits.mjs', 0, 'it ended its thread with process.exit(7)'],
  ])('%s', async (name, run, message) => {
    const { code, report, directory } = await check([
      '--seed',
      '7',
      '--runs',
      '9',
      '--suite',
      'settled',
      ...hangSoon,
      ...driver(name),
    ]);
    expect(code).toBe(1);
    expect(report.verdict).toBe('fail');
    expect(report.findings[0]?.message).toContain(message);
    expect(report.findings[0]?.program).toMatchObject({ seed: 7, name: `run ${run} settled` });
    expect(readdirSync(directory)).toHaveLength(1);
  });

  it('keeps what the implementation prints away from the report', async () => {
    const { err } = await check(['--runs', '1', ...driver('exits.mjs')]);
    expect(err).toContain('printed by the driver');
  });
});
