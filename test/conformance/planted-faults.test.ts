/**
 * The judge sees: each planted fault is caught by generated programs within a bounded number of them, by a law that has to do
 * with it, and its counterexample shrinks to a few actions. `docs/how-faults-are-caught.md` is made from what comes out here.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { check } from '../../src/conformance/index.js';
import type { Finding } from '../../src/conformance/index.js';
import { faults } from './faults/index.js';
import type { Fault } from './faults/index.js';

const SEED = 7;
/** Short programs shrink fast. */
const ACTIONS_MAX = 60;
const PROGRAMS = 100;
const SHRUNK_MAX = 12;
const document = new URL('../../docs/how-faults-are-caught.md', import.meta.url);

interface Caught {
  readonly fault: Fault;
  readonly programs: number;
  readonly calls: number;
  readonly finding: Finding;
}

const caught: Caught[] = [];

async function run(fault: Fault): Promise<Caught | undefined> {
  let clock = 0;
  const report = await check({
    profile: 'roce',
    seed: SEED,
    suites: fault.suites ?? ['settled', 'racing'],
    runs: fault.programs ?? PROGRAMS,
    actionsMax: ACTIONS_MAX,
    shrinkRunsMax: 500,
    stopAtFirst: true,
    machines: fault.machines,
    nowMs: () => clock++,
    onProgress: () => undefined,
    shouldStop: () => false,
    ...fault.implementation,
  });
  const [finding] = report.findings;
  if (finding === undefined) return undefined;
  return { fault, programs: report.programs, calls: report.actions, finding };
}

describe('a planted fault is caught and made small', () => {
  it.each(faults.map(fault => [fault.where, fault.name, fault] as const))(
    '%s: %s',
    async (_where, _name, fault) => {
      const found = await run(fault);
      if (found === undefined) throw new Error(`not caught: ${fault.description}`);
      caught.push(found);
      if (fault.expectedLaws !== undefined) expect(fault.expectedLaws).toContain(found.finding.law);
      expect(found.finding.actions).toBeLessThanOrEqual(fault.shrunkMax ?? SHRUNK_MAX);
    },
  );

  it('most shrink to twelve actions or fewer, and enough of them need a race or a history', () => {
    const small = caught.filter(each => each.finding.actions <= SHRUNK_MAX);
    expect(caught.length).toBe(faults.length);
    expect(small.length).toBeGreaterThan(faults.length * 0.8);
    expect(faults.filter(fault => fault.needs !== undefined).length).toBeGreaterThanOrEqual(8);
    expect(new Set(faults.map(fault => fault.name)).size).toBe(faults.length);
  });

  it('nothing is caught where nothing is planted', async () => {
    const sound: Fault = { name: 'none', where: 'driver', description: 'nothing is wrong' };
    expect(await run(sound)).toBeUndefined();
  });

  afterAll(() => {
    const rows = caught.map(({ fault, programs, calls, finding }) =>
      [fault.where, fault.name, fault.description, finding.law, programs, calls, finding.actions].join(' | '),
    );
    const table = [
      '| where | fault | what is wrong | caught by | programs | calls | actions left |',
      '| --- | --- | --- | --- | --: | --: | --: |',
      ...rows.map(row => `| ${row} |`),
    ].join('\n');
    if (process.env.WRITE_FAULT_TABLE === undefined || caught.length !== faults.length) return;
    const text = readFileSync(document, 'utf8');
    const [start, end] = ['<!-- faults -->', '<!-- /faults -->'];
    const head = text.slice(0, text.indexOf(start) + start.length);
    writeFileSync(document, `${head}\n\n${table}\n\n${text.slice(text.indexOf(end))}`);
  });
});
