import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CheckReport } from '../../src/conformance/report.js';
import { readReports } from '../../src/report/index.js';
import { finding, hostile, oneCase, reportWith, sampleReport } from '../report/sample.js';
import { temporaryDirectory, vrdma } from './support.js';

function saved(report: unknown, name = 'a.json'): string {
  const path = join(temporaryDirectory(), name);
  writeFileSync(path, typeof report === 'string' ? report : JSON.stringify(report));
  return path;
}

const before = reportWith({
  implementation: { name: 'mine' },
  kit: '0.1.0',
  cases: [
    oneCase({ id: 'CTRL/a/kept' }),
    oneCase({ id: 'CTRL/a/broken-now' }),
    oneCase({ id: 'CTRL/a/mended', grade: 'fail', message: 'no answer' }),
    oneCase({ id: 'CTRL/a/gone' }),
  ],
  findings: [finding({ law: 'an old law' })],
  verdict: 'fail',
});
const after = reportWith({
  implementation: { name: 'mine' },
  kit: '0.2.0',
  cases: [
    oneCase({ id: 'CTRL/a/kept' }),
    oneCase({ id: 'CTRL/a/broken-now', grade: 'fail', message: 'createCq(0) answered OK; expected EINVAL' }),
    oneCase({ id: 'CTRL/a/mended' }),
    oneCase({ id: 'CTRL/a/new', grade: 'fail', message: 'a new case' }),
    oneCase({ id: 'CTRL/a/new-too' }),
  ],
  findings: [finding()],
  verdict: 'fail',
});

describe('diff', () => {
  it('says what is worse first, then better, new and gone, and exits 1', async () => {
    const { code, out } = await vrdma(['diff', saved(before), saved(after)]);
    expect(code).toBe(1);
    expect(out).toMatchInlineSnapshot(`
      "mine, kit 0.1.0 -> mine, kit 0.2.0
      WORSE   law broken: no wake-up is lost
      WORSE   CTRL/a/broken-now  pass -> fail
              createCq(0) answered OK; expected EINVAL
      BETTER  law kept: an old law
      BETTER  CTRL/a/mended  fail -> pass
      NEW     CTRL/a/new  fail
              a new case
      GONE    CTRL/a/gone  was pass
      2 worse, 2 better, 2 new (1 pass, 1 fail), 1 gone, 1 case as before
      "
    `);
  });

  it('exits 0 when nothing is worse', async () => {
    const { code, out } = await vrdma(['diff', saved(before), saved(before)]);
    expect(code).toBe(0);
    expect(out).toContain('0 worse, 0 better, 0 new, 0 gone, 4 cases as before');
  });

  it('prints the same as JSON', async () => {
    const { code, out } = await vrdma(['diff', saved(before), saved(after), '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      version: 1,
      worse: true,
      runs: [{ worse: [{ id: 'CTRL/a/broken-now' }] }],
    });
  });

  it('compares nothing with nothing in no case: runs without a counterpart are a mistake', async () => {
    const other = { ...before, implementation: { name: 'other' } };
    const two = { version: 2, runs: [before, { ...before, profile: 'rdma' }] };
    const { code, err } = await vrdma(['diff', saved(two), saved({ version: 2, runs: [other, other] })]);
    expect(code).toBe(2);
    expect(err).toMatch(/have no run in common: mine, roce; mine, rdma against other/);
  });

  it('obeys nothing that a report says', async () => {
    const evil = reportWith({ cases: [oneCase({ grade: 'fail', message: hostile, id: `CTRL/${hostile}` })] });
    const { out } = await vrdma(['diff', saved(reportWith({ cases: [] })), saved(evil)]);
    expect(out).not.toMatch(/(?!\n)[\p{Cc}\u202e]/u);
  });
});

describe('merge', () => {
  it('prints one report that holds all runs', async () => {
    const { code, out } = await vrdma(['merge', saved(before), saved({ version: 2, runs: [after, before] })]);
    expect(code).toBe(0);
    expect(readReports(out, 'out')).toEqual([before, after].map(plain));
  });

  it('writes JSON and page, and prints what they hold', async () => {
    const directory = temporaryDirectory();
    const [json, html] = [join(directory, 'both.json'), join(directory, 'both.html')];
    const files = [saved(sampleReport({ cases: 30 })), saved(after)];
    const { code, out } = await vrdma(['merge', ...files, '--out', json, '--html', html]);
    expect(code).toBe(0);
    expect(out).toMatch(/^run +verdict +cases +pass/);
    expect(readReports(readFileSync(json, 'utf8'), json)).toHaveLength(2);
    expect(readFileSync(html, 'utf8')).toMatch(/<th[^>]*>bundled<\/th><th[^>]*>mine<\/th>/);
  });

  it('says when a file cannot be written', async () => {
    const { code, err } = await vrdma(['merge', saved(after), '--html', '/nowhere/a.html']);
    expect(code).toBe(2);
    expect(err).toContain('cannot write --html /nowhere/a.html');
  });
});

describe('a file that is no report', () => {
  const broken: readonly [string, unknown, RegExp][] = [
    ['of a newer version', { ...after, version: 3 }, /a\.json: version: it is 3, and this vrdma reads 2/],
    ['that is cut off', JSON.stringify(after).slice(0, 500), /a\.json: it is not JSON/],
    [
      'with a grade that does not exist',
      { ...after, cases: [{ ...oneCase(), grade: 'A+' }] },
      /a\.json: cases\[0\]\.grade: /,
    ],
    ['without a run', { version: 2, runs: [] }, /a\.json: runs: it holds no run/],
  ];
  for (const [what, document, message] of broken)
    it(`${what} ends merge and diff with one message and exit code 2`, async () => {
      const path = saved(document);
      for (const argv of [
        ['merge', path],
        ['diff', saved(after, 'good.json'), path],
      ]) {
        const { code, out, err } = await vrdma(argv);
        expect([code, out]).toEqual([2, '']);
        expect(err).toMatch(message);
        expect(err.trimEnd().split('\n')).toHaveLength(1);
      }
    });

  it('is said to be missing when it is', async () => {
    expect((await vrdma(['merge', '/nowhere.json'])).err).toBe(
      'vrdma: cannot read /nowhere.json: there is no such file.\n',
    );
  });
});

/** As JSON has it: without members that are undefined, but with the two that a reader puts back. */
function plain(report: CheckReport): unknown {
  return { ...(JSON.parse(JSON.stringify(report)) as object), reason: report.reason, bounds: report.bounds };
}
