/** What was not done is said: a hunt that was cut off, a bound for which nothing was counted. */
import { describe, expect, it } from 'vitest';
import { mutantSummary } from '../../src/cli/format/mutants.js';
import type { MutantRow } from '../../src/cli/format/mutants.js';
import { summaryText } from '../../src/cli/format/summary.js';
import { plain } from '../../src/cli/format/text.js';
import { mutants } from '../../src/conformance/mutants/index.js';
import { smallLimits } from '../../src/conformance/limits.js';
import { boundNames } from '../../src/conformance/report.js';
import type { BoundRow, BoundsSummary } from '../../src/conformance/report.js';
import { checkBounds } from '../../src/conformance/suites/bounds.js';
import { reportWith } from '../report/sample.js';

describe('a hunt', () => {
  const rows = (...caught: readonly boolean[]): readonly MutantRow[] =>
    caught.map((seen, i) => ({
      mutant: mutants[i],
      detections: [
        {
          mutant: mutants[i].id,
          seed: 1,
          by: seen ? [{ case: 'CTRL/a/b', requirements: ['CTRL-01'], message: 'wrong' }] : [],
          runs: 1,
          actions: 1,
          steps: undefined,
          elapsedMs: 1,
        },
      ],
    }));
  const headOf = (found: readonly MutantRow[], asked: number): string | undefined =>
    mutantSummary(found, asked, 1000, plain)
      .split('\n')
      .find(line => line.includes(' on '));

  it('that was cut off does not say that all are caught, with none hunted or some', () => {
    expect(headOf([], 3)).toBe('CUT OFF  0 of 0 mutants on 0 seeds, 0 of 3 hunted, 1.0 s');
    expect(headOf(rows(true, true), 3)).toBe('CUT OFF  2 of 2 mutants on 1 seed, 2 of 3 hunted, 1.0 s');
  });

  it('says what got away, cut off or not, and that all are caught when all were hunted', () => {
    expect(headOf(rows(true, false), 3)).toBe(
      'SOME GOT AWAY  1 of 2 mutants on 1 seed, 2 of 3 hunted, 1.0 s',
    );
    expect(headOf(rows(true, false), 2)).toBe('SOME GOT AWAY  1 of 2 mutants on 1 seed, 1.0 s');
    expect(headOf(rows(true, true), 2)).toBe('ALL CAUGHT  2 of 2 mutants on 1 seed, 1.0 s');
  });
});

describe('a bound', () => {
  const outsideDevice = { limits: smallLimits, machinesMax: 4, showsStatus: true };
  const linesOf = (bounds: BoundsSummary): string =>
    summaryText({ ...reportWith({}), bounds }, { width: 80, colours: plain, againCommand: 'vrdma check' });

  it('[PERF-18] [PERF-19] of time is not measured for a device with a clock of its own, and says nothing then', async () => {
    const { rows, throughput, broken } = await checkBounds({
      profile: 'roce',
      implementation: { outsideDevice },
    });
    expect(broken).toBeUndefined();
    expect(throughput).toEqual([]);
    expect(rows.filter(({ measured }) => !Number.isFinite(measured))).toEqual([]);
    const text = linesOf({ rows, throughput });
    expect(text).toContain('not measured: exits-a-message, throughput\n');
    expect(text).not.toContain('messages/s');
  });

  it('that was measured is in the table, and nothing is said to be missing', () => {
    const rows = boundNames.map((name): BoundRow => ({
      name,
      requirement: 'PERF-01',
      formula: `${name} <= 1`,
      measured: 1,
      limit: 1,
      kind: 'most',
    }));
    const row = { depth: 1, messageBytes: 64, nativePerSecond: 100, paravirtualPerSecond: 99 };
    const text = linesOf({ rows, throughput: [{ ...row, ratio: 0.99, exitsPerMessage: 0 }] });
    expect(text).toContain('throughput <= 1');
    expect(text).toContain('messages/s');
    expect(text).not.toContain('not measured');
  });
});
