/**
 * A report as JUnit XML in the form that Jenkins, GitLab and others read (Surefire's): a suite for each chapter, a test case
 * for each case. What fails a run besides its cases, a law broken by generated programs or a run without a verdict, is a
 * test case too, so that no broken run looks like an empty one.
 */
import { match } from 'ts-pattern';
import { programScript } from '../conformance/script.js';
import type { CaseResult } from '../conformance/cases/case-report.js';
import type { CheckReport, Finding } from '../conformance/report.js';
import { byChapter, findingsBesideCases } from './grades.js';
import { escaped, firstLine, visible } from './text.js';

type Outcome = 'passed' | 'failure' | 'error' | 'skipped';

interface TestCase {
  readonly name: string;
  readonly outcome: Outcome;
  /** Milliseconds. */
  readonly elapsedMs: number;
  /** What went wrong in a word: the first requirement. */
  readonly type: string;
  readonly message: string;
  /** Lines that a person reads below the message. */
  readonly body: string;
}

interface Suite {
  readonly name: string;
  readonly tests: readonly TestCase[];
}

/** The whole file. Grades become outcomes: fail a failure, inconclusive an error, skipped, unsupported and known failures skipped. */
export function junitXml(report: CheckReport): string {
  const suites = suitesOf(report);
  const all = suites.flatMap(({ tests }) => tests);
  const attributes = [
    `name="vrdma check"`,
    `tests="${all.length}"`,
    `failures="${countOf(all, 'failure')}"`,
    `errors="${countOf(all, 'error')}"`,
    `time="${seconds(report.elapsedMs)}"`,
  ];
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${attributes.join(' ')}>`,
    ...suites.flatMap(suite => suiteLines(suite, report)),
    '</testsuites>',
    '',
  ].join('\n');
}

function suitesOf(report: CheckReport): Suite[] {
  const findings = findingsBesideCases(report);
  const chapters = [...byChapter(report.cases)].map(([name, cases]) => ({
    name,
    tests: cases.map(result => caseTest(result, report)),
  }));
  return [
    ...chapters,
    ...(findings.length === 0
      ? []
      : [{ name: 'generated programs', tests: findings.map(finding => findingTest(finding, report)) }]),
    { name: 'run', tests: [runTest(report)] },
  ];
}

function caseTest(result: CaseResult, report: CheckReport): TestCase {
  const message = result.message ?? result.doc;
  return {
    name: result.id,
    outcome: outcomeOf(result),
    elapsedMs: result.elapsedMs,
    type: result.requirements[0] ?? result.law ?? result.grade,
    message: result.known === undefined ? message : `known failure (${result.known}): ${message}`,
    body: result.grade === 'pass' ? '' : caseBody(result, report),
  };
}

function outcomeOf({ grade, known }: CaseResult): Outcome {
  return match(grade)
    .returnType<Outcome>()
    .with('fail', () => (known === undefined ? 'failure' : 'skipped'))
    .with('inconclusive', () => 'error')
    .with('skipped', 'unsupported', () => 'skipped')
    .with('pass', 'non-strict', 'informational', () => 'passed')
    .exhaustive();
}

function caseBody(result: CaseResult, report: CheckReport): string {
  return bodyOf([
    `${result.grade}: ${result.message ?? ''}`,
    result.doc,
    ...requirementLines(result.requirements, report),
    ...(result.program === undefined ? [] : ['', ...programScript(result.program)]),
    '',
    `vrdma explain ${result.id}`,
  ]);
}

function findingTest(finding: Finding, report: CheckReport): TestCase {
  return {
    name: finding.law,
    outcome: 'failure',
    elapsedMs: 0,
    type: finding.requirements[0] ?? finding.law,
    message: finding.message,
    body: bodyOf([
      finding.message,
      ...requirementLines(finding.requirements, report),
      '',
      ...programScript(finding.program),
    ]),
  };
}

/** Passes when every other test can be read as it stands. */
function runTest(report: CheckReport): TestCase {
  const stopped = report.verdict === 'inconclusive' || report.interrupted;
  const reason = report.reason ?? (report.interrupted ? 'interrupted' : 'no reason was given');
  // A run may fail by its reason alone: an implementation that died while no program could be named.
  const failed = report.verdict === 'fail' && report.reason !== undefined;
  return {
    name: 'the run comes to a verdict',
    outcome: stopped ? 'error' : failed ? 'failure' : 'passed',
    elapsedMs: 0,
    type: report.verdict,
    message: reason,
    body: stopped || failed ? visible(reason) : '',
  };
}

function requirementLines(ids: readonly string[], { requirements }: CheckReport): string[] {
  return ids.map(id => `[${id}] ${requirements[id] ?? '(no chapter has this id)'}`);
}

function bodyOf(lines: readonly string[]): string {
  return visible(lines.join('\n'));
}

function suiteLines({ name, tests }: Suite, report: CheckReport): string[] {
  const elapsedMs = tests.reduce((sum, test) => sum + test.elapsedMs, 0);
  const attributes = [
    `name="${escaped(name)}"`,
    `tests="${tests.length}"`,
    `failures="${countOf(tests, 'failure')}"`,
    `errors="${countOf(tests, 'error')}"`,
    `skipped="${countOf(tests, 'skipped')}"`,
    `time="${seconds(elapsedMs)}"`,
  ];
  return [
    `  <testsuite ${attributes.join(' ')}>`,
    '    <properties>',
    ...propertiesOf(report).map(
      ([key, value]) => `      <property name="${key}" value="${escaped(firstLine(value))}"/>`,
    ),
    '    </properties>',
    ...tests.flatMap(test => testLines(test, className(report, name))),
    '  </testsuite>',
  ];
}

function propertiesOf({ implementation, kit, profile, seed }: CheckReport): [string, string][] {
  return [
    ['implementation', implementation.name],
    ...(implementation.driver === undefined ? [] : [['driver', implementation.driver] as [string, string]]),
    ...(implementation.device === undefined ? [] : [['device', implementation.device] as [string, string]]),
    ['profile', profile],
    ['kit', kit],
    ['seed', String(seed)],
  ];
}

/** Readers group by the parts between dots; runs of several implementations must not fall into one. */
function className({ implementation, profile }: CheckReport, suite: string): string {
  return [implementation.name, profile, suite]
    .map(part => firstLine(part, 100).replaceAll(/[.\s]+/g, '-'))
    .join('.');
}

function testLines(test: TestCase, group: string): string[] {
  const open = `    <testcase classname="${escaped(group)}" name="${escaped(firstLine(test.name))}" time="${seconds(test.elapsedMs)}"`;
  if (test.outcome === 'passed' && test.body === '') return [`${open}/>`];
  const text = escaped(test.body);
  const inner =
    test.outcome === 'passed'
      ? `<system-out>${text}</system-out>`
      : `<${test.outcome} type="${escaped(firstLine(test.type))}" message="${escaped(firstLine(test.message))}">${text}</${test.outcome}>`;
  return [`${open}>`, `      ${inner}`, '    </testcase>'];
}

function countOf(tests: readonly TestCase[], outcome: Outcome): number {
  return tests.filter(test => test.outcome === outcome).length;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}
