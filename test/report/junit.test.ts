import { readFileSync } from 'node:fs';
import { validateXML } from 'xmllint-wasm';
import { expect, it } from 'vitest';
import { grades } from '../../src/conformance/cases/case-report.js';
import type { CheckReport } from '../../src/conformance/report.js';
import { junitXml } from '../../src/report/index.js';
import { finding, hostile, oneCase, reportWith, sampleReport } from './sample.js';

const schema = readFileSync(new URL('junit.xsd', import.meta.url), 'utf8');

/** What is wrong with the file, by the schema. */
async function faultsOf(xml: string): Promise<string[]> {
  const { errors } = await validateXML({
    xml: [{ fileName: 'junit.xml', contents: xml }],
    schema: [schema],
    maxMemoryPages: 4096,
  });
  return errors.map(({ message }) => message);
}

async function validXml(report: CheckReport): Promise<string> {
  const xml = junitXml(report);
  expect(await faultsOf(xml)).toEqual([]);
  return xml;
}

it('is valid by the schema for a large report with every grade', async () => {
  const report = sampleReport({ cases: 400, notPassed: 60 });
  expect(new Set(report.cases.map(({ grade }) => grade))).toEqual(new Set(grades));
  await validXml({ ...report, findings: [finding()] });
});

it('would be told of a file that is not: the schema refuses a wrong count and a missing name', async () => {
  const xml = junitXml(reportWith({ cases: [oneCase()] }));
  expect(await faultsOf(xml.replace(/failures="0"/, 'failures="none"'))).not.toEqual([]);
  expect(await faultsOf(xml.replace(/<testcase classname="[^"]*"/, '<testcase'))).not.toEqual([]);
});

it('makes a failure of fail, an error of inconclusive, a skip of what was not asked, and a pass of the rest', async () => {
  const outcomes = new Map<string, string>();
  for (const grade of grades) {
    const xml = await validXml(reportWith({ cases: [oneCase({ grade, message: 'what was seen' })] }));
    outcomes.set(grade, /<(failure|error|skipped|system-out)\b/.exec(xml)?.[1] ?? 'passed');
  }
  expect(Object.fromEntries(outcomes)).toEqual({
    pass: 'passed',
    'non-strict': 'system-out',
    fail: 'failure',
    informational: 'system-out',
    unsupported: 'skipped',
    skipped: 'skipped',
    inconclusive: 'error',
  });
});

it('does not fail on a known failure, and tells the reason', async () => {
  const xml = await validXml(
    reportWith({ cases: [oneCase({ grade: 'fail', message: 'no answer', known: 'issue 12' })] }),
  );
  expect(xml).toContain('message="known failure (issue 12): no answer"');
  expect(xml).toMatch(/<testsuites [^>]*failures="0"/);
});

it('counts what it lists', async () => {
  const xml = await validXml({ ...sampleReport({ cases: 200, notPassed: 50 }), findings: [finding()] });
  for (const [all = '', attributes = ''] of xml.matchAll(/<testsuite ([^>]*)>.*?<\/testsuite>/gs)) {
    const declared = (name: string) => Number(new RegExp(`${name}="(\\d+)"`).exec(attributes)?.[1]);
    const listed = (name: string) => [...all.matchAll(new RegExp(`<${name}[ >]`, 'g'))].length;
    expect(declared('tests')).toBe(listed('testcase'));
    expect(declared('failures')).toBe(listed('failure'));
    expect(declared('errors')).toBe(listed('error'));
    expect(declared('skipped')).toBe(listed('skipped'));
  }
});

it('a run without a verdict is no empty success', async () => {
  const xml = await validXml(
    reportWith({ verdict: 'inconclusive', reason: 'the implementation could not be loaded' }),
  );
  expect(xml).toContain('<error type="inconclusive" message="the implementation could not be loaded">');
});

it('a law that only generated programs broke is a failure of its own, once', async () => {
  const broken = finding();
  const alone = await validXml(reportWith({ verdict: 'fail', findings: [broken] }));
  expect(alone).toContain('name="no wake-up is lost"');
  const told = oneCase({ grade: 'fail', law: broken.law, message: broken.message });
  const once = await validXml(reportWith({ verdict: 'fail', findings: [broken], cases: [told] }));
  expect(once).toMatch(/<testsuites [^>]*failures="1"/);
});

it('stays well formed, and in the text, whatever an implementation says', async () => {
  const xml = await validXml(
    reportWith({
      implementation: { name: hostile, driver: hostile },
      cases: [oneCase({ id: `CTRL/${hostile}`, grade: 'fail', message: hostile, doc: hostile })],
      verdict: 'fail',
      reason: hostile,
    }),
  );
  expect(xml).not.toContain('<script');
  expect(xml).toContain('\\u{1b}[2J');
});
