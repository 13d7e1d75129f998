import { describe, expect, it } from 'vitest';
import { caseSummary, type CaseSummaryContext } from '../../src/cli/format/case-summary.js';
import { plain } from '../../src/cli/format/text.js';
import { hostile, oneCase, reportWith, sampleReport } from '../report/sample.js';

const context: CaseSummaryContext = { width: 80, colours: plain };

describe('the cases of a check on the console', () => {
  it('are one line when all is well', () => {
    const cases = [oneCase(), oneCase({ id: 'QP/a/b' }), oneCase({ id: 'QP/a/c', grade: 'unsupported' })];
    expect(caseSummary(reportWith({ cases }), context)).toBe('3 cases: 2 pass, 1 unsupported\n');
  });

  it('are nothing when none was asked', () => {
    expect(caseSummary(reportWith({}), context)).toBe('');
  });

  it('begin with what failed, each with the way to see it again; then come the counts', () => {
    const cases = [
      oneCase(),
      oneCase({
        id: 'CTRL/create-cq/beyond-max',
        grade: 'fail',
        requirements: ['CTRL-07', 'ERR-03'],
        message:
          'createCq(70000) answered OK; expected EINVAL, since max_cqe of the device is 65536\nat line 2',
      }),
      oneCase({ id: 'QP/modify/late', grade: 'inconclusive', message: 'the run ended before it' }),
      oneCase({ id: 'QP/modify/lenient', grade: 'non-strict', message: 'took a mask that ours refuses' }),
      oneCase({ id: 'QP/known/one', grade: 'fail', known: 'issue 12', message: 'no answer' }),
    ];
    const text = caseSummary(reportWith({ cases, verdict: 'fail' }), {
      ...context,
      replayCommand: ({ id }) => (id.startsWith('CTRL') ? 'vrdma replay findings/x.json' : undefined),
      passAgain: [{ id: 'MEM/a/b', reason: 'issue 7' }],
    });
    expect(text).toMatchInlineSnapshot(`
      "FAIL  CTRL/create-cq/beyond-max
        createCq(70000) answered OK; expected EINVAL, since max_cqe of the device is
        65536
        [CTRL-07] [ERR-03]
        replay with: vrdma replay findings/x.json
        more: vrdma explain CTRL/create-cq/beyond-max

      INCONCLUSIVE  QP/modify/late: the run ended before it

      NON-STRICT  QP/modify/lenient: took a mask that ours refuses

      known failure: QP/known/one: issue 12
      passes again, take it from the known failures: MEM/a/b: issue 7

      chapter  cases  pass  non-strict  inconclusive  fail
      CTRL         2     1           .             .     1
      QP           3     .           1             1     1

      5 cases: 1 pass, 1 non-strict, 1 inconclusive, 2 fail (1 of them known)
      "
    `);
  });

  it('stay short however much failed', () => {
    const text = caseSummary(sampleReport({ cases: 1000, notPassed: 90 }), context);
    expect(text.split('\n').length).toBeLessThan(180);
    expect(text).toMatch(/and \d+ more failures \(--json and --html list them\)/);
  });

  it('obey nothing that an implementation says', () => {
    const cases = [oneCase({ id: `CTRL/${hostile}`, grade: 'fail', message: hostile, known: undefined })];
    expect(caseSummary(reportWith({ cases }), context)).not.toMatch(/(?!\n)[\p{Cc}\u202e]/u);
  });
});
