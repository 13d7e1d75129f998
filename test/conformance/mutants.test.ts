/**
 * The judge sees. Each mutant is caught by the case that the record in git names, so a case that loses its power shows here;
 * the hunt through all cases, on three seeds, is `vrdma mutants`. A machine with a changed rule convicts a sound
 * implementation, and nothing is caught where nothing is planted.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { check } from '../../src/conformance/index.js';
import { equivalents } from '../../src/conformance/mutants/equivalents.js';
import { detect, mutantChapters, mutants } from '../../src/conformance/mutants/index.js';
import type { Detection, Mutant } from '../../src/conformance/mutants/index.js';
import { machineMutants } from '../../src/conformance/mutants/machines.js';
import { parseMutantRecord, renderMutantTables } from '../../src/conformance/mutants/record.js';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const record = parseMutantRecord(read('spec/mutants.json'));
const recorded = new Map(record.map(each => [each.id, each]));

function hunt(mutant: Mutant, seed: number, first?: string): Promise<Detection> {
  let clock = 0;
  return detect(mutant, {
    profile: 'roce',
    seed,
    first,
    quick: true,
    nowMs: () => clock++,
    shouldStop: () => false,
  });
}

describe('a mutant is caught by the case that the record names', () => {
  it.each(mutants.map(mutant => [mutant.id, mutant] as const))('%s', async (id, mutant) => {
    const [first] = recorded.get(id)?.caughtBy ?? [];
    if (first === undefined) throw new Error(`${id} is not in the record: vrdma mutants --write`);
    const { by } = await hunt(mutant, 1, first);
    expect(by[0]?.case).toBe(first);
  });
});

describe('the mutants', () => {
  it('are the ones of the record, each with an id of its own that begins with its place', () => {
    expect(record.map(({ id }) => id)).toEqual(mutants.map(({ id }) => id));
    expect(new Set(mutants.map(({ id }) => id)).size).toBe(mutants.length);
    for (const { id, where } of mutants) expect(id).toMatch(new RegExp(`^${where}/[a-z0-9-]+$`));
  });

  it('are enough, in every chapter, and enough of them need a race or a history', () => {
    expect(mutants.length).toBeGreaterThanOrEqual(160);
    for (const chapter of mutantChapters)
      expect(mutants.filter(each => each.chapter === chapter).length, chapter).toBeGreaterThanOrEqual(5);
    expect(mutants.filter(({ needs }) => needs !== undefined).length).toBeGreaterThanOrEqual(45);
    expect(equivalents.length).toBeGreaterThan(0);
  });

  it('stand in docs/mutants.md as the record has them', () => {
    const document = read('docs/mutants.md');
    const [, tables] = document.split('<!-- mutants -->\n\n');
    expect(tables).toBe(renderMutantTables(mutants, record));
  });

  it('are not seen where there are none', async () => {
    const sound: Mutant = {
      id: 'device/none',
      where: 'device',
      chapter: 'control',
      doc: 'Nothing is wrong.',
      requirements: ['CTRL-01', 'QP-24', 'DATA-37'],
      implementation: {},
    };
    const { by } = await hunt(sound, 1);
    expect(by).toEqual([]);
  }, 900_000);
});

describe('a machine with a changed rule convicts a sound implementation', () => {
  it.each(machineMutants.map(each => [each.id, each] as const))('%s', async (_id, { machine }) => {
    let clock = 0;
    const { findings } = await check({
      profile: 'roce',
      seed: 7,
      suites: ['settled', 'racing'],
      runs: 100,
      actionsMax: 60,
      shrinkRunsMax: 0,
      stopAtFirst: true,
      machines: [machine],
      nowMs: () => clock++,
      onProgress: () => undefined,
      shouldStop: () => false,
    });
    expect(findings.map(({ law }) => law)).toContain(`machine ${machine.name}`);
  });
});
