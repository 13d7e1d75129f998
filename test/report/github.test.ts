import { expect, it } from 'vitest';
import { githubAnnotations } from '../../src/report/index.js';
import { finding, hostile, oneCase, reportWith, sampleReport } from './sample.js';

const failed = oneCase({
  grade: 'fail',
  message: 'createCq(0) answered OK; expected EINVAL',
  judges: 'driver',
});

it('points at the file that is judged, with the sentence that was broken', () => {
  const report = reportWith({
    verdict: 'fail',
    implementation: { name: 'mine', driver: './src/my-driver.js' },
    cases: [failed],
  });
  expect(githubAnnotations(report)).toMatchInlineSnapshot(`
    "::error file=src/my-driver.js,title=fail%3A CTRL/create-cq/zero-depth::createCq(0) answered OK; expected EINVAL%0A[CTRL-07] The device MUST answer a command that it does not know with INVALID_COMMAND.%0Avrdma explain CTRL/create-cq/zero-depth
    ::notice title=vrdma check%3A fail::mine, profile roce, seed 1: 1 fail
    "
  `);
});

it('names no file that lies outside of the repository', () => {
  for (const driver of ['/home/me/driver.js', '../driver.js'])
    expect(
      githubAnnotations(reportWith({ implementation: { name: 'x', driver }, cases: [failed] })),
    ).not.toContain('file=');
});

it('keeps to what GitHub shows and says how much more there is', () => {
  const report = sampleReport({ cases: 300, notPassed: 80 });
  const lines = githubAnnotations(report).trimEnd().split('\n');
  const errors = lines.filter(line => line.startsWith('::error'));
  const warnings = lines.filter(line => line.startsWith('::warning'));
  const failures = report.cases.filter(({ grade }) => grade === 'fail').length;
  expect([errors.length, warnings.length]).toEqual([10, 10]);
  expect(errors[9]).toContain(`title=and ${failures - 9} more`);
});

it('says why there is no verdict, and which laws generated programs broke', () => {
  const text = githubAnnotations(
    reportWith({ verdict: 'inconclusive', reason: 'it could not be loaded', findings: [finding()] }),
  );
  expect(text).toContain('::error title=the run came to no verdict::it could not be loaded');
  expect(text).toContain('::error title=no wake-up is lost::');
});

it('an excused failure is no error; one that passes again and one whose day is over are warnings', () => {
  const text = githubAnnotations(reportWith({ cases: [{ ...failed, known: 'issue 12' }] }), {
    passAgain: [{ id: 'QP/a/b', reason: 'issue 7' }],
    expired: [{ id: 'QP/c/d', reason: 'issue 8' }],
  });
  expect(text).not.toContain('::error');
  expect(text).toContain('::warning title=passes again%3A QP/a/b::known because: issue 7');
  expect(text).toContain('::warning title=no longer excused%3A QP/c/d::');
});

it('no implementation can give GitHub a command', () => {
  const text = githubAnnotations(
    reportWith({
      implementation: { name: hostile, driver: `a,b::${hostile}` },
      verdict: 'fail',
      reason: hostile,
      cases: [{ ...failed, id: `CTRL/${hostile}`, message: hostile, doc: hostile }],
    }),
  );
  const lines = text.trimEnd().split('\n');
  expect(lines).toHaveLength(3);
  for (const line of lines) expect(line).toMatch(/^::(error|notice) [^\r]*$/);
  // A colon or comma in a property would end it.
  for (const line of lines) expect(line.slice(2).split('::')[0]).not.toMatch(/:|,(?!title=)/);
});
