/** From what was seen to a grade: how much a sentence binds, what is known to fail, and the verdict of the whole. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { finishCases, gradeOfBreach, grades } from '../../../src/conformance/cases/index.js';
import type { CaseResult, KnownFailure, Reading, Standing } from '../../../src/conformance/cases/index.js';

const standings: Readonly<Record<string, Standing>> = {
  'A-01': { strict: false, keyword: 'MUST' },
  'A-02': { strict: true, keyword: 'MUST NOT' },
  'A-03': { strict: false, keyword: 'SHOULD' },
  'A-04': { strict: true, keyword: 'SHOULD NOT' },
  'A-05': { strict: false, keyword: 'MAY' },
};

function reading(changes: Partial<Reading> = {}): Reading {
  return { standingOf: id => standings[id], strict: false, known: [], today: '2026-11-23', ...changes };
}

function result(id: string, grade: CaseResult['grade'], ...requirements: string[]): CaseResult {
  return {
    id,
    doc: '',
    judges: 'both',
    kind: 'probe',
    grade,
    requirements,
    runs: 1,
    actions: 1,
    elapsedMs: 0,
  };
}

describe('a breach is as bad as the most binding sentence that it breaks', () => {
  it.each([
    [['A-01'], 'fail'],
    [['A-02'], 'non-strict'],
    [['A-03'], 'informational'],
    [['A-04'], 'informational'],
    [['A-05'], 'informational'],
    [['A-02', 'A-03'], 'non-strict'],
    [['A-02', 'A-01'], 'fail'],
    [['A-03', 'A-99'], 'fail'],
    [[], 'fail'],
  ] as const)('%j: %s', (requirements, grade) => {
    expect(gradeOfBreach(requirements, reading())).toBe(grade);
  });

  it('with --strict no lenient reading counts, and a SHOULD stays a SHOULD', () => {
    expect(gradeOfBreach(['A-02'], reading({ strict: true }))).toBe('fail');
    expect(gradeOfBreach(['A-03'], reading({ strict: true }))).toBe('informational');
  });

  it('more requirements never make it milder', () => {
    const order = ['informational', 'non-strict', 'fail'];
    const ids = fc.array(fc.constantFrom(...Object.keys(standings)), { minLength: 1 });
    fc.assert(
      fc.property(ids, ids, fc.boolean(), (some, more, strict) => {
        const place = (list: readonly string[]) => order.indexOf(gradeOfBreach(list, reading({ strict })));
        expect(place([...some, ...more])).toBe(Math.max(place(some), place(more)));
      }),
    );
  });
});

describe('a known failure', () => {
  const known: KnownFailure = { id: 'X/a/b', reason: 'issue 12' };

  it('does not fail the run, and the result says why', () => {
    const { cases, failed } = finishCases([result('X/a/b', 'fail', 'A-01')], reading({ known: [known] }));
    expect(failed).toBe(false);
    expect(cases[0]).toMatchObject({ grade: 'fail', known: 'issue 12' });
  });

  it('excuses no other case', () => {
    const { failed } = finishCases(
      [result('X/a/b', 'fail', 'A-01'), result('X/a/c', 'fail', 'A-01')],
      reading({ known: [known] }),
    );
    expect(failed).toBe(true);
  });

  it('that passes again is told', () => {
    const { passAgain, failed } = finishCases([result('X/a/b', 'pass', 'A-01')], reading({ known: [known] }));
    expect(passAgain).toEqual([known]);
    expect(failed).toBe(false);
  });

  it.each([
    ['2026-11-22', true],
    ['2026-11-23', false],
    ['2027-01-01', false],
  ])('that counts until %s fails the run on 2026-11-23: %s', (expires, failed) => {
    const old = { ...known, expires };
    const finished = finishCases([result('X/a/b', 'fail', 'A-01')], reading({ known: [old] }));
    expect(finished.failed).toBe(failed);
    expect(finished.expired).toEqual(failed ? [old] : []);
  });
});

it('grades other than a failure are left as they are', () => {
  for (const grade of grades.filter(each => each !== 'fail')) {
    const { cases, failed } = finishCases([result('X/a/b', grade, 'A-01')], reading());
    expect(cases[0].grade).toBe(grade);
    expect(failed).toBe(false);
  }
});
