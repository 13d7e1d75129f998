import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { grades, type Grade } from '../../src/conformance/cases/case-report.js';
import type { CheckReport } from '../../src/conformance/report.js';
import { columnNames, diffReports, gradeOrder, mergedReport, readReports } from '../../src/report/index.js';
import { finding, oneCase, reportWith, sampleReport } from './sample.js';

const graded = (grade: Grade, over: Partial<CheckReport> = {}) =>
  reportWith({ cases: [oneCase({ grade })], ...over });

describe('the difference of two reports', () => {
  it('orders every grade: from pass to fail each is worse than the one before', () => {
    expect(gradeOrder.join(' ')).toBe('pass informational non-strict unsupported skipped inconclusive fail');
    expect(new Set(gradeOrder)).toEqual(new Set(grades));
    for (const [at, grade] of gradeOrder.entries())
      for (const [other, later] of gradeOrder.entries()) {
        const [run] = diffReports([graded(grade)], [graded(later)]).runs;
        expect([run.worse.length, run.better.length]).toEqual([other > at ? 1 : 0, other < at ? 1 : 0]);
      }
  });

  it('of a report with itself is nothing', () => {
    const report = { ...sampleReport({ cases: 100, notPassed: 50 }), findings: [finding()] };
    const diff = diffReports([report], [report]);
    expect(diff).toMatchObject({ worse: false, newRuns: [], goneRuns: [] });
    expect(diff.runs).toMatchObject([
      { better: [], worse: [], new: [], gone: [], same: 100, lawsBroken: [] },
    ]);
  });

  it('the other way round calls worse what was better, and gone what was new', () => {
    const seeds = fc.integer({ min: 1, max: 1000 });
    fc.assert(
      fc.property(seeds, seeds, fc.integer({ min: 0, max: 20 }), (a, b, more) => {
        const before = sampleReport({ cases: 20, seed: a, notPassed: 40 });
        const after = sampleReport({ cases: more, seed: b, notPassed: 40 });
        const [there] = diffReports([before], [after]).runs;
        const [back] = diffReports([after], [before]).runs;
        const ids = (changes: readonly { id: string }[]) => changes.map(({ id }) => id);
        expect(ids(there.worse).toSorted()).toEqual(ids(back.better).toSorted());
        expect(ids(there.new)).toEqual(ids(back.gone));
        expect(there.same + there.worse.length + there.better.length + there.gone.length).toBe(20);
      }),
      { numRuns: 40 },
    );
  });

  it('begins with what fails now', () => {
    const two = (first: Grade, second: Grade) =>
      reportWith({
        cases: [oneCase({ id: 'QP/a/a', grade: first }), oneCase({ id: 'QP/a/b', grade: second })],
      });
    const [run] = diffReports([two('pass', 'pass')], [two('inconclusive', 'fail')]).runs;
    expect(run.worse.map(({ id }) => id)).toEqual(['QP/a/b', 'QP/a/a']);
  });

  it('loses no case whose id comes twice in a run', () => {
    const twice = (grade: Grade) => reportWith({ cases: [oneCase({ grade }), oneCase()] });
    expect(diffReports([twice('pass')], [twice('fail')]).runs).toMatchObject([
      { worse: [{ after: 'fail' }], same: 1 },
    ]);
  });

  it('a case that is new or gone is neither better nor worse', () => {
    const diff = diffReports(
      [reportWith({ cases: [oneCase({ id: 'QP/a/gone' })] })],
      [reportWith({ cases: [oneCase({ id: 'QP/a/new', grade: 'fail', message: 'm' })] })],
    );
    expect(diff).toMatchObject({
      worse: false,
      runs: [
        {
          new: [{ id: 'QP/a/new', after: 'fail', message: 'm' }],
          gone: [{ id: 'QP/a/gone', before: 'pass' }],
        },
      ],
    });
  });

  it('a run that came to no verdict is worse than one that passed, though none of its cases is', () => {
    const nothing = reportWith({ verdict: 'inconclusive', reason: 'it could not be loaded' });
    expect(diffReports([graded('pass')], [nothing])).toMatchObject({ worse: true, runs: [{ worse: [] }] });
    expect(diffReports([nothing], [graded('pass')]).worse).toBe(false);
  });

  it('a law that generated programs break now is worse, once: not when a case tells it', () => {
    const broken = finding();
    const after = graded('pass', { findings: [broken] });
    expect(diffReports([graded('pass')], [after])).toMatchObject({
      worse: true,
      runs: [{ lawsBroken: [broken.law] }],
    });
    const told = reportWith({ cases: [oneCase({ grade: 'fail', law: broken.law })], findings: [broken] });
    expect(diffReports([graded('pass')], [told]).runs).toMatchObject([{ lawsBroken: [], worse: [{}] }]);
    // It is still broken, though now a case tells it.
    expect(diffReports([after], [{ ...told, findings: [] }]).runs).toMatchObject([{ lawsMended: [] }]);
  });

  it('pairs several runs by implementation and profile', () => {
    const named = (name: string, grade: Grade, profile: 'roce' | 'rdma' = 'roce') =>
      graded(grade, { implementation: { name }, profile });
    const diff = diffReports(
      [named('a', 'pass'), named('b', 'pass'), named('b', 'pass', 'rdma')],
      [named('b', 'fail', 'rdma'), named('b', 'pass'), named('c', 'fail')],
    );
    expect(diff.runs.map(({ worse }) => worse.length)).toEqual([0, 1]);
    expect([diff.goneRuns, diff.newRuns]).toEqual([['a'], ['c']]);
    expect(diffReports([named('a', 'pass')], [named('b', 'fail')]).worse).toBe(true);
    expect(diffReports([named('a', 'pass'), named('b', 'pass')], [named('c', 'fail')]).runs).toEqual([]);
  });
});

describe('merged reports', () => {
  const runs = [sampleReport({ cases: 5 }), sampleReport({ cases: 5, name: 'other' })];

  it('come back from their file run by run', () => {
    expect(readReports(JSON.stringify(mergedReport(runs)), 'both.json')).toEqual(runs);
  });

  it('hold a run once, however often it is merged', () => {
    expect(mergedReport([...mergedReport(runs).runs, ...runs]).runs).toEqual(runs);
  });

  it('name each run by as much as tells it from the others', () => {
    const names = columnNames([
      sampleReport({ cases: 0 }),
      sampleReport({ cases: 0, name: 'mine', kit: '0.1.0' }),
      sampleReport({ cases: 0, name: 'mine', kit: '0.2.0' }),
      sampleReport({ cases: 0, name: 'mine', kit: '0.2.0', seed: 9 }),
      sampleReport({ cases: 0, name: 'mine', kit: '0.2.0', seed: 9 }),
    ]);
    expect(names).toEqual([
      'bundled',
      'mine, kit 0.1.0, seed 1',
      'mine, kit 0.2.0, seed 1',
      'mine, kit 0.2.0, seed 9',
      'mine, kit 0.2.0, seed 9 #2',
    ]);
  });
});
